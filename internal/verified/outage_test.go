package verified

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ldapd/internal/password"
	"ldapd/internal/secret"
	"ldapd/internal/verified/keyring"
)

// cheap returns keys whose hashes cost little.
func cheap(t testing.TB, current byte, old ...byte) keyring.Ring {
	return testKeys(t, current, old...).WithCost(password.Cost{Memory: 8, Time: 1, Threads: 1})
}

// value returns that of a gauge or counter.
func value(t testing.TB, m prometheus.Metric) float64 {
	t.Helper()
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.GetGauge().GetValue() + d.GetCounter().GetValue()
}

// run runs a book until stop is called, or the test ends.
func run(t testing.TB, b *Book) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)
	return stop
}

func TestStoreDown(t *testing.T) {
	for _, how := range []string{"down", "hangs", "readonly", "loseAck"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { storeDown(t, how) })
		})
	}
}

func storeDown(t *testing.T, how string) {
	h := newHub()
	r := h.connect()
	logs, seen := observer.New(zap.InfoLevel)
	m := NewMetrics(prometheus.NewRegistry())
	b, err := Open(t.Context(), Options{Store: r, Keys: cheap(t, 1), Log: zap.New(logs), Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, b)
	synctest.Wait()
	prove(t, b, alice, "before", at(start))
	down := func(yes bool) {
		r.set(func(r *replica) {
			switch how {
			case "down":
				r.down = yes
			case "hangs":
				r.hangs = yes
			case "readonly":
				r.readonly = yes
			case "loseAck":
				r.loseAck = yes
			}
		})
	}
	down(true)
	c, epoch, err := b.Search(t.Context(), alice, "new", netip.Addr{})
	if c != nil || (err != nil) != (how == "down" || how == "hangs") {
		t.Errorf("search: %v, %v", c, err)
	}
	if c, _, _ := b.Search(t.Context(), alice, "before", netip.Addr{}); c == nil {
		t.Error("what memory knows is not found")
	}
	for i := range 5 {
		if err := b.Prove(t.Context(), alice, epoch, "alice", "new", netip.Addr{}, at(start.Add(time.Duration(i)*time.Minute))); err != nil {
			t.Fatal(err)
		}
	}
	if c, cold := b.Find(alice, "new"); c == nil || cold {
		t.Errorf("found %v, %v", c, cold)
	}
	c, _ = b.Find(alice, "before")
	if c == nil || !c.Doubt {
		t.Errorf("found %v", c)
	}
	if err := b.Update(t.Context(), alice, c.ID, func(c *Credential) bool { c.Told = start.Add(time.Hour); return true }); err != nil {
		t.Error(err)
	}
	if b.Down() == nil {
		t.Error("the store is not said to be down")
	}
	if n := value(t, m.unsaved); n != 1 {
		t.Errorf("%v users are unsaved", n)
	}
	if how != "loseAck" {
		other := openWith(t, h.connect(), cheap(t, 1))
		mustNot(t, other, alice, "new")
	}
	time.Sleep(time.Minute)
	down(false)
	time.Sleep(10 * time.Second)
	if n := value(t, m.unsaved); n != 0 {
		t.Errorf("%v users are unsaved after the outage", n)
	}
	must(t, b, alice, "new")
	if err := b.Down(); err != nil {
		t.Errorf("after the outage: %v", err)
	}
	other := openWith(t, h.connect(), cheap(t, 1))
	if c := must(t, other, alice, "new"); !c.Proved.Equal(start.Add(4*time.Minute)) || c.Doubt {
		t.Errorf("the store has %+v", c)
	}
	if c := must(t, other, alice, "before"); !c.Told.Equal(start.Add(time.Hour)) || !c.Doubt {
		t.Errorf("the store has %+v", c)
	}
	if n := len(other.All()[0].Credentials); n != 2 {
		t.Errorf("%d credentials", n)
	}
	for _, what := range []string{"written", "read"} {
		begin, end := seen.FilterMessageSnippet("cannot be "+what).Len(), seen.FilterMessageSnippet("can be "+what+" again").Len()
		want := 1
		if what == "read" && how != "down" && how != "hangs" {
			want = 0
		}
		if begin != want || end != want {
			t.Errorf("logged %d times that the store cannot be %s, %d times that it can again: %v", begin, what, end, seen.All())
		}
	}
	if value(t, m.errors.WithLabelValues(string(opUpdate))) == 0 {
		t.Error("no errors were counted")
	}
	stop()
}

// What was removed without the store knowing is reported, and removed later.
func TestRemoveWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		r := h.connect()
		b := openWith(t, r, cheap(t, 1))
		prove(t, b, alice, "right", at(start))
		id := must(t, b, alice, "right").ID
		r.set(func(r *replica) { r.down = true })
		if err := b.Update(t.Context(), alice, id, func(*Credential) bool { return false }); !errors.Is(err, errUnreachable) {
			t.Errorf("removed: %v", err)
		}
		if c, _ := b.Find(alice, "right"); c != nil {
			t.Error("it is still in memory")
		}
		r.set(func(r *replica) { r.down = false })
		mustNot(t, b, alice, "right")
		stop := run(t, b)
		time.Sleep(time.Minute)
		mustNot(t, openWith(t, h.connect(), cheap(t, 1)), alice, "right")
		stop()
	})
}

func TestRevokeWhileDown(t *testing.T) {
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprint("all=", all), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHub()
				r := h.connect()
				b := openWith(t, r, cheap(t, 1))
				stop := run(t, b)
				prove(t, b, alice, "right", at(start))
				_, epoch, _ := b.Search(t.Context(), alice, "right", netip.Addr{})
				r.set(func(r *replica) { r.down = true })
				revoke := func() error { return b.Revoke(t.Context(), alice) }
				if all {
					revoke = func() error { return b.RevokeAll(t.Context()) }
				}
				err := revoke()
				if !errors.Is(err, errUnreachable) || !strings.Contains(err.Error(), "this process only") {
					t.Errorf("revoked: %v", err)
				}
				if c, _ := b.Find(alice, "right"); c != nil {
					t.Error("it is still in memory")
				}
				if c, _, _ := b.Search(t.Context(), alice, "right", netip.Addr{}); c != nil {
					t.Error("it is back")
				}
				if err := b.Prove(t.Context(), alice, epoch, "alice", "right", netip.Addr{}, at(start)); !errors.Is(err, ErrRevoked) {
					t.Errorf("a flow that began before was recorded: %v", err)
				}
				prove(t, b, alice, "new", at(start)) // begun after
				time.Sleep(time.Minute)
				r.set(func(r *replica) { r.readonly, r.down = true, false })
				if c, _, _ := b.Search(t.Context(), alice, "right", netip.Addr{}); c != nil {
					t.Error("it is back from the store")
				}
				r.set(func(r *replica) { r.readonly = false })
				time.Sleep(time.Minute)
				for _, b := range []*Book{b, openWith(t, h.connect(), cheap(t, 1))} {
					mustNot(t, b, alice, "right")
					must(t, b, alice, "new")
				}
				stop()
			})
		})
	}
}

// What was recorded while the store was down does not come back over a
// revocation elsewhere.
func TestRevokedElsewhereWhileDown(t *testing.T) {
	for _, all := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newHub()
			r1, r2 := h.connect(), h.connect()
			b1, b2 := openWith(t, r1, cheap(t, 1)), openWith(t, r2, cheap(t, 1))
			stop1, stop2 := run(t, b1), run(t, b2)
			synctest.Wait()
			prove(t, b1, alice, "right", at(start))
			synctest.Wait()
			r1.set(func(r *replica) { r.down = true })
			prove(t, b1, alice, "right", at(start.Add(time.Hour)))
			prove(t, b1, alice, "other", at(start.Add(time.Hour)))
			if all {
				if err := b2.RevokeAll(t.Context()); err != nil {
					t.Fatal(err)
				}
			} else if err := b2.Revoke(t.Context(), alice); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			r1.set(func(r *replica) { r.down = false })
			time.Sleep(time.Minute)
			for _, b := range []*Book{b1, b2} {
				for _, password := range []secret.String{"right", "other"} {
					mustNot(t, b, alice, password)
				}
			}
			stop1()
			stop2()
		})
	}
}

// The store may be down from the beginning.
func TestOpenWhileDown(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newHub()
			prove(t, openWith(t, h.connect(), cheap(t, 1)), alice, "right", at(start))
			r := h.connect()
			r.down, r.hangs = !hangs, hangs
			b := openWith(t, r, cheap(t, 1))
			stop := run(t, b)
			if c, cold := b.Find(alice, "right"); c != nil || !cold {
				t.Errorf("found %v, cold %v", c, cold)
			}
			if c, _, err := b.Search(t.Context(), alice, "right", netip.Addr{}); c != nil || err == nil {
				t.Errorf("search: %v, %v", c, err)
			}
			prove(t, b, alice, "new", at(start))
			if c, _ := b.Find(alice, "new"); c == nil {
				t.Error("not in memory")
			}
			r.set(func(r *replica) { r.down, r.hangs = false, false })
			time.Sleep(time.Minute)
			for _, b := range []*Book{b, openWith(t, h.connect(), cheap(t, 1))} {
				must(t, b, alice, "new")
				must(t, b, alice, "right")
			}
			if _, cold := b.Find(User{alice.Base, "bob"}, "x"); cold {
				t.Error("still cold")
			}
			stop()
		})
	}
}

// What Run could not tell it tells at its end, and does not wait forever.
func TestRunEnds(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newHub()
			r := h.connect()
			b := openWith(t, r, cheap(t, 1))
			stop := run(t, b)
			synctest.Wait()
			r.set(func(r *replica) { r.down = true })
			prove(t, b, alice, "right", at(start))
			synctest.Wait()
			r.set(func(r *replica) { r.down, r.hangs = false, hangs })
			stop()
			other := openWith(t, h.connect(), cheap(t, 1))
			if c, _, _ := other.Search(t.Context(), alice, "right", netip.Addr{}); (c == nil) != hangs {
				t.Errorf("hangs %v, stored %v", hangs, c)
			}
		})
	}
}

// Nobody waits for a store that is known not to answer.
func TestNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newHub().connect()
		b := openWith(t, r, cheap(t, 1))
		stop := run(t, b)
		synctest.Wait()
		r.set(func(r *replica) { r.hangs = true })
		b.Prove(t.Context(), alice, 0, "alice", "right", netip.Addr{}, at(start))
		before := time.Now()
		for i := range 100 {
			k := User{alice.Base, fmt.Sprint("user", i)}
			if err := b.Prove(t.Context(), k, 0, "u", "right", netip.Addr{}, at(start)); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(before); d != 0 { // of the fake clock
			t.Errorf("100 binds waited %v", d)
		}
		// Search waits for a second, for it must not answer wrongly.
		if c, _, err := b.Search(t.Context(), User{alice.Base, "user3"}, "wrong", netip.Addr{}); c != nil || err == nil {
			t.Errorf("search: %v, %v", c, err)
		}
		if d := time.Since(before); d > loadTimeout {
			t.Errorf("search waited %v", d)
		}
		stop()
	})
}

// unwatched fails to watch at first.
type unwatched struct {
	*replica
	left int
}

func (u *unwatched) Watch(ctx context.Context, changed func(key string)) error {
	if u.left > 0 {
		u.left--
		return errUnreachable
	}
	return u.replica.Watch(ctx, changed)
}

// What happened while changes could not be followed is read afterwards.
func TestWatchFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		logs, seen := observer.New(zap.InfoLevel)
		m := NewMetrics(nil)
		b, err := Open(t.Context(), Options{Store: &unwatched{h.connect(), 5}, Keys: cheap(t, 1), Log: zap.New(logs), Metrics: m})
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, b)
		prove(t, openWith(t, h.connect(), cheap(t, 1)), alice, "right", at(start))
		time.Sleep(time.Minute)
		if _, cold := b.Find(alice, "right"); !cold {
			t.Error("what happened was missed")
		}
		if n := value(t, m.errors.WithLabelValues(string(opWatch))); n != 5 || seen.Len() != 2 {
			t.Errorf("%v errors, logged %v", n, seen.All())
		}
		stop()
	})
}
