// Package pairing joins the two halves of a login through Nextcloud, which
// come on two connections from one address: a login search on that of the
// service account, and then, on a new one, the bind of the user whom the
// search found. While that bind is in flight, the first connection is still
// there and has done nothing since its login search but base reads of that
// user's entry. So no time decides what belongs together.
package login

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"ldapd/internal/bind"
	"ldapd/internal/search"
)

// codeLife is how long after its login search a code may be handed over.
const codeLife = 30 * time.Second

// Tracker knows the login search that is open on each connection. There is at
// most one, so that it needs no limit of its own. It is safe for concurrent
// use.
type Tracker struct {
	now func() time.Time

	mu    sync.Mutex
	last  uint64            // id given out
	conns map[uint64]*login // by connection
	ids   map[uint64]*login
	users map[user][]*login
}

var _ bind.Logins = (*Tracker)(nil)

// user is whose bind, from where, a login search waits for.
type user struct {
	client     netip.Addr
	base, uuid string
}

// login is an open login search. It keeps its code for as long as it is open,
// handed over or not: the bind is told by it from other logins of the user.
type login struct {
	bind.Login
	conn  uint64
	user  user
	since time.Time
	taken bool

	served bool // by a granted bind: not open any more
}

// New returns a Tracker; now may be nil for time.Now.
func New(now func() time.Time) *Tracker {
	if now == nil {
		now = time.Now
	}
	return &Tracker{
		now:   now,
		conns: make(map[uint64]*login),
		ids:   make(map[uint64]*login),
		users: make(map[user][]*login),
	}
}

// Searched is to be called for each search of a connection whose identity may
// read the whole tree, failed ones included, before the client is told that
// the search is done. A login search takes the place of the one before it,
// also if it found nobody. A read of the user's entry changes nothing, and
// every other search ends what was open.
func (t *Tracker) Searched(conn uint64, client netip.Addr, r search.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.conns[conn]; l != nil {
		if r.Login == nil && len(r.Read) > 0 && string(r.Read) == l.user.uuid {
			return
		}
		t.end(l)
	}
	if r.Login == nil || r.Login.User == "" {
		return
	}
	t.last++
	l := &login{
		Login: bind.Login{ID: t.last, Name: r.Login.Name, Code: r.Login.Code},
		conn:  conn,
		user:  user{client, r.Login.Base, r.Login.User},
		since: t.now(),
	}
	t.conns[conn] = l
	t.ids[l.ID] = l
	t.users[l.user] = append(t.users[l.user], l)
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

// end forgets a login search. Of several for one login it is not known which
// one served a bind, and PHP is done with its bind when it goes on: so what
// ends is one that served, if there is one.
func (t *Tracker) end(l *login) {
	if o := t.twin(l, true); o != nil && !l.served {
		o.served = false
	}
	delete(t.conns, l.conn)
	delete(t.ids, l.ID)
	others := slices.DeleteFunc(t.users[l.user], func(o *login) bool { return o == l })
	if len(others) == 0 {
		delete(t.users, l.user)
		return
	}
	t.users[l.user] = others
}

// Open implements bind.Logins. The oldest comes first.
func (t *Tracker) Open(client netip.Addr, base, uuid string) []bind.Login {
	t.mu.Lock()
	defer t.mu.Unlock()
	var open []bind.Login
	for _, l := range t.users[user{client, base, uuid}] {
		if !l.served {
			open = append(open, l.Login)
		}
	}
	return open
}

// Take implements bind.Logins. A code is too old 30 s after its search.
func (t *Tracker) Take(id uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.ids[id]
	switch {
	case l == nil, l.Code == "", l.taken, t.now().Sub(l.since) > codeLife:
		return false
	case l.served && t.twin(l, false) == nil: // no bind is waited for
		return false
	}
	l.taken = true
	return true
}

// Return implements bind.Logins.
func (t *Tracker) Return(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.ids[id]; l != nil {
		l.taken = false
	}
}

// Served implements bind.Logins.
func (t *Tracker) Served(id uint64) bool {
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
	return true
}

// twin finds another search for the same login, one that was served or not.
func (t *Tracker) twin(l *login, served bool) *login {
	for _, o := range t.users[l.user] {
		if o != l && o.served == served && o.Same(l.Login) {
			return o
		}
	}
	return nil
}
