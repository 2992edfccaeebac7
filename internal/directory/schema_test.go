package directory

import (
	"strings"
	"testing"

	"ldapd/internal/schema"
)

// checkSchema checks each entry against the classes that it carries (RFC 4512
// section 2.4): one structural chain, the superclasses listed, what they
// require there, nothing that they do not allow, values that their syntax
// holds.
func checkSchema(t testing.TB, s *Snapshot) {
	t.Helper()
	for i := range s.Len() {
		checkEntry(t, s.Entry(ID(i)))
	}
	checkEntry(t, s.Subschema())
}

func checkEntry(t testing.TB, e Entry) {
	t.Helper()
	byName := make(map[string]schema.Class)
	for _, c := range schema.Classes() {
		byName[strings.ToLower(c.Name)] = c
	}
	carried := make(map[string]bool)
	for _, name := range values(t, e, "objectClass") {
		if carried[strings.ToLower(name)] {
			t.Errorf("%s: class %s twice", e.DN(), name)
		}
		carried[strings.ToLower(name)] = true
	}
	extra := e.s.Schema.Custom()
	allowed, above := make(map[uint16]bool), make(map[string]bool)
	any := false
	resolve := func(name string) uint16 {
		at, ok := e.s.Schema.Lookup([]byte(name))
		if !ok {
			t.Fatalf("no attribute type %s", name)
		}
		return at.ID
	}
	for name := range carried {
		c, ok := byName[name]
		if !ok {
			t.Errorf("%s: no class %s", e.DN(), name)
			continue
		}
		if c.Sup != "" && !carried[strings.ToLower(c.Sup)] {
			t.Errorf("%s: %s without %s", e.DN(), name, c.Sup)
		}
		if c.Kind == schema.Structural {
			above[strings.ToLower(c.Sup)] = true
		}
		for _, must := range c.Must {
			allowed[resolve(must)] = true
			if !e.Has(resolve(must)) {
				t.Errorf("%s: %s requires %s", e.DN(), name, must)
			}
		}
		for _, may := range c.May {
			allowed[resolve(may)] = true
		}
		if name == schema.ClassUser || name == schema.ClassGroup {
			for _, may := range extra {
				allowed[resolve(may)] = true
			}
		}
		any = any || name == "extensibleobject"
	}
	var structural []string
	for name := range carried {
		if byName[name].Kind == schema.Structural && !above[name] {
			structural = append(structural, byName[name].Name)
		}
	}
	if got := values(t, e, "structuralObjectClass"); len(structural) != 1 || len(got) != 1 || got[0] != structural[0] {
		t.Errorf("%s: structural classes %v, structuralObjectClass %v", e.DN(), structural, got)
	}
	seen := make(map[uint16]bool)
	for a := range e.Attrs() {
		at := a.Type
		if seen[at.ID] {
			t.Errorf("%s: %s twice", e.DN(), at.Name)
		}
		seen[at.ID] = true
		if !at.Operational && !allowed[at.ID] && !any {
			t.Errorf("%s: %s is not allowed", e.DN(), at.Name)
		}
		n := 0
		for v := range a.Values() {
			n++
			if at.Equality != nil {
				if _, ok := at.Equality.Normalize(nil, v); !ok {
					t.Errorf("%s: %s: %q is not valid", e.DN(), at.Name, v)
				}
			}
		}
		if n == 0 || n > 1 && at.SingleValue {
			t.Errorf("%s: %s has %d values", e.DN(), at.Name, n)
		}
	}
	for _, name := range []string{"entryUUID", "entryDN", "subschemaSubentry", "hasSubordinates"} {
		if !e.Has(resolve(name)) {
			t.Errorf("%s: no %s", e.DN(), name)
		}
	}
}

func TestSchemaHolds(t *testing.T) {
	users, groups := sample()
	// Attributes that are known but of other classes, and unknown ones.
	users[0].Attrs["department"], users[0].Attrs["dc"], users[0].Attrs["memberURL"] = "R&D", "x", "y"
	groups[0].Attrs["uidNumber"], groups[0].Attrs["mobile"] = "7", "1"
	checkSchema(t, build(t, users, groups))
	checkSchema(t, build(t, nil, nil))
}

func TestSubschemaEntry(t *testing.T) {
	s := build(t, first(sample()), second(sample()))
	e := s.Subschema()
	if e.DN() != "cn=subschema" || string(e.EncodedDN()) != "\x04\x0ccn=subschema" {
		t.Errorf("DN %q", e.EncodedDN())
	}
	text := ldif(e)
	for _, want := range []string{
		"objectClass: subschema\n",
		"NAME 'nextcloud_quota'",
		"NAME ( 'cn' 'commonName' )",
		"MAY ( sAMAccountName $ ak-active $ ak-superuser $ memberOf $ goauthentikio-user-sources $ ab-c $ description $ homeDirectory $ nextcloud_quota $ title )",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	user := string(e.AppendUser(nil))
	if len(user) != e.UserSize() || strings.Contains(user, "attributeTypes") || !strings.Contains(user, "createTimestamp") {
		t.Errorf("user attributes %q", user)
	}
}
