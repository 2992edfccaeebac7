package login

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"ldapd/internal/bind"
	"ldapd/internal/search"
	"ldapd/internal/secret"
)

var (
	here  = netip.MustParseAddr("192.0.2.1")
	there = netip.MustParseAddr("192.0.2.2")
)

func found(user, name, code string) search.Result {
	return search.Result{Login: &search.Login{Name: name, Code: secret.String(code), Base: "dc=x", User: user}}
}

func read(user string) search.Result { return search.Result{Read: []byte(user)} }

func names(logins []bind.Login) (out []string) {
	for _, l := range logins {
		out = append(out, l.Name+"/"+string(l.Code))
	}
	return out
}

func TestOpen(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(t *Tracker)
		want string // empty: the search is not open any more
	}{
		{"nothing", func(*Tracker) {}, "bob/123456"},
		{"read of the user", func(t *Tracker) { t.Searched(1, here, read("bob")) }, "bob/123456"},
		{"read of somebody else", func(t *Tracker) { t.Searched(1, here, read("eve")) }, ""},
		{"another search", func(t *Tracker) { t.Searched(1, here, search.Result{}) }, ""},
		{"another search elsewhere", func(t *Tracker) { t.Searched(2, here, search.Result{}) }, "bob/123456"},
		{"same login search", func(t *Tracker) { t.Searched(1, here, found("bob", "bob", "123456")) }, "bob/123456"},
		{"login search without a code", func(t *Tracker) { t.Searched(1, here, found("bob", "BOB", "")) }, "BOB/"},
		{"login search for somebody else", func(t *Tracker) { t.Searched(1, here, found("eve", "eve", "")) }, ""},
		{"login search for nobody", func(t *Tracker) { t.Searched(1, here, found("", "ghost", "")) }, ""},
		{"bind on the connection", func(t *Tracker) { t.Rebound(1) }, ""},
		{"bind on another", func(t *Tracker) { t.Rebound(2) }, "bob/123456"},
		{"end of the connection", func(t *Tracker) { t.Closed(1) }, ""},
		{"end of another", func(t *Tracker) { t.Closed(2) }, "bob/123456"},
		{"bind granted", func(t *Tracker) { t.Served(1) }, ""},
		{"bind granted for another", func(t *Tracker) { t.Served(2) }, "bob/123456"},
		{"code taken", func(t *Tracker) { t.Take(1) }, "bob/123456"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := New(nil)
			tr.Searched(1, here, found("bob", "bob", "123456"))
			tt.then(tr)
			var want []string
			if tt.want != "" {
				want = []string{tt.want}
			}
			if got := names(tr.Open(here, "dc=x", "bob")); !slices.Equal(got, want) {
				t.Errorf("open: %q, want %q", got, want)
			}
			if tr.Open(there, "dc=x", "bob") != nil || tr.Open(here, "dc=y", "bob") != nil || tr.Open(netip.Addr{}, "dc=x", "bob") != nil {
				t.Error("open for another address or tree")
			}
			for conn := range uint64(3) {
				tr.Closed(conn)
			}
			if len(tr.conns)+len(tr.ids)+len(tr.users) > 0 {
				t.Errorf("left behind: %d, %d, %d", len(tr.conns), len(tr.ids), len(tr.users))
			}
		})
	}
}

// The bind must see all logins of the user that it may belong to.
func TestOpenOnSeveralConnections(t *testing.T) {
	tr := New(nil)
	tr.Searched(1, here, found("bob", "bob", "111111"))
	tr.Searched(2, here, found("bob", "bob", ""))
	tr.Searched(3, there, found("bob", "bob", "333333"))
	tr.Searched(4, here, found("eve", "eve", "444444"))
	if got := names(tr.Open(here, "dc=x", "bob")); !slices.Equal(got, []string{"bob/111111", "bob/"}) {
		t.Errorf("open: %q", got)
	}
	tr.Served(1)
	if got := names(tr.Open(here, "dc=x", "bob")); !slices.Equal(got, []string{"bob/"}) {
		t.Errorf("open: %q", got)
	}
}

func TestTake(t *testing.T) {
	now := time.Unix(0, 0)
	tr := New(func() time.Time { return now })
	take := func(what string, id uint64, want bool) {
		t.Helper()
		if got := tr.Take(id); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	take("what is not there", 1, false)
	tr.Searched(1, here, found("bob", "bob", "123456"))
	take("a code", 1, true)
	take("a code again", 1, false)
	tr.Return(1)
	take("a code given back", 1, true)
	tr.Searched(1, here, found("bob", "bob", "123456"))
	take("a code of a search that was replaced", 1, false)
	tr.Return(1)
	take("the same, given back", 1, false)
	now = now.Add(codeLife)
	take("a code in time", 2, true)
	tr.Return(2)
	now = now.Add(1)
	take("a code too late", 2, false)
	tr.Searched(1, here, found("bob", "bob", "123456"))
	tr.Served(3)
	take("a code after the bind", 3, false)
	tr.Searched(1, here, found("bob", "bob", ""))
	take("no code", 4, false)
}

// model is the definition, written down: it keeps all that ever happened.
type model struct {
	now    time.Time
	events map[uint64][]event // by connection
	served map[group]int      // granted binds that the searches of today answer for
}

// group is what makes searches the same login.
type group struct {
	client     netip.Addr
	user, code string
}

func (e *event) group() group { return group{e.client, e.res.Login.User, string(e.res.Login.Code)} }

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

type event struct {
	res    search.Result
	id     uint64
	client netip.Addr
	at     time.Time
	over   bool // closed or bound anew
}

// open returns the login search that is open on a connection.
func (m *model) open(conn uint64) *event {
	events := m.events[conn]
	for i := len(events) - 1; i >= 0; i-- {
		e := &events[i]
		if e.over || e.res.Login == nil && e.res.Read == nil {
			return nil
		}
		if e.res.Login == nil {
			continue
		}
		for _, since := range events[i+1:] {
			if string(since.res.Read) != e.res.Login.User {
				return nil
			}
		}
		if e.res.Login.User == "" {
			return nil
		}
		return e
	}
	return nil
}

func TestAgainstModel(t *testing.T) {
	users := []string{"bob", "eve", ""}
	clients := []netip.Addr{here, there}
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		m := &model{now: time.Unix(0, 0), events: map[uint64][]event{}, served: map[group]int{}}
		tr := New(func() time.Time { return m.now })
		taken := map[uint64]bool{}
		var last uint64
		for step := range 300 {
			conn := rnd.Uint64N(4)
			client := clients[conn%2]
			user := users[rnd.IntN(3)]
			e := event{client: client, at: m.now}
			before := map[uint64]group{}
			for id, l := range m.live() {
				before[id] = l.group()
			}
			what := rnd.IntN(9)
			switch what {
			case 0, 1:
				e.res = found(user, user, []string{"", "123456"}[rnd.IntN(2)])
				if user != "" {
					last++
					e.id = last
				}
				tr.Searched(conn, client, e.res)
				m.events[conn] = append(m.events[conn], e)
			case 2, 3:
				e.res = read(users[rnd.IntN(2)])
				tr.Searched(conn, client, e.res)
				m.events[conn] = append(m.events[conn], e)
			case 4:
				tr.Searched(conn, client, e.res)
				m.events[conn] = append(m.events[conn], e)
			case 5:
				e.over = true
				if rnd.IntN(2) == 0 {
					tr.Closed(conn)
				} else {
					tr.Rebound(conn)
				}
				m.events[conn] = append(m.events[conn], e)
			case 6:
				m.now = m.now.Add(time.Duration(rnd.IntN(20)) * time.Second)
			case 7, 8:
				id := last - min(last, rnd.Uint64N(4))
				of := m.live()[id]
				switch rnd.IntN(4) {
				case 0:
					want := of != nil && m.waits(of.group()) > 0
					if got := tr.Served(id); got != want {
						t.Fatalf("seed %d, step %d: Served(%d) = %v, want %v", seed, step, id, got, want)
					}
					if want {
						m.served[of.group()]++
					}
				case 1:
					tr.Return(id)
					taken[id] = false
				default:
					want := of != nil && m.waits(of.group()) > 0 && of.res.Login.Code != "" && !taken[id] && m.now.Sub(of.at) <= 30*time.Second
					if got := tr.Take(id); got != want {
						t.Fatalf("seed %d, step %d: Take(%d) = %v, want %v", seed, step, id, got, want)
					}
					taken[id] = taken[id] || want
				}
			}
			live := m.live()
			for id, g := range before {
				if live[id] == nil && m.served[g] > 0 {
					m.served[g]-- // the one that ends is one that served
				}
			}
			for _, client := range clients {
				for _, user := range users {
					got := map[string]int{}
					for _, l := range tr.Open(client, "dc=x", user) {
						if e := live[l.ID]; e == nil || e.group() != (group{client, user, string(l.Code)}) {
							t.Fatalf("seed %d, step %d (%d): open for %s from %v: %d", seed, step, what, user, client, l.ID)
						}
						got[string(l.Code)]++
					}
					for _, code := range []string{"", "123456"} {
						if want := m.waits(group{client, user, code}); got[code] != want {
							t.Fatalf("seed %d, step %d (%d): %d open for %s %q from %v, want %d", seed, step, what, got[code], user, code, client, want)
						}
					}
				}
			}
		}
	}
}

// Each code is handed over once, whoever asks, and nothing is left when all
// connections are gone.
func TestConcurrent(t *testing.T) {
	tr := New(nil)
	var mu sync.Mutex
	handed := map[uint64]int{}
	var wg sync.WaitGroup
	for conn := range uint64(8) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(conn, 2))
			for range 2000 {
				user := fmt.Sprint("user", rnd.IntN(3))
				switch rnd.IntN(4) {
				case 0:
					tr.Searched(conn, here, found(user, user, "123456"))
				case 1:
					tr.Searched(conn, here, read(user))
				case 2:
					tr.Closed(conn)
				}
				for _, l := range tr.Open(here, "dc=x", user) {
					if l.Name != user {
						t.Errorf("open for %s: %s", user, l.Name)
					}
					if tr.Take(l.ID) {
						mu.Lock()
						handed[l.ID]++
						mu.Unlock()
					}
					if rnd.IntN(3) == 0 {
						tr.Served(l.ID)
					}
				}
			}
			tr.Closed(conn)
		})
	}
	wg.Wait()
	for id, n := range handed {
		if n > 1 {
			t.Errorf("code %d was handed over %d times", id, n)
		}
	}
	if len(handed) == 0 {
		t.Error("no code was handed over")
	}
	if len(tr.conns)+len(tr.ids)+len(tr.users) > 0 {
		t.Error("something is left behind")
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{0, 1000} {
		tr := New(nil)
		for i := range n {
			tr.Searched(uint64(i), here, found(fmt.Sprint("user", i), "name", ""))
		}
		for _, user := range []string{"nobody", "user1"} {
			b.Run(fmt.Sprintf("%s of %d", user, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					tr.Open(here, "dc=x", user)
				}
			})
		}
		b.Run(fmt.Sprintf("search beside %d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tr.Searched(1<<20, here, search.Result{})
			}
		})
	}
}
