package atomicfile_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"ldapd/internal/atomicfile"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	broken := errors.New("broken")
	for _, tt := range []struct {
		name  string
		write func(io.Writer) error
		mode  os.FileMode
		err   error
		want  string
	}{
		{"new", text("one"), 0o600, nil, "one"},
		{"replaced", text("two"), 0o644, nil, "two"},
		{"not replaced", func(w io.Writer) error { return errors.Join(text("thr")(w), broken) }, 0o600, broken, "two"},
	} {
		if err := atomicfile.Write(path, tt.mode, tt.write); !errors.Is(err, tt.err) {
			t.Fatalf("%s: %v", tt.name, err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
		if st, err := os.Stat(path); err != nil || tt.err == nil && st.Mode().Perm() != tt.mode {
			t.Errorf("%s: mode %v, %v", tt.name, st.Mode(), err)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
			t.Errorf("%s: left behind %v, %v", tt.name, files, err)
		}
	}
	if err := atomicfile.Write(filepath.Join(dir, "none", "file"), 0o600, text("")); err == nil {
		t.Error("no directory: no error")
	}
}
