package login

import (
	"net/netip"
	"slices"
	"time"

	"ldapd/internal/recent"
)

// maxLeft bounds the rivals that are remembered of a user, and the wrong
// passwords of which it is not known by which login they came.
const maxLeft = 64

// Bind is a bind under way that looks for its login search. End it.
type Bind struct {
	*underway
	ended bool
}

// underway is a bind, which several may answer.
type underway struct {
	t     *Tracker
	user  user
	last  uint64 // what was searched for later cannot be its login
	began time.Time
	rival bool  // its password is right
	own   *open // nil: it is not known
	by    int   // how many have not ended it
}

// Arrival is when a bind came.
type Arrival struct {
	last uint64 // what was searched for until then
	at   time.Time
}

// Arrive is to be called when a bind comes.
func (t *Tracker) Arrive() Arrival {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Arrival{t.last, t.now()}
}

// Begin enters a bind of a user from an address, as of when it came.
func (t *Tracker) Begin(a Arrival, client netip.Addr, base, uuid string) *Bind {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.enter(&underway{t: t, user: user{client, base, uuid}, last: a.last, began: a.at})
}

// Again is for another who answers the same bind, which is no rival of itself.
// Both must be ended.
func (b *Bind) Again() *Bind {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	return b.t.enter(b.underway)
}

func (t *Tracker) enter(u *underway) *Bind {
	u.by++
	t.waiting(u.user).binds[u] = struct{}{}
	return &Bind{underway: u}
}

// Logins returns the login searches that the bind may belong to, the oldest
// first: those that found the user, from the address, before the bind came, on
// connections that did nothing else since, less one for each granted bind that
// they served. Those that are known to be of other binds, and those by which a
// wrong password came, are left out if there are others; and if there is but
// one that it can be of, the bind has that for its own from then on. Of those
// for the same login it does not matter which. changed is closed when there may
// be others.
func (b *Bind) Logins() (all []Login, changed <-chan struct{}) {
	t := b.t
	t.mu.Lock()
	defer t.mu.Unlock()
	may := b.open()
	if own := b.own; slices.Contains(may, own) {
		may = []*open{own}
	} else {
		may = t.choose(b, may)
		if b.own = b.only(may); b.own != nil {
			b.own.of = b.underway
		}
	}
	for _, l := range may {
		o := l.Login
		o.Fresh = b.fresh(l)
		all = append(all, o)
	}
	return all, t.users[b.user].changed
}

// choose leaves out what is not fresh, and then what others have for their own
// or what was refused, if anything else is left. What a bind has whose password
// is right, or that was granted before, is not left out: it may be of both.
func (t *Tracker) choose(b *Bind, may []*open) []*open {
	if slices.ContainsFunc(may, b.fresh) {
		may = slices.DeleteFunc(may, func(l *open) bool { return !b.fresh(l) })
	}
	var free, taken, refused []*open
	for _, l := range may {
		m := marked{b.user, l.mark()}
		switch {
		case l.of != nil && !l.of.rival && !within(&t.good, m, t.now(), goodFor):
			taken = append(taken, l)
		case within(&t.refused, m, t.now(), refusedFor):
			refused = append(refused, l)
		default:
			free = append(free, l)
		}
	}
	switch {
	case len(free) > 0:
		return free
	case len(taken) > 0:
		return taken
	}
	return refused
}

// only returns the login that the bind must be of, nil if there are several, or
// it is another bind's.
func (b *Bind) only(may []*open) *open {
	var only *open
	for _, l := range may {
		if l.of != nil || only != nil && !l.Same(only.Login) {
			return nil
		}
		if only == nil {
			only = l
		}
	}
	return only
}

func (b *Bind) fresh(l *open) bool { return b.began.Sub(l.since) < freshFor }

// open returns the searches that serve no bind yet, and came before this one.
func (b *Bind) open() (all []*open) {
	for _, l := range b.t.users[b.user].logins {
		if !l.served && l.ID <= b.last {
			all = append(all, l)
		}
	}
	return all
}

func within(marks *recent.Map[marked, time.Time], m marked, now time.Time, d time.Duration) bool {
	at, _ := marks.Get(m) // or the zero time
	return now.Sub(at).Abs() < d
}

// Right says that the password of the bind is right, so that it is a rival of
// others for a login.
func (b *Bind) Right() {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	b.rival = true
}

// Rivals returns how many other binds with the right password there are that
// look for a login, unless both have one for their own, or that went without one since this one came.
func (b *Bind) Rivals() int {
	t := b.t
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.users[b.user]
	n := 0
	st, _ := t.strays.Get(b.user)
	for _, at := range st.left {
		if at.After(b.began) {
			n++
		}
	}
	for o := range w.binds {
		if o != b.underway && o.rival && (o.own == nil || b.own == nil) {
			n++
		}
	}
	return n
}

// Strays reports that the user's right password came without a login in the
// last days, so that whoever comes may be the one who waits for somebody
// else's login.
func (b *Bind) Strays() bool {
	t := b.t
	t.mu.Lock()
	defer t.mu.Unlock()
	s, _ := t.strays.Get(b.user)
	return t.now().Sub(s.last).Abs() < strayFor
}

// Take hands the code of a login search over, to one bind only. It is false if
// the code was handed over before, or is too old by now: 30 s.
func (b *Bind) Take(id uint64) bool {
	t := b.t
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.ids[id]
	switch {
	case l == nil, l.Code == "", l.taken, t.now().Sub(l.since) > codeLife:
		return false
	case t.twin(l, false) == nil: // no bind is waited for
		return false
	}
	l.taken = true
	return true
}

// Return takes a code back that the backend has not judged.
func (b *Bind) Return(id uint64) {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	if l := b.t.ids[id]; l != nil {
		l.taken = false
	}
}

// Serve says that the bind is granted for a login search, or another one for
// the same login, which therefore is no longer open. It is false if there is
// none.
func (b *Bind) Serve(id uint64) bool {
	t := b.t
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.ids[id]
	if l != nil && l.served {
		l = t.twin(l, false)
	}
	if l == nil {
		return false
	}
	l.served = true
	t.good.Put(marked{b.user, l.mark()}, t.now())
	t.refused.Delete(marked{b.user, l.mark()})
	t.attribute(l.user, t.users[l.user])
	return true
}

// Refused says that the password of the bind is wrong. A login that it must be
// of, other than those that were granted before, is no login of a bind with
// the right password for a while. If it can be of several, that is seen when
// all but one are granted.
func (b *Bind) Refused() {
	t := b.t
	t.mu.Lock()
	defer t.mu.Unlock()
	var of []*open
	may := b.open()
	if slices.Contains(may, b.own) {
		may = []*open{b.own}
	}
	for _, l := range may {
		if !t.mayBeRefused(l) {
			continue
		}
		if within(&t.refused, marked{b.user, l.mark()}, t.now(), refusedFor) {
			of = []*open{l} // it comes again
			break
		}
		of = append(of, l)
	}
	w := t.users[b.user]
	w.refusals = append(w.refusals, of)
	w.refusals = w.refusals[max(0, len(w.refusals)-maxLeft):]
	t.attribute(b.user, w)
}

// mayBeRefused reports that a wrong password may have come by a login search.
// One that served a bind was granted.
func (t *Tracker) mayBeRefused(l *open) bool {
	return !l.refused && !within(&t.good, marked{l.user, l.mark()}, t.now(), goodFor)
}

// attribute marks the logins that refusals must be of.
func (t *Tracker) attribute(u user, w *waiting) {
	for i, of := range w.refusals {
		of = slices.DeleteFunc(of, func(l *open) bool { return !t.mayBeRefused(l) })
		if w.refusals[i] = of; len(of) == 0 || slices.ContainsFunc(of, func(l *open) bool { return !l.Same(of[0].Login) }) {
			continue
		}
		w.refusals[i] = nil
		of[0].refused = true
		t.refused.Put(marked{u, of[0].mark()}, t.now())
		t.wake(u, w)
	}
	w.refusals = slices.DeleteFunc(w.refusals, func(of []*open) bool { return len(of) == 0 })
}

// Stray says that the bind, whose password is right, is answered without a
// login.
func (b *Bind) Stray() {
	t := b.t
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	s, _ := t.strays.Get(b.user)
	left := slices.DeleteFunc(append(s.left, now), func(at time.Time) bool { return now.Sub(at).Abs() >= leftFor })
	t.strays.Put(b.user, stray{now, left[max(0, len(left)-maxLeft):]})
}

// End is the end of the bind. It may be called more than once.
func (b *Bind) End() {
	t := b.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if b.ended {
		return
	}
	b.ended = true
	if b.by--; b.by > 0 {
		return
	}
	if b.own != nil {
		b.own.of = nil
	}
	w := t.users[b.user]
	delete(w.binds, b.underway)
	t.wake(b.user, w)
}
