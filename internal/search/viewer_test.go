package search

import (
	"fmt"
	"testing"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

// Who is bound searches for as long as his account is there and active,
// whatever he may read and has seen before.
func TestViewerOfWhoIsDisabled(t *testing.T) {
	tree := func(users ...directory.User) *directory.Snapshot {
		t.Helper()
		s, problems := directory.Tree{BaseDN: base}.Build(users, nil)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return s
	}
	alice := directory.User{UUID: uuidOf(1), PK: 1, UID: "uid-1", Username: "alice", Active: true}
	bob := directory.User{UUID: uuidOf(2), PK: 2, UID: "uid-2", Username: "bob", Active: true}
	disabled := alice
	disabled.Active = false
	for _, all := range []bool{true, false} {
		t.Run(fmt.Sprint("all ", all), func(t *testing.T) {
			forest := new(directory.Forest)
			e := newEngine(nil)
			e.cfg.Forest = func() *directory.Forest { return forest }
			v := NewViewer(base, alice.UUID, all)
			for _, tt := range []struct {
				name  string
				users []directory.User
				want  ldap.ResultCode
			}{
				{"active", []directory.User{alice, bob}, ldap.ResultSuccess},
				{"disabled", []directory.User{disabled, bob}, ldap.ResultOperationsError},
				{"active again", []directory.User{alice, bob}, ldap.ResultSuccess},
				{"removed", []directory.User{bob}, ldap.ResultOperationsError},
			} {
				forest = directory.NewForest(tree(tt.users...))
				for range 2 {
					w, code, _ := find(t, e, v, request(t, base, ldap.ScopeSub, "(objectClass=user)"))
					if code != tt.want || (len(w.dns) > 0) != (tt.want == ldap.ResultSuccess) {
						t.Errorf("%s: %v with %q, want %v", tt.name, code, w.dns, tt.want)
					}
				}
			}
		})
	}
}
