package bind_test

import (
	"testing"

	"ldapd/internal/bind"
	"ldapd/internal/ldap"
)

// A DN of no tree, and one of no user, are each somebody whom nobody knows.
func TestNobody(t *testing.T) {
	bindAs := func(h *house, dn string) string {
		return answer(h.Bind(t.Context(), bind.Request{DN: dn, Password: []byte("wrong"), Addr: elsewhere}))
	}
	h := newHouse(t, func(o *bind.Options) {
		onePerMinute(o)
		o.Directory = func(ldap.DN) (bind.Directory, error) { return nil, nil }
	})
	h.want("of no tree", bindAs(h, userDN("alice")), unknownUser)
	h = newHouse(t, onePerMinute)
	h.want("of no user", bindAs(h, "ou=one,"+base), unknownUser)
	h.want("of no other user", bindAs(h, "ou=two,"+base), unknownUser)
	h.want("the first again", bindAs(h, "ou=one,"+base), limitUser)
}

// What a user is told of a code where none may stand says nothing else wrong.
func TestHintsOnlyOfCodes(t *testing.T) {
	h := newHouse(t, nil)
	h.want("guarded, of nobody", h.plain(marked, "zoe", "x;123456"), unknownUser)
	s := newServer(t, nil, func(o *bind.Options) { o.CodeInPassword = false })
	for _, tt := range []struct{ user, password, want string }{
		{"alice", "hunter2", denied},
		{"alice", "secret;123456", "denied code_in_secret 49"},
		{"zoe", "x;123456", unknownUser},
	} {
		if got := words(s.bind(t, userDN(tt.user), tt.password)); got != tt.want {
			t.Errorf("%s with %s: %s, want %s", tt.user, tt.password, got, tt.want)
		}
	}
}
