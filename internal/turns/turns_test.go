package turns

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// order has a turn held under the key "held" while others ask, each under the
// key of one letter, and returns in which order they got theirs.
func order(t *testing.T, turns, share int, asks string) string {
	t.Helper()
	var order strings.Builder
	synctest.Test(t, func(t *testing.T) {
		q := New(turns, share)
		release := make(chan struct{})
		var wg sync.WaitGroup
		for i := range turns {
			wg.Go(func() { q.Do(t.Context(), fmt.Sprint("held", i), func() { <-release }) })
		}
		synctest.Wait()
		got := make(chan string)
		next := make(chan struct{})
		for _, key := range strings.Split(asks, "") {
			wg.Go(func() {
				err := q.Do(t.Context(), key, func() { got <- key; <-next })
				if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		if q.Waiting() != len(asks) || q.Running() != turns {
			t.Errorf("%d wait, %d run", q.Waiting(), q.Running())
		}
		release <- struct{}{}
		for range asks {
			order.WriteString(<-got)
			next <- struct{}{}
			synctest.Wait()
		}
		close(release)
		wg.Wait()
		if q.Waiting() != 0 || q.Running() != 0 || len(q.lines) != 0 || len(q.next) != 0 {
			t.Errorf("left over: %+v", q)
		}
	})
	return order.String()
}

func TestOrder(t *testing.T) {
	for _, tt := range []struct{ asks, want string }{
		{"aaaa", "aaaa"},
		{"aaaab", "abaaa"},
		{"aaaabbc", "abcabaa"},
		{"aaaaaaaabcbc", "abcabcaaaaaa"},
		{"abcabcabc", "abcabcabc"},
	} {
		if got := order(t, 1, 1, tt.asks); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.asks, got, tt.want)
		}
	}
}

// TestModel does whatever may happen, in every order, and sees that
//
//   - no turn is idle while somebody waits who may have it, and none is given
//     beyond the bounds,
//   - who may have a turn sees every other key pass once at most,
//   - in a line it is who came first,
//   - nothing is kept of a key that nobody uses.
func TestModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 8))
		turns := 1 + r.IntN(4)
		m := model{T: t, q: New(turns, 1+r.IntN(turns)), passed: map[string]map[string]bool{}}
		for range 400 {
			switch r.IntN(3) {
			case 0:
				m.waiting = append(m.waiting, m.q.enter(string(rune('a'+r.IntN(6)))))
			case 1:
				if n := len(m.waiting); n > 0 {
					at := r.IntN(n)
					if !m.q.leave(m.waiting[at]) {
						t.Fatal("one that waits was called")
					}
					m.waiting = slices.Delete(m.waiting, at, at+1)
				}
			case 2:
				if n := len(m.running); n > 0 {
					at := r.IntN(n)
					l := m.running[at].line
					m.running = slices.Delete(m.running, at, at+1)
					m.q.end(l)
				}
			}
			m.look()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

type model struct {
	*testing.T
	q       *Queue
	waiting []*waiter // in the order that they came
	running []*waiter
	passed  map[string]map[string]bool // by key of who may be next: who was since
}

func (m *model) look() {
	// As one event frees one turn at most, one is called at most.
	for i, w := range m.waiting {
		if len(w.call) == 0 {
			continue
		}
		if err := <-w.call; err != nil {
			m.Error(err)
		}
		if slices.ContainsFunc(m.waiting[:i], func(o *waiter) bool { return o.line == w.line }) {
			m.Error("not the first of the line")
		}
		delete(m.passed, w.line.key)
		for _, since := range m.passed {
			if since[w.line.key] {
				m.Errorf("%s passed twice", w.line.key)
			}
			since[w.line.key] = true
		}
		m.running = append(m.running, w)
		m.waiting = slices.Delete(m.waiting, i, i+1)
		break
	}
	of := map[string]int{}
	for _, w := range m.running {
		of[w.line.key]++
		if of[w.line.key] > m.q.share {
			m.Errorf("%s has %d turns", w.line.key, of[w.line.key])
		}
	}
	may := map[string]bool{}
	for _, w := range m.waiting {
		if of[w.line.key] < m.q.share {
			may[w.line.key] = true
		}
	}
	for key := range m.passed {
		if !may[key] {
			delete(m.passed, key)
		}
	}
	for key := range may {
		if m.passed[key] == nil {
			m.passed[key] = map[string]bool{}
		}
	}
	if n := len(m.running); n > m.q.turns || n < m.q.turns && len(may) > 0 {
		m.Errorf("%d of %d turns, %v may have one", n, m.q.turns, may)
	}
	for _, w := range m.waiting {
		of[w.line.key] += 0
	}
	if m.q.waiting != len(m.waiting) || m.q.running != len(m.running) || len(m.q.lines) != len(of) || len(m.q.next) != len(may) {
		m.Errorf("%+v of %d that wait, %d that run", m.q, len(m.waiting), len(m.running))
	}
}

// TestBounds fills lines, and sees who is sent away.
func TestBounds(t *testing.T) {
	busy := func(w *waiter) bool {
		return len(w.call) == 1 && errors.Is(<-w.call, ErrBusy)
	}
	q := New(1, 1)
	q.enter("held")
	var last *waiter
	for range MaxWaitingPerKey {
		last = q.enter("flood")
	}
	if !busy(q.enter("flood")) {
		t.Error("a line has no end")
	}
	for i := 1; q.waiting < MaxWaiting; i++ {
		for range MaxWaitingPerKey / 2 {
			if busy(q.enter(fmt.Sprint("flood", i))) {
				t.Fatal("sent away too early")
			}
		}
	}
	first := q.enter("owner")
	if !busy(last) || q.waiting != MaxWaiting || len(first.call) != 0 {
		t.Error("the last of the longest line does not make room for another")
	}
	// The lines of the flood become shorter, until all are about as long.
	for len(q.lines["owner"].waiting) < MaxWaitingPerKey/2-1 {
		if busy(q.enter("owner")) {
			t.Fatalf("%d wait of the owner only", len(q.lines["owner"].waiting))
		}
	}
	for !busy(q.enter("owner")) {
		if len(q.lines["owner"].waiting) > MaxWaitingPerKey/2 {
			t.Fatal("who has the longest line sends others away")
		}
	}
	if q.waiting != MaxWaiting {
		t.Errorf("%d wait", q.waiting)
	}
}

// TestShortLines fills the queue with lines of two: who has none takes the
// place of one, and is then as long as others would be.
func TestShortLines(t *testing.T) {
	q := New(1, 1)
	q.enter("held")
	for i := range MaxWaiting {
		q.enter(fmt.Sprint(i / 2))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		if err := q.Do(ended, "owner", func() { t.Error("called") }); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if q.Waiting() != MaxWaiting {
		t.Error("one whose context had ended took a place")
	}
	for _, want := range []int{0, 1} {
		if w := q.enter("owner"); len(w.call) != want {
			t.Errorf("%d sent away, want %d", len(w.call), want)
		}
	}
}

func TestLeastTurns(t *testing.T) {
	ran := false
	if err := New(0, 0).Do(t.Context(), "a", func() { ran = true }); err != nil || !ran {
		t.Errorf("ran %v, %v", ran, err)
	}
}

// TestAtOnce has the context of one that waits end at the moment that he is
// called, or sent away.
func TestAtOnce(t *testing.T) {
	for _, why := range []error{nil, ErrBusy} {
		for range 50 {
			synctest.Test(t, func(t *testing.T) {
				q := New(1, 1)
				held := q.enter("held")
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- q.Do(ctx, "a", func() { t.Error("called") }) }()
				synctest.Wait()
				q.mu.Lock()
				cancel()
				w := q.lines["a"].waiting[0]
				if why != nil {
					q.remove(w)
					w.call <- why
					q.mu.Unlock()
				} else {
					q.mu.Unlock()
					q.end(held.line)
				}
				if err := <-done; !errors.Is(err, context.Canceled) && (why == nil || !errors.Is(err, why)) {
					t.Error(err)
				}
				if why != nil {
					q.end(held.line)
				}
				if q.Running() != 0 || q.Waiting() != 0 || len(q.lines) != 0 {
					t.Errorf("left over: %+v", q)
				}
			})
		}
	}
}

func TestEndOfContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(1, 1)
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { q.Do(t.Context(), "a", func() { <-release }) })
		synctest.Wait()
		for range 3 {
			wg.Go(func() {
				if err := q.Do(ctx, "b", func() { t.Error("called") }); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		if q.Waiting() != 0 {
			t.Errorf("%d wait", q.Waiting())
		}
		close(release)
		wg.Wait()
		if err := q.Do(ctx, "b", func() { t.Error("called") }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestTurnAtTheEnd ends the context of one that was called: the turn is the
// next one's.
func TestTurnAtTheEnd(t *testing.T) {
	q := New(1, 1)
	a, b := q.enter("a"), q.enter("b")
	if q.leave(a) {
		t.Error("a was not called")
	}
	q.end(a.line)
	if err := <-b.call; err != nil {
		t.Error(err)
	}
}

func TestPanic(t *testing.T) {
	q := New(1, 1)
	func() {
		defer func() { recover() }()
		q.Do(t.Context(), "a", func() { panic("in a turn") })
	}()
	if err := q.Do(t.Context(), "b", func() {}); err != nil || q.Running() != 0 {
		t.Errorf("%v, %d run", err, q.Running())
	}
}

// TestCrowd is for the race detector.
func TestCrowd(t *testing.T) {
	const turns, share = 3, 2
	q := New(turns, share)
	var running [4]atomic.Int32
	var done atomic.Int32
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%5 == 0 {
				go cancel()
			}
			key := i % 4
			err := q.Do(ctx, fmt.Sprint(key), func() {
				if n := running[key].Add(1); n > share {
					t.Errorf("%d turns of one key", n)
				}
				running[key].Add(-1)
				done.Add(1)
			})
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if done.Load() < 320 || q.Waiting() != 0 || q.Running() != 0 || len(q.lines) != 0 {
		t.Errorf("%d done, left over: %d wait, %d run, %d lines", done.Load(), q.Waiting(), q.Running(), len(q.lines))
	}
}
