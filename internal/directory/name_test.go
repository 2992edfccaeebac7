package directory

import (
	"slices"
	"strings"
	"testing"

	"ldapd/internal/ldap"
)

// TestHardNames: any name makes an entry that is found by its DN, as it is
// served and as Nextcloud writes it, and by its cn.
func TestHardNames(t *testing.T) {
	names := []string{
		`Smith, Zoë+Co #1 (x*)`, `a+b`, `a"b"`, `a;b`, `#1`, `a#1`, ` leading`, `trailing `, ` both `, `two  spaces`,
		`back\slash`, `<angle>`, `a=b`, `ünïcödé`, `日本語`, `a/b`, `tab	x`, "nul\x00x", "new\nline", `'quoted'`, `.`, `ou=users`,
		strings.Repeat("long", 300),
	}
	var users []User
	var groups []Group
	for i, name := range names {
		groups = append(groups, Group{UUID: id("g" + name), Name: name})
		users = append(users, User{UUID: id(name), PK: int64(i), Username: name, Groups: []string{id("g" + name)}})
	}
	s := build(t, users, groups)
	checkSchema(t, s)
	member := attrType(t, s, "member")
	for i, name := range names {
		for _, container := range containers {
			dn := ldap.DN{{{Type: "cn", Value: name}}, {{Type: "ou", Value: container}}}.String() + "," + lowerBase
			e := lookup(t, s, dn)
			if e.DN() != dn {
				t.Errorf("%q: DN %q, want %q", name, e.DN(), dn)
			}
			if got := values(t, e, "cn"); !slices.Equal(got, []string{name}) {
				t.Errorf("%q: cn %q", name, got)
			}
			parsed, err := ldap.ParseDN(e.DN())
			if err != nil || parsed[0][0].Value != name {
				t.Errorf("%q: DN parses as %q, %v", name, parsed, err)
			}
			if container == "users" {
				norm, _ := ldap.NormalizeDN(nil, []byte(dn))
				found := s.Chain(member, norm, always)
				if len(found) != 2 {
					t.Errorf("%q: member of %v", name, found)
				}
				if login, ok := s.LoginName(parsed); !ok || login != name {
					t.Errorf("%q: login name %q %v", name, login, ok)
				}
			}
		}
		a, ok := s.AccountByName(name)
		if !ok || a.Username != name || a.UUID != id(name) {
			t.Errorf("%q: account %+v %v", name, a, ok)
		}
		r, ok := s.Restrict(id(name))
		if !ok || r.Len() != 7 {
			t.Errorf("%d %q: restricted to %v", i, name, ok)
		}
	}
	// As Nextcloud sends it back.
	if e := lookup(t, s, `cn=smith\2c zoë\2bco #1 \28x\2A\29,ou=users,`+baseDN); values(t, e, "cn")[0] != names[0] {
		t.Error(e.DN())
	}
}
