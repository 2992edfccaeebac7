package search

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"ldapd/internal/ldap"
	"ldapd/internal/server"
)

// hasty is a clock that goes on by a second each time it is looked at.
type hasty struct{ looks atomic.Int64 }

func (c *hasty) now() time.Time { return time.Unix(c.looks.Add(1), 0) }

// handler serves the engine: a bind makes the connection's viewer the one that
// it is named after.
type handler struct {
	engine *Engine
	as     map[string]*Viewer
}

type identity struct {
	name   string
	viewer *Viewer
}

func (i *identity) DN() string { return i.name }

func (h *handler) Bind(_ context.Context, _ *server.Conn, req *ldap.BindRequest) (server.Identity, error) {
	return &identity{string(req.Name), h.as[string(req.Name)]}, nil
}

func (h *handler) Search(c *server.Conn, req *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
	res, err := h.engine.Search(h.viewer(c), req, w)
	return res.Controls, err
}

func (h *handler) Compare(c *server.Conn, req *ldap.CompareRequest) (bool, error) {
	return h.engine.Compare(h.viewer(c), req)
}

func (h *handler) viewer(c *server.Conn) *Viewer {
	if i, ok := c.Identity().(*identity); ok {
		return i.viewer
	}
	return nil
}

// attack serves the crowd and returns a connection to it, which is bound unless
// the name is empty.
func attack(t *testing.T, e *Engine, name string) *goldap.Conn {
	t.Helper()
	srv := server.New(server.Config{Handler: &handler{e, map[string]*Viewer{"service": admin(), "user": self()}}})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; !errors.Is(err, server.ErrServerClosed) {
			t.Error(err)
		}
	})
	c, err := goldap.DialURL("ldap://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if name != "" {
		if err := c.Bind(name, "secret"); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// many joins n terms to a filter.
func many(join string, n int, term func(int) string) string {
	var b strings.Builder
	b.WriteString("(" + join)
	for i := range n {
		b.WriteString(term(i))
	}
	return b.String() + ")"
}

// search returns how many entries are found and the result code.
func search(t *testing.T, c *goldap.Conn, dn string, scope, seconds int, filter string) (int, uint16) {
	t.Helper()
	res, err := c.Search(goldap.NewSearchRequest(dn, scope, goldap.NeverDerefAliases, 0, seconds, false, filter, []string{"1.1"}, nil))
	var failed *goldap.Error
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if failed != nil {
		return len(res.Entries), failed.ResultCode
	}
	return len(res.Entries), 0
}

// allocated returns how many bytes are allocated meanwhile, by the whole
// process: the work that a search makes, as far as it leaves traces.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Who has not bound searches outside of the trees alone. Whatever the filter
// says, nothing in a tree is looked at, so neither does it make work nor does
// its time tell who exists.
func TestAnonymousSearchTouchesNoTree(t *testing.T) {
	c := attack(t, newEngine(crowd()), "")
	const most = 4 << 20 // the request is 63 KB, and read and written a few times
	for _, dn := range []string{"", "cn=subschema"} {
		for name, term := range map[string]func(int) string{
			"members of a group":             chainOf(0),
			"members of a group, not there":  chainOf(12345),
			"members of groups":              func(i int) string { return chainOf(i % 100)(i) },
			"groups of users":                memberChain,
			"groups of users, not there":     func(i int) string { return memberChain(100_000 + i) },
			"groups of users, by other name": func(i int) string { return "(uniqueMember" + memberChain(i)[len("(member"):] },
		} {
			filter := many("|", 560, term)
			if n := allocated(func() {
				if n, code := search(t, c, dn, goldap.ScopeBaseObject, 0, filter); n != 0 || code != 0 {
					t.Errorf("%q, %s: %d entries, result %d", dn, name, n, code)
				}
			}); n > most {
				t.Errorf("%q, %s: %d KiB are allocated for a request of %d", dn, name, n>>10, len(filter)>>10)
			}
		}
	}
	// Within a tree there is no search at all.
	filter := many("|", 560, chainOf(0))
	if n := allocated(func() {
		if n, code := search(t, c, base, goldap.ScopeWholeSubtree, 0, filter); n != 0 || code != goldap.LDAPResultOperationsError {
			t.Errorf("in the tree: %d entries, result %d", n, code)
		}
	}); n > most {
		t.Errorf("in the tree: %d KiB are allocated", n>>10)
	}
}

// A search without the right to search costs no more than the little that its
// user sees.
func TestOwnSearchTouchesOwnEntries(t *testing.T) {
	c := attack(t, newEngine(crowd()), "user")
	for name, term := range map[string]func(int) string{
		"members of a group": chainOf(0), "members of groups": func(i int) string { return chainOf(i % 100)(i) }, "groups of users": memberChain,
	} {
		filter := many("|", 560, term)
		if n := allocated(func() {
			if n, code := search(t, c, base, goldap.ScopeWholeSubtree, 0, filter); n > 3 || code != 0 {
				t.Errorf("%s: %d entries, result %d", name, n, code)
			}
		}); n > 8<<20 {
			t.Errorf("%s: %d KiB are allocated", name, n>>10)
		}
	}
}

// To find the candidates takes no more than to look at every entry once, however
// many terms there are that an index helps.
func TestPlanningIsBounded(t *testing.T) {
	c := attack(t, newEngine(crowd()), "service")
	for name, filter := range map[string]string{
		"pieces":   "(&" + many("&", 500, same("(cn=*user*)")) + "(cn=nobody))",
		"presence": "(&(description=*)" + many("|", 1000, same("(description=*)")) + "(title=*))",
	} {
		if n := allocated(func() {
			if n, code := search(t, c, base, goldap.ScopeWholeSubtree, 0, filter); n != 0 || code != 0 {
				t.Errorf("%s: %d entries, result %d", name, n, code)
			}
		}); n > 3<<20 {
			t.Errorf("%s: %d KiB are allocated", name, n>>10)
		}
	}
}

// What anybody may search has a bound of its own, with no time limit.
func TestOutsideIsBounded(t *testing.T) {
	e := newEngine(crowd())
	e.cfg.Time = 0
	c := attack(t, e, "")
	for _, filter := range []string{
		"(objectClass=subschema)", "(attributeTypes=2.5.4.3)", "(:2.5.13.30:=2.5.4.3)", "(!(:2.5.13.30:=1.2.3))",
	} {
		if n, code := search(t, c, "cn=subschema", goldap.ScopeBaseObject, 0, filter); n != 1 || code != 0 {
			t.Errorf("%s: %d entries, result %d", filter, n, code)
		}
	}
	for _, filter := range []string{
		many("|", 1000, same("(:2.5.13.30:=x)")), many("&", 1000, same("(!(:2.5.13.30:=x))")),
	} {
		if n, code := search(t, c, "cn=subschema", goldap.ScopeBaseObject, 0, filter); n != 0 || code != goldap.LDAPResultAdminLimitExceeded {
			t.Errorf("%.40s…: %d entries, result %d, want %d", filter, n, code, goldap.LDAPResultAdminLimitExceeded)
		}
		if n, code := search(t, c, "", goldap.ScopeBaseObject, 0, "(objectClass=*)"); n != 1 || code != 0 {
			t.Errorf("the next search: %d entries, result %d", n, code)
		}
	}
}

// Each part of a search sees that it is out of time: the work before and after
// the candidates, and that for one of them.
func TestEveryLoopLooksAtTheDeadline(t *testing.T) {
	tree := func(i int) string { return fmt.Sprintf("cn=group%d,ou=groups,%s", i, base) }
	for _, tt := range []struct {
		name, as, dn string
		scope        int
		filter       string
	}{
		{"closures", "service", base, goldap.ScopeBaseObject, many("|", 100, func(i int) string { return chainOf(i)(i) })},
		{"one closure", "service", base, goldap.ScopeBaseObject, chainOf(0)(0)},
		{"planning by closures", "service", base, goldap.ScopeWholeSubtree, many("&", 100, func(i int) string { return "(!" + chainOf(i)(i) + ")" })},
		{"many values", "service", tree(0), goldap.ScopeBaseObject, many("&", 1000, memberOf)},
		{"every attribute", "service", tree(0), goldap.ScopeBaseObject, many("|", 1000, same("(:distinguishedNameMatch:=cn=x)"))},
		{"subschema", "", "cn=subschema", goldap.ScopeBaseObject, many("|", 1000, same("(:2.5.13.30:=x)"))},
		{"subschema, bound", "user", "cn=subschema", goldap.ScopeBaseObject, many("|", 1000, same("(:2.5.13.30:=x)"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clock := new(hasty)
			e := newEngine(crowd())
			e.cfg.Now = clock.now
			c := attack(t, e, tt.as)
			// One look to begin with, and two until the second is over.
			if n, code := search(t, c, tt.dn, tt.scope, 1, tt.filter); n != 0 || code != goldap.LDAPResultTimeLimitExceeded {
				t.Errorf("%d entries, result %d, looked at the clock %d times", n, code, clock.looks.Load())
			}
			if n := clock.looks.Load(); n > 3 {
				t.Errorf("goes on after the deadline: looks %d times", n)
			}
		})
	}
}

// A long value is not held against each of many pieces to learn whether the
// search is that of a login.
func TestLongNameBesideManyPieces(t *testing.T) {
	s := crowd()
	filter := "(|(cn=" + strings.Repeat("A", 1<<18) + ")(displayName=" + strings.Repeat("*bc", 500) + "*))"
	r := run{e: newEngine(s), q: new(query), snap: s, all: true, req: request(t, base, ldap.ScopeSub, filter)}
	if err := r.q.compile(s, r.req.Filter); err != nil {
		t.Fatal(err)
	}
	if login, err := r.login(); login != nil || err != nil {
		t.Errorf("a login: %v, %v", login, err)
	}
	if n := cap(r.q.scratch); n > 1<<16 {
		t.Errorf("%d octets were folded to compare", n)
	}
}
