package directory

import (
	"slices"
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

// TestFind: whoever unlocks may type the e-mail address, as in Nextcloud.
func TestFind(t *testing.T) {
	trees := make([]*Snapshot, 3)
	for i, users := range [][]User{
		{{UUID: "00000001-0000-4000-8000-000000000000", Username: "alice", Email: "alice@example.org"}},
		{{UUID: "00000002-0000-4000-8000-000000000000", Username: "bob", Email: "bob@example.org"}, {UUID: "00000003-0000-4000-8000-000000000000", Username: "eve@example.org", Email: "eve@example.com"},
			{UUID: "00000004-0000-4000-8000-000000000000", Username: "mallory", Email: "eve@example.org"}},
		{{UUID: "00000001-0000-4000-8000-000000000000", Username: "alice", Email: "alice@example.org"},
			{UUID: "00000005-0000-4000-8000-000000000000", Username: "carol", Email: "bob@example.org"}},
	} {
		tree, problems := Tree{BaseDN: []string{"dc=a", "dc=b", "dc=c"}[i]}.Build(users, nil)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		trees[i] = tree
	}
	f := NewForest(trees...)
	for _, tt := range []struct {
		typed, username string
		in              []int
	}{
		{"alice", "alice", []int{0, 2}},
		{"Alice@example.org", "alice", []int{0, 2}},
		{"bob", "bob", []int{1}},
		{"bob@example.org", "bob", []int{1}},             // of the first tree that has the address
		{"eve@example.org", "eve@example.org", []int{1}}, // a name before an address
		{"nobody@example.org", "nobody@example.org", []int{0}},
	} {
		var want []*Snapshot
		for _, i := range tt.in {
			want = append(want, trees[i])
		}
		if got, username := f.Find(tt.typed); username != tt.username || !slices.Equal(got, want) {
			t.Errorf("%s: %q, or in the wrong trees", tt.typed, username)
		}
	}
}
