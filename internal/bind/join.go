package bind

import (
	"context"
	"sync/atomic"
	"time"

	"ldapd/internal/login"
	"ldapd/internal/policy"
)

// joining looks for the login search that a bind belongs to, from when it has
// to be known until the bind is over.
type joining struct {
	p      *Pipeline
	w      who
	at     place
	came   login.Arrival
	bind   *login.Bind   // nil: nobody has looked yet
	waited time.Duration // for others to finish
	right  *atomic.Bool  // the password of the bind is, as whoever answers it found
}

// joining returns what finds the login searches of a user's bind, which comes
// now; end it.
func (p *Pipeline) joining(w who, at place) *joining {
	j := &joining{p: p, w: w, at: at, right: new(atomic.Bool)}
	if p.Logins != nil {
		j.came = p.Logins.Arrive()
		if w.known && p.Logins.Expects(at.addr, w.account.Base, w.account.UUID) {
			j.look() // which one can only be its own
		}
	}
	return j
}

// again is the same for another who answers the bind; end both.
func (j *joining) again() *joining {
	again := *j
	if j.bind != nil {
		again.bind = j.bind.Again()
	}
	return &again
}

func (j *joining) end() {
	if j.bind != nil {
		j.bind.End()
	}
}

// look finds the login searches that the bind may belong to. changed is closed
// when there may be others; nil if that cannot be.
func (j *joining) look() (open []login.Login, changed <-chan struct{}) {
	p := j.p
	if p.Logins == nil || !j.w.known {
		return nil, nil
	}
	if j.bind == nil {
		j.bind = p.Logins.Begin(j.came, j.at.addr, j.w.account.Base, j.w.account.UUID)
	}
	return j.bind.Logins()
}

// logins is look in the terms of policy, for a bind whose password is right.
func (j *joining) logins() (in *policy.Logins, open []login.Login, changed <-chan struct{}) {
	open, changed = j.look()
	if j.bind == nil {
		return new(policy.Logins), nil, nil
	}
	j.isRight()
	in = &policy.Logins{Open: groups(open), Rivals: j.bind.Rivals(), Strays: j.bind.Strays(), Waited: j.waited}
	for i, l := range open {
		in.Open[i].Home = policy.HomeOfSearch(l.Searcher)
		if l.Code != "" && j.p.Book != nil {
			in.Open[i].Codes = j.p.Book.Codes(j.w.key, l.Code)
		}
	}
	return in, open, changed
}

// wait waits until the login searches change, for a time at most. How long it
// waited goes by no clock that may be set.
func (j *joining) wait(ctx context.Context, d time.Duration, changed <-chan struct{}) error {
	asleep, wake := context.WithCancel(ctx)
	defer wake()
	go func() {
		select {
		case <-changed:
			wake()
		case <-asleep.Done():
		}
	}()
	began := time.Now()
	err := j.p.Sleep(asleep, d)
	switch {
	case err == nil:
		j.waited += d
	case ctx.Err() != nil:
		return undetermined(err)
	default:
		j.waited += min(time.Since(began), d)
	}
	return nil
}

// serve says that the bind is granted for a login search, which is then over.
// It is false if another bind was faster.
func (j *joining) serve(open []login.Login, one int) bool {
	_, ok := anyOf(open, one, j.bind.Serve)
	return ok
}

// anyOf does something with a login search, or with another one for the same
// login if that was in vain. It returns with which.
func anyOf(open []login.Login, one int, do func(id uint64) bool) (id uint64, ok bool) {
	if do(open[one].ID) {
		return open[one].ID, true
	}
	for i := range open {
		if i != one && open[i].Same(open[one]) && do(open[i].ID) {
			return open[i].ID, true
		}
	}
	return 0, false
}

// isRight says that the password of the bind is right.
func (j *joining) isRight() {
	if j.bind != nil {
		j.right.Store(true)
		j.bind.Right()
	}
}

// stray says that the bind is answered without a login, though its password is
// right.
func (j *joining) stray() {
	if j.bind != nil {
		j.bind.Stray()
	}
}

// refused says that the bind was answered, and not because its password is
// right: so the login search that it belongs to waits for no other one.
func (j *joining) refused() {
	if j.right.Load() {
		return
	}
	j.look()
	if j.bind != nil {
		j.bind.Refused()
	}
}

// take hands the code of the one login over to which the bind can belong; ok is
// false if there is none, or its code is taken.
func (j *joining) take(open []login.Login, one int) (id uint64, ok bool) {
	return anyOf(open, one, j.bind.Take)
}
