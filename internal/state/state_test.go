package state

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ldapd/internal/config"
)

func TestStoreKey(t *testing.T) {
	cfg := config.Default()
	cfg.StateDir = filepath.Join(t.TempDir(), "none")
	if _, err := storeKey(cfg); err == nil || !strings.HasPrefix(err.Error(), "state_dir: ") {
		t.Errorf("no directory: %v", err)
	}
	cfg.StateDir = t.TempDir()
	one, err := storeKey(cfg)
	if err != nil {
		t.Fatal(err)
	}
	two, err := storeKey(cfg)
	if err != nil || one != two || len(one) != 2*config.KeySize {
		t.Errorf("keys of %d and %d digits, the same: %v, %v", len(one), len(two), one == two, err)
	}
	files, err := os.ReadDir(cfg.StateDir)
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	if st, err := files[0].Info(); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	cfg.Cache.KeyFile = filepath.Join(cfg.StateDir, "mine")
	if err := os.WriteFile(cfg.Cache.KeyFile, []byte("  "+strings.Repeat("ab", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if key, err := storeKey(cfg); key != strings.Repeat("ab", 32) || err != nil {
		t.Errorf("of a file: %q, %v", key, err)
	}
	cfg.Cache.KeyFile, cfg.Cache.Key = "", config.Secret(strings.Repeat("cd", 32))
	if key, err := storeKey(cfg); key != strings.Repeat("cd", 32) || err != nil {
		t.Errorf("of the configuration: %q, %v", key, err)
	}
}
