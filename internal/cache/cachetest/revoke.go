package cachetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ldapd/internal/cache"
)

func revoke(t *testing.T, b Backend) {
	s, _ := start(t, b)
	ctx := t.Context()
	put(t, s, "other", "value")
	_, others := load(t, s, "other", "value")
	for _, there := range []bool{true, false} {
		if there {
			put(t, s, "key", "value")
		}
		_, before, err := s.Load(ctx, "key")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Revoke(ctx, "key"); err != nil {
			t.Fatal(err)
		}
		_, after := load(t, s, "key", "")
		if after <= before {
			t.Errorf("epoch %d, was %d", after, before)
		}
		called := false
		err = s.Update(ctx, "key", before, func([]byte) ([]byte, error) { called = true; return []byte("x"), nil })
		if !errors.Is(err, cache.ErrRevoked) || called {
			t.Errorf("update with an old epoch: %v, called: %v", err, called)
		}
		load(t, s, "key", "")
		if err := s.Update(ctx, "key", after, become("new")); err != nil {
			t.Errorf("update with the new epoch: %v", err)
		}
		load(t, s, "key", "new")
		// A value does not make the epoch of before good again.
		if err := s.Update(ctx, "key", before, become("x")); !errors.Is(err, cache.ErrRevoked) {
			t.Errorf("update with an old epoch: %v", err)
		}
		remove(t, s, "key")
		if err := s.Update(ctx, "key", before, become("x")); !errors.Is(err, cache.ErrRevoked) {
			t.Errorf("update with an old epoch: %v", err)
		}
	}
	if _, epoch := load(t, s, "other", "value"); epoch != others {
		t.Errorf("epoch of another key rose from %d to %d", others, epoch)
	}
}

func revokeAll(t *testing.T, b Backend) {
	s, _ := start(t, b)
	ctx := t.Context()
	put(t, s, "a", "value")
	put(t, s, "b", "value")
	if err := s.Revoke(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	_, epochA := load(t, s, "a", "value")
	_, epochB := load(t, s, "b", "")
	if err := s.RevokeAll(ctx); err != nil {
		t.Fatal(err)
	}
	for key, before := range map[string]uint64{"a": epochA, "b": epochB, "never seen": 0} {
		_, after := load(t, s, key, "")
		if after <= before {
			t.Errorf("%s: epoch %d, was %d", key, after, before)
		}
		if err := s.Update(ctx, key, before, become("x")); !errors.Is(err, cache.ErrRevoked) {
			t.Errorf("%s: update with an old epoch: %v", key, err)
		}
		if err := s.Update(ctx, key, after, become("new")); err != nil {
			t.Errorf("%s: update with the new epoch: %v", key, err)
		}
	}
	if got := all(t, s); len(got) != 3 {
		t.Errorf("%v", got)
	}
	_, before := load(t, s, "a", "new")
	if err := s.Revoke(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if _, after := load(t, s, "a", ""); after <= before {
		t.Errorf("epoch %d, was %d", after, before)
	}
}

// revokeUpdating revokes while others update: once a revocation has returned,
// nothing that was begun before it may be there.
func revokeUpdating(t *testing.T, b Backend) {
	for _, how := range []struct {
		name   string
		revoke func(Store) error
	}{
		{"one", func(s Store) error { return s.Revoke(t.Context(), "key") }},
		{"all", func(s Store) error { return s.RevokeAll(t.Context()) }},
	} {
		s, _ := start(t, b)
		const rounds, workers = 25, 4
		for round := range rounds {
			var revoked atomic.Bool
			begun := make(chan struct{}, workers)
			var wg sync.WaitGroup
			// Each worker writes again and again with the epoch from before.
			_, epoch, err := s.Load(t.Context(), "key")
			if err != nil {
				t.Fatal(err)
			}
			for w := range workers {
				wg.Go(func() {
					for i := 0; ; i++ {
						late := revoked.Load()
						err := s.Update(t.Context(), "key", epoch, become(fmt.Sprint(round, w, i)))
						if i == 0 {
							begun <- struct{}{}
						}
						switch {
						case errors.Is(err, cache.ErrRevoked):
							return
						case err != nil:
							t.Error(err)
							return
						case late:
							t.Errorf("%s: an update with an old epoch went through after the revocation", how.name)
							return
						}
					}
				})
			}
			<-begun
			if err := how.revoke(s); err != nil {
				t.Error(err)
			}
			revoked.Store(true)
			if v, _, err := s.Load(t.Context(), "key"); v != nil || err != nil {
				t.Errorf("%s: %q is there after the revocation, %v", how.name, v, err)
			}
			wg.Wait()
			load(t, s, "key", "")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// revokeOther revokes many keys while others are written, and all of them now
// and then: what was not revoked is not lost, and nothing blocks for good.
func revokeOther(t *testing.T, b Backend) {
	s, _ := start(t, b)
	const workers, rounds = 6, 30
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			key := fmt.Sprint("key ", w)
			for i := range rounds {
				var err error
				switch {
				case w == 0 && i%10 == 9:
					err = s.RevokeAll(t.Context())
				case w < 3:
					err = s.Revoke(t.Context(), key)
				default:
					var epoch uint64
					if _, epoch, err = s.Load(t.Context(), key); err == nil {
						err = s.Update(t.Context(), key, epoch, become(fmt.Sprint(i)))
					}
					if errors.Is(err, cache.ErrRevoked) {
						err = nil // by RevokeAll
					}
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for w := range workers {
		key := fmt.Sprint("key ", w)
		put(t, s, key, "last")
		load(t, s, key, "last")
	}
}

func tombstonesBounded(t *testing.T, b Backend) {
	s, c := start(t, b)
	const rounds, batch = 10, 10
	for i := range rounds {
		for n := range batch {
			key := fmt.Sprint("key ", i, " ", n)
			put(t, s, key, "value")
			if err := s.Revoke(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Revoke(t.Context(), "again"); err != nil {
			t.Fatal(err)
		}
		c.Advance(23 * time.Hour)
		// It is a day for each.
		if err := s.Update(t.Context(), "again", 0, become("x")); !errors.Is(err, cache.ErrRevoked) {
			t.Fatalf("update with an old epoch after less than a day: %v", err)
		}
		c.Advance(2 * time.Hour)
	}
	if n := length(t, s); n > 3*batch {
		t.Errorf("%d epochs held, of which none is of use", n)
	}
	put(t, s, "key 0 0", "value")
	load(t, s, "key 0 0", "value")
}
