package verified

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ldapd/internal/secret"
)

// Callers that shared one flow record it once, in one process and in two.
func TestIdenticalProves(t *testing.T) {
	h := newHub()
	r1, r2 := h.connect(), h.connect()
	b1, b2 := openWith(t, r1, cheap(t, 1)), openWith(t, r2, cheap(t, 1))
	var wg sync.WaitGroup
	for i := range 32 {
		b := b1
		if i%4 == 0 {
			b = b2
		}
		wg.Go(func() {
			_, epoch, _ := b.Search(t.Context(), alice, "right", netip.Addr{})
			now := start.Add(time.Duration(i) * time.Microsecond)
			err := b.Prove(t.Context(), alice, epoch, "alice", "right", netip.Addr{}, func(c *Credential) {
				c.Proved, c.Told = now, now
				c.Proofs = []Proof{{ID: fmt.Sprint(i), Way: ByName, Code: b.Code(alice, "123456"), At: now}}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, b := range []*Book{b1, b2, openWith(t, h.connect(), cheap(t, 1))} {
		if cs := b.All()[0].Credentials; len(cs) != 1 || len(cs[0].Proofs) != 1 {
			t.Errorf("the credentials are %+v", cs)
		}
	}
	for _, r := range []*replica{r1, r2} {
		// The one that was second may notice in the store.
		if n := r.count(opUpdate); n > 1 {
			t.Errorf("%d writes", n)
		}
	}
}

// What one process does another one knows, at once.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		b1, b2 := openWith(t, h.connect(), cheap(t, 1)), openWith(t, h.connect(), cheap(t, 1))
		stop1, stop2 := run(t, b1), run(t, b2)
		synctest.Wait()
		bob := User{alice.Base, "bob"}
		for _, k := range []User{alice, bob} {
			prove(t, b1, k, "right", func(c *Credential) { c.Session = &Session{Hash: k.UUID} })
		}
		synctest.Wait()
		if _, cold := b2.Find(alice, "right"); !cold || len(b2.All()) != 2 {
			t.Error("the other does not know")
		}
		id := must(t, b2, alice, "right").ID
		if err := b1.Update(t.Context(), alice, id, func(c *Credential) bool { c.Told = start; return true }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if c, cold := b2.Find(alice, "right"); c == nil || cold || !c.Told.Equal(start) {
			t.Errorf("found %+v, %v", c, cold)
		}
		_, epoch, _ := b2.Search(t.Context(), alice, "right", netip.Addr{})
		if err := b1.Revoke(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if c, cold := b2.Find(alice, "right"); c != nil || cold {
			t.Errorf("found %+v, %v after it was revoked", c, cold)
		}
		if _, _, ok := b2.BySession(alice.UUID); ok {
			t.Error("the session is still there")
		}
		if err := b2.Prove(t.Context(), alice, epoch, "alice", "right", netip.Addr{}, at(start)); !errors.Is(err, ErrRevoked) {
			t.Errorf("a flow from before was recorded: %v", err)
		}
		prove(t, b2, alice, "right", at(start))
		synctest.Wait()
		if err := b2.RevokeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, b := range []*Book{b1, b2} {
			if c, cold := b.Find(bob, "right"); c != nil || cold || len(b.All()) != 0 || len(b.sessions) != 0 {
				t.Errorf("%v is left, %v, of sessions %v", b.All(), c, b.sessions)
			}
		}
		prove(t, b1, bob, "right", at(start))
		synctest.Wait()
		must(t, b2, bob, "right")
		stop1()
		stop2()
	})
}

// A revocation that happens while a flow runs is not known here yet, when it
// is over.
func TestRevokedUnseen(t *testing.T) {
	h := newHub()
	b1, b2 := openWith(t, h.connect(), cheap(t, 1)), openWith(t, h.connect(), cheap(t, 1))
	_, epoch, _ := b1.Search(t.Context(), alice, "right", netip.Addr{})
	if err := b2.Revoke(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	if err := b1.Prove(t.Context(), alice, epoch, "alice", "right", netip.Addr{}, at(start)); !errors.Is(err, ErrRevoked) {
		t.Errorf("recorded: %v", err)
	}
	mustNot(t, b1, alice, "right")
	prove(t, b1, alice, "right", at(start))
	must(t, b2, alice, "right")
}

// The more that changed, the less is asked one by one.
func TestManyChanges(t *testing.T) {
	h := newHub()
	r := h.connect()
	b := openWith(t, r, cheap(t, 1))
	for i := range 2 * maxStale {
		b.changed(fmt.Sprint("user", i, " ", alice.Base))
	}
	b.changed("nonsense")
	if len(b.stale) > maxStale || !b.staleAll {
		t.Errorf("%d users and all: %v", len(b.stale), b.staleAll)
	}
	if err := b.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.count(opLoad); n != 0 || r.count(opEach) != 2 {
		t.Errorf("%d loads, %d of all", n, r.count(opEach))
	}
	r.set(func(r *replica) { r.down = true })
	b.changed("user1 x")
	if err := b.catchUp(t.Context()); !errors.Is(err, errUnreachable) || len(b.stale) != 1 {
		t.Errorf("%v, %d left", err, len(b.stale))
	}
}

// Whatever two replicas do, and whichever of them the store cannot be reached
// by for a while, in the end both have what the store has; nothing is there
// that was removed or revoked last, and nothing is lost that was proved last.
func TestReplicasConverge(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { converge(t, rand.New(rand.NewPCG(seed, 4))) })
		})
	}
}

func converge(t *testing.T, rnd *rand.Rand) {
	h := newHub()
	connections := []*replica{h.connect(), h.connect()}
	var books []*Book
	var stops []func()
	for _, r := range connections {
		b := openWith(t, r, cheap(t, 1))
		books = append(books, b)
		stops = append(stops, run(t, b))
	}
	users := []User{{alice.Base, "u1"}, {alice.Base, "u2"}}
	passwords := []secret.String{"a", "b", "c"}
	type what struct {
		user     User
		password secret.String
	}
	there := make(map[what]bool)
	// What is proved without the store after it was revoked elsewhere will be
	// gone: which came first cannot be told.
	var revokedSince []User // the last outage began
	var log []string
	settle := func() {
		time.Sleep(time.Minute)
		synctest.Wait()
	}
	down := -1 // which replica
	for step := range 60 {
		i := rnd.IntN(2)
		b, k, p := books[i], users[rnd.IntN(2)], passwords[rnd.IntN(3)]
		switch n := rnd.IntN(20); {
		case n < 9:
			log = append(log, fmt.Sprint("prove ", i, k.UUID, string(p)))
			prove(t, b, k, p, at(start.Add(time.Duration(step)*time.Minute)))
			if i == down && slices.Contains(revokedSince, k) {
				break
			}
			there[what{k, p}] = true
		case n < 11:
			c, _, _ := b.Search(t.Context(), k, p, netip.Addr{})
			if c == nil {
				continue
			}
			log = append(log, fmt.Sprint("touch ", i, k.UUID, string(p)))
			if err := b.Update(t.Context(), k, c.ID, func(c *Credential) bool { c.Told = start.Add(time.Duration(step) * time.Hour); return true }); err != nil {
				t.Fatal(err)
			}
		case n < 13 && down < 0:
			c, _, _ := b.Search(t.Context(), k, p, netip.Addr{})
			if (c != nil) != there[what{k, p}] {
				t.Fatalf("found %v: %v", c, log)
			}
			if c == nil {
				continue
			}
			log = append(log, fmt.Sprint("remove ", i, k.UUID, string(p)))
			if err := b.Update(t.Context(), k, c.ID, func(*Credential) bool { return false }); err != nil {
				t.Fatal(err)
			}
			delete(there, what{k, p})
		case n < 15 && i != down:
			log = append(log, fmt.Sprint("revoke ", i, k.UUID))
			if err := b.Revoke(t.Context(), k); err != nil {
				t.Fatal(err)
			}
			maps.DeleteFunc(there, func(w what, _ bool) bool { return w.user == k })
			revokedSince = append(revokedSince, k)
		case n < 16 && i != down:
			log = append(log, fmt.Sprint("revoke all ", i))
			if err := b.RevokeAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			clear(there)
			revokedSince = append(revokedSince, users...)
		case n < 18 && down < 0:
			settle()
			log = append(log, fmt.Sprint("down ", i))
			for _, k := range users { // so the epoch is known
				must := books[i]
				if _, _, err := must.Search(t.Context(), k, "x", netip.Addr{}); err != nil {
					t.Fatal(err)
				}
			}
			down, revokedSince = i, nil
			connections[i].set(func(r *replica) { r.down = true })
		case n < 19 && down >= 0:
			log = append(log, fmt.Sprint("up ", down))
			connections[down].set(func(r *replica) { r.down = false })
			down = -1
			// A connection that was lost says so.
			for _, b := range books {
				b.changed("")
			}
			settle()
		default:
			synctest.Wait()
		}
	}
	if down >= 0 {
		connections[down].set(func(r *replica) { r.down = false })
		for _, b := range books {
			b.changed("")
		}
	}
	settle()
	want := shape(openWith(t, h.connect(), cheap(t, 1)))
	for i, b := range books {
		if got := shape(b); !reflect.DeepEqual(got, want) {
			t.Errorf("replica %d has %v, the store %v: %v", i, got, want, log)
		}
		for _, k := range users {
			for _, p := range passwords {
				c, _, err := b.Search(t.Context(), k, p, netip.Addr{})
				if err != nil || (c != nil) != there[what{k, p}] {
					t.Errorf("replica %d, %s %s: %v, %v, want %v: %v", i, k.UUID, string(p), c != nil, err, there[what{k, p}], log)
				}
			}
		}
		if len(b.unsaved) != 0 || b.filled != len(b.All()) {
			t.Errorf("%d unsaved, %d filled", len(b.unsaved), b.filled)
		}
	}
	for _, stop := range stops {
		stop()
	}
}

// The same without taking turns, for the race detector, and for what must
// hold then, too: the books and the store end equal.
func TestReplicasRace(t *testing.T) {
	h := newHub()
	var books []*Book
	var stops []func()
	for range 2 {
		b := openWith(t, h.connect(), cheap(t, 1))
		books = append(books, b)
		stops = append(stops, run(t, b))
	}
	users := []User{{alice.Base, "u1"}, {alice.Base, "u2"}, {alice.Base, "u3"}}
	var wg sync.WaitGroup
	for g := range 8 {
		rnd := rand.New(rand.NewPCG(uint64(g), 9))
		wg.Go(func() {
			for step := range 100 {
				b, k := books[rnd.IntN(2)], users[rnd.IntN(3)]
				p := secret.String(fmt.Sprint(rnd.IntN(4)))
				switch n := rnd.IntN(12); {
				case n < 6:
					_, epoch, err := b.Search(t.Context(), k, p, netip.Addr{})
					if err != nil {
						t.Error(err)
					}
					err = b.Prove(t.Context(), k, epoch, "u", p, netip.Addr{}, at(start.Add(time.Duration(step)*time.Minute)))
					if err != nil && !errors.Is(err, ErrRevoked) {
						t.Error(err)
					}
				case n < 9:
					if c, _ := b.Find(k, p); c != nil {
						if err := b.Update(t.Context(), k, c.ID, func(*Credential) bool { return n == 7 }); err != nil {
							t.Error(err)
						}
					}
				case n == 9:
					if err := b.Revoke(t.Context(), k); err != nil {
						t.Error(err)
					}
				case n == 10 && step%10 == 0:
					if err := b.RevokeAll(t.Context()); err != nil {
						t.Error(err)
					}
				default:
					b.All()
					b.BySession("x")
					b.changed("")
				}
			}
		})
	}
	wg.Wait()
	for _, b := range books {
		if err := b.readAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := shape(openWith(t, h.connect(), cheap(t, 1)))
	for i, b := range books {
		if got := shape(b); !reflect.DeepEqual(got, want) {
			t.Errorf("replica %d has %v, the store %v", i, got, want)
		}
	}
	for _, stop := range slices.Backward(stops) {
		stop()
	}
}
