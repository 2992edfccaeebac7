package directory

import (
	"slices"
	"strings"
	"testing"

	"ldapd/internal/ldap"
)

func TestRestrict(t *testing.T) {
	users, groups := sample()
	groups[1].Parents = []string{id("staff"), id("everyone")} // admins: one parent of alice's, one not
	s := build(t, users, groups)
	r, ok := s.Restrict(id("alice"))
	if !ok {
		t.Fatal("alice sees nothing")
	}
	checkSchema(t, r)
	var got []string
	for i := range r.Len() {
		got = append(got, r.Entry(ID(i)).DN())
	}
	want := []string{
		baseDN, "ou=users," + lowerBase, "cn=alice,ou=users," + lowerBase,
		"ou=groups," + lowerBase, "cn=admins,ou=groups," + lowerBase, "cn=staff,ou=groups," + lowerBase,
		"ou=virtual-groups," + lowerBase, "cn=alice,ou=virtual-groups," + lowerBase,
	}
	if !slices.Equal(got, want) {
		t.Fatalf("alice sees %q", got)
	}
	own := []string{"cn=alice,ou=users," + lowerBase}
	staff, admins := lookup(t, r, want[5]), lookup(t, r, want[4])
	for _, e := range []Entry{staff, admins} {
		for name, want := range map[string][]string{"member": own, "uniqueMember": own, "memberUid": {"alice"}} {
			if got := values(t, e, name); !slices.Equal(got, want) {
				t.Errorf("%s of %s: %q", name, e.DN(), got)
			}
		}
	}
	if got := values(t, staff, "memberOf"); got != nil {
		t.Errorf("memberOf of staff: %q", got)
	}
	if got := values(t, admins, "memberOf"); !slices.Equal(got, []string{want[5]}) {
		t.Errorf("memberOf of admins: %q", got)
	}
	if got := values(t, staff, "description"); !slices.Equal(got, []string{"All staff"}) {
		t.Errorf("description of staff: %q", got)
	}
	for _, i := range []int{0, 2, 7} {
		if a, b := ldif(r.Entry(ID(i))), ldif(lookup(t, s, want[i])); a != b {
			t.Errorf("%s:\n%s\nwant:\n%s", want[i], a, b)
		}
	}
	for i := range r.Len() {
		if text := ldif(r.Entry(ID(i))); strings.Contains(text, "bob") || strings.Contains(text, "everyone") {
			t.Errorf("alice sees others:\n%s", text)
		}
	}
	// What is hidden is not found by an index either.
	norm, _ := ldap.NormalizeDN(nil, []byte("cn=bob,ou=users,"+lowerBase))
	if p, ok := r.Equal(attrType(t, r, "member"), norm); !ok || p.Len() != 0 {
		t.Errorf("bob is found as member: %d", p.Len())
	}
	if again, ok := r.Restrict(id("alice")); !ok || again.Len() != r.Len() {
		t.Error("restricted twice")
	}

	// Carol is in no group.
	r, ok = s.Restrict(id("carol"))
	if !ok || r.Len() != 6 {
		t.Fatalf("carol: %v", ok)
	}
	if got := values(t, lookup(t, r, "ou=groups,"+lowerBase), "hasSubordinates"); !slices.Equal(got, []string{"FALSE"}) {
		t.Errorf("hasSubordinates of an empty ou=groups: %q", got)
	}
	if _, ok := s.Restrict(id("nobody")); ok {
		t.Error("nobody sees something")
	}
}
