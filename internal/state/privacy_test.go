package state

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ldapd/internal/config"
)

// TestPrivateKeyFile: a file that the configuration names may be a secret of a
// container.
func TestPrivateKeyFile(t *testing.T) {
	cfg := config.Default()
	cfg.StateDir = filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(cfg.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(t.TempDir(), "data")
	cfg.Cache.KeyFile = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(target, []byte(strings.Repeat("ab", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, cfg.Cache.KeyFile); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		mode           fs.FileMode
		refused, loose int
	}{{0o600, 0, 0}, {0o440, 0, 0}, {0o444, 0, 1}, {0o646, 1, 0}} {
		if err := os.Chmod(target, tt.mode); err != nil {
			t.Fatal(err)
		}
		if p := Private(cfg, true); len(p.Refused) != tt.refused || len(p.Loose) != tt.loose {
			t.Errorf("mode %v: refused %v, loose %v", tt.mode, p.Refused, p.Loose)
		}
	}
}
