package login

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"ldapd/internal/secret"
)

var (
	here  = netip.MustParseAddr("192.0.2.1")
	there = netip.MustParseAddr("192.0.2.2")
)

func found(user, name, code string) *Search {
	return &Search{Name: name, Code: secret.String(code), Base: "dc=x", User: user}
}

// expected returns what a bind that comes now sees.
func expected(t *Tracker, client netip.Addr, base, user string) []string {
	b := t.Begin(t.Arrive(), client, base, user)
	defer b.End()
	return seen(b)
}

// seen returns what a bind sees.
func seen(b *Bind) []string {
	all, _ := b.Logins()
	return names(all)
}

func names(logins []Login) (out []string) {
	for _, l := range logins {
		out = append(out, l.Name+"/"+string(l.Code))
	}
	return out
}

// serve says that a bind of bob's that comes now is granted.
func serve(t *Tracker, id uint64) bool {
	b := t.Begin(t.Arrive(), here, "dc=x", "bob")
	defer b.End()
	return b.Serve(id)
}

// take has a bind of bob's that comes now take a code.
func take(t *Tracker, id uint64) bool {
	b := t.Begin(t.Arrive(), here, "dc=x", "bob")
	defer b.End()
	return b.Take(id)
}

// empty fails if something is left of connections and binds that are over.
func empty(t *testing.T, tr *Tracker) {
	t.Helper()
	if len(tr.conns)+len(tr.ids)+len(tr.users) > 0 {
		t.Errorf("left behind: %d connections, %d searches, %d users", len(tr.conns), len(tr.ids), len(tr.users))
	}
}

func TestOpen(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(t *Tracker)
		want string // empty: the search is not open any more
	}{
		{"nothing", func(*Tracker) {}, "bob/123456"},
		{"read of the user", func(t *Tracker) { t.Searched(1, here, "nc", nil, []byte("bob")) }, "bob/123456"},
		{"read of somebody else", func(t *Tracker) { t.Searched(1, here, "nc", nil, []byte("eve")) }, ""},
		{"another search", func(t *Tracker) { t.Searched(1, here, "nc", nil, nil) }, ""},
		{"another search elsewhere", func(t *Tracker) { t.Searched(2, here, "nc", nil, nil) }, "bob/123456"},
		{"same login search", func(t *Tracker) { t.Searched(1, here, "nc", found("bob", "bob", "123456"), nil) }, "bob/123456"},
		{"login search without a code", func(t *Tracker) { t.Searched(1, here, "nc", found("bob", "BOB", ""), nil) }, "BOB/"},
		{"login search for somebody else", func(t *Tracker) { t.Searched(1, here, "nc", found("eve", "eve", ""), nil) }, ""},
		{"login search for nobody", func(t *Tracker) { t.Searched(1, here, "nc", found("", "ghost", ""), nil) }, ""},
		{"bind on the connection", func(t *Tracker) { t.Rebound(1) }, ""},
		{"bind on another", func(t *Tracker) { t.Rebound(2) }, "bob/123456"},
		{"end of the connection", func(t *Tracker) { t.Closed(1) }, ""},
		{"end of another", func(t *Tracker) { t.Closed(2) }, "bob/123456"},
		{"bind granted", func(t *Tracker) { serve(t, 1) }, ""},
		{"bind granted for another", func(t *Tracker) { serve(t, 2) }, "bob/123456"},
		{"code taken", func(t *Tracker) { take(t, 1) }, "bob/123456"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := New(nil)
			tr.Searched(1, here, "nc", found("bob", "bob", "123456"), nil)
			tt.then(tr)
			var want []string
			if tt.want != "" {
				want = []string{tt.want}
			}
			if got := expected(tr, here, "dc=x", "bob"); !slices.Equal(got, want) {
				t.Errorf("open: %q, want %q", got, want)
			}
			if expected(tr, there, "dc=x", "bob") != nil || expected(tr, here, "dc=y", "bob") != nil || expected(tr, netip.Addr{}, "dc=x", "bob") != nil {
				t.Error("open for another address or tree")
			}
			for conn := range uint64(3) {
				tr.Closed(conn)
			}
			empty(t, tr)
		})
	}
}

// The bind must see all logins of the user that it may belong to.
func TestOpenOnSeveralConnections(t *testing.T) {
	tr := New(nil)
	tr.Searched(1, here, "nc", found("bob", "bob", "111111"), nil)
	tr.Searched(2, here, "nc", found("bob", "bob", ""), nil)
	tr.Searched(3, there, "nc", found("bob", "bob", "333333"), nil)
	tr.Searched(4, here, "nc", found("eve", "eve", "444444"), nil)
	if got := expected(tr, here, "dc=x", "bob"); !slices.Equal(got, []string{"bob/111111", "bob/"}) {
		t.Errorf("open: %q", got)
	}
	serve(tr, 1)
	if got := expected(tr, here, "dc=x", "bob"); !slices.Equal(got, []string{"bob/"}) {
		t.Errorf("open: %q", got)
	}
}

func TestExpects(t *testing.T) {
	tr := New(nil)
	expects := func(client netip.Addr, base, user string, want bool) {
		t.Helper()
		if got := tr.Expects(client, base, user); got != want {
			t.Errorf("%s in %s from %v: %v, want %v", user, base, client, got, want)
		}
	}
	expects(here, "dc=x", "bob", false)
	b := tr.Begin(tr.Arrive(), here, "dc=x", "bob")
	expects(here, "dc=x", "bob", false) // a bind is no search
	tr.Searched(1, here, "nc", found("bob", "bob", ""), nil)
	expects(here, "dc=x", "bob", true)
	expects(there, "dc=x", "bob", false)
	expects(here, "dc=y", "bob", false)
	expects(here, "dc=x", "eve", false)
	tr.Closed(1)
	expects(here, "dc=x", "bob", false)
	b.End()
	empty(t, tr)
}

// What a login is told by: the name as the directory compares it, the code,
// and the secret of who searched.
func TestSame(t *testing.T) {
	bob := Login{ID: 1, Name: "Bob", Code: "123456", Searcher: "nc"}
	for _, tt := range []struct {
		name  string
		other Login
		want  bool
	}{
		{"another search, name in other letters", Login{ID: 2, Name: "bOB", Code: "123456", Searcher: "nc", Fresh: true}, true},
		{"another name", Login{Name: "bob@example.org", Code: "123456", Searcher: "nc"}, false},
		{"another code", Login{Name: "Bob", Code: "123457", Searcher: "nc"}, false},
		{"no code", Login{Name: "Bob", Searcher: "nc"}, false},
		{"another searcher", Login{Name: "Bob", Code: "123456", Searcher: "wiki"}, false},
	} {
		if got := bob.Same(tt.other); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Each code is handed over once, whoever asks, and nothing is left when all
// connections and binds are gone.
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
					tr.Searched(conn, here, "nc", found(user, user, "123456"), nil)
				case 1:
					tr.Searched(conn, here, "nc", nil, []byte(user))
				case 2:
					tr.Closed(conn)
				}
				b := tr.Begin(tr.Arrive(), here, "dc=x", user)
				again := b.Again()
				all, _ := b.Logins()
				for _, l := range all {
					if l.Name != user {
						t.Errorf("open for %s: %s", user, l.Name)
					}
					if again.Take(l.ID) {
						mu.Lock()
						handed[l.ID]++
						mu.Unlock()
					}
					if rnd.IntN(3) == 0 {
						b.Serve(l.ID)
					}
				}
				switch rnd.IntN(20) {
				case 0:
					again.Refused()
				case 1:
					b.Stray()
				}
				b.Right()
				again.Strays()
				again.Rivals()
				again.End()
				tr.Expects(here, "dc=x", user)
				b.End()
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
	empty(t, tr)
}

// Whatever comes, what is remembered after it is over is bounded.
func TestMarksAreBounded(t *testing.T) {
	now := time.Unix(0, 0)
	tr := New(func() time.Time { return now })
	for i := range 2 * maxMarks {
		user := fmt.Sprint("user", i)
		tr.Searched(1, here, "nc", found(user, user, fmt.Sprint(i)), nil)
		b := tr.Begin(tr.Arrive(), here, "dc=x", user)
		b.Stray()
		if b.Refused(); i%2 == 0 {
			b.Serve(tr.last)
		}
		b.End()
	}
	tr.Closed(1)
	empty(t, tr)
	for name, n := range map[string]int{"refused": tr.refused.Len(), "good": tr.good.Len(), "strays": tr.strays.Len()} {
		if n == 0 || n > maxMarks {
			t.Errorf("%d marks of %s, want some, and %d at most", n, name, maxMarks)
		}
	}
}

func BenchmarkBind(b *testing.B) {
	for _, n := range []int{0, 1000} {
		tr := New(nil)
		for i := range n {
			tr.Searched(uint64(i), here, "nc", found(fmt.Sprint("user", i), "name", ""), nil)
		}
		for _, user := range []string{"nobody", "user1"} {
			b.Run(fmt.Sprintf("%s of %d", user, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					bind := tr.Begin(tr.Arrive(), here, "dc=x", user)
					bind.Logins()
					bind.End()
				}
			})
		}
		b.Run(fmt.Sprintf("search beside %d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tr.Searched(1<<20, here, "nc", nil, nil)
			}
		})
	}
}
