package login

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// model is the definition, written down: it keeps all that ever happened.
type model struct {
	now     time.Time
	events  map[uint64][]event // by connection
	served  map[group]int      // granted binds that the searches of today answer for
	granted map[group]time.Time
	refused map[group]time.Time
	spent   map[uint64]bool // searches by which a wrong password came

	refusals []map[uint64]bool // for each, the searches that it may be of

	binds  []*modelBind
	strays []modelStray
}

// group is what makes searches the same login.
type group struct {
	client               netip.Addr
	user, code, searcher string
}

type event struct {
	found    *Search
	read     string
	id       uint64
	client   netip.Addr
	searcher string
	at       time.Time
	over     bool // closed or bound anew
}

func (e *event) group() group {
	return group{e.client, e.found.User, string(e.found.Code), e.searcher}
}

// modelBind is a bind under way.
type modelBind struct {
	handles []*Bind // of those who answer it, and have not ended it
	client  netip.Addr
	user    string
	last    uint64
	began   time.Time
	right   bool
	changed <-chan struct{}
	saw     string
}

type modelStray struct {
	client netip.Addr
	user   string
	at     time.Time
}

// open returns the login search that is open on a connection.
func (m *model) open(conn uint64) *event {
	events := m.events[conn]
	for i := len(events) - 1; i >= 0; i-- {
		e := &events[i]
		if e.over || e.found == nil && e.read == "" {
			return nil
		}
		if e.found == nil {
			continue
		}
		for _, since := range events[i+1:] {
			if since.read != e.found.User {
				return nil
			}
		}
		if e.found.User == "" {
			return nil
		}
		return e
	}
	return nil
}

// live returns the login searches that did not end, by id.
func (m *model) live() map[uint64]*event {
	all := map[uint64]*event{}
	for conn := range m.events {
		if e := m.open(conn); e != nil {
			all[e.id] = e
		}
	}
	return all
}

// waits returns how many binds are waited for.
func (m *model) waits(g group) int {
	n := -m.served[g]
	for _, e := range m.live() {
		if e.group() == g {
			n++
		}
	}
	return n
}

// sees returns between how many and how many searches for a login a bind sees,
// if it sees those that are refused: which ones are served is not for the model
// to say.
func (m *model) sees(b *modelBind, g group) (least, most int) {
	early, late := 0, 0
	for _, e := range m.live() {
		switch {
		case e.group() != g:
		case e.id <= b.last:
			early++
		default:
			late++
		}
	}
	n := m.waits(g)
	return max(0, n-late), min(n, early)
}

// isRefused reports that a wrong password came by a login of late.
func (m *model) isRefused(g group) bool {
	at, ok := m.refused[g]
	return ok && m.now.Sub(at) < 30*time.Second
}

// refuse is a wrong password of a bind that came now. It is of a login that was
// refused before and comes again, else of one that may still have its bind to
// come.
func (m *model) refuse(client netip.Addr, user string) {
	of := map[uint64]bool{}
	for _, id := range slices.Sorted(maps.Keys(m.live())) {
		g := m.live()[id].group()
		if g.client != client || g.user != user || !m.mayBeRefused(id) {
			continue
		}
		if m.isRefused(g) {
			of = map[uint64]bool{id: true}
			break
		}
		of[id] = true
	}
	m.refusals = append(m.refusals, of)
	m.attribute()
}

func (m *model) mayBeRefused(id uint64) bool {
	e := m.live()[id]
	if e == nil || m.spent[id] {
		return false
	}
	at, ok := m.granted[e.group()]
	return !ok || m.now.Sub(at) >= 24*time.Hour
}

// attribute finds the logins that refusals must be of.
func (m *model) attribute() {
	for _, of := range m.refusals {
		all := map[group]bool{}
		for id := range of {
			if !m.mayBeRefused(id) {
				delete(of, id)
				continue
			}
			all[m.live()[id].group()] = true
		}
		for g := range all {
			if len(all) == 1 {
				m.refused[g] = m.now
				m.spent[slices.Min(slices.Collect(maps.Keys(of)))] = true
				clear(of)
			}
		}
	}
}

// ended forgets the refusals that may have been of a search that is over.
func (m *model) ended(id uint64) {
	m.refusals = slices.DeleteFunc(m.refusals, func(of map[uint64]bool) bool { return of[id] })
}

// rivals counts those that went without a login since the bind came, as far as
// they were remembered when the last one did.
func (m *model) rivals(b *modelBind) (n int) {
	var last time.Time
	for _, s := range slices.Backward(m.strays) {
		if s.client != b.client || s.user != b.user {
			continue
		}
		if last.IsZero() {
			last = s.at
		}
		if s.at.After(b.began) && last.Sub(s.at) < leftFor {
			n++
		}
	}
	n = min(n, maxLeft)
	for _, o := range m.binds {
		if o != b && o.right && o.client == b.client && o.user == b.user {
			n++
		}
	}
	return n
}

func (m *model) hasStrays(b *modelBind) bool {
	for _, s := range m.strays {
		if s.client == b.client && s.user == b.user && m.now.Sub(s.at) < 7*24*time.Hour {
			return true
		}
	}
	return false
}

// world is the model beside what it is a model of.
type world struct {
	*model
	t     *testing.T
	tr    *Tracker
	rnd   *rand.Rand
	taken map[uint64]bool
	last  uint64
}

var (
	modelUsers   = []string{"bob", "eve", ""}
	modelClients = []netip.Addr{here, there}
	modelCodes   = []string{"", "123456"}
	searchers    = []string{"nc", "wiki"}
)

func TestAgainstModel(t *testing.T) {
	for seed := range uint64(50) {
		w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), taken: map[uint64]bool{}, model: &model{
			now: time.Unix(0, 0), events: map[uint64][]event{}, served: map[group]int{},
			granted: map[group]time.Time{}, refused: map[group]time.Time{}, spent: map[uint64]bool{},
		}}
		w.tr = New(func() time.Time { return w.now })
		for step := range 300 {
			before := map[uint64]group{}
			for id, l := range w.live() {
				before[id] = l.group()
			}
			clock := w.now
			what := w.step()
			for id, g := range before {
				if w.live()[id] != nil {
					continue
				}
				w.ended(id)
				if w.served[g] > 0 {
					w.served[g]-- // the one that ends is one that served
				}
			}
			w.compare(w.now.Equal(clock))
			if t.Failed() {
				t.Fatalf("seed %d, step %d: %s", seed, step, what)
			}
		}
		for _, b := range w.binds {
			for _, h := range b.handles {
				h.End()
			}
		}
		for conn := range uint64(4) {
			w.tr.Closed(conn)
		}
		empty(t, w.tr)
	}
}

// step has something happen.
func (w *world) step() string {
	conn := w.rnd.Uint64N(4)
	client := modelClients[conn%2]
	user := modelUsers[w.rnd.IntN(3)]
	e := event{client: client, at: w.now, searcher: searchers[w.rnd.IntN(2)]}
	switch w.rnd.IntN(16) {
	case 0, 1, 2:
		name := user
		if w.rnd.IntN(2) == 0 {
			name = strings.ToUpper(user) // it is the same name
		}
		e.found = found(user, name, modelCodes[w.rnd.IntN(2)])
		if user != "" {
			w.last++
			e.id = w.last
		}
		w.searched(conn, e)
		return "login search"
	case 3:
		e.read = modelUsers[w.rnd.IntN(2)]
		w.searched(conn, e)
		return "read"
	case 4:
		w.searched(conn, e)
		return "another search"
	case 5:
		e.over = true
		if w.rnd.IntN(2) == 0 {
			w.tr.Closed(conn)
		} else {
			w.tr.Rebound(conn)
		}
		w.events[conn] = append(w.events[conn], e)
		return "end"
	case 6:
		w.now = w.now.Add([]time.Duration{time.Millisecond, 300 * time.Millisecond, 7 * time.Second}[w.rnd.IntN(3)])
		if w.rnd.IntN(5) == 0 { // which search was served long ago is not for the model to say: none is open
			for conn := range uint64(4) {
				w.tr.Closed(conn)
				w.events[conn] = nil
			}
			w.now = w.now.Add(13 * time.Hour)
		}
		return "time"
	case 7, 8:
		b := w.tr.Begin(w.tr.Arrive(), client, "dc=x", user)
		w.binds = append(w.binds, &modelBind{handles: []*Bind{b}, client: client, user: user, last: w.last, began: w.now})
		return "bind"
	case 9:
		b := w.tr.Begin(w.tr.Arrive(), client, "dc=x", user)
		b.Refused()
		b.End()
		w.refuse(client, user)
		return "wrong password"
	case 10:
		b := w.tr.Begin(w.tr.Arrive(), client, "dc=x", user)
		b.Stray()
		b.End()
		w.strays = append(w.strays, modelStray{client, user, w.now})
		return "right password without a login"
	case 11, 12, 13:
		return w.grant(client)
	}
	if len(w.binds) == 0 {
		return "nothing"
	}
	i := w.rnd.IntN(len(w.binds))
	b := w.binds[i]
	switch w.rnd.IntN(3) {
	case 0:
		b.handles[0].Right()
		b.right = true
		return "right password"
	case 1:
		b.handles = append(b.handles, b.handles[0].Again())
		return "again"
	}
	for range 1 + w.rnd.IntN(2) {
		b.handles[0].End()
	}
	if b.handles = b.handles[1:]; len(b.handles) == 0 {
		w.binds = append(w.binds[:i:i], w.binds[i+1:]...)
	}
	return "end of a bind"
}

func (w *world) searched(conn uint64, e event) {
	w.tr.Searched(conn, e.client, e.searcher, e.found, []byte(e.read))
	w.events[conn] = append(w.events[conn], e)
}

// grant has a bind take and serve a search that there may be.
func (w *world) grant(client netip.Addr) string {
	id := w.last - min(w.last, w.rnd.Uint64N(4))
	of := w.live()[id]
	user := "bob"
	if of != nil {
		client, user = of.client, of.found.User
	}
	b := w.tr.Begin(w.tr.Arrive(), client, "dc=x", user)
	defer b.End()
	waited := of != nil && w.waits(of.group()) > 0
	switch w.rnd.IntN(4) {
	case 0:
		if got := b.Serve(id); got != waited {
			w.t.Errorf("Serve(%d) = %v, want %v", id, got, waited)
		}
		if waited {
			w.served[of.group()]++
			w.granted[of.group()] = w.now
			delete(w.refused, of.group())
			w.attribute()
		}
		return "grant"
	case 1:
		b.Return(id)
		w.taken[id] = false
		return "return of a code"
	}
	want := waited && of.found.Code != "" && !w.taken[id] && w.now.Sub(of.at) <= 30*time.Second
	if got := b.Take(id); got != want {
		w.t.Errorf("Take(%d) = %v, want %v", id, got, want)
	}
	w.taken[id] = w.taken[id] || want
	return "code taken"
}

// compare looks at what binds see: each that is under way, and one for each
// user and client that comes now.
func (w *world) compare(timeStood bool) {
	live := w.live()
	now := []*modelBind{}
	for _, client := range modelClients {
		for _, user := range modelUsers {
			now = append(now, &modelBind{handles: []*Bind{w.tr.Begin(w.tr.Arrive(), client, "dc=x", user)}, client: client, user: user, last: w.last, began: w.now})
			want := 0
			for _, e := range live {
				if e.client == client && e.found.User == user {
					want++
				}
			}
			if got := w.tr.Expects(client, "dc=x", user); got != (want > 0) {
				w.t.Errorf("Expects(%s, %s) = %v, want %v", client, user, got, want > 0)
			}
		}
	}
	for _, b := range append(now, w.binds...) {
		h := b.handles[w.rnd.IntN(len(b.handles))]
		all, changed := h.Logins()
		got := map[group]int{}
		saw := ""
		for _, l := range all {
			e := live[l.ID]
			if e == nil || l.ID > b.last {
				w.t.Fatalf("the bind of %s from %v sees %d, which it cannot", b.user, b.client, l.ID)
			}
			if g := (group{b.client, b.user, string(l.Code), l.Searcher}); e.group() != g || e.found.Name != l.Name {
				w.t.Errorf("the bind of %s from %v sees %v", b.user, b.client, e.group())
			}
			if want := b.began.Sub(e.at) < time.Second; l.Fresh != want {
				w.t.Errorf("login %d is fresh: %v, want %v", l.ID, l.Fresh, want)
			}
			got[e.group()]++
			saw += " " + l.Name + string(l.Code) + l.Searcher
		}
		may := 0
		others := false // that are not refused
		for g := range got {
			others = others || !w.isRefused(g)
		}
		for _, code := range modelCodes {
			for _, searcher := range searchers {
				g := group{b.client, b.user, code, searcher}
				least, most := w.sees(b, g)
				if others && w.isRefused(g) {
					least, most = 0, 0
				}
				// What is another bind's own, or not fresh, may be left out;
				// but not everything.
				may += least
				if got[g] > most {
					w.t.Errorf("the bind sees %d of %v, want %d at most", got[g], g, most)
				}
			}
		}
		if may > 0 && len(all) == 0 {
			w.t.Errorf("the bind of %s from %v sees nothing of %d", b.user, b.client, may)
		}
		// This is a new one for each of those that come now.
		if b.changed != nil && timeStood && saw != b.saw && !isClosed(b.changed) {
			w.t.Errorf("the bind saw%s and sees%s, and was not told", b.saw, saw)
		}
		b.changed, b.saw = changed, saw
		if got, want := h.Rivals(), w.rivals(b); got > want { // where both have a login they are none
			w.t.Errorf("%d rivals, want %d at most", got, want)
		}
		if got, want := h.Strays(), w.hasStrays(b); got != want {
			w.t.Errorf("strays: %v, want %v", got, want)
		}
	}
	for _, b := range now {
		b.handles[0].End()
	}
}
