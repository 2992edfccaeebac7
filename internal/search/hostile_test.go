package search

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

// crowd is a tree of many users, all in the first of many groups, each of which
// is in the next. It takes a while to build, so there is one for all tests.
var crowd = sync.OnceValue(func() *directory.Snapshot {
	const everybody, nested = 10_000, 100
	groups := make([]directory.Group, nested)
	for i := range groups {
		groups[i] = directory.Group{UUID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Name: fmt.Sprintf("group%d", i), NumPK: int64(i)}
		if i > 0 {
			groups[i-1].Parents = []string{groups[i].UUID}
		}
	}
	users := make([]directory.User, everybody)
	for i := range users {
		users[i] = directory.User{
			UUID: fmt.Sprintf("10000000-0000-4000-8000-%012d", i), PK: int64(i),
			Username: fmt.Sprintf("user%d", i), UID: fmt.Sprintf("uid-%d", i),
			Name: fmt.Sprintf("Person %d", i), Email: fmt.Sprintf("user%d@example.org", i), Active: true,
			Groups: []string{groups[0].UUID},
		}
		if i%9 == 0 {
			users[i].Attrs = map[string]any{"description": strings.Repeat("word ", 20)}
		}
	}
	s, _ := directory.Tree{BaseDN: base, UIDStart: 2000, GIDStart: 4000}.Build(users, groups)
	return s
})

// hostile is requests that make work of few octets.
var hostile = []struct {
	name string
	dn   string
	as   func() *Viewer // nil: unbound
	term func(i int) string
	n    int    // how many terms
	join string // what they are joined by
}{
	{"rootDSE/in-chain", "", nil, chainOf(0), 560, "|"},
	{"rootDSE/in-chain-member", "", nil, memberChain, 560, "|"},
	{"rootDSE/every-attribute", "", nil, same("(:caseIgnoreMatch:=x)"), 1000, "|"},
	{"rootDSE/bits", "", nil, same("(supportedLDAPVersion:1.2.840.113556.1.4.803:=" + strings.Repeat("9", 60000) + ")"), 1, "|"},
	{"subschema/first-component", "cn=subschema", nil, same("(:2.5.13.30:=x)"), 1000, "|"},
	{"subschema/in-chain", "cn=subschema", nil, chainOf(0), 560, "|"},
	{"subschema/pieces", "cn=subschema", nil, same("(cn=*a*b*c*d*e*f*g*)"), 120, "|"},
	{"self/in-chain", base, self, chainOf(0), 560, "|"},
	{"self/every-attribute", base, self, same("(:caseIgnoreMatch:=x)"), 1000, "|"},
	{"self/member", base, self, memberOf, 1000, "|"},
	{"self/viewer", base, self, same("(cn=x)"), 1, "|"},
	{"all/in-chain-same", base, admin, chainOf(0), 560, "|"},
	{"all/in-chain-nested", base, admin, func(i int) string { return chainOf(i % 100)(i) }, 560, "|"},
	{"all/presence", base, admin, same("(description=*)"), 1000, "&"},
	{"all/substrings", base, admin, same("(cn=*user*)"), 500, "&"},
	{"all/substrings-or", base, admin, same("(cn=*user*)"), 500, "|"},
	{"all/member", base, admin, memberOf, 1000, "&"},
	{"all/bits", base, admin, same("(uidNumber:1.2.840.113556.1.4.803:=" + strings.Repeat("9", 60000) + ")"), 1, "|"},
}

func self() *Viewer { return NewViewer(base, "10000000-0000-4000-8000-000000000003", false) }

func same(term string) func(int) string { return func(int) string { return term } }

func chainOf(group int) func(int) string {
	return same(fmt.Sprintf("(memberOf:1.2.840.113556.1.4.1941:=cn=group%d,ou=groups,%s)", group, base))
}

func memberChain(i int) string {
	return fmt.Sprintf("(member:1.2.840.113556.1.4.1941:=cn=user%d,ou=users,%s)", i, base)
}

func memberOf(i int) string { return fmt.Sprintf("(member=cn=user%d,ou=users,%s)", 9999-i, base) }

// BenchmarkHostile tells what these requests cost.
func BenchmarkHostile(b *testing.B) {
	e := newEngine(crowd())
	for _, tt := range hostile {
		req := request(b, tt.dn, ldap.ScopeSub, many(tt.join, tt.n, tt.term), "1.1")
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var v *Viewer
				if tt.as != nil {
					v = tt.as() // one that has seen nothing yet
				}
				_, err := e.Search(v, req, &countWriter{})
				if err != nil && !errors.Is(err, errCostly) {
					b.Fatal(err)
				}
			}
		})
	}
}
