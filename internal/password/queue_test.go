package password

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hold takes all turns of a queue; free gives them back.
func hold(t *testing.T, q *Queue) (free func()) {
	release := make(chan struct{})
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() { q.Do(t.Context(), netip.Addr{}, func() { <-release }) })
	}
	synctest.Wait()
	return func() { close(release); wg.Wait() }
}

// TestQueueIsFair has one network flood from many addresses before others ask.
func TestQueueIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		q := NewQueue()
		free := hold(t, q)
		var order []string
		var wg sync.WaitGroup
		ask := func(addr, name string) {
			wg.Go(func() {
				if err := q.Do(t.Context(), netip.MustParseAddr(addr), func() { order = append(order, name) }); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		for i := range 100 {
			ask(fmt.Sprintf("2001:db8:6666::%x", i), "flood")
		}
		ask("192.0.2.1", "owner")
		ask("2001:db8:1::1", "owner")
		if q.Waiting() != 102 {
			t.Errorf("%d wait", q.Waiting())
		}
		free()
		wg.Wait()
		if want := []string{"flood", "owner", "owner", "flood"}; !slices.Equal(order[:4], want) {
			t.Errorf("the first turns are %v, want %v", order[:4], want)
		}
	})
}

func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue()
		defer hold(t, q)()
		began := time.Now()
		err := q.Do(t.Context(), netip.Addr{}, func() { t.Error("called") })
		if waited := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || waited != maxWait {
			t.Errorf("%v after %v", err, waited)
		}
	})
}
