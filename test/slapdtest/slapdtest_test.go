package slapdtest

import (
	"os"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/directory"
)

const base = "DC=ldap,DC=goauthentik,DC=io"

func TestRun(t *testing.T) {
	snap, problems := directory.Tree{BaseDN: base, UIDStart: 2000, GIDStart: 4000}.Build([]directory.User{
		{UUID: "0f0c9e34-5f0a-4f0e-9c54-0d4a3b2c1d0e", PK: 1, Username: "alice", Name: "Alice Müller", Email: "alice@example.org",
			Active: true, Groups: []string{"1f0c9e34-5f0a-4f0e-9c54-0d4a3b2c1d0e"}, Attrs: map[string]any{"nextcloud_quota": "5 GB"}},
		{UUID: "2f0c9e34-5f0a-4f0e-9c54-0d4a3b2c1d0e", PK: 2, Username: `Smith, "Zoë" +1`},
	}, []directory.Group{{UUID: "1f0c9e34-5f0a-4f0e-9c54-0d4a3b2c1d0e", Name: "staff"}})
	for _, p := range problems {
		t.Error(p)
	}
	s := Run(t, Config{Snapshot: snap})
	c, err := ldap.DialURL("ldap://" + s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Bind(RootDN, RootPassword); err != nil {
		t.Fatal(err)
	}
	res, err := c.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"*", "+"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Entries) != snap.Len() {
		t.Errorf("slapd serves %d entries, the snapshot has %d", len(res.Entries), snap.Len())
	}
	for _, e := range res.Entries {
		if e.GetAttributeValue("cn") == "alice" && e.GetAttributeValue("mail") != "" && e.GetAttributeValue("nextcloud-quota") != "5 GB" {
			t.Errorf("%s has no nextcloud-quota", e.DN)
		}
	}
	if _, err := CPU(s.PID()); err != nil {
		t.Error(err)
	}
}

func TestCPU(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		after, err := CPU(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after > before {
			return
		}
		if n > 1_000_000 {
			t.Fatal("reading /proc a million times takes no time")
		}
	}
}
