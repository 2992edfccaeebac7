package directory

import (
	"slices"
	"testing"

	"ldapd/internal/ldap"
)

func TestChain(t *testing.T) {
	// a > b > c > a is a cycle; d is above b as well.
	s := build(t,
		[]User{
			{UUID: id("u"), Username: "u", Groups: []string{id("a")}},
			{UUID: id("v"), Username: "v", Groups: []string{id("d")}, Attrs: map[string]any{"manager": "cn=u,ou=users," + lowerBase}},
			{UUID: id("w"), Username: "w", Attrs: map[string]any{"manager": "CN=V, OU=users," + baseDN}},
		},
		[]Group{
			{UUID: id("a"), Name: "a", Parents: []string{id("b")}},
			{UUID: id("b"), Name: "b", Parents: []string{id("c"), id("d")}},
			{UUID: id("c"), Name: "c", Parents: []string{id("a")}},
			{UUID: id("d"), Name: "d"},
		})
	for _, tt := range []struct {
		attr, dn string
		want     []string
	}{
		{"memberOf", "cn=d,ou=groups,", []string{"cn=u,ou=users,", "cn=v,ou=users,", "cn=a,ou=groups,", "cn=b,ou=groups,", "cn=c,ou=groups,"}},
		{"memberOf", "cn=a,ou=groups,", []string{"cn=u,ou=users,", "cn=a,ou=groups,", "cn=b,ou=groups,", "cn=c,ou=groups,"}},
		{"memberOf", "cn=u,ou=users,", nil},
		{"member", "cn=u,ou=users,", []string{"cn=a,ou=groups,", "cn=b,ou=groups,", "cn=c,ou=groups,", "cn=d,ou=groups,", "cn=u,ou=virtual-groups,"}},
		{"uniqueMember", "cn=v,ou=users,", []string{"cn=d,ou=groups,", "cn=v,ou=virtual-groups,"}},
		{"member", "cn=gone,ou=users,", nil},
		{"manager", "cn=u,ou=users,", []string{"cn=v,ou=users,", "cn=w,ou=users,"}},
	} {
		norm, err := ldap.NormalizeDN(nil, []byte(tt.dn+baseDN))
		if err != nil {
			t.Fatal(err)
		}
		found := s.Chain(attrType(t, s, tt.attr), norm, always)
		var got, want []string
		for _, i := range found {
			got = append(got, s.Entry(i).DN())
		}
		for _, dn := range tt.want {
			want = append(want, dn+lowerBase)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s=%s: %q, want %q", tt.attr, tt.dn, got, want)
		}
	}
}

func always(int) bool { return true }

// The work of a closure is told before it is done, so that it can be stopped
// at any place.
func TestChainStops(t *testing.T) {
	users, groups := bulk(300, 3, 1)
	groups[0].Parents = []string{groups[1].UUID}
	s := build(t, users, groups)
	memberOf := attrType(t, s, "memberOf")
	norm := []byte("cn=group0001,ou=groups," + lowerBase)
	steps := 0
	all := s.Chain(memberOf, norm, func(int) bool { steps++; return true })
	if len(all) < 150 || steps < 2*len(all) {
		t.Fatalf("%d entries in %d steps", len(all), steps)
	}
	for _, most := range []int{0, 1, len(all), steps - 1} {
		n := 0
		if found := s.Chain(memberOf, norm, func(int) bool { n++; return n <= most }); found != nil || n != most+1 {
			t.Errorf("stopped after %d steps of %d: %d entries", n, most, len(found))
		}
	}
}
