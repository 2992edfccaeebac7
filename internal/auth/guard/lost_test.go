package guard_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
)

// Who says something of a code that nobody counts is heard, and that is all.
func TestCodesThatNobodyCounts(t *testing.T) {
	g := newGuesser(t, nil)
	try := at(nextcloud, code(1))
	if g.Wrong(t.Context(), try) || g.Unknown(t.Context(), try) {
		t.Error("the last of those that may be tried")
	}
	g.Right(try)
	g.wrong(strange, 100, 1) // now the user is known
	if g.Wrong(t.Context(), try) || g.Unknown(t.Context(), try) {
		t.Error("the last of those that may be tried")
	}
	g.Right(try)
}

// A code that is remembered is not wrong, though others are.
func TestMatchBesideGuesses(t *testing.T) {
	g := newGuesser(t, nil)
	g.wrong(strange, 0, 1)
	for range 2 {
		if wrong, limited := g.Begin(at(nextcloud, code(1)), true); wrong || limited != nil {
			t.Errorf("wrong %v, limited %v", wrong, limited)
		}
		g.clock.Advance(2 * time.Minute)
	}
}

// What the store was heard to know counts when it is down, together with what
// it was not told.
func TestSharedGuessesWhileStoreIsDown(t *testing.T) {
	c := newClock()
	store := newGuessStore(c.Now)
	replica := func() guesser { return guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c} }
	one, two := replica(), replica()
	one.wrong(strange, 0, 8)
	two.wrong(strange, 8, 1)
	store.down.Store(true)
	if compared, last := two.compare(at(strange, code(9))); !compared || !last {
		t.Errorf("the tenth: compared %v, last %v", compared, last)
	}
	if !two.closed(at(strange, code(10))) {
		t.Error("open after ten")
	}
}

// What a replica heard of others is not forgotten when it cannot ask again.
func TestElsewhereWhileStoreIsDown(t *testing.T) {
	c := newClock()
	store := newGuessStore(c.Now)
	replica := func() guesser { return guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c} }
	one, two := replica(), replica()
	two.wrong(strange, 0, 1)
	one.wrong(strange, 1, 9)
	try := at(strange, code(0))
	c.Advance(time.Minute)
	if two.Elsewhere(t.Context(), try) == nil {
		t.Error("not limited by what others counted")
	}
	store.down.Store(true)
	c.Advance(time.Minute)
	if two.Elsewhere(t.Context(), try) == nil {
		t.Error("not limited when the store is down")
	}
}

// Nobody is told of what is a day old.
func TestAllForgets(t *testing.T) {
	g := newGuesser(t, nil)
	g.wrong(strange, 0, 6)
	g.clock.Advance(24*time.Hour - 1)
	if len(g.All()) != 1 {
		t.Error("forgotten too early")
	}
	g.clock.Advance(1)
	if all := g.All(); len(all) != 0 {
		t.Errorf("told of %+v", all)
	}
}

// Nothing is kept of who waited.
func TestLanePausesAreBounded(t *testing.T) {
	l := guard.NewLane(newClock().Now, func(context.Context, time.Duration) error { return nil })
	grown := heap(func() {
		for i := range 100_000 {
			if err := l.Pause(t.Context(), secret(i)); err != nil {
				t.Fatal(err)
			}
		}
	})
	if grown > 1<<20 {
		t.Errorf("%d KiB", grown>>10)
	}
	runtime.KeepAlive(l)
}

// Work that everybody gave up, and that ends late, is not taken for what began
// since.
func TestFlightThatEndsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flights := guard.NewFlights[int]()
		do := func(ctx context.Context, v int, end chan struct{}) <-chan int {
			got := make(chan int, 1)
			go func() {
				n, _, _ := flights.Do(ctx, guard.Digest{1}, func(context.Context) (int, error) {
					<-end // whatever becomes of the context
					return v, nil
				})
				got <- n
			}()
			synctest.Wait()
			return got
		}
		ctx, leave := context.WithCancel(t.Context())
		late, end := make(chan struct{}), make(chan struct{})
		do(ctx, 1, late)
		leave()
		synctest.Wait()
		second := do(t.Context(), 2, end)
		close(late)
		synctest.Wait()
		third := do(t.Context(), 3, end)
		if n := flights.Waiting(); n != 2 {
			t.Errorf("%d wait", n)
		}
		close(end)
		if a, b := <-second, <-third; a != 2 || b != 2 {
			t.Errorf("%d and %d, want the work of the second", a, b)
		}
	})
}

// The tenth code is worth a word once, at whichever replica it was tried.
func TestLastIsToldOnce(t *testing.T) {
	c := newClock()
	store := newGuessStore(c.Now)
	replica := func() guesser { return guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c} }
	one, two := replica(), replica()
	one.wrong(strange, 0, 9)
	tenth := at(strange, code(9))
	for _, g := range []guesser{one, two} {
		if _, limited := g.Begin(tenth, false); limited != nil {
			t.Fatal(limited)
		}
	}
	if !one.Wrong(t.Context(), tenth) || two.Wrong(t.Context(), tenth) {
		t.Error("told by the second as well, or by none")
	}
}

// A code that turned out right takes back no other one.
func TestRightTakesBackItself(t *testing.T) {
	g := newGuesser(t, nil)
	g.wrong(strange, 0, 8)
	for _, i := range []int{8, 9} {
		if _, limited := g.Begin(at(strange, code(i)), false); limited != nil {
			t.Fatal(limited)
		}
	}
	g.Right(at(strange, code(8)))
	if g.closed(at(strange, code(10))) {
		t.Error("closed after nine")
	}
	if compared, _ := g.compare(at(strange, code(10))); !compared {
		t.Error("the tenth is not compared")
	}
	if !g.closed(at(strange, code(11))) {
		t.Error("open after ten")
	}
}

// A replica where nothing wrong was tried tells of what others counted, as far as
// it knows.
func TestAllOfWhatOthersCounted(t *testing.T) {
	c := newClock()
	store := newGuessStore(c.Now)
	replica := func() guesser { return guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c} }
	one, two := replica(), replica()
	one.wrong(strange, 0, 6)
	right := at(nextcloud, code(9))
	if _, limited := two.Begin(right, false); limited != nil || two.Elsewhere(t.Context(), right) != nil {
		t.Fatal("limited")
	}
	two.Right(right)
	if all := two.All(); len(all) != 1 || all[0].Codes != 6 || all[0].Closed || len(all[0].Homes) != 0 {
		t.Errorf("told of %+v", all)
	}
}

// Where the pace is unlimited, so is what is under way.
func TestPaceUnlimitedInFlight(t *testing.T) {
	const many = 20
	var in sync.WaitGroup
	in.Add(many)
	p := guard.NewPace(&authFunc{do: func(context.Context, auth.Attempt) (auth.Granted, error) {
		in.Done()
		in.Wait()
		return auth.Granted{}, nil
	}}, 0, 0, nil)
	var done sync.WaitGroup
	for range many {
		done.Go(func() {
			if _, err := p.Authenticate(t.Context(), attempt("alice", "secret")); err != nil {
				t.Error(err)
				in.Done()
			}
		})
	}
	done.Wait()
}

// What this process counted is enough, whatever the store says.
func TestFailuresHereAreEnough(t *testing.T) {
	f := guard.NewFailures(guard.Limits{FailuresPerUser: 1}, failing{}, newClock().Now)
	at := from("alice", "192.0.2.1", "")
	if l := f.Add(t.Context(), at, secret(1)); l != nil {
		t.Errorf("the first: %v", l)
	}
	if l := f.Add(t.Context(), at, secret(2)); reason(l) != auth.LimitUser {
		t.Errorf("the second: %v", l)
	}
}

// failing is a guard.Tallies that cannot be reached.
type failing struct{}

func (failing) Tally(context.Context, [16]byte, [16]byte, time.Duration) (int, error) {
	return 0, errDown
}

func (failing) Tallied(context.Context, [16]byte, time.Duration) (int, error) { return 0, errDown }
