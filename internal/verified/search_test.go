package verified

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"ldapd/internal/cache"
	"ldapd/internal/secret"
)

// Search costs the same for whoever does not get in: one question to the
// store, and one slow hash.
func TestSearchCost(t *testing.T) {
	h := newHub()
	first := openWith(t, h.connect(), cheap(t, 1))
	one, many := User{alice.Base, "one"}, User{alice.Base, "many"}
	prove(t, first, one, "right", at(start))
	for i := range 5 {
		prove(t, first, many, secret.String(fmt.Sprint("right", i)), at(start.Add(time.Duration(i)*time.Hour)))
	}
	r := h.connect()
	m := NewMetrics(nil)
	b, err := Open(t.Context(), Options{Store: r, Keys: cheap(t, 1), Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		key      User
		password secret.String
		found    bool
		hashes   float64
	}{
		{"nobody", User{alice.Base, "nobody"}, "wrong", false, 1},
		{"nobody again", User{alice.Base, "nobody"}, "wrong", false, 1},
		{"cold, wrong", one, "wrong", false, 1},
		{"cold, wrong again", one, "wrong", false, 1},
		{"cold, right", one, "right", true, 1},
		{"warm, right", one, "right", true, 0},
		{"warm, wrong", one, "wrong", false, 1},
		{"several, wrong", many, "wrong", false, 1},
		{"several, the last right", many, "right0", true, 1},
		{"several, some warm, wrong", many, "wrong", false, 1},
	} {
		hashes, loads := value(t, m.hashes), r.count(opLoad)
		c, _, err := b.Search(t.Context(), tt.key, tt.password, netip.Addr{})
		if err != nil || (c != nil) != tt.found {
			t.Errorf("%s: %v, %v", tt.name, c, err)
		}
		if n := value(t, m.hashes) - hashes; n != tt.hashes {
			t.Errorf("%s: %v hashes, want %v", tt.name, n, tt.hashes)
		}
		if n := r.count(opLoad) - loads; n != 1 {
			t.Errorf("%s: %d loads", tt.name, n)
		}
	}
	if len(b.All()) != 2 {
		t.Error("somebody was made up")
	}
	// A new password is hashed by Search, not again by Prove.
	hashes := value(t, m.hashes)
	prove(t, b, one, "new", at(start))
	if n := value(t, m.hashes) - hashes; n != 1 {
		t.Errorf("a new password: %v hashes", n)
	}
}

// As many hashes at a time as processors, and a caller may leave.
func TestSearchTurns(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	release, taken := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() { b.hashes.Do(t.Context(), netip.Addr{}, func() { taken <- struct{}{}; <-release }) })
		<-taken
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, _, err := b.Search(ctx, alice, "x", netip.Addr{})
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("search: %v", err)
	}
	close(release)
	wg.Wait()
	mustNot(t, b, alice, "x")
}

// A record is made although who asked for it has left.
func TestProveCanceled(t *testing.T) {
	store := cache.NewMemory(nil)
	b := openWith(t, store, cheap(t, 1))
	ctx, cancel := context.WithCancel(t.Context())
	_, epoch, _ := b.Search(ctx, alice, "right", netip.Addr{})
	cancel()
	if err := b.Prove(ctx, alice, epoch, "alice", "right", netip.Addr{}, at(start)); err != nil {
		t.Fatal(err)
	}
	must(t, openWith(t, store, cheap(t, 1)), alice, "right")
	if _, _, err := b.Search(ctx, alice, "wrong", netip.Addr{}); err == nil {
		t.Error("search with an ended context says that there is nothing")
	}
}

func TestFindAllocates(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	prove(t, b, alice, "right", at(start))
	most := 0.0
	if race {
		most = 8 // the detector has pools forget
	}
	if n := testing.AllocsPerRun(1000, func() { b.Find(alice, "right") }); n > most {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFind(b *testing.B) {
	book := openWith(b, cache.NewMemory(nil), cheap(b, 1))
	for i := range 1000 {
		prove(b, book, User{alice.Base, fmt.Sprint("user", i)}, "right", at(start))
	}
	k := User{alice.Base, "user500"}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if c, _ := book.Find(k, "right"); c == nil {
				b.Fatal("not found")
			}
		}
	})
}

func BenchmarkCodes(b *testing.B) {
	book := openWith(b, cache.NewMemory(nil), cheap(b, 1))
	c := book.Code(alice, "123456")
	b.ReportAllocs()
	for b.Loop() {
		c.Is(book.Codes(alice, "123456"))
	}
}

func BenchmarkSearchCold(b *testing.B) {
	store := cache.NewMemory(nil)
	prove(b, open(b, store), alice, "right", at(start))
	for b.Loop() {
		b.StopTimer()
		book := open(b, store)
		b.StartTimer()
		if c, _, _ := book.Search(b.Context(), alice, "right", netip.Addr{}); c == nil {
			b.Fatal("not found")
		}
	}
}

func BenchmarkProve(b *testing.B) {
	book := open(b, cache.NewMemory(nil))
	prove(b, book, alice, "right", at(start))
	for i := 0; b.Loop(); i++ {
		prove(b, book, alice, "right", at(start.Add(time.Duration(i)*time.Minute)))
	}
}

func BenchmarkOpen(b *testing.B) {
	store := cache.NewMemory(nil)
	book := openWith(b, store, cheap(b, 1))
	for i := range 1000 {
		prove(b, book, User{alice.Base, fmt.Sprint("user", i)}, "right", func(c *Credential) {
			for j := range 10 {
				c.Proofs = append(c.Proofs, Proof{ID: fmt.Sprint(j), Way: ByName, Code: book.Code(alice, "1"), Cookie: "cookie", At: start})
			}
		})
	}
	for b.Loop() {
		openWith(b, store, cheap(b, 1))
	}
}
