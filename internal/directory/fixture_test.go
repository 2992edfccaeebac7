package directory

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"ldapd/internal/schema"
)

const baseDN = "DC=ldap,DC=goauthentik,DC=io"

// lowerBase is the base as the entries below it have it.
const lowerBase = "dc=ldap,dc=goauthentik,dc=io"

// id makes a UUID of a name.
func id(name string) string { return uuid.NewSHA1(uuid.NameSpaceDNS, []byte(name)).String() }

// build builds a tree that must have no problems.
func build(t testing.TB, users []User, groups []Group) *Snapshot {
	t.Helper()
	s, problems := Tree{BaseDN: baseDN, UIDStart: 2000, GIDStart: 4000}.Build(users, groups)
	for _, p := range problems {
		t.Errorf("problem: %s", p)
	}
	return s
}

// sample is a small directory with a little of everything.
func sample() ([]User, []Group) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	return []User{
			{
				UUID: id("alice"), UID: "ab12", PK: 1, Username: "alice", Name: "Alice Liddell",
				Email: "alice@example.org", Active: true, Superuser: true,
				Groups:          []string{id("staff"), id("admins")},
				Attrs:           map[string]any{"nextcloud_quota": "5 GB", "homeDirectory": "/srv/%s", "title": "Dr"},
				PasswordChanged: at, Created: at.Add(-time.Hour), Updated: at.Add(time.Hour),
			},
			{UUID: id("bob"), UID: "cd34", PK: 2, Username: "bob", Active: true, Groups: []string{id("staff")}},
			{UUID: id("carol"), UID: "ef56", PK: 3, Username: "carol", Name: "Smith, Carol", Email: "carol@example.org"},
		}, []Group{
			{UUID: id("staff"), Name: "staff", NumPK: 10, Parents: []string{id("everyone")}, Attrs: map[string]any{"description": "All staff", "a.b/c": []any{"x", nil, int64(5)}}},
			{UUID: id("admins"), Name: "admins", NumPK: 11, Superuser: true},
			{UUID: id("everyone"), Name: "everyone", NumPK: 12},
		}
}

// lookup finds an entry by DN.
func lookup(t testing.TB, s *Snapshot, dn string) Entry {
	t.Helper()
	i, ok := s.findRaw([]byte(dn))
	if !ok {
		t.Fatalf("no entry %s", dn)
	}
	return s.Entry(i)
}

// ldif prints the attributes of an entry, one value a line.
func ldif(e Entry) string {
	var b strings.Builder
	for a := range e.Attrs() {
		for v := range a.Values() {
			fmt.Fprintf(&b, "%s: %s\n", a.Type.Name, v)
		}
	}
	return b.String()
}

// values returns the values of an attribute.
func values(t testing.TB, e Entry, name string) []string {
	t.Helper()
	at, ok := e.s.Schema.Lookup([]byte(name))
	if !ok {
		t.Fatalf("no attribute type %s", name)
	}
	var out []string
	if a, ok := e.Attr(at.ID); ok {
		for v := range a.Values() {
			out = append(out, string(v))
		}
	}
	return out
}

func attrType(t testing.TB, s *Snapshot, name string) *schema.AttributeType {
	t.Helper()
	at, ok := s.Schema.Lookup([]byte(name))
	if !ok {
		t.Fatalf("no attribute type %s", name)
	}
	return at
}
