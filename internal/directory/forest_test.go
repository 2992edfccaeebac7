package directory

import (
	"testing"

	"ldapd/internal/ldap"
)

func TestForest(t *testing.T) {
	var trees []*Snapshot
	for _, base := range []string{"dc=example,dc=org", "ou=Sales,DC=example,dc=org", "o=other"} {
		s, problems := Tree{BaseDN: base}.Build(nil, nil)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		trees = append(trees, s)
	}
	f := NewForest(trees...)
	for dn, want := range map[string]*Snapshot{
		"dc=example,dc=org":                                trees[0],
		"cn=a,ou=users,dc=example,dc=org":                  trees[0],
		"ou=marketing,dc=example,dc=org":                   trees[0],
		"ou=sales,dc=example,dc=org":                       trees[1],
		"CN=a, OU=users, OU=sales, " + "dc=Example,dc=org": trees[1],
		"cn=a,o=other":                                     trees[2],
		"xo=other":                                         nil,
		`cn=a\,o=other`:                                    nil,
		`cn=a\\,o=other`:                                   trees[2],
		"dc=org":                                           nil,
		"":                                                 nil,
		"xdc=example,dc=org":                               nil,
		"cn=a,dc=example,c=o":                              nil,
	} {
		norm, err := ldap.NormalizeDN(nil, []byte(dn))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := f.Tree(norm); got != want || ok != (want != nil) {
			t.Errorf("%q belongs to %v", dn, got)
		}
		parsed, err := ldap.ParseDN(dn)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := f.TreeOf(parsed); got != want || ok != (want != nil) {
			t.Errorf("%q, taken apart, belongs to %v", dn, got)
		}
	}
	if f.Trees()[0] != trees[1] {
		t.Error("the tree of the longest base is not the first")
	}
}
