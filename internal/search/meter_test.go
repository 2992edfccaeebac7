package search

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

func TestMeter(t *testing.T) {
	now := time.Unix(0, 0)
	looks := 0
	clock := func() time.Time { looks++; return now }
	w := &recorder{t: t}

	var m meter
	for range 3 {
		if !m.spend(1 << 40) {
			t.Error("the zero meter has a bound")
		}
	}

	m.start(w, clock, 0)
	if !m.spend(100*lookEvery) || looks > 0 {
		t.Error("without a limit the clock does not matter")
	}

	m.start(w, clock, time.Second)
	looks = 0
	for range 10 * lookEvery / 64 {
		if !m.spend(64) {
			t.Fatal("out of time too early")
		}
	}
	if looks < 9 || looks > 11 {
		t.Errorf("%d looks", looks)
	}
	now = now.Add(time.Second + 1)
	n := 0
	for ; m.spend(64); n++ {
	}
	if n > lookEvery/64 || !errors.Is(m.err, errTime) {
		t.Errorf("goes on for %d, %v", n, m.err)
	}
	if m.spend(0) || m.spend(-1<<40) {
		t.Error("goes on after the end")
	}

	m.start(w, clock, 0)
	m.limit = 10 * lookEvery
	n = 0
	for ; m.spend(64); n += 64 {
	}
	if n < 9*lookEvery || n > 11*lookEvery || !errors.Is(m.err, errCostly) {
		t.Errorf("a limit of %d ends at %d, %v", m.limit, n, m.err)
	}

	*w = recorder{t: t, stopAt: 1, dns: []string{"cn=a"}}
	m.start(w, clock, 0)
	if m.spend(lookEvery) || !errors.Is(m.err, errStop) {
		t.Errorf("not wanted any more: %v", m.err)
	}
	if w.slow {
		t.Error("slow before there was work")
	}
	*w = recorder{t: t}
	m.start(w, clock, 0)
	for m.spent < slowWork+lookEvery {
		m.spend(lookEvery / 4)
	}
	if !w.slow {
		t.Error("the writer does not know that the search is slow")
	}
}

// spent returns the work of compiling a filter and finding candidates, and how
// many of these there are; all if that is every entry.
func spent(t *testing.T, filter string) (work, candidates int, all bool) {
	t.Helper()
	s, q := crowd(), new(query)
	if err := q.compile(s, request(t, base, ldap.ScopeSub, filter).Filter); err != nil {
		t.Fatal(err)
	}
	ids, all := q.candidates(0, 1<<31)
	return q.work.spent, len(ids), all
}

func TestChainsAreFoundOnceAndOnlyIfNeeded(t *testing.T) {
	everybody, few := chainOf(0)(0), chainOf(99)(0)
	few = "(&" + few + "(cn=nobody))"
	one, n, _ := spent(t, everybody)
	if n < 10_000 || one < 10_000 {
		t.Fatalf("everybody: %d candidates by a work of %d", n, one)
	}
	for _, tt := range []struct {
		filter string
		most   int // work
		n      int
	}{
		{many("&", 500, same(everybody)), one + 500*1000, n},
		{many("|", 2, same(everybody)), one + one/2, n},
		{"(&" + everybody + "(cn=user7))", 10_000, 2}, // and their virtual group
		{"(&(cn=user7)(|" + everybody + few + ")(objectClass=user))", 10_000, 2},
		{"(&(objectClass=user)" + everybody + "(nosuch=x))", 10_000, 0},
		// Where the others leave many, a closure may be worth it.
		{"(&(objectClass=user)" + memberChain(5) + ")", 300_000, 101},
		{fmt.Sprintf("(&(objectClass=group)(member:1.2.840.113556.1.4.1941:=cn=group98,ou=groups,%s))", base), 10_000, 1},
	} {
		if work, n, all := spent(t, tt.filter); work > tt.most || n != tt.n || all {
			t.Errorf("%.80s…: %d candidates (all: %v) by a work of %d, want %d by %d at most", tt.filter, n, all, work, tt.n, tt.most)
		}
	}
}

// However much a closure is asked for in one search, what is held is bounded.
func TestChainsAreBounded(t *testing.T) {
	s, q := crowd(), new(query)
	if err := q.compile(s, request(t, base, ldap.ScopeSub, chainOf(0)(0)).Filter); err != nil {
		t.Fatal(err)
	}
	q.chainedIDs = maxChained - 1
	q.candidates(0, 1<<31)
	if !errors.Is(q.work.err, errCostly) {
		t.Errorf("got %v", q.work.err)
	}
}

func TestSortLooksAtTheClock(t *testing.T) {
	clock := new(hasty)
	e := newEngine(crowd())
	e.cfg.Now = clock.now
	req := request(t, base, ldap.ScopeSub, "(objectClass=*)", "1.1")
	req.TimeLimit = 1 << 20
	plain := &recorder{t: t}
	if _, err := e.Search(admin(), req, plain); err != nil {
		t.Fatal(err)
	}
	matching := clock.looks.Swap(0)
	req.Controls = []ldap.Control{sortControl("-displayName")}
	if _, err := e.Search(admin(), req, &recorder{t: t}); err != nil {
		t.Fatal(err)
	}
	sorting := clock.looks.Swap(0)
	if sorting < 2*matching {
		t.Errorf("%d looks at the clock, %d of them without sorting", sorting, matching)
	}
	// Out of time in the midst of sorting.
	req.TimeLimit = int(sorting * 2 / 3)
	w := &recorder{t: t}
	if _, err := e.Search(admin(), req, w); !errors.Is(err, errTime) || len(w.dns) > 0 {
		t.Errorf("%d entries, %v", len(w.dns), err)
	}
}

// An entry outside of the trees is matched as it is. In the tree 0 is the ID of
// the base, which is none of its business.
func TestInChainOutside(t *testing.T) {
	e := newEngine(newTree(t, 2))
	const chain = ":1.2.840.113556.1.4.1941:="
	for filter, want := range map[string]int{
		"(member" + chain + base + ")":                        0,
		"(!(member" + chain + base + "))":                     1,
		"(namingContexts" + chain + base + ")":                0,
		"(!(namingContexts" + chain + base + "))":             0, // undefined: it is operational
		"(cn" + chain + base + ")":                            0,
		"(|(memberOf" + chain + base + ")(vendorName=ldapd))": 1,
	} {
		if w, code, _ := find(t, e, nil, request(t, "", ldap.ScopeBase, filter)); len(w.dns) != want || code != 0 {
			t.Errorf("%s: %d entries, %v; want %d", filter, len(w.dns), code, want)
		}
	}
}

// However large the schema, anybody may read it.
func TestLargeSubschema(t *testing.T) {
	users := make([]directory.User, 100)
	for i := range users {
		name := fmt.Sprintf("user%d", i)
		users[i] = directory.User{UUID: fmt.Sprintf("10000000-0000-4000-8000-%012d", i), Username: name, PK: int64(i), Attrs: map[string]any{}}
		for k := range 200 {
			users[i].Attrs[fmt.Sprintf("%s-%03d-%s", name, k, strings.Repeat("x", 100))] = "v"
		}
	}
	s, _ := directory.Tree{BaseDN: base}.Build(users, nil)
	w := &countWriter{}
	if _, err := newEngine(s).Search(nil, request(t, "cn=subschema", ldap.ScopeBase, "(attributeTypes=2.5.4.3)", "+"), w); err != nil || w.n != 1 {
		t.Errorf("%d entries, %v", w.n, err)
	}
	if len(w.buf) < outsideLimit {
		t.Errorf("an entry of %d octets: too small to mean much", len(w.buf))
	}
}
