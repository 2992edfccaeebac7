// Package cachetest is the suite that every store must pass.
package cachetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ldapd/internal/cache"
	"ldapd/internal/mfa"
)

// Store is what a store offers.
type Store interface {
	mfa.UsedCodes
	Len() (int, error)
	Close() error
}

// Backend makes stores for the suite. It opens the same store again if it was
// closed, and what was claimed is still claimed if the store is durable.
type Backend struct {
	Open    func(t *testing.T, now cache.Clock) Store
	Durable bool
}

// clock stands still until it is moved.
type clock struct{ unix atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(c.unix.Load(), 0) }
func (c *clock) advance(d time.Duration) { c.unix.Add(int64(d / time.Second)) }

// Run runs the suite; open returns a new, empty backend for each test of it.
func Run(t *testing.T, open func(t *testing.T) Backend) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Backend)
	}{
		{"claim once", claimOnce},
		{"at the same instant", sameInstant},
		{"expiry", expiry},
		{"bounded", bounded},
		{"reopen", reopen},
		{"context", cancelled},
		{"user id", userID},
		{"closed", closed},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func start(t *testing.T, b Backend) (Store, *clock) {
	t.Helper()
	c := &clock{}
	c.unix.Store(1_700_000_000)
	s := b.Open(t, c.now)
	t.Cleanup(func() { s.Close() })
	return s, c
}

func claim(t *testing.T, s Store, user string, counter int64, until time.Time, want bool) {
	t.Helper()
	fresh, err := s.Claim(t.Context(), user, counter, until)
	if err != nil || fresh != want {
		t.Fatalf("claim of %s %d: %v, %v; want %v", user, counter, fresh, err, want)
	}
}

func claimOnce(t *testing.T, b Backend) {
	s, c := start(t, b)
	until := c.now().Add(time.Minute)
	claim(t, s, "alice", 1, until, true)
	claim(t, s, "alice", 1, until, false)
	claim(t, s, "alice", 1, until.Add(time.Hour), false)
	claim(t, s, "alice", 2, until, true)
	claim(t, s, "alice", 0, until, true)
	claim(t, s, "bob", 1, until, true)
	claim(t, s, "bob", 1, until, false)
	// One name being the start of another must not matter.
	claim(t, s, "alic", 1, until, true)
	claim(t, s, "alice\x00", 1, until, true)
}

func sameInstant(t *testing.T, b Backend) {
	s, c := start(t, b)
	until := c.now().Add(time.Minute)
	var wg sync.WaitGroup
	var fresh atomic.Int64
	for range 32 {
		wg.Go(func() {
			ok, err := s.Claim(t.Context(), "alice", 7, until)
			if err != nil {
				t.Error(err)
			}
			if ok {
				fresh.Add(1)
			}
		})
	}
	wg.Wait()
	if fresh.Load() != 1 {
		t.Fatalf("%d claims were fresh, want 1", fresh.Load())
	}
}

func expiry(t *testing.T, b Backend) {
	s, c := start(t, b)
	claim(t, s, "alice", 1, c.now().Add(time.Minute), true)
	claim(t, s, "alice", 2, c.now().Add(2*time.Minute), true)
	c.advance(59 * time.Second)
	claim(t, s, "alice", 1, c.now().Add(time.Minute), false)
	c.advance(2 * time.Second)
	claim(t, s, "alice", 1, c.now().Add(time.Minute), true)
	claim(t, s, "alice", 2, c.now().Add(time.Minute), false)
}

func bounded(t *testing.T, b Backend) {
	s, c := start(t, b)
	const rounds, batch = 20, 10
	for i := range rounds {
		for n := range batch {
			claim(t, s, "alice", int64(i*batch+n), c.now().Add(time.Minute), true)
		}
		c.advance(2 * time.Minute)
	}
	n, err := s.Len()
	if err != nil {
		t.Fatal(err)
	}
	if n > 2*batch {
		t.Fatalf("%d claims held, of which %d are of use", n, batch)
	}
}

func reopen(t *testing.T, b Backend) {
	if !b.Durable {
		return
	}
	s, c := start(t, b)
	until := c.now().Add(time.Minute)
	claim(t, s, "alice", 1, until, true)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := b.Open(t, c.now)
	t.Cleanup(func() { again.Close() })
	claim(t, again, "alice", 1, until, false)
	claim(t, again, "alice", 2, until, true)
}

func cancelled(t *testing.T, b Backend) {
	s, c := start(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Claim(ctx, "alice", 1, c.now().Add(time.Minute)); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want %v", err, context.Canceled)
	}
	claim(t, s, "alice", 1, c.now().Add(time.Minute), true)
}

func userID(t *testing.T, b Backend) {
	s, c := start(t, b)
	until := c.now().Add(time.Minute)
	for _, user := range []string{"", strings.Repeat("x", 1<<20)} {
		if fresh, err := s.Claim(t.Context(), user, 1, until); err == nil || fresh {
			t.Errorf("user id of %d bytes: %v, %v", len(user), fresh, err)
		}
	}
	claim(t, s, "\xff\x00;", 1, until, true)
}

func closed(t *testing.T, b Backend) {
	s, c := start(t, b)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if fresh, err := s.Claim(t.Context(), "alice", 1, c.now().Add(time.Minute)); !errors.Is(err, cache.ErrClosed) || fresh {
		t.Fatalf("%v, %v; want %v", fresh, err, cache.ErrClosed)
	}
}
