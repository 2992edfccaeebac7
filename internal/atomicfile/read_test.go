package atomicfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ldapd/internal/atomicfile"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"empty": "", "exact": "12345", "large": "123456"} {
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("exact", path("link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, want, err string }{
		{path("empty"), "", ""},
		{path("exact"), "12345", ""},
		{path("link"), "12345", ""},
		{path("large"), "", "larger than 5 bytes"},
		{path("pipe"), "", "not a regular file"},
		{"/dev/zero", "", "not a regular file"},
		{dir, "", "not a regular file"},
		{path("none"), "", "no such file"},
	} {
		got, err := atomicfile.Read(tt.path, 5)
		if string(got) != tt.want || (err == nil) != (tt.err == "") {
			t.Errorf("%s: %q, %v", tt.path, got, err)
		}
		if err != nil && (!strings.Contains(err.Error(), tt.err) || strings.Count(err.Error(), tt.path) != 1) {
			t.Errorf("%s: error %v, want the path once and %q", tt.path, err, tt.err)
		}
	}
}
