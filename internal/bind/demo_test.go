package bind_test

import (
	"strings"
	"testing"

	"ldapd/internal/bind"
	"ldapd/internal/cache"
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/local"
	"ldapd/internal/password"
	"ldapd/internal/policy"
)

var _ bind.Directory = (*directory.Snapshot)(nil)

// TestDemo binds the demo accounts through the real directory.
func TestDemo(t *testing.T) {
	f, err := local.Demo("")
	if err != nil {
		t.Fatal(err)
	}
	snapshot, problems := directory.Tree{BaseDN: base, UIDStart: 2000, GIDStart: 4000}.Build(f.Users(), f.Groups())
	if len(problems) > 0 {
		t.Fatalf("problems with the demo directory: %v", problems)
	}
	s := newServer(t, nil, nil)
	auth := local.NewAuthenticator(f, cache.NewMemory(s.clock.Now), password.NewQueue(), s.clock.Now)
	s.Pipeline = bind.New(bind.Options{
		Directory:      func(ldap.DN) (bind.Directory, error) { return snapshot, nil },
		Authenticator:  auth,
		CodeInPassword: true,
		Rules:          policy.Rules{CodeInUsername: true},
		Separator:      ";",
		Now:            s.clock.Now,
	})
	for _, tt := range []struct{ dn, password, want string }{
		{userDN("ldapservice"), "demo-ldapservice", "granted ldapservice none"},
		{"uid=ldapservice,ou=users," + base, "demo-ldapservice", "granted ldapservice none"},
		{userDN("alice"), "demo-alice", "granted alice none"},
		{strings.ToUpper(userDN("alice")), "demo-alice", "granted alice none"},
		{userDN("alice"), "demo-bob", denied},
		{userDN("bob"), "demo-bob", "denied code_missing 49"},
		{userDN("bob;CODE"), "demo-bob", "granted bob totp"},
		{userDN("bob"), "demo-bob;CODE", "denied code_used 49"},
		{userDN("carol"), "demo-carol", "denied inactive 49"},
		{userDN("zoe"), "demo-zoe", unknownUser},
		{"cn=alice,ou=users,dc=example", "demo-alice", unknownUser},
	} {
		fill := strings.NewReplacer("CODE", s.code(t))
		id, err := s.bind(t, fill.Replace(tt.dn), fill.Replace(tt.password))
		if got := words(id, err); got != tt.want {
			t.Errorf("%s with %s: %s, want %s", tt.dn, tt.password, got, tt.want)
		}
		if id != nil && id.DN() != userDN(id.Username) {
			t.Errorf("%s is bound as %s", tt.dn, id.DN())
		}
	}
}
