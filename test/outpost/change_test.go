package outpost

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/await"
	"ldapd/internal/config"
)

// TestChanges has what is changed in authentik in effect after two looks at
// most, each of which costs three requests, also for verified binds. At the
// default interval of five seconds that is within fifteen. The third look never
// comes: authentik does not answer it.
func TestChanges(t *testing.T) {
	tests := []struct {
		name   string
		change func(*fake)
		seen   func(t *testing.T, s *service, c *ldap.Conn) bool
		want   uint16 // then, of a bind that was verified before
	}{
		{"disabled user",
			func(f *fake) { f.EditUser(alice, func(u *authentiktest.User) { u.Inactive = true }) },
			func(t *testing.T, s *service, c *ldap.Conn) bool {
				return len(find(t, c, usersDN, "(&(cn="+alice+")(ak-active=FALSE))")) == 1
			}, ldap.LDAPResultInvalidCredentials},
		{"changed password",
			func(f *fake) { f.EditUser(alice, func(u *authentiktest.User) { u.Password = "another" }) },
			func(t *testing.T, s *service, c *ldap.Conn) bool {
				return len(find(t, c, usersDN, "(&(cn="+alice+")(pwdChangedTime>=20210101000000Z))")) == 1
			}, ldap.LDAPResultInvalidCredentials},
		{"removed group membership",
			func(f *fake) { f.RemoveMember(staff, alice) },
			func(t *testing.T, s *service, c *ldap.Conn) bool {
				return len(find(t, c, usersDN, "(&(cn="+alice+")(memberOf=cn="+staff+","+groupsDN+"))")) == 0 &&
					len(find(t, c, groupsDN, "(&(cn="+staff+")(member="+userDN(alice)+"))")) == 0
			}, ldap.LDAPResultSuccess},
		{"new user",
			func(f *fake) { f.AddUser(authentiktest.User{Username: "new", Password: secret}) },
			func(t *testing.T, s *service, c *ldap.Conn) bool { return len(find(t, c, usersDN, "(cn=new)")) == 1 }, ldap.LDAPResultSuccess},
		{"deleted user",
			func(f *fake) { f.RemoveUser(alice) },
			func(t *testing.T, s *service, c *ldap.Conn) bool {
				return len(find(t, c, usersDN, "(cn="+alice+")")) == 0
			}, ldap.LDAPResultInvalidCredentials},
		{"deleted group",
			func(f *fake) { f.RemoveGroup(staff) },
			func(t *testing.T, s *service, c *ldap.Conn) bool {
				return len(find(t, c, groupsDN, "(cn="+staff+")")) == 0
			}, ldap.LDAPResultSuccess},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(t *testing.T, f *fake) {
				// More than is rather read again than searched for who is
				// gone, and not all of them saved a moment ago.
				f.ago.Store(int64(time.Hour))
				f.Populate(600, 50, 2)
				f.ago.Store(0)
				s := start(t, f.env(), func(cfg *config.Config) { cfg.Authentik.Sync = 200 * time.Millisecond })
				s.loaded(t, 1)
				c := s.as(t, userDN(agent), secret)
				if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultSuccess {
					t.Fatalf("bind before: result %d", got)
				}
				if tt.seen(t, s, c) {
					t.Fatal("seen before it was changed")
				}
				const looks = 2
				third := f.Inject(authentiktest.Fault{Endpoint: authentiktest.Users, Skip: looks, Hang: true,
					Match: func(r *http.Request) bool { return r.URL.Query().Has("last_updated__gt") }})
				f.ResetCounters()
				tt.change(f)
				await.That(t, "the change is seen", func() bool { return tt.seen(t, s, c) })
				if got := s.bind(t, userDN(alice), secret); got != tt.want {
					t.Errorf("bind after: result %d, want %d", got, tt.want)
				}
				await.That(t, "both looks are done", func() bool { return third.Hits() > 0 })
				n := f.Counters().Requests
				sum := n[authentiktest.Users] + n[authentiktest.OneUser] + n[authentiktest.Groups] - third.Hits()
				t.Logf("%d requests in %d looks: %v", sum, looks, n)
				// The rest of a look that was under way, and bisection for
				// whoever is gone: 606 users are ten halves.
				if sum > 3*looks+2+12 || tt.name != "deleted user" && sum > 3*looks+2 {
					t.Errorf("%d requests: %v", sum, n)
				}
				third.Remove()
			})
		})
	}
}

// TestUnseenChanges binds with what authentik has at the moment, though the
// directory does not know of it.
func TestUnseenChanges(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		s := start(t, f.env(), func(cfg *config.Config) { cfg.Authentik.Sync = time.Hour })
		s.loaded(t, 1)
		await.That(t, "the websocket is there", func() bool { return f.Websockets() == 1 })
		bind := func(what, pw string, want uint16) {
			t.Helper()
			if got := s.bind(t, userDN(alice), pw); got != want {
				t.Errorf("%s: result %d, want %d", what, got, want)
			}
		}
		bind("before", secret, ldap.LDAPResultSuccess)
		f.EditUser(alice, func(u *authentiktest.User) { u.Password = "another" })
		bind("old password, nobody knows", secret, ldap.LDAPResultSuccess)
		bind("new password", "another", ldap.LDAPResultSuccess)
		bind("old password, in doubt", secret, ldap.LDAPResultInvalidCredentials)
		bind("new password again", "another", ldap.LDAPResultSuccess)
		f.Deactivate(alice) // ends the session, of which outposts are told
		await.That(t, "disabled", func() bool { return s.bind(t, userDN(alice), "another") == ldap.LDAPResultInvalidCredentials })
		f.DenyAccess(authentiktest.DefaultApplication, agent)
		if got := s.bind(t, userDN(agent), secret); got != ldap.LDAPResultInsufficientAccessRights {
			t.Errorf("no access any more: result %d", got)
		}
	})
}

// TestRefresh has everything read again by the signal of authentik's outpost,
// and once for a burst of updates.
func TestRefresh(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		s := start(t, f.env(), func(cfg *config.Config) { cfg.Authentik.Sync = time.Hour })
		s.loaded(t, 1)
		const second = "dc=second,dc=example"
		if got := s.bind(t, "cn="+alice+","+second, secret); got != ldap.LDAPResultInvalidCredentials {
			t.Errorf("bind below another base: result %d", got)
		}
		await.That(t, "the websocket is there", func() bool { return f.Websockets() == 1 })
		f.ResetCounters()
		f.provider(func(p *authentiktest.Provider) { p.BaseDN = second })
		for range 50 {
			f.TriggerUpdate()
		}
		for range 50 {
			f.SessionEnd(strings.Repeat("0", 64)) // of nobody
		}
		// Each process takes its time, up to ten seconds.
		await.That(t, "the update is heard", func() bool { return s.bind(t, "cn="+alice+","+second, secret) == ldap.LDAPResultSuccess })
		if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultInvalidCredentials {
			t.Errorf("bind below the old base: result %d", got)
		}
		await.That(t, "the load is over", func() bool { return strings.Count(s.log.String(), " authentik read ") == 2 })
		if n := f.Counters().Requests[authentiktest.Providers]; n != 1 {
			t.Errorf("providers were read %d times for a burst of updates", n)
		}

		f.provider(func(*authentiktest.Provider) {})
		f.AddUser(authentiktest.User{Username: "new", Password: secret})
		s.reload <- signal
		await.That(t, "everything is read", func() bool { return s.bind(t, userDN("new"), secret) == ldap.LDAPResultSuccess })
	})
}
