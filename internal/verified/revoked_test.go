package verified

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ldapd/internal/cache"
)

// early is a store that has read everything before it tells anything of it.
type early struct {
	Store
	read func() // what happens in between; nil: nothing
}

func (e *early) Each(ctx context.Context, f func(key string, value []byte, epoch uint64) error) error {
	type entry struct {
		key   string
		value []byte
		epoch uint64
	}
	var all []entry
	err := e.Store.Each(ctx, func(key string, value []byte, epoch uint64) error {
		all = append(all, entry{key, value, epoch})
		return nil
	})
	if err != nil {
		return err
	}
	if e.read != nil {
		e.read()
	}
	for _, a := range all {
		if err := f(a.key, a.value, a.epoch); err != nil {
			return err
		}
	}
	return nil
}

// A user of whom nothing was known is revoked with all others, though the store
// had been read a moment before. This is what revoking all counts up for.
func TestRevokeAllOfUsersNotKnownYet(t *testing.T) {
	for _, tt := range []struct {
		name   string
		revoke func(b *Book) error
		want   bool
	}{
		{"nobody", func(*Book) error { return nil }, true},
		{"all", func(b *Book) error { return b.RevokeAll(t.Context()) }, false},
		{"another", func(b *Book) error { return b.Revoke(t.Context(), User{alice.Base, "other"}) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			shared := cache.NewMemory(nil)
			store := &early{Store: shared}
			b := openWith(t, store, cheap(t, 1))
			prove(t, openWith(t, shared, cheap(t, 1)), alice, "right", at(start)) // by a replica
			store.read = func() {
				if err := tt.revoke(b); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.readAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := len(b.All()); (n > 0) != tt.want {
				t.Errorf("%d users are in memory, want them there: %v", n, tt.want)
			}
			if c, _ := b.Find(alice, "right"); c != nil && !tt.want {
				t.Error("it answers")
			}
		})
	}
}

// That all were revoked is told to the store as soon as that can be reached,
// also if nothing else happens.
func TestRevokeAllIsToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		r := h.connect()
		b := openWith(t, r, cheap(t, 1))
		stop := run(t, b)
		prove(t, b, alice, "right", at(start))
		r.set(func(r *replica) { r.down = true })
		if err := b.RevokeAll(t.Context()); !errors.Is(err, errUnreachable) {
			t.Errorf("revoked: %v", err)
		}
		r.set(func(r *replica) { r.down = false })
		time.Sleep(time.Minute)
		mustNot(t, openWith(t, h.connect(), cheap(t, 1)), alice, "right")
		if n := r.count(opRevoke); n < 2 {
			t.Errorf("the store was told %d times", n)
		}
		stop()
	})
}
