package directory

import (
	"slices"
	"testing"

	"ldapd/internal/ldap"
)

func TestTreeEntries(t *testing.T) {
	s := build(t, first(sample()), second(sample()))
	for _, tt := range []struct{ dn, want string }{
		{baseDN, `objectClass: top
objectClass: domain
dc: ldap
entryUUID: ` + nameUUID(baseDN) + `
entryDN: ` + baseDN + `
structuralObjectClass: domain
subschemaSubentry: cn=subschema
hasSubordinates: TRUE
`},
		{"ou=users," + lowerBase, `objectClass: top
objectClass: nsContainer
objectClass: organizationalUnit
ou: users
cn: users
distinguishedName: ou=users,` + lowerBase + `
entryUUID: ` + nameUUID("ou=users,"+lowerBase) + `
entryDN: ou=users,` + lowerBase + `
structuralObjectClass: organizationalUnit
subschemaSubentry: cn=subschema
hasSubordinates: TRUE
`},
		{"cn=alice,ou=users," + lowerBase, `objectClass: top
objectClass: person
objectClass: organizationalPerson
objectClass: inetOrgPerson
objectClass: user
objectClass: posixAccount
objectClass: goauthentik.io/ldap/user
cn: alice
sAMAccountName: alice
uid: ab12
name: Alice Liddell
displayName: Alice Liddell
sn: Alice Liddell
givenName: Alice
mail: alice@example.org
memberOf: cn=staff,ou=groups,` + lowerBase + `
memberOf: cn=admins,ou=groups,` + lowerBase + `
ak-active: TRUE
ak-superuser: TRUE
uidNumber: 2001
gidNumber: 2001
homeDirectory: /srv/alice
pwdChangedTime: 20260304050607Z
createTimestamp: 20260304040607Z
modifyTimestamp: 20260304060607Z
nextcloud_quota: 5 GB
title: Dr
entryUUID: ` + id("alice") + `
entryDN: cn=alice,ou=users,` + lowerBase + `
structuralObjectClass: inetOrgPerson
subschemaSubentry: cn=subschema
hasSubordinates: FALSE
`},
		{"cn=bob,ou=users," + lowerBase, `objectClass: top
objectClass: person
objectClass: organizationalPerson
objectClass: inetOrgPerson
objectClass: user
objectClass: posixAccount
objectClass: goauthentik.io/ldap/user
cn: bob
sAMAccountName: bob
uid: cd34
name: bob
displayName: bob
sn: bob
memberOf: cn=staff,ou=groups,` + lowerBase + `
ak-active: TRUE
ak-superuser: FALSE
uidNumber: 2002
gidNumber: 2002
homeDirectory: /home/bob
entryUUID: ` + id("bob") + `
entryDN: cn=bob,ou=users,` + lowerBase + `
structuralObjectClass: inetOrgPerson
subschemaSubentry: cn=subschema
hasSubordinates: FALSE
`},
		{"cn=staff,ou=groups," + lowerBase, `objectClass: group
objectClass: groupOfUniqueNames
objectClass: groupOfNames
objectClass: goauthentik.io/ldap/group
objectClass: posixGroup
objectClass: top
cn: staff
sAMAccountName: staff
uid: ` + id("staff") + `
member: cn=alice,ou=users,` + lowerBase + `
member: cn=bob,ou=users,` + lowerBase + `
memberUid: alice
memberUid: bob
memberOf: cn=everyone,ou=groups,` + lowerBase + `
gidNumber: 4010
ak-superuser: false
ab-c: x
ab-c: 5
description: All staff
uniqueMember: cn=alice,ou=users,` + lowerBase + `
uniqueMember: cn=bob,ou=users,` + lowerBase + `
entryUUID: ` + id("staff") + `
entryDN: cn=staff,ou=groups,` + lowerBase + `
structuralObjectClass: groupOfNames
subschemaSubentry: cn=subschema
hasSubordinates: FALSE
`},
		{"cn=alice,ou=virtual-groups," + lowerBase, `objectClass: group
objectClass: groupOfUniqueNames
objectClass: groupOfNames
objectClass: goauthentik.io/ldap/group
objectClass: posixGroup
objectClass: goauthentik.io/ldap/virtual-group
objectClass: top
cn: alice
sAMAccountName: alice
uid: ab12
member: cn=alice,ou=users,` + lowerBase + `
memberUid: alice
gidNumber: 2001
ak-superuser: false
uniqueMember: cn=alice,ou=users,` + lowerBase + `
entryUUID: ` + derivedUUID(id("alice")) + `
entryDN: cn=alice,ou=virtual-groups,` + lowerBase + `
structuralObjectClass: groupOfNames
subschemaSubentry: cn=subschema
hasSubordinates: FALSE
`},
	} {
		if got := ldif(lookup(t, s, tt.dn)); got != tt.want {
			t.Errorf("%s:\n%s\nwant:\n%s", tt.dn, got, tt.want)
		}
	}
	if got := values(t, lookup(t, s, "cn=everyone,ou=groups,"+lowerBase), "member"); !slices.Equal(got, []string{"cn=staff,ou=groups," + lowerBase}) {
		t.Errorf("child groups as members: %q", got)
	}
}

func first(u []User, _ []Group) []User   { return u }
func second(_ []User, g []Group) []Group { return g }

func TestTreeOrder(t *testing.T) {
	s := build(t, first(sample()), second(sample()))
	want := []string{
		baseDN,
		"ou=users," + lowerBase,
		"cn=alice,ou=users," + lowerBase,
		"cn=bob,ou=users," + lowerBase,
		"cn=carol,ou=users," + lowerBase,
		"ou=groups," + lowerBase,
		"cn=admins,ou=groups," + lowerBase,
		"cn=everyone,ou=groups," + lowerBase,
		"cn=staff,ou=groups," + lowerBase,
		"ou=virtual-groups," + lowerBase,
		"cn=alice,ou=virtual-groups," + lowerBase,
		"cn=bob,ou=virtual-groups," + lowerBase,
		"cn=carol,ou=virtual-groups," + lowerBase,
	}
	if s.Len() != len(want) {
		t.Fatalf("%d entries, want %d", s.Len(), len(want))
	}
	parents := []ID{0, 0, 1, 1, 1, 0, 5, 5, 5, 0, 9, 9, 9}
	ends := []ID{13, 5, 3, 4, 5, 9, 7, 8, 9, 13, 11, 12, 13}
	for i, dn := range want {
		e := s.Entry(ID(i))
		if e.DN() != dn {
			t.Errorf("entry %d is %s, want %s", i, e.DN(), dn)
		}
		if p := e.Parent(); p != parents[i] {
			t.Errorf("parent of %s is %d, want %d", dn, p, parents[i])
		}
		if end := e.End(); end != ends[i] {
			t.Errorf("end of %s is %d, want %d", dn, end, ends[i])
		}
		norm, err := ldap.NormalizeDN(nil, []byte(dn))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := s.Find(norm); !ok || got != ID(i) {
			t.Errorf("Find(%s) = %d %v", norm, got, ok)
		}
		if got := s.After(norm); got != ID(i+1) {
			t.Errorf("After(%s) = %d, want %d", norm, got, i+1)
		}
	}
	for dn, want := range map[string]ID{
		"cn=al,ou=users," + lowerBase:             2,
		"cn=azz,ou=users," + lowerBase:            3,
		"cn=zoe,ou=users," + lowerBase:            5,
		"cn=b,ou=groups," + lowerBase:             7,
		"cn=0,ou=virtual-groups," + lowerBase:     10,
		"cn=z,ou=virtual-groups," + lowerBase:     13,
		"cn=alice,ou=elsewhere,dc=example,dc=org": 13,
	} {
		if got := s.After([]byte(dn)); got != want {
			t.Errorf("After(%s) = %d, want %d", dn, got, want)
		}
		if got, ok := s.Find([]byte(dn)); ok {
			t.Errorf("Find(%s) = %d", dn, got)
		}
	}
	if got := s.Children(0); !slices.Equal(got, []Span{{1, 2}, {5, 6}, {9, 10}}) {
		t.Errorf("children of the base: %v", got)
	}
	if got := s.Children(5); !slices.Equal(got, []Span{{6, 9}}) {
		t.Errorf("children of ou=groups: %v", got)
	}
	if got := s.Children(2); got != nil {
		t.Errorf("children of a user: %v", got)
	}
}
