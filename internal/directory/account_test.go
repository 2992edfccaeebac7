package directory

import (
	"testing"

	"ldapd/internal/ldap"
)

func TestLoginName(t *testing.T) {
	s := build(t, first(sample()), second(sample()))
	for _, tt := range []struct{ dn, want string }{
		{"cn=alice,ou=users," + baseDN, "alice"},
		{"CN=Alice,OU=Users," + lowerBase, "Alice"},
		{"commonName=alice,ou=users," + lowerBase, "alice"},
		{"2.5.4.3=alice,ou=users," + lowerBase, "alice"},
		{"cn=alice," + lowerBase, "alice"},
		{"uid=alice,ou=users," + lowerBase, "alice"},
		{"ou=x,cn=alice,cn=bob," + lowerBase, "alice"},
		{"ou=x+cn=alice," + lowerBase, "alice"},
		{"ou=x,uid=alice," + lowerBase, ""},
		{"cn=alice;123456,ou=users," + lowerBase, "alice;123456"},
		{`cn=alice\;123456,ou=users,` + lowerBase, "alice;123456"},
		{`cn=a\2cb,ou=users,` + lowerBase, "a,b"},
		{baseDN, ""},
		{"ou=users," + lowerBase, ""},
		{"cn=alice,ou=users,dc=example,dc=org", ""},
		{"cn=alice", ""},
		{"cn=,ou=users," + lowerBase, ""},
		{"", ""},
	} {
		dn, err := ldap.ParseDN(tt.dn)
		if err != nil {
			t.Errorf("%s: %v", tt.dn, err)
			continue
		}
		if got, ok := s.LoginName(dn); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: %q %v, want %q", tt.dn, got, ok, tt.want)
		}
	}
}

func TestAccounts(t *testing.T) {
	users, groups := sample()
	users = append(users,
		User{UUID: id("cd34"), UID: "x", PK: 10, Username: "cd34"}, // bob's uid as a name
		User{UUID: id("t1"), UID: "twice", PK: 11, Username: "t1", Email: "t@example.org"},
		User{UUID: id("t2"), UID: "twice", PK: 12, Username: "t2", Email: "T@example.org"})
	s := build(t, users, groups)
	alice := Account{Base: s.BaseDN, UUID: id("alice"), Username: "alice", DN: "cn=alice,ou=users," + lowerBase, Active: true, Changed: "20260304050607Z"}
	carol := Account{Base: s.BaseDN, UUID: id("carol"), Username: "carol", DN: "cn=carol,ou=users," + lowerBase}
	none := Account{Base: s.BaseDN}
	for name, want := range map[string]Account{
		"alice": alice, "ALICE": alice, " alice ": alice, "ab12": alice, "AB12": alice,
		"carol":  carol,
		"cd34":   {Base: s.BaseDN, UUID: id("cd34"), Username: "cd34", DN: "cn=cd34,ou=users," + lowerBase},
		"twice":  none,
		"nobody": none,
		"staff":  none,
		"users":  none,
		"":       none,
	} {
		if got, ok := s.AccountByName(name); got != want || ok != (want != none) {
			t.Errorf("%q: %+v %v, want %+v", name, got, ok, want)
		}
	}
	if got, ok := s.AccountByUUID(id("alice")); got != alice || !ok {
		t.Errorf("by UUID: %+v %v", got, ok)
	}
	for _, mail := range []string{"alice@example.org", "Alice@Example.org"} {
		if got, ok := s.AccountByMail(mail); got != alice || !ok {
			t.Errorf("by %q: %+v %v", mail, got, ok)
		}
	}
	for _, mail := range []string{"t@example.org", "nobody@example.org", "alice", ""} {
		if got, ok := s.AccountByMail(mail); ok {
			t.Errorf("by %q: %+v", mail, got)
		}
	}
	for _, uuid := range []string{id("staff"), id("nobody"), "alice", ""} {
		if got, ok := s.AccountByUUID(uuid); ok {
			t.Errorf("by UUID %q: %+v", uuid, got)
		}
	}
}
