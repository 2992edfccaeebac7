package verified

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"ldapd/internal/cache"
)

// Nobody waits forever for another change of the same user, and what was
// revoked meanwhile is.
func TestTurnsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newHub().connect()
		b := openWith(t, r, cheap(t, 1))
		prove(t, b, alice, "right", at(start))
		id := must(t, b, alice, "right").ID
		u, err := b.user(alice)
		if err != nil {
			t.Fatal(err)
		}
		leave, err := b.take(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name string
			do   func() error
		}{
			{"prove", func() error {
				return b.Prove(t.Context(), alice, b.epoch(), "alice", "right", netip.Addr{}, at(start.Add(time.Hour)))
			}},
			{"update", func() error { return b.Update(t.Context(), alice, id, func(*Credential) bool { return false }) }},
			{"revoke", func() error { return b.Revoke(t.Context(), alice) }},
		} {
			before := time.Now()
			if err := tt.do(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", tt.name, err)
			}
			if d := time.Since(before); d != turnTimeout {
				t.Errorf("%s waited %v", tt.name, d)
			}
		}
		if n := r.count(opUpdate) + r.count(opRevoke); n != 1 {
			t.Errorf("the store was told %d times", n)
		}
		if c, _ := b.Find(alice, "right"); c != nil {
			t.Error("what is revoked answers")
		}
		leave()
		mustNot(t, b, alice, "right")
	})
}

// What has no id, or none that can be in a name of the store, is nobody.
func TestNobody(t *testing.T) {
	r := newHub().connect()
	b := openWith(t, r, cheap(t, 1))
	for _, k := range []User{{alice.Base, ""}, {alice.Base, "two words"}} {
		if _, _, err := b.Search(t.Context(), k, "right", netip.Addr{}); err == nil {
			t.Errorf("%q is found", k.UUID)
		}
		if err := b.Prove(t.Context(), k, 0, "alice", "right", netip.Addr{}, at(start)); err == nil {
			t.Errorf("%q is recorded", k.UUID)
		}
		if err := b.Revoke(t.Context(), k); err == nil {
			t.Errorf("%q is revoked", k.UUID)
		}
	}
	if n := r.count(opLoad) + r.count(opUpdate) + r.count(opRevoke); n != 0 || len(b.users) != 0 {
		t.Errorf("the store was asked %d times, of %d users", n, len(b.users))
	}
}

// Who is asked of by two at the same time is one user.
func TestUserIsEnteredOnce(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	if first, second := b.enter(alice, "name"), b.enter(alice, "name"); first != second {
		t.Error("there are two")
	}
}
