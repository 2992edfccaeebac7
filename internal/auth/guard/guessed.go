package guard

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Guessed is a user whose password somebody has who does not have his codes.
type Guessed struct {
	Name string
	// Codes are the wrong ones within a day, which replicas know of as well.
	Codes int
	// First and Last are when the first and the last of them came that this
	// process saw; zero: it saw none.
	First, Last time.Time
	Homes       []string  // where those were tried, sorted
	Closed      bool      // no more are compared there
	Until       time.Time // until then, at the latest, if it is closed
}

// All returns the users for whom half of what may be tried was, or more, the
// latest first. Of what was tried before this process began it knows once
// somebody tries again.
func (g *Guesses) All() []Guessed {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []Guessed
	now := g.now()
	g.users.All(func(_ Digest, u *guessed) bool {
		u.expire(now)
		n := u.total()
		if 2*n < guessesADay {
			return true
		}
		e := Guessed{Name: u.name, Codes: n, Closed: n >= guessesADay, Until: u.until()}
		if len(u.all) > 0 {
			e.First, e.Last = u.all[0].at, u.all[len(u.all)-1].at
		}
		for i := range u.all {
			e.Homes = append(e.Homes, u.all[i].place)
		}
		slices.Sort(e.Homes)
		e.Homes = slices.Compact(e.Homes)
		all = append(all, e)
		return true
	})
	slices.SortFunc(all, func(a, b Guessed) int {
		if c := b.Last.Compare(a.Last); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all
}

// until returns by when so many will be a day old that further ones are
// compared; zero: they are now.
func (u *guessed) until() time.Time {
	n := u.total()
	switch {
	case n < guessesADay:
		return time.Time{}
	case n == len(u.all):
		return u.all[n-guessesADay].at.Add(guessWindow)
	}
	last := u.grown // nobody knows when those of others came, but not later
	if len(u.all) > 0 && u.all[len(u.all)-1].at.After(last) {
		last = u.all[len(u.all)-1].at
	}
	return last.Add(guessWindow)
}

// Alert is what an administrator should hear about a user.
type Alert int

const (
	Quiet     Alert = iota
	HalfTried       // half of what may be tried in a day was
	AllTried        // all of it was
)

// Alert returns what should be said after a code was tried: each once a day.
func (g *Guesses) Alert(t Try) Alert {
	user := g.user(t.User, t.Stamp)
	g.mu.Lock()
	defer g.mu.Unlock()
	u, _ := g.users.Get(user)
	if u == nil {
		return Quiet
	}
	now := g.now()
	u.expire(now)
	a := Quiet
	switch n := u.total(); {
	case n >= guessesADay:
		a = AllTried
	case 2*n >= guessesADay:
		a = HalfTried
	}
	if a == Quiet || now.Sub(u.warned[a]).Abs() < guessWindow {
		return Quiet
	}
	for i := HalfTried; i <= a; i++ {
		u.warned[i] = now
	}
	return a
}

// Forgive lets codes of a user be tried anew, as when an administrator says so.
// It returns how many wrong ones are forgotten. Other replicas know when they
// Look the next time.
func (g *Guesses) Forgive(ctx context.Context, user, stamp string) (n int, err error) {
	key := g.user(user, stamp)
	g.mu.Lock()
	if u, ok := g.users.Get(key); ok {
		u.expire(g.now())
		n = u.total()
	}
	g.users.Delete(key)
	g.mu.Unlock()
	if g.store == nil {
		return n, nil
	}
	if m, _, err := g.store.Guessed(ctx, key, Digest{}, guessWindow); err == nil {
		n = max(n, m)
	}
	return n, g.store.Forgive(ctx, key)
}

// Look asks the store about those users for whom it knew of codes, so that what
// is tried or forgiven at other replicas is known here. Call it every minute.
func (g *Guesses) Look(ctx context.Context) {
	if g.store == nil {
		return
	}
	users := make(map[Digest]*guessed)
	g.mu.Lock()
	g.users.All(func(key Digest, u *guessed) bool {
		if u.shared > 0 {
			users[key] = u
		}
		return true
	})
	g.mu.Unlock()
	for key, u := range users {
		if g.look(ctx, key, u) != nil {
			return // it would be long until the last one failed
		}
	}
}

// look asks the store about a user. If it knows of fewer than it was told of,
// it forgot the oldest: somebody forgave them.
func (g *Guesses) look(ctx context.Context, user Digest, u *guessed) error {
	isTold := func(o guess) bool { return o.told }
	g.mu.Lock()
	now := g.now()
	u.expire(now)
	u.asked = now
	known, told := u.known, 0
	for i := range u.all {
		if isTold(u.all[i]) {
			told++
		}
	}
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	n, _, err := g.store.Guessed(ctx, user, Digest{}, guessWindow)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !u.known.Equal(known) {
		return nil // it said more meanwhile
	}
	for gone := told - n; gone > 0; gone-- {
		if i := slices.IndexFunc(u.all, isTold); i >= 0 {
			u.all = slices.Delete(u.all, i, i+1)
		}
	}
	if n == 0 {
		u.warned = [AllTried + 1]time.Time{}
	}
	u.share(n, now)
	return nil
}

// share takes over how many the store knows of.
func (u *guessed) share(n int, now time.Time) {
	if n > u.shared {
		u.grown = now
	}
	u.shared, u.asked, u.known = n, now, now
}
