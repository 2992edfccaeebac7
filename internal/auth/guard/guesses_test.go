package guard_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/testclock"
)

// guessStore is a guard.GuessStore.
type guessStore struct {
	now  func() time.Time
	down atomic.Bool

	mu    sync.Mutex
	all   map[[16]byte]map[[16]byte]time.Time
	calls int
}

func newGuessStore(now func() time.Time) *guessStore {
	return &guessStore{now: now, all: make(map[[16]byte]map[[16]byte]time.Time)}
}

var errDown = errors.New("the store is down")

// of returns what is within the window, under the lock.
func (s *guessStore) of(key [16]byte, window time.Duration) (map[[16]byte]time.Time, error) {
	s.calls++
	if s.down.Load() {
		return nil, errDown
	}
	of := s.all[key]
	if of == nil {
		of = make(map[[16]byte]time.Time)
		s.all[key] = of
	}
	for secret, at := range of {
		if s.now().Sub(at) >= window {
			delete(of, secret)
		}
	}
	return of, nil
}

func (s *guessStore) Guess(_ context.Context, key, secret [16]byte, window time.Duration) (n int, fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.of(key, window)
	if err != nil {
		return 0, false, err
	}
	if _, seen := of[secret]; !seen {
		of[secret], fresh = s.now(), true
	}
	return len(of), fresh, nil
}

func (s *guessStore) Guessed(_ context.Context, key, secret [16]byte, window time.Duration) (n int, seen bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.of(key, window)
	_, seen = of[secret]
	return len(of), seen, err
}

func (s *guessStore) Forgive(_ context.Context, key [16]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down.Load() {
		return errDown
	}
	delete(s.all, key)
	return nil
}

var _ guard.GuessStore = (*guessStore)(nil)

func newClock() *testclock.Clock { return testclock.At(time.Unix(1_700_000_010, 0)) }

// guesser tries codes of alice, as a bind does.
type guesser struct {
	t *testing.T
	*guard.Guesses
	clock *testclock.Clock
}

func newGuesser(t *testing.T, store guard.GuessStore) guesser {
	c := newClock()
	return guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c}
}

const (
	nextcloud = "search the service account"
	mailer    = "at mail"
	strange   = "at 192.0.2.66"
)

// at is a try of a code at a home, which is known unless it is strange.
func at(home, code string) guard.Try {
	return guard.Try{User: "uuid", Name: "alice", Stamp: "1", Code: auth.Secret(code), Home: home, Known: home != strange}
}

// code returns different ones.
func code(i int) string { return fmt.Sprintf("%06d", i) }

// compare has a code compared that is wrong, and reports that it was.
func (g guesser) compare(try guard.Try) (compared, last bool) {
	g.t.Helper()
	wrong, limited := g.Begin(try, false)
	if limited == nil && !wrong {
		limited = g.Elsewhere(g.t.Context(), try)
	}
	if limited != nil {
		if limited.Reason != auth.LimitCode {
			g.t.Errorf("limited by %s", limited.Reason)
		}
		return false, false
	}
	if wrong {
		return false, false
	}
	return true, g.Wrong(g.t.Context(), try)
}

// wrong has so many codes compared at a home, all of which are let through.
func (g guesser) wrong(home string, first, n int) {
	g.t.Helper()
	for i := range n {
		if compared, _ := g.compare(at(home, code(first+i))); !compared {
			g.t.Fatalf("code %d of %d is not compared at %q", i, n, home)
		}
	}
}

func (g guesser) closed(try guard.Try) bool {
	_, limited := g.Begin(try, true)
	return limited != nil
}

func TestTenGuessesADay(t *testing.T) {
	g := newGuesser(t, nil)
	for i := range 1000 {
		compared, last := g.compare(at(strange, code(i)))
		if want := i < 10; compared != want {
			t.Errorf("code %d compared: %v", i, compared)
		}
		if want := i == 9; last != want {
			t.Errorf("code %d is said to be the last: %v", i, last)
		}
		g.clock.Advance(time.Second)
	}
	all := g.All()
	if len(all) != 1 || all[0].Name != "alice" || all[0].Codes != 10 || !all[0].Closed || g.clock.Now().Sub(all[0].Last) != 991*time.Second {
		t.Errorf("guessed: %+v", all)
	}
	bob := at(strange, "000001")
	bob.User = "bob"
	if compared, _ := g.compare(bob); !compared {
		t.Error("what was tried of alice counts for bob")
	}
}

// TestParallelGuesses: codes count before anybody compares them.
func TestParallelGuesses(t *testing.T) {
	for _, home := range []string{strange, nextcloud} {
		g := newGuesser(t, nil)
		var compared atomic.Int64
		var done sync.WaitGroup
		start := make(chan struct{})
		for i := range 1000 {
			done.Go(func() {
				<-start
				if ok, _ := g.compare(at(home, code(i))); ok {
					compared.Add(1)
				}
			})
		}
		close(start)
		done.Wait()
		if n := compared.Load(); n != 10 {
			t.Errorf("%q: %d codes were compared, want 10", home, n)
		}
	}
}

// TestTriesUnderWay: all of them stay let through, to whatever step of a bind
// asks again, and the one after them is not.
func TestTriesUnderWay(t *testing.T) {
	g := newGuesser(t, nil)
	for i := range 10 {
		g.Begin(at(strange, code(i)), false)
	}
	for i := range 11 {
		try := at(strange, code(i))
		for _, match := range []bool{false, true} {
			if wrong, limited := g.Begin(try, match); wrong || (limited != nil) != (i == 10) {
				t.Errorf("code %d, match %v: %v, %v", i, match, wrong, limited)
			}
		}
		if i < 10 && g.Elsewhere(t.Context(), try) != nil {
			t.Errorf("code %d is held against itself", i)
		}
	}
}

func TestRightIsTakenBack(t *testing.T) {
	g := newGuesser(t, nil)
	for i := range 100 {
		try := at(nextcloud, code(i))
		if wrong, limited := g.Begin(try, false); wrong || limited != nil {
			t.Fatalf("code %d: %v, %v", i, wrong, limited)
		}
		g.Right(try)
	}
	g.wrong(strange, 1000, 10)
	if all := g.All(); len(all) != 1 || all[0].Codes != 10 {
		t.Errorf("guessed: %+v", all)
	}
	g.Right(at(strange, code(1000)))
	if !g.closed(at(strange, code(1))) {
		t.Error("a code that was wrong is taken back")
	}
	g.Right(guard.Try{User: "nobody"})
}

// TestWrongOnceIsWrong: a wrong code would be right some time.
func TestWrongOnceIsWrong(t *testing.T) {
	g := newGuesser(t, nil)
	for _, code := range []string{"123456", "12345678", "abcdefghijkl"} {
		try := at(nextcloud, code)
		long := len(code) > 6
		g.compare(try)
		g.clock.Advance(59 * time.Second)
		if wrong, limited := g.Begin(try, false); wrong || limited != nil {
			t.Errorf("%s after 59 s: %v, %v", code, wrong, limited)
		}
		g.clock.Advance(time.Second)
		if wrong, limited := g.Begin(try, false); wrong == long || limited != nil {
			t.Errorf("%s after a minute: %v, %v", code, wrong, limited)
		}
		g.clock.Advance(22 * time.Hour)
		if wrong, _ := g.Begin(try, false); wrong == long {
			t.Errorf("%s after 22 hours: %v", code, wrong)
		}
		g.clock.Advance(2 * time.Hour)
		if wrong, _ := g.Begin(try, false); wrong {
			t.Errorf("%s a day later is not compared", code)
		}
		g.Right(try)
	}
	// Again and again it counts once.
	for range 100 {
		g.compare(at(strange, "999999"))
	}
	g.wrong(strange, 0, 9)
	if !g.closed(at(strange, code(10))) {
		t.Error("ten codes are not ten")
	}
}

// TestUnknown: a code that the backend could not judge counts, for it was
// compared with what is remembered, and may be judged later, once.
func TestUnknown(t *testing.T) {
	g := newGuesser(t, nil)
	for i := range 10 {
		try := at(strange, code(i))
		g.Begin(try, false)
		if last := g.Unknown(t.Context(), try); last != (i == 9) {
			t.Errorf("code %d is said to be the last: %v", i, last)
		}
	}
	g.clock.Advance(time.Hour)
	if compared, _ := g.compare(at(strange, code(10))); compared {
		t.Error("an eleventh is compared")
	}
	if compared, _ := g.compare(at(strange, code(3))); !compared {
		t.Error("one that nobody judged is not compared")
	}
	if wrong, limited := g.Begin(at(strange, code(3)), false); limited == nil {
		t.Errorf("after it was judged: %v, %v", wrong, limited)
	}
}

// TestOnlyRightPasswordsCount: whoever does not have it must not use up what may
// be tried, here or at another replica.
func TestOnlyRightPasswordsCount(t *testing.T) {
	store := newGuessStore(newClock().Now)
	g := newGuesser(t, store)
	for i := range 100 { // the backend denied the password
		if g.Unknown(t.Context(), at(strange, code(i))) {
			t.Error("it is said to be the last")
		}
	}
	if store.calls > 0 || g.closed(at(strange, code(1))) || len(g.All()) > 0 {
		t.Errorf("%d questions, closed %v", store.calls, g.closed(at(strange, code(1))))
	}
}

// TestCompared: a code that turned out to come with the right password counts,
// though nobody knew that before. How many are kept is bounded.
func TestCompared(t *testing.T) {
	for _, store := range []guard.GuessStore{nil, newGuessStore(newClock().Now)} {
		g := newGuesser(t, store)
		for i := range 100 {
			if last := g.Wrong(t.Context(), at(strange, code(i))); last != (i == 9) {
				t.Errorf("code %d is said to be the last: %v", i, last)
			}
		}
		if !g.closed(at(strange, code(200))) || g.closed(at(nextcloud, code(200))) {
			t.Error("open where it should be closed, or closed where it should be open")
		}
		if n := g.All()[0].Codes; n < 10 || n > 64 {
			t.Errorf("%d codes", n)
		}
		if _, limited := g.Begin(at(nextcloud, code(200)), false); limited != nil {
			t.Error("what was compared is in the way")
		}
	}
}

// TestClosedWhereGuessed: what strangers try elsewhere closes no home of the
// user's, and each home that was clean has one more.
func TestClosedWhereGuessed(t *testing.T) {
	g := newGuesser(t, nil)
	g.wrong(strange, 0, 9)
	g.wrong(mailer, 9, 1)
	for home, want := range map[string]bool{strange: true, mailer: true, nextcloud: false} {
		for _, match := range []bool{true, false} {
			if !match && !want {
				continue // it would count
			}
			if _, limited := g.Begin(at(home, code(100)), match); (limited != nil) != want {
				t.Errorf("at %q, match %v: limited %v, want %v", home, match, limited != nil, want)
			}
		}
	}
	right := at(nextcloud, code(200)) // the owner logs in, many times
	for range 20 {
		if _, limited := g.Begin(right, false); limited != nil {
			t.Fatal("the owner is limited at home")
		}
		if g.Elsewhere(t.Context(), right) != nil {
			t.Fatal("the owner is limited at home by what others know")
		}
		g.Right(right)
	}
	g.wrong(nextcloud, 300, 1)
	for _, match := range []bool{true, false} {
		if _, limited := g.Begin(at(nextcloud, code(301)), match); limited == nil {
			t.Errorf("match %v: a second one at a home that was clean", match)
		}
	}
	if n := g.All()[0].Codes; n != 11 {
		t.Errorf("%d codes, want 11", n)
	}
}

// TestTheDaySlides: each guess counts for a day of its own.
func TestTheDaySlides(t *testing.T) {
	g := newGuesser(t, nil)
	for i := range 10 {
		g.wrong(strange, i, 1)
		g.clock.Advance(time.Hour)
	}
	g.clock.Advance(14*time.Hour - time.Second)
	if !g.closed(at(strange, code(100))) {
		t.Error("open within a day")
	}
	g.clock.Advance(time.Second)
	g.wrong(strange, 100, 1)
	if !g.closed(at(strange, code(101))) {
		t.Error("one guess that was a day ago is worth more than one")
	}
	g.clock.Advance(-48 * time.Hour)
	if g.closed(at(strange, code(101))) {
		t.Error("a clock that was set back keeps it closed")
	}
	if all := g.All(); len(all) != 0 {
		t.Errorf("guessed: %+v", all)
	}
}

func TestAnotherPasswordStartsAnew(t *testing.T) {
	g := newGuesser(t, nil)
	g.wrong(strange, 0, 10)
	try := at(strange, code(11))
	try.Stamp = "2"
	if g.closed(try) {
		t.Error("who guessed with the old password has the user limited with the new one")
	}
	if !g.closed(at(strange, code(11))) {
		t.Error("the old one is open")
	}
}

func TestForgive(t *testing.T) {
	c := newClock()
	store := newGuessStore(c.Now)
	g := newGuesser(t, store)
	g.wrong(nextcloud, 0, 10)
	if n, err := g.Forgive(t.Context(), "uuid", "1"); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	if g.closed(at(nextcloud, code(11))) || len(g.All()) > 0 {
		t.Error("not forgiven")
	}
	g.wrong(nextcloud, 0, 10)
	again := guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now)
	if n, err := again.Forgive(t.Context(), "uuid", "1"); n != 10 || err != nil || len(store.all) != 0 {
		t.Errorf("in the store: %d, %v, %v", n, err, store.all)
	}
	if n, err := newGuesser(t, nil).Forgive(t.Context(), "uuid", "1"); n != 0 || err != nil {
		t.Errorf("without a store: %d, %v", n, err)
	}
	store.down.Store(true)
	if _, err := g.Forgive(t.Context(), "uuid", "1"); !errors.Is(err, errDown) {
		t.Errorf("error %v", err)
	}
}

// TestGuessesOfReplicas: what one counts holds at the other, and after a
// restart, and neither key nor secret can be read.
func TestGuessesOfReplicas(t *testing.T) {
	c := newClock()
	store := newGuessStore(c.Now)
	replica := func() guesser {
		return guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c}
	}
	one, two := replica(), replica()
	one.wrong(strange, 0, 5)
	two.wrong(strange, 5, 5)
	if !two.closed(at(strange, code(100))) {
		t.Error("the one who learned of the tenth is open")
	}
	c.Advance(time.Minute) // the other one asks again
	if compared, _ := one.compare(at(strange, code(100))); compared {
		t.Error("the other one is open")
	}
	for _, home := range []string{strange, mailer} {
		g := replica()
		if compared, _ := g.compare(at(home, code(200))); compared != (home == mailer) {
			t.Errorf("after a restart, at %q: compared %v", home, compared)
		}
		if compared, _ := g.compare(at(home, code(201))); compared {
			t.Errorf("after a restart, a second one at %q", home)
		}
	}
	other := guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("another")), c.Now), c}
	if compared, _ := other.compare(at(strange, code(300))); !compared {
		t.Error("digests do not depend on the key")
	}
}

// TestReplicasCompareInTurn: asked in parallel, two that share a store let one
// code more through than one alone.
func TestReplicasCompareInTurn(t *testing.T) {
	for _, home := range []string{strange, nextcloud} {
		c := newClock()
		store := newGuessStore(c.Now)
		one := guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c}
		two := guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c}
		seen, asked := 0, 0 // by memory, and by the backend
		for round := range 20 {
			var under [2][]guard.Try
			for i := range 100 {
				for r, g := range []guesser{one, two} {
					try := at(home, code(200*round+2*i+r))
					if _, limited := g.Begin(try, false); limited != nil {
						continue
					}
					if seen++; g.Elsewhere(t.Context(), try) == nil {
						under[r] = append(under[r], try)
					}
				}
			}
			for r, g := range []guesser{one, two} {
				for _, try := range under[r] {
					asked++
					g.Wrong(t.Context(), try)
				}
			}
		}
		if seen > 11+1 || asked > 11 || asked < 10 {
			t.Errorf("%q: %d codes were seen, %d compared by the backend", home, seen, asked)
		}
	}
}

// TestNobodyIsInTheWayForLong: a code of which nobody says what came of it keeps
// others away for a minute, and from a home that is clean not at all.
func TestNobodyIsInTheWayForLong(t *testing.T) {
	g := newGuesser(t, newGuessStore(newClock().Now))
	g.Begin(at(strange, code(1)), false)
	for _, tt := range []struct {
		home string
		want bool
	}{{strange, false}, {nextcloud, true}, {nextcloud, false}} {
		try := at(tt.home, code(2+len(tt.home)))
		if tt.home == nextcloud && !tt.want {
			try.Code = "777777"
		}
		if _, limited := g.Begin(try, false); (limited == nil) != tt.want {
			t.Errorf("at %q: let through %v", tt.home, limited == nil)
		}
	}
	if _, limited := g.Begin(at(mailer, code(9)), true); limited != nil {
		t.Error("one that is remembered is in the way")
	}
	g.clock.Advance(time.Minute)
	if _, limited := g.Begin(at(strange, code(3)), false); limited != nil {
		t.Error("a minute later it is in the way")
	}
	g.Unknown(t.Context(), at(strange, code(3)))
	if _, limited := g.Begin(at(strange, code(4)), false); limited != nil {
		t.Error("one that could not be judged is in the way")
	}
}

// TestElsewhereAsksOnceAMinute: for a code that counts, what others know is
// always asked, and else once a minute.
func TestElsewhereAsksOnceAMinute(t *testing.T) {
	store := newGuessStore(newClock().Now)
	g := newGuesser(t, store)
	ask := func(try guard.Try, calls int) {
		t.Helper()
		before := store.calls
		g.Elsewhere(t.Context(), try)
		if n := store.calls - before; n != calls {
			t.Errorf("%d questions, want %d", n, calls)
		}
	}
	counts, known := at(strange, code(1)), at(nextcloud, code(2))
	ask(known, 0) // nothing was tried here
	g.Begin(counts, false)
	ask(counts, 1)
	ask(counts, 1)
	ask(known, 0)
	g.clock.Advance(59 * time.Second)
	ask(known, 0)
	g.clock.Advance(time.Second)
	ask(known, 1)
	ask(known, 0)
	g.clock.Advance(-time.Hour)
	ask(known, 1)
	g.clock.Advance(time.Minute)
	g.Wrong(t.Context(), counts) // tells, too
	ask(known, 0)
	ask(counts, 0)
}

// TestGuessesWhileStoreIsDown: while it is down each replica counts for itself.
func TestGuessesWhileStoreIsDown(t *testing.T) {
	store := newGuessStore(newClock().Now)
	store.down.Store(true)
	g := newGuesser(t, store)
	for i := range 20 {
		if compared, last := g.compare(at(strange, code(i))); compared != (i < 10) || last != (i == 9) {
			t.Errorf("code %d: compared %v, last %v", i, compared, last)
		}
	}
	store.down.Store(false)
	again := guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), g.clock.Now), g.clock}
	if compared, _ := again.compare(at(strange, code(0))); !compared {
		t.Error("the store knows what it was not told")
	}
}

// TestSharedGuessesExpire: what the store counted counts for a day.
func TestSharedGuessesExpire(t *testing.T) {
	c := newClock()
	store := newGuessStore(c.Now)
	one := guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c}
	two := guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c}
	one.wrong(strange, 0, 9)
	two.wrong(strange, 9, 1)
	if !two.closed(at(strange, code(100))) {
		t.Fatal("open")
	}
	c.Advance(24 * time.Hour)
	if two.closed(at(strange, code(100))) {
		t.Error("closed for more than a day")
	}
}

func TestAllTellsFromFiveOn(t *testing.T) {
	g := newGuesser(t, nil)
	g.wrong(strange, 0, 4)
	if all := g.All(); len(all) != 0 {
		t.Errorf("of four: %+v", all)
	}
	g.wrong(strange, 4, 1)
	if all := g.All(); len(all) != 1 || all[0].Codes != 5 || all[0].Closed {
		t.Errorf("of five: %+v", all)
	}
}

// TestMatchesCostNothing: while nobody guesses, logins leave nothing behind.
func TestMatchesCostNothing(t *testing.T) {
	store := newGuessStore(newClock().Now)
	g := newGuesser(t, store)
	for i := range 100 {
		if wrong, limited := g.Begin(at(nextcloud, code(i)), true); wrong || limited != nil {
			t.Fatal(wrong, limited)
		}
		g.Elsewhere(t.Context(), at(nextcloud, code(i)))
	}
	g.wrong(strange, 0, 9) // none of the above counts
	if g.closed(at(strange, code(100))) || store.calls > 2*9 {
		t.Errorf("closed, or %d questions", store.calls)
	}
}

func TestGuessesAreBounded(t *testing.T) {
	g := newGuesser(t, nil)
	grown := heap(func() {
		for user := range 12_000 {
			for i := range 6 {
				try := at(strange, code(i))
				try.User = fmt.Sprint(user)
				g.compare(try)
			}
		}
	})
	if grown > 12<<20 {
		t.Errorf("%d MiB", grown>>20)
	}
	if n := len(g.All()); n > 1<<13 || n < 1<<12 {
		t.Errorf("%d users", n)
	}
	runtime.KeepAlive(g)
}

// heap returns by how much what is in use grows.
func heap(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

func TestAllTellsOfEach(t *testing.T) {
	g := newGuesser(t, nil)
	for _, name := range []string{"carol", "alice", "bob"} {
		for i := range 5 {
			try := at(strange, code(i))
			try.User, try.Name = name, name
			g.compare(try)
		}
	}
	var names []string
	for _, e := range g.All() {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"alice", "bob", "carol"}) {
		t.Errorf("names %v", names)
	}
}
