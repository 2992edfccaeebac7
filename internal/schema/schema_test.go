package schema

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	oids, seen := map[string]string{}, map[string]string{}
	for i, at := range Builtin().Types() {
		if int(at.ID) != i || Builtin().Type(at.ID) != at {
			t.Errorf("%s has ID %d at %d", at.Name, at.ID, i)
		}
		for _, oid := range append([]string{at.OID}, at.altOIDs...) {
			if oid == "" && at.Secret {
				continue
			}
			if other, dup := oids[oid]; dup || oid == "" {
				t.Errorf("%s and %s have OID %q", at.Name, other, oid)
			}
			oids[oid] = at.Name
		}
		for _, name := range append([]string{at.Name}, at.Aliases...) {
			if other, dup := seen[strings.ToLower(name)]; dup {
				t.Errorf("%s and %s are both %s", at.Name, other, name)
			}
			seen[strings.ToLower(name)] = at.Name
		}
		if !ValidName(at.Name) {
			t.Errorf("%s is no valid name", at.Name)
		}
		if (at.NameLike || at.PrefixLike) && at.Substr == nil {
			t.Errorf("%s has a substring index and no rule", at.Name)
		}
		if at.NoUserMod && !at.Operational {
			t.Errorf("%s: only operational attributes may be closed to users (RFC 4512 section 4.1.2)", at.Name)
		}
	}
	for id, name := range map[uint16]string{
		ObjectClass: "objectClass", CN: "cn", MemberUID: "memberUid", EntryDN: "entryDN",
		HasSubordinates: "hasSubordinates", LDAPSyntaxes: "ldapSyntaxes", ST: "st",
	} {
		if got := Builtin().Type(id).Name; got != name {
			t.Errorf("%d is %s, want %s", id, got, name)
		}
	}
	for _, c := range Classes() {
		if other, dup := oids[c.OID]; dup {
			t.Errorf("%s and %s have OID %s", c.Name, other, c.OID)
		}
		oids[c.OID] = c.Name
		if !ValidName(c.Name) && !ValidName(c.Printed) {
			t.Errorf("%s has no name to print", c.Name)
		}
		for _, name := range append(c.Must, c.May...) {
			if at, ok := Builtin().Lookup([]byte(name)); !ok || at.Name != name {
				t.Errorf("%s has %s, which is not known", c.Name, name)
			}
		}
	}
	for _, r := range rules {
		if other, dup := oids[r.OID]; dup {
			t.Errorf("%s and %s have OID %s", r.Name, other, r.OID)
		}
		oids[r.OID] = r.Name
	}
}

func TestLookup(t *testing.T) {
	s := Builtin().With([]string{"nextcloud_quota", "Shoe-Size"})
	for desc, want := range map[string]string{
		"cn": "cn", "CN": "cn", "commonName": "cn", "2.5.4.3": "cn", "cn;lang-de": "cn",
		"userCertificate;binary": "userCertificate", "MEMBERUID": "memberUid", "surname": "sn",
		"goauthentik.io/ldap/active": "ak-active", "goauthentik.io/user/sources": "goauthentikio-user-sources",
		"1.3.6.1.1.1.1.3": "homeDirectory", "1.2.840.113556.1.2.13": "displayName",
		"NEXTCLOUD_QUOTA": "nextcloud_quota", "shoe-size": "Shoe-Size",
		"": "", ";binary": "", "dn": "", "1.1": "", "nothing": "", strings.Repeat("cn", 100): "", "c\x00n": "",
	} {
		at, ok := s.Lookup([]byte(desc))
		if ok != (want != "") || ok && at.Name != want {
			t.Errorf("%q: %v %v, want %s", desc, at, ok, want)
		}
	}
	desc := []byte("sAMAccountName;x")
	if n := testing.AllocsPerRun(100, func() { s.Lookup(desc) }); n != 0 {
		t.Errorf("Lookup allocates %v times", n)
	}
	rule := []byte("caseIgnoreOrderingMatch")
	if n := testing.AllocsPerRun(100, func() { LookupRule(rule) }); n != 0 {
		t.Errorf("LookupRule allocates %v times", n)
	}
}

func TestWith(t *testing.T) {
	names := []string{"Shoe", "shoe", "title", "userPassword", "createTimestamp", "a b", "", "zebra"}
	s := Builtin().With(names)
	if got := strings.Join(s.Custom(), " "); got != "Shoe title zebra" {
		t.Errorf("custom attributes %q", got)
	}
	if n := len(s.Types()) - len(Builtin().Types()); n != 2 {
		t.Errorf("%d types more", n)
	}
	shoe, _ := s.Lookup([]byte("SHOE"))
	again, _ := Builtin().With([]string{"shoe", "other"}).Lookup([]byte("shoe"))
	if shoe.OID != again.OID || !strings.HasPrefix(shoe.OID, "2.25.") {
		t.Errorf("OIDs %s and %s", shoe.OID, again.OID)
	}
	if shoe.SingleValue || shoe.Equality.Name != "caseIgnoreMatch" || !shoe.Custom || s.Type(shoe.ID) != shoe {
		t.Errorf("%+v", shoe)
	}
	if _, ok := Builtin().Lookup([]byte("shoe")); ok {
		t.Error("the built-in schema changed")
	}
	if Builtin().With(nil) != Builtin() {
		t.Error("a copy without need")
	}
}

func TestLookupRule(t *testing.T) {
	for name, want := range map[string]*Rule{
		"caseIgnoreMatch": caseIgnoreMatch, "CASEIGNOREMATCH": caseIgnoreMatch, "2.5.13.2": caseIgnoreMatch,
		"caseExactMatch": caseExactMatch, "2.5.13.1": distinguishedNameMatch, "integerMatch": integerMatch,
		"1.2.840.113556.1.4.1941": inChainMatch, "LDAP_MATCHING_RULE_IN_CHAIN": inChainMatch,
		"1.2.840.113556.1.4.803": bitAndMatch,
		"":                       nil, "nothing": nil, strings.Repeat("x", 500): nil,
	} {
		if got, ok := LookupRule([]byte(name)); got != want || ok != (want != nil) {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestLinks(t *testing.T) {
	for name, want := range map[string]bool{
		"member": true, "uniqueMember": true, "memberOf": true, "manager": true,
		"cn": false, "uidNumber": false, "objectClass": false, "jpegPhoto": false, "entryDN": false,
	} {
		at, ok := Builtin().Lookup([]byte(name))
		if !ok || at.Links() != want {
			t.Errorf("%s links: %v, want %v", name, at.Links(), want)
		}
	}
}
