package verified

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"ldapd/internal/cache"
	"ldapd/internal/password"
	"ldapd/internal/secret"
	"ldapd/internal/verified/keyring"
)

// proveAt is Prove without Search before.
func proveAt(t testing.TB, b *Book, password secret.String, when time.Time) {
	t.Helper()
	if err := b.Prove(t.Context(), alice, b.epoch(), "alice", password, netip.Addr{}, at(when)); err != nil {
		t.Fatal(err)
	}
}

// A password that is kept and was not hashed in this process yet is found when
// it is proved, with one hash, and recognised without one from then on.
func TestProveFindsWhatIsKept(t *testing.T) {
	store := cache.NewMemory(nil)
	first := openWith(t, store, cheap(t, 1))
	prove(t, first, alice, "right", at(start))
	id := must(t, first, alice, "right").ID
	b, m, _ := openSeen(t, store, cheap(t, 1))
	proveAt(t, b, "right", start.Add(time.Hour))
	if n := value(t, m.hashes); n != 1 {
		t.Errorf("%v hashes", n)
	}
	c, cold := b.Find(alice, "right")
	if c == nil || cold || c.ID != id || len(b.Credentials(alice)) != 1 {
		t.Errorf("found %+v, cold %v, of %d", c, cold, len(b.Credentials(alice)))
	}
}

// To prove a password that is known takes no hash.
func TestProveOfKnownCost(t *testing.T) {
	store := cache.NewMemory(nil)
	prove(t, openWith(t, store, cheap(t, 1)), alice, "right", at(start))
	b, m, _ := openSeen(t, store, cheap(t, 1))
	must(t, b, alice, "right")
	before := value(t, m.hashes)
	proveAt(t, b, "right", start.Add(time.Hour))
	if n := value(t, m.hashes) - before; n != 0 {
		t.Errorf("%v hashes", n)
	}
}

// Passwords that are known are not compared by their slow hashes again, which
// are by an old key.
func TestCostAfterRotation(t *testing.T) {
	store := cache.NewMemory(nil)
	prove(t, openWith(t, store, cheap(t, 1)), alice, "first", at(start))
	b, m, _ := openSeen(t, store, cheap(t, 2, 1))
	for _, tt := range []struct {
		name string
		do   func()
	}{
		{"to compare with the old key", func() { must(t, b, alice, "first") }},
		{"to prove another", func() { proveAt(t, b, "second", start.Add(time.Hour)) }},
		{"to compare with what is known", func() { mustNot(t, b, alice, "wrong") }},
	} {
		before := value(t, m.hashes)
		tt.do()
		if n := value(t, m.hashes) - before; n != 1 {
			t.Errorf("%s: %v hashes", tt.name, n)
		}
	}
}

// What will not be recorded costs no hash.
func TestRevokedCost(t *testing.T) {
	b, m, _ := openSeen(t, cache.NewMemory(nil), cheap(t, 1))
	if err := b.Revoke(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	err := b.Prove(t.Context(), alice, 0, "alice", "right", netip.Addr{}, at(start))
	if n := value(t, m.hashes); !errors.Is(err, ErrRevoked) || n != 0 {
		t.Errorf("%v, with %v hashes", err, n)
	}
}

// occupy takes all turns in a queue; what it returns gives one back.
func occupy(t testing.TB, q *password.Queue) (release func()) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	one, taken := make(chan struct{}), make(chan struct{})
	for range runtime.GOMAXPROCS(0) {
		go q.Do(ctx, netip.Addr{}, func() {
			taken <- struct{}{}
			select {
			case <-one:
			case <-ctx.Done():
			}
		})
		<-taken
	}
	return func() { one <- struct{}{} }
}

// Hashes are computed in turn with others of the process, in the queue that a
// book was given, and what is known waits for none.
func TestHashesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := cache.NewMemory(nil)
		prove(t, openWith(t, store, cheap(t, 1)), alice, "right", at(start))
		q := password.NewQueue()
		m := NewMetrics(nil)
		b, err := Open(t.Context(), Options{Store: store, Keys: cheap(t, 1), Hashes: q, Metrics: m})
		if err != nil {
			t.Fatal(err)
		}
		release := occupy(t, q)
		done := make(chan *Credential)
		for range 2 {
			go func() {
				c, _, _ := b.Search(t.Context(), alice, "right", netip.Addr{})
				done <- c
			}()
		}
		synctest.Wait()
		if n := value(t, m.hashes); n != 0 || q.Waiting() != 2 {
			t.Errorf("%v hashes while others compute, %d wait", n, q.Waiting())
		}
		release()
		for range 2 {
			if c := <-done; c == nil {
				t.Error("not found")
			}
		}
		if n := value(t, m.hashes); n != 1 {
			t.Errorf("two of the same at a time took %v hashes", n)
		}

		release = occupyRest(t, q)
		before := time.Now()
		must(t, b, alice, "right")
		if d := time.Since(before); d != 0 {
			t.Errorf("who is known waited %v", d)
		}
		// Who gets no turn was not found out about.
		if c, _, err := b.Search(t.Context(), alice, "wrong", netip.Addr{}); c != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("search without a turn: %v, %v", c, err)
		}
		if err := b.Prove(t.Context(), alice, b.epoch(), "alice", "new", netip.Addr{}, at(start)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("prove without a turn: %v", err)
		}
		release()
	})
}

// occupyRest takes the one turn that occupy gave back.
func occupyRest(t testing.TB, q *password.Queue) (release func()) {
	end, taken := make(chan struct{}), make(chan struct{})
	go q.Do(t.Context(), netip.Addr{}, func() { taken <- struct{}{}; <-end })
	<-taken
	return func() { close(end) }
}

// A hash is of its scheme: what is the same by another is another password.
func TestWarmIsOfOneScheme(t *testing.T) {
	one, two := keyring.Scheme{Key: "1"}, keyring.Scheme{Key: "2"}
	slow, fast := digest{1}, digest{2}
	r := &Record{Credentials: []Credential{{ID: "c", verifier: &verifier{scheme: one, slow: slow}}}}
	if c := r.warm(two, &slow, &fast); c != nil || !r.Credentials[0].cold() {
		t.Errorf("found %v", c)
	}
	if c := r.warm(one, &slow, &fast); c == nil || c.cold() {
		t.Errorf("found %v", c)
	}
}

// The clients of a user with one password are looked at with each bind, and not
// copied.
func TestPlacesAreNotCopied(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	prove(t, b, alice, "right", func(c *Credential) { c.Places = names("place", 0, 4) })
	if n := testing.AllocsPerRun(100, func() { b.Places(alice) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
