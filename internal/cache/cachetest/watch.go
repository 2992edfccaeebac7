package cachetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"ldapd/internal/cache"
)

// watching runs Watch until the test or the returned function ends it, which
// wants no error.
func watching(t *testing.T, s Store) (changed <-chan string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	keys, done := make(chan string, 1000), make(chan error, 1)
	go func() { done <- s.Watch(ctx, func(key string) { keys <- key }) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("watch: %v", err)
		}
	}
	t.Cleanup(stop)
	return keys, stop
}

// waitFor waits for a key to be told, however long it takes; go test has an
// end to that.
func waitFor(t *testing.T, changed <-chan string, want string) {
	t.Helper()
	for {
		select {
		case key := <-changed:
			if key == want {
				return
			}
		case <-t.Context().Done():
			t.Fatal("the test ends")
		}
	}
}

func shared(t *testing.T, b Backend) {
	if s, _ := start(t, b); s.Shared() != b.Shared {
		t.Errorf("shared: %v, want %v", s.Shared(), b.Shared)
	}
}

func watch(t *testing.T, b Backend) {
	s, _ := start(t, b)
	changed, stop := watching(t, s)
	if b.Shared {
		waitFor(t, changed, "") // it listens from now on
	}
	put(t, s, "key", "value")
	if err := s.Revoke(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.Shared {
		// Another process ends the line; before it, nothing of our own is told.
		other, _ := start(t, b)
		put(t, other, "the other's", "value")
		if key := <-changed; key != "the other's" {
			t.Errorf("told of %q", key)
		}
	}
	stop()
	select {
	case key := <-changed:
		t.Errorf("told of %q", key)
	default:
	}

	// Close ends it, too.
	done := make(chan error)
	go func() { done <- s.Watch(context.Background(), func(string) {}) }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, cache.ErrClosed) {
		t.Errorf("watch of a closed store: %v", err)
	}
}

// sharedClaim lets two processes claim the same code at the same instant.
func sharedClaim(t *testing.T, b Backend) {
	if !b.Shared {
		return
	}
	one, c := start(t, b)
	two := again(t, b, c)
	until := c.Now().Add(time.Hour)
	for i := range 200 {
		gate, fresh := make(chan struct{}), make(chan bool)
		for _, s := range []Store{one, two} {
			go func() {
				<-gate
				ok, err := s.Claim(t.Context(), "alice", int64(i), until)
				if err != nil {
					t.Error(err)
				}
				fresh <- ok
			}()
		}
		close(gate)
		if a, b := <-fresh, <-fresh; a == b {
			t.Fatalf("code %d: fresh for one %v, for the other %v", i, a, b)
		}
	}
}

func sharedValues(t *testing.T, b Backend) {
	if !b.Shared {
		return
	}
	one, c := start(t, b)
	two := again(t, b, c)
	ctx := t.Context()
	put(t, one, "key", "value")
	_, epoch := load(t, two, "key", "value")
	wantTally(t, one, [16]byte{1}, [16]byte{1}, time.Minute, 1)
	wantTally(t, two, [16]byte{1}, [16]byte{1}, time.Minute, 1)
	wantTally(t, two, [16]byte{1}, [16]byte{2}, time.Minute, 2)
	wantTallied(t, one, [16]byte{1}, time.Minute, 2)
	if err := one.Revoke(ctx, "key"); err != nil {
		t.Fatal(err)
	}
	if err := two.Update(ctx, "key", epoch, become("x")); !errors.Is(err, cache.ErrRevoked) {
		t.Errorf("update after the other revoked: %v", err)
	}
	_, epoch = load(t, two, "key", "")
	if err := two.RevokeAll(ctx); err != nil {
		t.Fatal(err)
	}
	if err := one.Update(ctx, "key", epoch, become("x")); !errors.Is(err, cache.ErrRevoked) {
		t.Errorf("update after the other revoked all: %v", err)
	}
	if err := one.CheckKey(ctx, []byte("one")); err != nil {
		t.Error(err)
	}
	if err := two.CheckKey(ctx, []byte("two")); !errors.Is(err, cache.ErrOtherKey) {
		t.Errorf("two keys: %v", err)
	}
}

func sharedWatch(t *testing.T, b Backend) {
	if !b.Shared {
		return
	}
	one, c := start(t, b)
	two := again(t, b, c)
	changed, _ := watching(t, one)
	waitFor(t, changed, "")
	long := "key \x00 é" + string(make([]byte, 1000))
	put(t, two, long, "value")
	waitFor(t, changed, long)
	if err := two.Revoke(t.Context(), "revoked"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, changed, "revoked")
	remove(t, two, long)
	waitFor(t, changed, long)
	if err := two.RevokeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, changed, "")
}
