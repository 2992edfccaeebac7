package login

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"ldapd/internal/recent"
)

// Tracker knows the login search that is open on each connection, and the
// binds that look for theirs. There is at most one search on a connection, so
// that it needs no limit of its own. It is safe for concurrent use.
type Tracker struct {
	now func() time.Time

	mu    sync.Mutex
	last  uint64           // id given out
	conns map[uint64]*open // by connection
	ids   map[uint64]*open
	users map[user]*waiting

	refused, good recent.Map[marked, time.Time]
	strays        recent.Map[user, stray]
}

// stray is that a user's right password came without a login.
type stray struct {
	last time.Time
	left []time.Time // the latest of them, as far as they are within leftFor
}

// marked is a login of a user.
type marked struct {
	user user
	mark mark
}

// waiting is what is open of one user.
type waiting struct {
	logins  []*open
	binds   map[*underway]struct{}
	changed chan struct{} // closed when something ends

	refusals [][]*open // for each, the searches that it may be of
}

// open is an open login search. It keeps its code for as long as it is open,
// handed over or not: the bind is told by it from other logins of the user.
type open struct {
	Login
	conn   uint64
	user   user
	since  time.Time
	taken  bool // the code was handed over
	served bool // by a granted bind: not open any more

	refused bool // a wrong password came by it
	// of is the bind under way that is its own: when it came, there was no
	// other login that it could be of.
	of *underway
}

// New returns a Tracker; now may be nil for time.Now.
func New(now func() time.Time) *Tracker {
	if now == nil {
		now = time.Now
	}
	return &Tracker{
		now:     now,
		conns:   make(map[uint64]*open),
		ids:     make(map[uint64]*open),
		users:   make(map[user]*waiting),
		refused: recent.NewMap[marked, time.Time](maxMarks),
		good:    recent.NewMap[marked, time.Time](maxMarks),
		strays:  recent.NewMap[user, stray](maxMarks),
	}
}

// Searched is to be called for each search of a connection whose identity may
// read the whole tree, failed ones included, before the client is told that
// the search is done; searcher is the UUID of that identity. found is nil
// if it was no login search; one takes the place of the one before it, also if
// it found nobody. read is the UUID of the user whose entry was read: if it is
// that of the open login search, nothing changes. Every other search ends what
// was open.
func (t *Tracker) Searched(conn uint64, client netip.Addr, searcher string, found *Search, read []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.conns[conn]; l != nil {
		if string(read) == l.user.uuid {
			return
		}
		t.end(l)
	}
	if found == nil || found.User == "" {
		return
	}
	t.last++
	l := &open{
		Login: Login{ID: t.last, Name: found.Name, Code: found.Code, Searcher: searcher},
		conn:  conn,
		user:  user{client, found.Base, found.User},
		since: t.now(),
	}
	t.conns[conn] = l
	t.ids[l.ID] = l
	w := t.waiting(l.user)
	w.logins = append(w.logins, l)
}

// Rebound is to be called for each bind on a connection, whatever came of it:
// what its former identity searched for is over.
func (t *Tracker) Rebound(conn uint64) { t.Closed(conn) }

// Closed is to be called when a connection is over.
func (t *Tracker) Closed(conn uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.conns[conn]; l != nil {
		t.end(l)
	}
}

// Expects reports that a login search of the user is open, from that address.
func (t *Tracker) Expects(client netip.Addr, base, uuid string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.users[user{client, base, uuid}]
	return w != nil && len(w.logins) > 0
}

func (t *Tracker) waiting(u user) *waiting {
	w := t.users[u]
	if w == nil {
		w = &waiting{binds: make(map[*underway]struct{}), changed: make(chan struct{})}
		t.users[u] = w
	}
	return w
}

// end forgets a login search. Of several for one login it is not known which
// one served a bind, and PHP is done with its bind when it goes on: so what
// ends is one that served, if there is one.
func (t *Tracker) end(l *open) {
	if !l.served {
		if o := t.twin(l, true); o != nil {
			o.served = false
		}
	}
	delete(t.conns, l.conn)
	delete(t.ids, l.ID)
	w := t.users[l.user]
	w.logins = slices.DeleteFunc(w.logins, func(o *open) bool { return o == l })
	// A refusal may have been of this one, and then of no other.
	w.refusals = slices.DeleteFunc(w.refusals, func(of []*open) bool { return slices.Contains(of, l) })
	t.wake(l.user, w)
}

// wake tells the binds of a user that something changed, and forgets the user
// if nothing is left.
func (t *Tracker) wake(u user, w *waiting) {
	close(w.changed)
	w.changed = make(chan struct{})
	if len(w.logins) == 0 && len(w.binds) == 0 {
		delete(t.users, u)
	}
}

// twin finds a search for the same login, which may be the one given, that
// served a bind, or that did not.
func (t *Tracker) twin(l *open, served bool) *open {
	for _, o := range t.users[l.user].logins {
		if o.served == served && o.Same(l.Login) {
			return o
		}
	}
	return nil
}
