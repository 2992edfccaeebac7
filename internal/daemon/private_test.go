package daemon

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"ldapd/internal/config"
	"ldapd/internal/state"
)

// stateDir is a configuration with a state directory that a server has used.
func stateDir(t *testing.T) *config.Config {
	t.Helper()
	cfg := testConfig(t)
	r := start(t, cfg, demoUsers(t))
	r.stop()
	for _, name := range []string{state.KeyFile, state.StoreFile, "tls.pem"} {
		if _, err := os.Stat(filepath.Join(cfg.StateDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

func TestPrivate(t *testing.T) {
	chmod := func(name string, mode fs.FileMode) func(string) error {
		return func(dir string) error { return os.Chmod(filepath.Join(dir, name), mode) }
	}
	link := func(name string) func(string) error {
		return func(dir string) error {
			path := filepath.Join(dir, name)
			if err := os.Rename(path, path+".moved"); err != nil {
				return err
			}
			return os.Symlink(path+".moved", path)
		}
	}
	chown := func(name string) func(string) error {
		return func(dir string) error { return os.Chown(filepath.Join(dir, name), 4711, -1) }
	}
	type test struct {
		name    string
		change  func(dir string) error
		refused string // DIR stands for the directory
		loose   string
	}
	tests := []test{
		{"as it was made", func(string) error { return nil }, "", ""},
		{"directory for all", chmod("", 0o777), "state_dir: DIR can be written by any user", ""},
		{"directory like /tmp", chmod("", 0o777|fs.ModeSticky), "chmod 700 DIR", ""},
		{"directory of a group", chmod("", 0o770|fs.ModeSetgid), "", "DIR can be written by its group"},
		{"directory listed", chmod("", 0o755), "", "DIR can be listed by other users: chmod 700 DIR"},
	}
	for _, name := range []string{state.KeyFile, state.StoreFile, "tls.pem"} {
		tests = append(tests,
			test{name + " read", chmod(name, 0o604), "DIR/" + name + " can be read or written by any user: chmod 600 DIR/" + name, ""},
			test{name + " written", chmod(name, 0o602), "chmod 600 DIR/" + name, ""},
			test{name + " read by the group", chmod(name, 0o640), "", "DIR/" + name + " can be read or written by its group"},
			test{name + " a link", link(name), "DIR/" + name + " is a symbolic link", ""},
			test{name + " a directory", func(dir string) error {
				path := filepath.Join(dir, name)
				if err := os.Rename(path, path+".moved"); err != nil {
					return err
				}
				return os.Mkdir(path, 0o700)
			}, "DIR/" + name + " is not a regular file", ""})
		if os.Geteuid() == 0 { // nobody else can give files away
			tests = append(tests, test{name + " of another user", chown(name), "DIR/" + name + " belongs to user 4711", ""})
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := stateDir(t)
			if err := tt.change(cfg.StateDir); err != nil {
				t.Fatal(err)
			}
			here := func(s string) string { return strings.ReplaceAll(s, "DIR", cfg.StateDir) }

			// Who looks before, as check does, finds the same and changes nothing.
			p := state.Private(cfg, false)
			var refused strings.Builder
			for _, err := range p.Refused {
				refused.WriteString(err.Error() + "\n")
			}
			if (refused.Len() > 0) != (tt.refused != "") || !strings.Contains(refused.String(), here(tt.refused)) {
				t.Errorf("refused: %q, want %q", refused.String(), tt.refused)
			}
			loose := strings.Join(p.Loose, "\n")
			if (loose != "") != (tt.loose != "") || !strings.Contains(loose, here(tt.loose)) {
				t.Errorf("loose: %q, want %q", loose, tt.loose)
			}

			d, err := Open(Options{Config: cfg, Log: zap.NewNop(), Users: demoUsers(t)})
			if err == nil {
				d.Close()
			}
			if (err != nil) != (tt.refused != "") || err != nil && !strings.Contains(err.Error(), here(tt.refused)) {
				t.Errorf("start: %v, want %q", err, tt.refused)
			}
			if err == nil && strings.Contains(tt.name, "by the group") && len(state.Private(cfg, false).Loose) > 0 {
				t.Errorf("after a start: %q", state.Private(cfg, false).Loose)
			}
		})
	}
}
