package guard_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"ldapd/internal/auth/guard"
)

func TestAllTellsSinceWhenAndWhere(t *testing.T) {
	g := newGuesser(t, nil)
	first := g.clock.Now()
	for i := range 4 {
		g.wrong(nextcloud, i, 1)
		g.clock.Advance(time.Hour)
	}
	g.wrong(strange, 4, 1)
	want := guard.Guessed{Name: "alice", Codes: 5, First: first, Last: first.Add(4 * time.Hour), Homes: []string{strange, nextcloud}}
	if all := g.All(); len(all) != 1 || fmt.Sprint(all[0]) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", all, want)
	}
	g.wrong(strange, 5, 5)
	all := g.All()
	if len(all) != 1 || !all[0].Closed || !all[0].Until.Equal(first.Add(24*time.Hour)) {
		t.Fatalf("%+v, want it closed for a day since %s", all, first)
	}
	// That is when it opens, and not before.
	g.clock.Advance(all[0].Until.Sub(g.clock.Now()) - 1)
	if !g.closed(at(strange, code(100))) {
		t.Error("it opens earlier than said")
	}
	g.clock.Advance(1)
	if g.closed(at(strange, code(100))) {
		t.Error("it opens later than said")
	}
	if all := g.All(); len(all) != 1 || all[0].Closed || !all[0].Until.IsZero() {
		t.Errorf("afterwards: %+v", all)
	}
}

// TestAllAfterRestart: what was tried before is told as soon as the store was
// asked, also if it is the user who comes.
func TestAllAfterRestart(t *testing.T) {
	c := newClock()
	store := newGuessStore(c.Now)
	before := guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c}
	before.wrong(strange, 0, 10)
	c.Advance(time.Hour)
	g := guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c}
	if all := g.All(); len(all) != 0 {
		t.Errorf("%+v, and nobody came", all)
	}
	own := at(nextcloud, code(500))
	if wrong, limited := g.Begin(own, false); wrong || limited != nil {
		t.Fatal(wrong, limited)
	}
	if l := g.Elsewhere(t.Context(), own); l != nil {
		t.Fatal("where she is at home: ", l)
	}
	g.Right(own)
	all := g.All()
	if len(all) != 1 || all[0].Codes != 10 || !all[0].Closed || !all[0].Last.IsZero() || !all[0].Until.Equal(c.Now().Add(24*time.Hour)) {
		t.Errorf("%+v", all)
	}
	if a := g.Alert(own); a != guard.AllTried {
		t.Errorf("alert %v", a)
	}
}

// TestLatestGuessedComesFirst, and of those at one instant the first name.
func TestLatestGuessedComesFirst(t *testing.T) {
	g := newGuesser(t, nil)
	for _, name := range []string{"carol", "alice", "bob", "dora"} {
		for i := range 5 {
			try := at(strange, code(i))
			try.User, try.Name = name, name
			g.compare(try)
		}
		if name == "bob" {
			g.clock.Advance(time.Second)
		}
	}
	var names []string
	for _, e := range g.All() {
		names = append(names, e.Name)
	}
	if want := []string{"dora", "alice", "bob", "carol"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}

// TestAlerts: half and all are told once a day, whatever is tried.
func TestAlerts(t *testing.T) {
	g := newGuesser(t, nil)
	try := at(strange, code(0))
	if a := g.Alert(try); a != guard.Quiet {
		t.Errorf("nothing was tried: %v", a)
	}
	var got []guard.Alert
	for i := range 3 * 24 * 6 { // three days
		g.compare(at(strange, code(i)))
		if a := g.Alert(try); a != guard.Quiet {
			got = append(got, a)
		}
		g.clock.Advance(10 * time.Minute)
	}
	// From the second day on a new one takes the place of each that is a day old.
	want := []guard.Alert{guard.HalfTried, guard.AllTried, guard.AllTried, guard.AllTried}
	if !slices.Equal(got, want) {
		t.Errorf("alerts %v, want %v", got, want)
	}
}

// TestAlertOfAllAtOnce: where replicas tried the rest, there is no word of the
// half afterwards.
func TestAlertOfAllAtOnce(t *testing.T) {
	g := newGuesser(t, nil)
	g.wrong(strange, 0, 1)
	g.clock.Advance(time.Hour)
	g.wrong(strange, 1, 9)
	try := at(strange, code(0))
	if a := g.Alert(try); a != guard.AllTried {
		t.Errorf("%v", a)
	}
	g.clock.Advance(23 * time.Hour)
	if a := g.Alert(try); a != guard.Quiet {
		t.Errorf("%v, as the first is a day old", a)
	}
	if _, err := g.Forgive(t.Context(), "uuid", "1"); err != nil {
		t.Fatal(err)
	}
	g.wrong(strange, 20, 5)
	if a := g.Alert(try); a != guard.HalfTried {
		t.Errorf("%v, after it was forgiven", a)
	}
}

// TestForgivenElsewhere: what one replica forgives the other one compares again
// once it looked, also where it was closed by what it saw itself.
func TestForgivenElsewhere(t *testing.T) {
	c := newClock()
	store := newGuessStore(c.Now)
	replica := func() guesser { return guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c} }
	one, two := replica(), replica()
	one.wrong(nextcloud, 0, 10)
	two.compare(at(mailer, code(10))) // a clean home has one
	if !one.closed(at(nextcloud, code(20))) || !two.closed(at(mailer, code(20))) {
		t.Fatal("open")
	}
	if n, err := two.Forgive(t.Context(), "uuid", "1"); n != 11 || err != nil {
		t.Fatal(n, err)
	}
	if two.closed(at(mailer, code(20))) || !one.closed(at(nextcloud, code(20))) {
		t.Error("the one that forgave, or the other one before it looked")
	}
	two.wrong(strange, 30, 1) // meanwhile

	store.down.Store(true)
	one.Look(t.Context())
	if !one.closed(at(nextcloud, code(20))) {
		t.Error("open, though the store did not answer")
	}
	store.down.Store(false)
	one.Look(t.Context())
	if one.closed(at(nextcloud, code(20))) || len(one.All()) > 0 {
		t.Errorf("closed, though it was forgiven: %+v", one.All())
	}
	one.wrong(strange, 40, 9) // nine more
	if !one.closed(at(strange, code(50))) {
		t.Error("open after ten")
	}
}

// TestLookLearns: what is tried at one replica the other one tells of, if it
// knows the user.
func TestLookLearns(t *testing.T) {
	c := newClock()
	store := newGuessStore(c.Now)
	replica := func() guesser { return guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c} }
	one, two := replica(), replica()
	one.wrong(nextcloud, 0, 1)
	c.Advance(time.Hour)
	two.wrong(strange, 1, 9)
	if all := one.All(); len(all) != 0 {
		t.Errorf("before it looked: %+v", all)
	}
	one.Look(t.Context())
	all := one.All()
	if len(all) != 1 || all[0].Codes != 10 || !all[0].Closed || !all[0].Until.Equal(c.Now().Add(24*time.Hour)) {
		t.Errorf("%+v", all)
	}
	c.Advance(time.Hour)
	one.Look(t.Context()) // which puts off nothing
	if again := one.All(); len(again) != 1 || !again[0].Until.Equal(all[0].Until) {
		t.Errorf("%+v", again)
	}
}

// TestLookCostsNothing while nobody guesses.
func TestLookCostsNothing(t *testing.T) {
	store := newGuessStore(newClock().Now)
	g := newGuesser(t, store)
	g.Look(t.Context())
	try := at(nextcloud, code(0))
	g.Begin(try, false)
	g.Elsewhere(t.Context(), try)
	g.Right(try)
	before := store.calls
	g.Look(t.Context())
	if before != 1 || store.calls != before {
		t.Errorf("%d questions, then %d", before, store.calls-before)
	}
	newGuesser(t, nil).Look(t.Context())
}

// TestOutageEndsNothingLate: a store that is down for long keeps nobody out for
// more than a day.
func TestOutageEndsNothingLate(t *testing.T) {
	c := newClock()
	store := newGuessStore(c.Now)
	one := guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c}
	one.wrong(strange, 0, 10)
	two := guesser{t, guard.NewGuesses(store, guard.DeriveKey([]byte("key")), c.Now), c}
	two.compare(at(mailer, code(10)))
	store.down.Store(true)
	for range 24 * 60 {
		c.Advance(time.Minute)
		two.Look(t.Context())
	}
	if two.closed(at(strange, code(20))) || len(two.All()) > 0 {
		t.Errorf("%+v", two.All())
	}
}
