package guard_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
)

// sleeper notes for how long somebody sleeps, and wakes nobody before wake is
// closed.
type sleeper struct {
	wake chan struct{}

	mu  sync.Mutex
	all []time.Duration
}

func (s *sleeper) sleep(ctx context.Context, d time.Duration) error {
	s.mu.Lock()
	s.all = append(s.all, d)
	s.mu.Unlock()
	select {
	case <-s.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sleeper) slept() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

func TestLanePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sleeper{wake: make(chan struct{})}
		l := guard.NewLane(time.Now, s.sleep)
		ctx, leave := context.WithCancel(t.Context())
		var done sync.WaitGroup
		for i := range 400 {
			done.Go(func() {
				if err := l.Pause(ctx, secret(1)); !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
			})
			synctest.Wait()
			n := time.Duration(i + 1) // with this one
			want := min(max(n*50*time.Millisecond, time.Second), 15*time.Second)
			if got := s.slept()[i]; got != want {
				t.Fatalf("beside %d others: %v, want %v", i, got, want)
			}
		}
		done.Go(func() { l.Pause(ctx, secret(2)) })
		synctest.Wait()
		if got := s.slept()[400]; got != time.Second {
			t.Errorf("another user waits %v", got)
		}
		leave()
		done.Wait()
		close(s.wake)
		if err := l.Pause(t.Context(), secret(1)); err != nil || s.slept()[401] != time.Second {
			t.Errorf("when all have left: %v, %v", s.slept()[401], err)
		}
	})
}

func TestLaneTurns(t *testing.T) {
	clock := newClock()
	s := &sleeper{wake: make(chan struct{})}
	close(s.wake)
	l := guard.NewLane(clock.Now, s.sleep)
	turn := func(user int) (wait time.Duration, told bool) {
		t.Helper()
		before := len(s.slept())
		err := l.Turn(t.Context(), secret(user))
		var limited *auth.Limited
		if errors.As(err, &limited) {
			if limited.Reason != auth.LimitUser || len(s.slept()) > before {
				t.Errorf("told %s, waited %v", limited.Reason, s.slept()[before:])
			}
			return 0, true
		}
		if err != nil {
			t.Fatal(err)
		}
		return s.slept()[before], false
	}
	for i := range 11 {
		if wait, told := turn(1); wait != time.Duration(i)*time.Second || told {
			t.Errorf("turn %d is after %v, told %v", i, wait, told)
		}
	}
	for range 100 {
		if wait, told := turn(1); !told {
			t.Fatalf("a turn is after %v", wait)
		}
	}
	if wait, told := turn(2); wait != 0 || told {
		t.Errorf("another user: %v, %v", wait, told)
	}
	clock.Advance(time.Second) // who was sent away has no turn
	if wait, told := turn(1); wait != 10*time.Second || told {
		t.Errorf("a second later: %v, %v", wait, told)
	}
	if _, told := turn(1); !told {
		t.Error("two turns a second")
	}
	clock.Advance(time.Hour)
	for i := range 2 {
		if wait, told := turn(1); wait != time.Duration(i)*time.Second || told {
			t.Errorf("an hour later: %v, %v", wait, told)
		}
	}
	clock.Advance(-time.Hour)
	if wait, told := turn(1); wait != 0 || told {
		t.Errorf("the clock was set back: %v, %v", wait, told)
	}
}

// TestLaneClockSetBackALittle: nobody is kept away for longer than it was.
func TestLaneClockSetBackALittle(t *testing.T) {
	clock := newClock()
	s := &sleeper{wake: make(chan struct{})}
	close(s.wake)
	l := guard.NewLane(clock.Now, s.sleep)
	l.Turn(t.Context(), secret(1))
	clock.Advance(-19 * time.Second) // the next turn is 20 s away
	if err := l.Turn(t.Context(), secret(1)); err == nil {
		t.Error("nobody would wait so long")
	}
	clock.Advance(10 * time.Second)
	if err := l.Turn(t.Context(), secret(1)); err != nil {
		t.Errorf("10 s later: %v", err)
	}
}

func TestLaneEndsWithItsContext(t *testing.T) {
	l := guard.NewLane(time.Now, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Pause(ctx, secret(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("pause: %v", err)
	}
	if err := l.Turn(ctx, secret(1)); err != nil {
		t.Errorf("a turn at once: %v", err)
	}
	if err := l.Turn(ctx, secret(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("turn: %v", err)
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if err := guard.Sleep(t.Context(), time.Minute); err != nil || time.Since(begin) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		if err := guard.Sleep(t.Context(), -time.Minute); err != nil || time.Since(begin) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestLaneIsBounded(t *testing.T) {
	l := guard.NewLane(newClock().Now, nil)
	grown := heap(func() {
		for i := range 200_000 {
			l.Turn(context.Background(), secret(i))
		}
	})
	if grown > 8<<20 {
		t.Errorf("%d MiB", grown>>20)
	}
	runtime.KeepAlive(l)
}

func TestPushes(t *testing.T) {
	clock := newClock()
	p := guard.NewPushes(guard.NewKey(), clock.Now)
	for i := range 5 {
		if l := p.Over("alice"); l != nil {
			t.Fatalf("after %d: %s", i, l.Reason)
		}
		p.Denied("alice")
		clock.Advance(time.Minute)
	}
	if got := reason(p.Over("alice")); got != auth.LimitPush {
		t.Errorf("after five: %q", got)
	}
	if l := p.Over("bob"); l != nil {
		t.Errorf("bob: %s", l.Reason)
	}
	clock.Advance(10*time.Minute - time.Second)
	if p.Over("alice") == nil {
		t.Error("open before a quarter of an hour is over")
	}
	clock.Advance(time.Second)
	if l := p.Over("alice"); l != nil {
		t.Errorf("after a quarter of an hour: %s", l.Reason)
	}
	for range 5 {
		p.Denied("alice")
	}
	clock.Advance(-time.Hour)
	if l := p.Over("alice"); l != nil {
		t.Errorf("the clock was set back: %s", l.Reason)
	}
	grown := heap(func() {
		for i := range 100_000 {
			p.Denied(fmt.Sprint(i))
		}
	})
	if grown > 16<<20 {
		t.Errorf("%d MiB", grown>>20)
	}
	runtime.KeepAlive(p)
}
