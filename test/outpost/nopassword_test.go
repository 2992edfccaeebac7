package outpost

import (
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/config"
)

// warnings returns what the status warns of.
func (s *service) warnings(t *testing.T) string {
	t.Helper()
	st, err := s.control(t).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(st.Warnings, "\n")
}

// TestFlowWithoutPassword tries to get in, and to be remembered, while the flow
// asks for no password.
func TestFlowWithoutPassword(t *testing.T) {
	flows := map[string][]authentiktest.Stage{
		"no password stage": {identify{}, login{}},
		"skipped":           {identify{}, skipped, validate{}, login{}},
		"no login either":   {identify{}},
	}
	eachVersion(t, func(t *testing.T, f *fake) {
		s := start(t, f.env(), quick, func(cfg *config.Config) { cfg.Authentik.DenialMemory, cfg.Limits.FailuresPerUser = 0, 0 })
		s.loaded(t, 1)
		bind := func(when, user, pw string, want uint16) {
			t.Helper()
			if got := s.bind(t, userDN(user), pw); got != want {
				t.Errorf("%s: %s, %s: result %d, want %d", when, user, pw, got, want)
			}
		}
		const guess = "whatever"
		for name, stages := range flows {
			f.stages(stages...)
			for _, pw := range []string{secret, guess, guess + ";123456"} {
				bind(name, alice, pw, ldap.LDAPResultUnavailable)
				bind(name, agent, pw, ldap.LDAPResultUnavailable)
			}
			if got := s.verified(t); len(got) != 0 {
				t.Errorf("%s: verified: %q", name, got)
			}
			if got := s.warnings(t); !strings.Contains(got, `the flow "`+authentiktest.DefaultFlow+`"`) || !strings.Contains(got, "asked for no password") {
				t.Errorf("%s: the status warns of %q", name, got)
			}
			if !strings.Contains(s.log.String(), "binds by this flow cannot be determined") {
				t.Errorf("%s: not in the log", name)
			}
			f.flow(authentiktest.Flow{})
			bind(name+", repaired", alice, guess, ldap.LDAPResultInvalidCredentials)
			if got := s.warnings(t); got != "" {
				t.Errorf("%s, repaired: the status warns of %q", name, got)
			}
		}
		f.Stop()
		bind("down", alice, guess+";123456", ldap.LDAPResultUnavailable)
		f.Start()
		bind("repaired", alice, secret, ldap.LDAPResultSuccess)
	})
}

// TestFlowWithoutPasswordKeepsWho has those who logged in before stay in while
// the flow asks for no password, and nobody else get in beside them.
func TestFlowWithoutPasswordKeepsWho(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		s := startAt(t, f.now, f.env(), quick)
		s.loaded(t, 1)
		bind := func(pw string, want uint16) {
			t.Helper()
			if got := s.bind(t, userDN(alice), pw); got != want {
				t.Errorf("%s: result %d, want %d", pw, got, want)
			}
			s.settled(t)
		}
		bind(secret, ldap.LDAPResultSuccess)
		f.stages(identify{}, login{})
		for range 4 {
			f.later(16 * time.Hour) // it is time to prove it again
			bind(secret, ldap.LDAPResultSuccess)
			bind("whatever", ldap.LDAPResultUnavailable)
		}
		f.flow(authentiktest.Flow{})
		bind("whatever", ldap.LDAPResultInvalidCredentials)
		bind(secret, ldap.LDAPResultSuccess)
	})
}

// TestFlowWithoutLogin counts no bind of a flow at whose end nobody is logged
// in as a failure: the right password is good as soon as it is mended.
func TestFlowWithoutLogin(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		s := f.serve(t)
		for name, stages := range map[string][]authentiktest.Stage{
			"no login stage":            {identify{}, password{}, validate{}},
			"redirect before the login": {identify{}, password{}, authentiktest.Redirect{To: "https://example.org/"}, login{}},
			"denied to everybody":       {authentiktest.Deny{}, identify{}, password{}, login{}},
		} {
			s.forget(t)
			f.stages(stages...)
			for range 4 {
				if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultUnavailable {
					t.Errorf("%s: result %d", name, got)
				}
			}
			if got := s.warnings(t); !strings.Contains(got, "binds by the flow") {
				t.Errorf("%s: the status warns of %q", name, got)
			}
			f.flow(authentiktest.Flow{})
			if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultSuccess {
				t.Errorf("%s, mended: result %d", name, got)
			}
		}
	})
}
