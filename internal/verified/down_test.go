package verified

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// Until all was read once, somebody of whom memory has nothing may be kept all
// the same, also after a search in vain.
func TestColdWhileBehind(t *testing.T) {
	r := newHub().connect()
	r.set(func(r *replica) { r.down = true })
	b := openWith(t, r, cheap(t, 1))
	if _, _, err := b.Search(t.Context(), alice, "right", netip.Addr{}); err == nil {
		t.Error("searched without the store")
	}
	if _, cold := b.Find(alice, "right"); !cold {
		t.Error("not cold")
	}
}

// What is down is said with its consequence and since when, by the clock that
// the book was given.
func TestDownSays(t *testing.T) {
	r := newHub().connect()
	r.set(func(r *replica) { r.down = true })
	b, err := Open(t.Context(), Options{Store: r, Keys: cheap(t, 1), Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint("the store cannot be read since 2026-03-01T08:00:00Z, memory alone answers: ", errUnreachable)
	if err := b.Down(); err == nil || err.Error() != want {
		t.Errorf("down: %v, want %s", err, want)
	}
}

// That it lasts is logged after five minutes, then after twice the time each
// time, and at least once an hour.
func TestOutageIsSaidAgain(t *testing.T) {
	b, _, seen := openSeen(t, newHub().connect(), cheap(t, 1))
	var now time.Time
	b.now = func() time.Time { return now }
	var said []int // minutes
	for after := time.Duration(0); after < 4*time.Hour; after += time.Minute {
		now = start.Add(after)
		before := seen.Len()
		b.isDown(&b.reads, opLoad, errUnreachable)
		if seen.Len() > before {
			said = append(said, int(after/time.Minute))
		}
	}
	if want := []int{0, 5, 15, 35, 75, 135, 195}; !slices.Equal(said, want) {
		t.Errorf("said after %d minutes, want %d", said, want)
	}
}

// A caller who goes away says nothing about the store.
func TestCallerLeaves(t *testing.T) {
	r := newHub().connect()
	b, m, seen := openSeen(t, r, cheap(t, 1))
	r.set(func(r *replica) { r.hangs = true })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		b.told(ctx, &b.reads, opLoad, ctx.Err())
	}
	if err := b.Down(); err != nil || seen.Len() != 0 || value(t, m.errors.WithLabelValues(string(opLoad))) != 0 {
		t.Errorf("down: %v, logged %v", err, seen.All())
	}
}

// What was not told is tried by Run alone while that runs, and by each change
// before and after; what is lost in the end is logged.
func TestStoreIsTriedWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		r := h.connect()
		b, _, seen := openSeen(t, r, cheap(t, 1))
		errorsSeen := func() int { return seen.FilterLevelExact(zap.ErrorLevel).Len() }
		try := func(name string, want int) {
			t.Helper()
			before := r.count(opLoad) + r.count(opUpdate)
			if err := b.Prove(t.Context(), User{alice.Base, name}, 0, name, "right", netip.Addr{}, at(start)); err != nil {
				t.Fatal(err)
			}
			if n := r.count(opLoad) + r.count(opUpdate) - before; (n > 0) != (want > 0) {
				t.Errorf("%s: the store was asked %d times", name, n)
			}
		}
		down := func(yes bool) { r.set(func(r *replica) { r.down = yes }) }
		down(true)
		try("before", 1)
		try("before-too", 1)
		down(false)
		try("at-last", 1)

		stop := run(t, b)
		synctest.Wait()
		stop()
		if n := errorsSeen(); n != 0 {
			t.Errorf("all is told, and logged %v", seen.All())
		}
		down(true)
		try("between", 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { b.Run(ctx); close(done) }()
		synctest.Wait()
		try("running", 0)
		cancel()
		<-done
		if n := errorsSeen(); n != 1 {
			t.Errorf("what is lost is logged %d times: %v", n, seen.All())
		}
		try("afterwards", 1)
		down(false)
		try("at-the-end", 1)
		if !strings.Contains(fmt.Sprint(shape(openWith(t, h.connect(), cheap(t, 1)))), "at-the-end") {
			t.Error("it is not in the store")
		}
	})
}

// Nobody waits for a store that does not answer to be told that all are
// revoked.
func TestNobodyWaitsAfterRevokeAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newHub().connect()
		b := openWith(t, r, cheap(t, 1))
		stop := run(t, b)
		synctest.Wait()
		r.set(func(r *replica) { r.hangs = true })
		if err := b.RevokeAll(t.Context()); err == nil {
			t.Error("told")
		}
		before := time.Now()
		proveAt(t, b, "right", start)
		if d := time.Since(before); d != 0 {
			t.Errorf("waited %v", d)
		}
		stop()
	})
}

// What another process changed is read again once.
func TestChangesAreReadOnce(t *testing.T) {
	r := newHub().connect()
	b := openWith(t, r, cheap(t, 1))
	b.changed(sealedFor(alice))
	for _, want := range []int{1, 0} {
		before := r.count(opLoad)
		if err := b.catchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := r.count(opLoad) - before; n != want {
			t.Errorf("%d loads, want %d", n, want)
		}
	}
}
