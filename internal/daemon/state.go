package daemon

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ldapd/internal/cache"
	"ldapd/internal/config"
)

// Files of the state directory, beside the self-signed certificate.
const (
	codesFile  = "codes.db"   // used one-time codes
	cookieFile = "cookie.key" // authenticates paging cookies, across restarts
)

const cookieKeySize = 32

// openCodes makes the state directory and opens the store in it.
func openCodes(cfg *config.Config, now cache.Clock) (*cache.Bolt, error) {
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, cfg.Errorf("state_dir", "%v", err)
	}
	b, err := cache.Open(filepath.Join(cfg.StateDir, codesFile), now)
	if err != nil {
		return nil, cfg.Errorf("state_dir", "%v", err)
	}
	return b, nil
}

// cookieKey returns the key in the state directory, made if missing.
func cookieKey(cfg *config.Config) ([]byte, error) {
	path := filepath.Join(cfg.StateDir, cookieFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, cfg.Errorf("state_dir", "%v", err)
	}
	defer f.Close()
	key := make([]byte, cookieKeySize)
	n, err := f.ReadAt(key, 0)
	if n == len(key) {
		return key, nil
	}
	var perr *fs.PathError
	if errors.As(err, &perr) {
		return nil, cfg.Errorf("state_dir", "%v", err)
	}
	// New, or cut short by a crash: a client that pages has to start again.
	rand.Read(key) // never fails
	if _, err := f.WriteAt(key, 0); err != nil {
		return nil, cfg.Errorf("state_dir", "%v", fmt.Errorf("%s: %w", path, err))
	}
	return key, nil
}
