package outpost

import (
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/await"
	secrets "ldapd/internal/secret"
	"ldapd/internal/unlock"
)

// TestFactorGained: what was proved while alice had no second factor counts for
// nothing when she has one: neither her window, nor the string that was granted
// without anybody asking for the code in it.
func TestFactorGained(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		s := startAt(t, f.now, f.env(), quick, unlockable)
		s.loaded(t, 1)
		binds := map[string][2]string{ // by address
			atNextcloud: {alice, secret}, // in the window
			atNobodys:   {alice, secret + ";123456"},
		}
		want := func(when string, want uint16) {
			t.Helper()
			for addr, b := range binds {
				if got := s.bindFrom(t, addr, userDN(b[0]), b[1]); got != want {
					t.Errorf("%s, from %s: result %d, want %d", when, addr, got, want)
				}
			}
		}
		_, err := s.control(t).Unlock(t.Context(), unlock.Request{User: alice, Password: secret, Clients: []string{"nextcloud"}})
		if err != nil {
			t.Fatal(err)
		}
		want("without a factor", ldap.LDAPResultSuccess)
		f.EditUser(alice, func(u *authentiktest.User) {
			u.Devices = []authentiktest.Device{{Class: authentiktest.ClassTOTP, Secret: totpKey}}
		})
		f.later(16 * time.Hour)
		for addr, b := range binds { // have authentik asked
			s.bindFrom(t, addr, userDN(b[0]), b[1])
			s.settled(t)
		}
		want("with one", ldap.LDAPResultInvalidCredentials)
	})
}

// TestFactorBeforePassword: a flow that asks for the factor first says nothing
// of the password when it is asked quietly.
func TestFactorBeforePassword(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		f.stages(identify{}, authentiktest.Validate{}, password{}, login{})
		s := startAt(t, f.now, f.env(), quick)
		s.loaded(t, 1)
		name := userDN(bob + ";" + f.code(t))
		if got := s.bind(t, name, secret); got != ldap.LDAPResultSuccess {
			t.Fatalf("bob: result %d", got)
		}
		f.later(16 * time.Hour)
		if got := s.bind(t, name, secret); got != ldap.LDAPResultSuccess {
			t.Errorf("bob, later: result %d", got)
		}
		s.settled(t)
		f.EditUser(bob, func(u *authentiktest.User) { u.Password = "another" })
		await.That(t, "the old password is out", func() bool {
			return s.bind(t, name, secret) != ldap.LDAPResultSuccess
		})
		for _, wait := range []time.Duration{0, time.Minute, 16 * time.Hour} {
			f.later(wait)
			if got := s.bind(t, name, secret); got == ldap.LDAPResultSuccess {
				t.Errorf("the old password after %v: result %d", wait, got)
			}
			s.settled(t)
		}
	})
}

// TestWrongTryEndsNothing: what somebody else tries ends no verified bind.
func TestWrongTryEndsNothing(t *testing.T) {
	for _, tt := range []struct {
		name     string
		noMFA    bool
		set      func(*fake)
		password string
	}{
		{"no code is taken off", true, func(*fake) {}, secret + ";000000"},
		{"refused by a policy of the flow", false, func(f *fake) {
			f.stages(identify{}, password{}, authentiktest.Deny{}, login{})
		}, secret + ";000001"},
		{"no access", false, func(f *fake) { f.DenyAccess(authentiktest.DefaultApplication, alice) }, secret + ";000002"},
		{"a wrong password", false, func(*fake) {}, "wrong"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, f *fake) {
				f.provider(func(p *authentiktest.Provider) { p.NoMFA = tt.noMFA })
				s := start(t, f.env(), quick, rarely)
				s.loaded(t, 1)
				if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultSuccess {
					t.Fatalf("alice: result %d", got)
				}
				tt.set(f)
				if got := s.bind(t, userDN(alice), tt.password); got == ldap.LDAPResultSuccess {
					t.Errorf("the wrong try: result %d", got)
				}
				f.Stop() // so that nothing but memory answers
				if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultSuccess {
					t.Errorf("alice after it: result %d", got)
				}
			})
		})
	}
}

// TestUnlockInAllTrees: a window is for the client, whatever base it binds at.
func TestUnlockInAllTrees(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		f.several(func(*authentiktest.Provider) {})
		f.DenyAccess("app9", bob)
		s := start(t, f.env(), quick, unlockable)
		s.loaded(t, 1)
		_, err := s.control(t).Unlock(t.Context(), unlock.Request{User: bob, Password: secret, Code: secrets.String(f.code(t)), Clients: []string{"nextcloud"}})
		if err != nil {
			t.Fatal(err)
		}
		for base, want := range map[string]uint16{
			rootDN: ldap.LDAPResultSuccess, innerDN: ldap.LDAPResultSuccess,
			otherDN: ldap.LDAPResultInvalidCredentials, // bob may not use that application
		} {
			if got := s.bindFrom(t, atNextcloud, "cn="+bob+",ou=users,"+base, secret); got != want {
				t.Errorf("%s: result %d, want %d", base, got, want)
			}
		}
	})
}
