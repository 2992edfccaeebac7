// Package state opens what outlasts a restart, as the configuration names it:
// the state directory, which nobody else may get at, the store with the
// verified binds, and the keys that seal them.
package state

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"

	"ldapd/internal/atomicfile"
	"ldapd/internal/cache"
	"ldapd/internal/config"
	"ldapd/internal/verified"
	"ldapd/internal/verified/keyring"
)

// Files of the state directory, beside the self-signed certificate.
const (
	StoreFile = "ldapd.db"  // verified binds, used one-time codes
	KeyFile   = "cache.key" // what is in there is worth nothing without
)

// maxKeyFile bounds the file of the key, in bytes.
const maxKeyFile = 4 << 10

// OpenStore makes the state directory and opens the store that the
// configuration names, if nobody else can get at what is secret there.
func OpenStore(ctx context.Context, cfg *config.Config, now cache.Clock, log *zap.Logger) (cache.Store, error) {
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, cfg.Errorf("state_dir", "%v", err)
	}
	p := Private(cfg, true)
	for _, loose := range p.Loose {
		log.Warn(loose)
	}
	if len(p.Refused) > 0 {
		return nil, errors.Join(p.Refused...)
	}
	switch cfg.Cache.Store {
	case config.CacheMemory:
		return cache.NewMemory(now), nil
	case config.CachePostgres:
		s, err := cache.OpenPostgres(ctx, string(cfg.Cache.DSN), cache.PostgresOptions{Now: now, Log: log})
		if err != nil {
			return nil, cfg.Errorf("cache.dsn", "%v", err)
		}
		return s, nil
	}
	s, err := cache.Open(filepath.Join(cfg.StateDir, StoreFile), now)
	if err != nil {
		return nil, cfg.Errorf("state_dir", "%v", err)
	}
	return s, nil
}

// storeKey returns the key of the configuration, or the one in the state
// directory, which is made if it is missing.
func storeKey(cfg *config.Config) (string, error) {
	if key, err := cfg.SealingKey(); key != "" || err != nil {
		return string(key), err
	}
	path := filepath.Join(cfg.StateDir, KeyFile)
	text, err := atomicfile.Read(path, maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(cfg, path)
	}
	if err != nil {
		return "", cfg.Errorf("state_dir", "%v", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func makeKey(cfg *config.Config, path string) (string, error) {
	raw := make([]byte, config.KeySize)
	rand.Read(raw) // never fails
	key := hex.EncodeToString(raw)
	if err := atomicfile.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		return "", cfg.Errorf("state_dir", "%v", err)
	}
	return key, nil
}

// Keys returns the keys of the configuration. If it names none, the current one
// is that of the state directory, where it is made if it is missing.
func Keys(cfg *config.Config) (keyring.Ring, error) {
	key, err := storeKey(cfg)
	if err != nil {
		return keyring.Ring{}, err
	}
	var old []string
	for _, k := range cfg.Cache.OldKeys {
		old = append(old, string(k))
	}
	keys, err := keyring.Parse(key, old)
	if err != nil {
		return keys, cfg.Errorf("cache.key", "%v", err)
	}
	return keys, nil
}

// OpenBook opens the verified binds in a store.
func OpenBook(ctx context.Context, cfg *config.Config, s cache.Store, o verified.Options) (*verified.Book, error) {
	if err := checkKey(ctx, cfg, s, o.Keys, o.Log); err != nil {
		return nil, err
	}
	o.Store = s
	return verified.Open(ctx, o)
}

// checkKey refuses a store that was written with a key that is not configured.
// A store that cannot be asked is not refused: memory answers until it can.
func checkKey(ctx context.Context, cfg *config.Config, s cache.Store, keys keyring.Ring, log *zap.Logger) error {
	check := keys.Check()
	err := s.CheckKey(ctx, check)
	if errors.Is(err, cache.ErrOtherKey) {
		err = takeOver(ctx, s, keys, check)
	}
	switch {
	case errors.Is(err, cache.ErrOtherKey):
		return cfg.Errorf("cache.key", "%v; to change the key, put the old one into cache.old_keys", err)
	case err != nil:
		log.Warn("the store of verified binds cannot be asked, memory alone answers until it can", zap.Error(err))
	}
	return nil
}

// takeOver gives a store that was written with an old key the current one.
func takeOver(ctx context.Context, s cache.Store, keys keyring.Ring, check []byte) error {
	for _, o := range keys.OldChecks() {
		if err := s.ReplaceKeyCheck(ctx, o, check); !errors.Is(err, cache.ErrOtherKey) {
			return err
		}
	}
	return cache.ErrOtherKey
}
