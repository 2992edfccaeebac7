package cachetest

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func claim(t *testing.T, s Store, user string, counter int64, until time.Time, want bool) {
	t.Helper()
	fresh, err := s.Claim(t.Context(), user, counter, until)
	if err != nil || fresh != want {
		t.Fatalf("claim of %s %d: %v, %v; want %v", user, counter, fresh, err, want)
	}
}

func claimOnce(t *testing.T, b Backend) {
	s, c := start(t, b)
	until := c.Now().Add(time.Minute)
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

func claimAtOnce(t *testing.T, b Backend) {
	s, c := start(t, b)
	until := c.Now().Add(time.Minute)
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

func claimExpiry(t *testing.T, b Backend) {
	s, c := start(t, b)
	claim(t, s, "alice", 1, c.Now().Add(time.Minute), true)
	claim(t, s, "alice", 2, c.Now().Add(2*time.Minute), true)
	c.Advance(59 * time.Second)
	claim(t, s, "alice", 1, c.Now().Add(time.Minute), false)
	c.Advance(2 * time.Second)
	claim(t, s, "alice", 1, c.Now().Add(time.Minute), true)
	claim(t, s, "alice", 2, c.Now().Add(time.Minute), false)
}

func claimsBounded(t *testing.T, b Backend) {
	s, c := start(t, b)
	const rounds, batch = 20, 10
	for i := range rounds {
		for n := range batch {
			claim(t, s, "alice", int64(i*batch+n), c.Now().Add(time.Minute), true)
		}
		c.Advance(2 * time.Minute)
	}
	if n := length(t, s); n > 2*batch {
		t.Fatalf("%d claims held, of which %d are of use", n, batch)
	}
}

func claimUser(t *testing.T, b Backend) {
	s, c := start(t, b)
	until := c.Now().Add(time.Minute)
	for _, user := range []string{"", strings.Repeat("x", 1<<20)} {
		if fresh, err := s.Claim(t.Context(), user, 1, until); err == nil || fresh {
			t.Errorf("user id of %d bytes: %v, %v", len(user), fresh, err)
		}
	}
	claim(t, s, "\xff\x00;", 1, until, true)
}
