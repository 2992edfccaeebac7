package cache_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"ldapd/internal/cache"
	"ldapd/internal/cache/cachetest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		workForEver(path)
	}
	goleak.VerifyTestMain(m)
}

func TestMemory(t *testing.T) {
	cachetest.Run(t, func(*testing.T) cachetest.Backend {
		return cachetest.Backend{Open: func(_ *testing.T, now cache.Clock) cachetest.Store { return cache.NewMemory(now) }}
	})
}
