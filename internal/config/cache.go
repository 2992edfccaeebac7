package config

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"ldapd/internal/atomicfile"
	"ldapd/internal/secret"
)

func (c *Config) checkCache() error {
	ca := &c.Cache
	if err := c.one("cache.store", ca.Store, CacheBolt, CacheMemory, CachePostgres); err != nil {
		return err
	}
	postgres := ca.Store == CachePostgres
	switch {
	case postgres && ca.DSN == "":
		return c.Errorf("cache.dsn", "must name the database such as postgres://ldapd@db.example.org/ldapd")
	case !postgres && ca.DSN != "":
		return c.Errorf("cache.dsn", "is for cache.store: postgres only")
	case ca.Key != "" && ca.KeyFile != "":
		return c.Errorf("cache.key_file", "must not be set along with cache.key")
	case postgres && ca.Key == "" && ca.KeyFile == "":
		return c.Errorf("cache.key", "must be the key that all replicas share, or cache.key_file must name a file that holds it: openssl rand -base64 %d", KeySize)
	case ca.Key != "" && !sealingKey(ca.Key):
		return c.Errorf("cache.key", "must be %d bytes in hex or base64, as of: openssl rand -base64 %d", KeySize, KeySize)
	}
	for i, old := range ca.OldKeys {
		key := "cache.old_keys[" + strconv.Itoa(i) + "]"
		switch {
		case !sealingKey(old):
			return c.Errorf(key, "must be %d bytes in hex or base64", KeySize)
		case old == ca.Key:
			return c.Errorf(key, "is cache.key itself")
		case slices.Contains(ca.OldKeys[:i], old):
			return c.Errorf(key, "is listed twice")
		case i == 16:
			return c.Errorf("cache.old_keys", "must be at most 16 keys")
		}
	}
	for _, err := range []error{
		c.duration("cache.reprove", ca.Reprove, time.Minute, 365*day),
		c.duration("cache.access", ca.Access, 0, 365*day),
		c.duration("cache.stale_for", ca.StaleFor, time.Minute, 3650*day),
		c.duration("cache.max_age", ca.MaxAge, time.Hour, 3650*day),
	} {
		if err != nil {
			return err
		}
	}
	switch {
	case ca.Access > 0 && ca.Access < time.Minute:
		return c.Errorf("cache.access", "must be 0s for never, or at least 1m")
	case ca.Reprove > ca.StaleFor:
		return c.Errorf("cache.reprove", "must not be longer than cache.stale_for, which is %s", text(ca.StaleFor))
	case ca.Reprove > ca.MaxAge:
		return c.Errorf("cache.reprove", "must not be longer than cache.max_age, which is %s", text(ca.MaxAge))
	}
	return nil
}

// sealingKey reports that s is a key.
func sealingKey(s Secret) bool {
	_, err := secret.ParseKey(string(s))
	return err == nil
}

// maxSecretFile bounds a file that holds one value, in bytes.
const maxSecretFile = 64 << 10

// SealingKey returns Cache.Key, or what Cache.KeyFile holds; empty if neither
// is set.
func (c *Config) SealingKey() (Secret, error) {
	if c.Cache.KeyFile == "" {
		return c.Cache.Key, nil
	}
	text, err := atomicfile.Read(c.Cache.KeyFile, maxSecretFile)
	if err != nil {
		return "", c.Errorf("cache.key_file", "%v", err)
	}
	key := Secret(strings.TrimSpace(string(text)))
	if !sealingKey(key) {
		return "", c.Errorf("cache.key_file", "%s must hold %d bytes in hex or base64, as of: openssl rand -base64 %d", c.Cache.KeyFile, KeySize, KeySize)
	}
	return key, nil
}
