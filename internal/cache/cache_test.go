package cache_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
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

func become(value string) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) { return []byte(value), nil }
}

// benchSize is that of the value of a user with some clients.
const benchSize = 2048

func benchLoad(b *testing.B, s cachetest.Store) {
	if err := s.Update(b.Context(), "key", 0, become(strings.Repeat("x", benchSize))); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := s.Load(b.Context(), "key"); err != nil {
			b.Fatal(err)
		}
	}
}

func benchUpdate(b *testing.B, s cachetest.Store) {
	value := make([]byte, benchSize)
	for i := uint64(0); b.Loop(); i++ {
		binary.BigEndian.PutUint64(value, i)
		err := s.Update(b.Context(), fmt.Sprint("key ", i%1000), 0, func([]byte) ([]byte, error) { return value, nil })
		if err != nil {
			b.Fatal(err)
		}
	}
}
