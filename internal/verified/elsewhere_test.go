package verified

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ldapd/internal/cache"
	"ldapd/internal/secret"
)

// What another process proved meanwhile, by another key, is the same
// credential.
func TestProvedElsewhereByAnotherKey(t *testing.T) {
	store := cache.NewMemory(nil)
	one, two := openWith(t, store, cheap(t, 1, 2)), openWith(t, store, cheap(t, 2, 1))
	mustNot(t, one, alice, "right")
	prove(t, two, alice, "right", at(start))
	id := must(t, two, alice, "right").ID
	proveAt(t, one, "right", start.Add(time.Hour))
	for _, b := range []*Book{one, openWith(t, store, cheap(t, 1, 2))} {
		if c := must(t, b, alice, "right"); c.ID != id || !c.Proved.Equal(start.Add(time.Hour)) || len(b.Credentials(alice)) != 1 {
			t.Errorf("it has %+v of %d", c, len(b.Credentials(alice)))
		}
	}
}

// What another process recorded of the same flow is not written again.
func TestTheSameIsNotWritten(t *testing.T) {
	store := cache.NewMemory(nil)
	one, two := openWith(t, store, cheap(t, 1)), openWith(t, store, cheap(t, 1))
	mustNot(t, one, alice, "right")
	prove(t, two, alice, "right", at(start))
	load := func() []byte {
		v, _, err := store.Load(t.Context(), sealedFor(alice))
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(v)
	}
	before := load()
	proveAt(t, one, "right", start)
	if !bytes.Equal(before, load()) {
		t.Error("it was")
	}
	if c, cold := one.Find(alice, "right"); c == nil || cold {
		t.Errorf("found %v, cold %v", c, cold)
	}
}

// While the store is down, a new password tells nothing of those that were in
// doubt before: what others said of them stays.
func TestDoubtIsToldOnce(t *testing.T) {
	h := newHub()
	r := h.connect()
	one := openWith(t, r, cheap(t, 1))
	prove(t, one, alice, "first", at(start))
	prove(t, one, alice, "second", at(start))
	two := openWith(t, h.connect(), cheap(t, 1))
	r.set(func(r *replica) { r.down = true })
	proveAt(t, one, "third", start)
	err := two.Update(t.Context(), alice, must(t, two, alice, "first").ID, func(c *Credential) bool {
		c.Places = []string{"nextcloud"}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	r.set(func(r *replica) { r.down = false })
	if err := one.saveAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := must(t, openWith(t, h.connect(), cheap(t, 1)), alice, "first")
	if len(c.Places) != 1 || !c.Doubt {
		t.Errorf("it has %+v", c)
	}
}

// A revocation at whatever moment of a proof ends that: nothing of it is in
// memory, nor stays in the store.
func TestRevokedMeanwhile(t *testing.T) {
	for _, tt := range []struct {
		name   string
		at     operation
		fails  bool // the store, then
		writes int
	}{
		{"when it was loaded", opLoad, false, 0},
		{"when it was written", opUpdate, false, 1},
		{"when it could not be written", opUpdate, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub()
			s := &hooked{replica: h.connect()}
			b := openWith(t, s, cheap(t, 1))
			revoke := func(o operation) {
				if o == tt.at {
					s.before, s.after = nil, nil
					revokeHere(t, b)
				}
			}
			if tt.fails {
				s.before = func(o operation) error {
					if o != tt.at {
						return nil
					}
					revoke(o)
					return errUnreachable
				}
			} else {
				s.after = revoke
			}
			err := b.Prove(t.Context(), alice, b.epoch(), "alice", "right", netip.Addr{}, at(start))
			if !errors.Is(err, ErrRevoked) {
				t.Errorf("proved: %v", err)
			}
			if c, _ := b.Find(alice, "right"); c != nil || len(b.Credentials(alice)) != 0 {
				t.Error("it is in memory")
			}
			if n := s.count(opUpdate); n != tt.writes {
				t.Errorf("written %d times", n)
			}
			if err := b.saveAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			mustNot(t, openWith(t, h.connect(), cheap(t, 1)), alice, "right")
		})
	}
}

// Nothing is written before the store knows what was revoked, and until it is
// known what it has.
func TestNothingIsWrittenTooEarly(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fails operation
		begin func(b *Book)
	}{
		{"one is revoked", opRevoke, func(b *Book) { b.Revoke(t.Context(), alice) }},
		{"all are revoked", opRevokeAll, func(b *Book) { b.RevokeAll(t.Context()) }},
		{"it was not read", opLoad, func(*Book) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub()
			if tt.fails != opLoad {
				prove(t, openWith(t, h.connect(), cheap(t, 1)), alice, "old", at(start))
			}
			s := &hooked{replica: h.connect()}
			b := openWith(t, s, cheap(t, 1))
			s.before = failing(tt.fails)
			tt.begin(b)
			proveAt(t, b, "new", start)
			if n := s.count(opUpdate); n != 0 {
				t.Errorf("written %d times", n)
			}
			if c, _ := b.Find(alice, "new"); c == nil || b.Down() == nil {
				t.Errorf("found %v, down %v", c, b.Down())
			}
			if c, _ := b.Find(alice, "old"); c != nil || len(b.Credentials(alice)) != 1 {
				t.Error("what was revoked is back")
			}
			s.before = nil
			if err := b.saveAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			again := openWith(t, h.connect(), cheap(t, 1))
			must(t, again, alice, "new")
			mustNot(t, again, alice, "old")
		})
	}
}

// While the store does not know that all are revoked, to revoke one is not done
// either.
func TestRevokeAfterAll(t *testing.T) {
	s := &hooked{replica: newHub().connect(), before: failing(opRevokeAll)}
	b := openWith(t, s, cheap(t, 1))
	if err := b.RevokeAll(t.Context()); !errors.Is(err, errUnreachable) {
		t.Errorf("all: %v", err)
	}
	if err := b.Revoke(t.Context(), alice); !errors.Is(err, errUnreachable) {
		t.Errorf("one: %v", err)
	}
}

// That one user was revoked is told to the store as soon as that can be reached,
// though nothing else happens; that all were takes its place.
func TestRevokeIsToldLater(t *testing.T) {
	for _, all := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newHub()
			r := h.connect()
			b, m, _ := openSeen(t, r, cheap(t, 1))
			prove(t, b, alice, "right", at(start))
			r.set(func(r *replica) { r.down = true })
			if err := b.Revoke(t.Context(), alice); !errors.Is(err, errUnreachable) {
				t.Errorf("revoked: %v", err)
			}
			if n := value(t, m.unsaved); n != 1 {
				t.Errorf("%v users are unsaved", n)
			}
			if all {
				if err := b.RevokeAll(t.Context()); !errors.Is(err, errUnreachable) {
					t.Errorf("all revoked: %v", err)
				}
				if n := value(t, m.unsaved); n != 0 {
					t.Errorf("%v users are unsaved after all were revoked", n)
				}
			}
			r.set(func(r *replica) { r.down = false })
			before := r.count(opRevoke)
			stop := run(t, b)
			time.Sleep(time.Minute)
			if n := r.count(opRevoke) - before; n != 1 {
				t.Errorf("told %d times", n)
			}
			mustNot(t, openWith(t, h.connect(), cheap(t, 1)), alice, "right")
			stop()
		})
	}
}

// Who revokes all at the same time has the store told once.
func TestRevokeAllIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newHub().connect()
		b := openWith(t, r, cheap(t, 1))
		b.settling <- struct{}{} // as if somebody told it
		done := make(chan error)
		for range 2 {
			go func() { done <- b.RevokeAll(t.Context()) }()
		}
		synctest.Wait()
		<-b.settling
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n := r.count(opRevoke); n != 1 {
			t.Errorf("told %d times", n)
		}

		b.settling <- struct{}{} // and does not end
		if err := b.RevokeAll(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("revoked: %v", err)
		}
		<-b.settling
	})
}

// What was recorded while the store was down and is revoked elsewhere is logged
// when it goes; else there is nothing to say.
func TestNotKeptIsLogged(t *testing.T) {
	for _, down := range []bool{false, true} {
		h := newHub()
		r := h.connect()
		b, _, seen := openSeen(t, r, cheap(t, 1))
		prove(t, b, alice, "right", at(start))
		if down {
			r.set(func(r *replica) { r.down = true })
			proveAt(t, b, "right", start.Add(time.Hour))
			r.set(func(r *replica) { r.down = false })
		}
		if err := openWith(t, h.connect(), cheap(t, 1)).Revoke(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		mustNot(t, b, alice, "right")
		if n := seen.FilterMessageSnippet("revoked elsewhere").Len(); (n == 1) != down || n > 1 {
			t.Errorf("down %v: logged %v", down, seen.All())
		}
	}
}

// What is too large is not taken, whether the store can be reached or not.
func TestTooLargeWhileDown(t *testing.T) {
	for _, down := range []bool{false, true} {
		r := newHub().connect()
		b := openWith(t, r, cheap(t, 1))
		prove(t, b, alice, "right", at(start))
		r.set(func(r *replica) { r.down = down })
		id := inMemory(b, "right").ID
		large := func(c *Credential) {
			c.Session = &Session{State: secret.String(strings.Repeat("x", maxValue))}
		}
		if err := b.Update(t.Context(), alice, id, func(c *Credential) bool { large(c); return true }); !errors.Is(err, errSize) {
			t.Errorf("down %v: changed: %v", down, err)
		}
		if err := b.Prove(t.Context(), alice, b.epoch(), "alice", "right", netip.Addr{}, large); !errors.Is(err, errSize) {
			t.Errorf("down %v: proved: %v", down, err)
		}
		if c := inMemory(b, "right"); c == nil || c.Session != nil {
			t.Errorf("down %v: memory has %+v", down, c)
		}
	}
}

// inMemory returns what memory alone has of a password of alice.
func inMemory(b *Book, password secret.String) *Credential {
	c, _ := b.Find(alice, password)
	return c
}
