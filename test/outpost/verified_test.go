package outpost

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/await"
	"ldapd/internal/config"
)

// later puts the clock of authentik forward, by which ldapd goes in the tests
// below.
func (f *fake) later(d time.Duration) { f.ago.Add(-int64(d)) }

func (f *fake) now() time.Time { return time.Now().Add(-time.Duration(f.ago.Load())) }

// Times of the tests below that differ from the defaults: more than a day, so
// that a session ends before anything is asked again.
func rarely(cfg *config.Config) {
	cfg.Cache.Reprove, cfg.Cache.Access = 100*time.Hour, 0
}

// TestVerified has right binds answered without authentik, also after a
// restart, and nothing else.
func TestVerified(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		forgetful := func(cfg *config.Config) { cfg.Authentik.DenialMemory = 0 }
		s := start(t, f.env(), quick, forgetful)
		s.loaded(t, 1)
		code := f.code(t)
		if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultSuccess {
			t.Errorf("alice: result %d", got)
		}
		if got := s.bind(t, userDN(bob), secret+";"+code); got != ldap.LDAPResultSuccess {
			t.Errorf("bob: result %d", got)
		}
		if got := s.bind(t, userDN(erin), secret); got != ldap.LDAPResultInsufficientAccessRights {
			t.Errorf("erin: result %d", got)
		}
		if got := s.verified(t); !slices.Equal(got, []string{alice, bob}) {
			t.Errorf("verified: %q", got)
		}
		rows := func(when string) {
			t.Helper()
			for _, tt := range []struct {
				user, pw string
				want     uint16
			}{
				{alice, secret, ldap.LDAPResultSuccess},
				{alice, secret + ";" + code, ldap.LDAPResultUnavailable}, // of bob
				{alice, "wrong", ldap.LDAPResultUnavailable},
				{bob, secret + ";" + code, ldap.LDAPResultSuccess},
				{bob, secret, ldap.LDAPResultUnavailable},
				{bob, secret + ";" + f.code(t), ldap.LDAPResultUnavailable},
				{bob, "wrong;" + code, ldap.LDAPResultUnavailable},
				{erin, secret, ldap.LDAPResultUnavailable},
				{carol, secret, ldap.LDAPResultUnavailable},
				{nobody, secret, ldap.LDAPResultUnavailable},
			} {
				if got := s.bind(t, userDN(tt.user), tt.pw); got != tt.want {
					t.Errorf("%s, %s, %s: result %d, want %d", when, tt.user, tt.pw, got, tt.want)
				}
			}
		}
		f.Stop()
		rows("authentik down")
		for series, want := range map[string]float64{
			`ldapd_binds_total{factor="none",outcome="granted",reason="",source="memory"}`:   1,
			`ldapd_binds_total{factor="static",outcome="granted",reason="",source="memory"}`: 1,
		} {
			if n := s.metric(t, series); n != want {
				t.Errorf("%s is %v, want %v", series, n, want)
			}
		}
		s.stop()
		s = start(t, f.env(), quick, forgetful, at(s.state))
		rows("after a restart")
	})
}

// TestVerifiedEnds has what ends a verified bind at once, whoever of authentik
// and the directory knows of it.
func TestVerifiedEnds(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		s := startAt(t, f.now, f.env(), rarely, func(cfg *config.Config) { cfg.Authentik.Sync = time.Hour })
		s.loaded(t, 1)
		await.That(t, "the websocket is there", func() bool { return f.Websockets() == 1 })
		verify := func(users ...string) {
			t.Helper()
			f.later(time.Minute) // and nothing of a moment ago counts
			for _, user := range users {
				if got := s.bind(t, userDN(user), secret); got != ldap.LDAPResultSuccess {
					t.Fatalf("%s: result %d", user, got)
				}
			}
			if got := s.verified(t); !slices.Equal(got, users) {
				t.Fatalf("verified: %q, want %q", got, users)
			}
		}
		// Only what is verified can be told.
		down := func(want map[string]uint16) {
			t.Helper()
			f.Stop()
			for user, want := range want {
				if got := s.bind(t, userDN(user), secret); got != want {
					t.Errorf("%s: result %d, want %d", user, got, want)
				}
			}
			f.Start()
		}
		const granted, unknown = ldap.LDAPResultSuccess, ldap.LDAPResultUnavailable
		ctx := t.Context()

		verify(alice, agent)
		if n, err := s.control(t).Revoke(ctx, "LDAPD-Alice"); n != 1 || err != nil {
			t.Errorf("revoke: %d, %v", n, err)
		}
		down(map[string]uint16{alice: unknown, agent: granted})
		verify(alice, agent)
		if n, err := s.control(t).Revoke(ctx, f.User(alice).UUID); n != 1 || err != nil {
			t.Errorf("revoke by UUID: %d, %v", n, err)
		}
		down(map[string]uint16{alice: unknown, agent: granted})
		verify(alice, agent)
		if n, err := s.control(t).RevokeAll(ctx); n != 2 || err != nil {
			t.Errorf("revoke all: %d, %v", n, err)
		}
		down(map[string]uint16{alice: unknown, agent: unknown})
		if n, err := s.control(t).Revoke(ctx, alice); n != 0 || err != nil {
			t.Errorf("revoke of nothing: %d, %v", n, err)
		}
		await.That(t, "the websocket is back", func() bool { return f.Websockets() == 1 })

		// ended waits until ldapd has heard all that authentik said.
		ended := func(users ...string) {
			t.Helper()
			f.EndSessions(agent)
			await.That(t, "the end of a session is heard", func() bool { return !slices.Contains(s.verified(t), agent) })
			s.settled(t)
			if got := s.verified(t); !slices.Equal(got, users) {
				t.Errorf("verified: %q, want %q", got, users)
			}
		}
		verify(alice, agent)
		f.EndSessions(alice)
		ended()
		verify(alice, agent)
		f.Deactivate(alice)
		ended()
		f.EditUser(alice, func(u *authentiktest.User) { u.Inactive = false })

		// At its end a session is cleaned up, by the same message.
		for _, tt := range []struct {
			name           string
			duration, wait time.Duration
			cleaned        bool
		}{
			{"session of the browser", 0, 25 * time.Hour, true},
			{"session with an end", time.Hour, 61 * time.Minute, true},
			{"session of the browser, before its end", 0, 23 * time.Hour, false},
			{"session with an end, before it", time.Hour, 50 * time.Minute, false},
		} {
			f.stages(identify{}, password{}, validate{}, login{Duration: tt.duration})
			verify(alice, agent)
			f.later(tt.wait)
			if tt.cleaned {
				if f.Alive(alice) != 0 || len(f.Sessions(alice)) != 1 {
					t.Errorf("%s: sessions %+v", tt.name, f.Sessions(alice))
				}
				s.forgetOne(t, agent)
				if got := s.bind(t, userDN(agent), secret); got != granted {
					t.Errorf("%s: result %d", tt.name, got)
				}
				f.ExpireSessions()
				if len(f.Sessions(alice)) != 0 {
					t.Errorf("%s: sessions %+v", tt.name, f.Sessions(alice))
				}
				ended(alice)
				down(map[string]uint16{alice: granted})
				await.That(t, "the websocket is back", func() bool { return f.Websockets() == 1 })
			} else {
				f.EndSessions(alice)
				ended()
			}
			s.forget(t)
		}
	})
}

// TestReproved has authentik asked again in the background when it is time.
// The directory knows of nothing.
func TestReproved(t *testing.T) {
	restored := func(*fake) {}
	tests := []struct {
		name      string
		change    func(*fake)
		wait      time.Duration
		want      uint16 // of the bind after the one that has it asked
		wantFlows int    // of both
	}{
		{"nothing, before it is time", restored, 11 * time.Hour, ldap.LDAPResultSuccess, 0},
		{"nothing", restored, 16 * time.Hour, ldap.LDAPResultSuccess, 1},
		{"password", func(f *fake) { f.EditUser(alice, func(u *authentiktest.User) { u.Password = "another" }) },
			16 * time.Hour, ldap.LDAPResultInvalidCredentials, 2},
		{"disabled", func(f *fake) { f.EditUser(alice, func(u *authentiktest.User) { u.Inactive = true }) },
			16 * time.Hour, ldap.LDAPResultInvalidCredentials, 2},
		{"policy of the flow", func(f *fake) { f.flow(authentiktest.Flow{Denied: true}) },
			16 * time.Hour, ldap.LDAPResultSuccess, 0}, // it does not start
		{"no login stage", func(f *fake) { f.stages(identify{}, password{}) },
			16 * time.Hour, ldap.LDAPResultSuccess, 1},
		{"redirect before the login", func(f *fake) {
			f.stages(identify{}, password{}, authentiktest.Redirect{To: "https://example.org/"}, login{})
		}, 16 * time.Hour, ldap.LDAPResultSuccess, 1},
		{"user info refused", fault(authentiktest.Fault{Endpoint: authentiktest.Me, Status: http.StatusForbidden}),
			16 * time.Hour, ldap.LDAPResultSuccess, 1},
		{"no password stage", func(f *fake) { f.stages(identify{}, login{}) },
			16 * time.Hour, ldap.LDAPResultSuccess, 1},
		{"second factor", func(f *fake) {
			f.EditUser(alice, func(u *authentiktest.User) {
				u.Devices = []authentiktest.Device{{Class: authentiktest.ClassTOTP, Secret: totpKey}}
			})
		}, 16 * time.Hour, ldap.LDAPResultInvalidCredentials, 2},
		{"access", func(f *fake) { f.DenyAccess(authentiktest.DefaultApplication, alice) },
			16 * time.Hour, ldap.LDAPResultInsufficientAccessRights, 2},
		{"access, with the session", func(f *fake) { f.DenyAccess(authentiktest.DefaultApplication, alice) },
			2 * time.Hour, ldap.LDAPResultInsufficientAccessRights, 1},
		{"access, before it is time", func(f *fake) { f.DenyAccess(authentiktest.DefaultApplication, alice) },
			30 * time.Minute, ldap.LDAPResultSuccess, 0},
		{"crash", func(f *fake) { f.stages(identify{}, authentiktest.Crash{}) },
			16 * time.Hour, ldap.LDAPResultSuccess, 1},
		{"no such flow", func(f *fake) { f.RemoveFlow(authentiktest.DefaultFlow) }, 6 * 24 * time.Hour, ldap.LDAPResultSuccess, 0},
		{"down", func(f *fake) { f.Stop() }, 6 * 24 * time.Hour, ldap.LDAPResultSuccess, 0},
	}
	eachVersion(t, func(t *testing.T, f *fake) {
		s := startAt(t, f.now, f.env(), func(cfg *config.Config) {
			cfg.Authentik.Sync = time.Hour
			cfg.Limits.FailuresPerUser, cfg.Authentik.UserBinds, cfg.Authentik.DenialMemory = 0, 0, 0
		})
		s.loaded(t, 1)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				t.Cleanup(func() {
					f.restore()
					f.EditUser(alice, func(u *authentiktest.User) { u.Inactive = false })
				})
				s.forget(t)
				f.later(time.Minute)
				if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultSuccess {
					t.Fatalf("before: result %d", got)
				}
				before := f.flows()
				tt.change(f)
				f.later(tt.wait)
				if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultSuccess {
					t.Errorf("the one that has authentik asked: result %d", got)
				}
				s.settled(t)
				if got := s.bind(t, userDN(alice), secret); got != tt.want {
					t.Errorf("result %d, want %d", got, tt.want)
				}
				if n := f.flows() - before; n != tt.wantFlows {
					t.Errorf("%d flows, want %d", n, tt.wantFlows)
				}
			})
		}
		t.Run("right to search", func(t *testing.T) {
			sees := func(want int) {
				t.Helper()
				c := s.as(t, userDN(agent), secret)
				if n := len(find(t, c, usersDN, users)); n != want {
					t.Errorf("the service account sees %d users, want %d", n, want)
				}
				s.settled(t)
			}
			sees(6)
			f.EditUser(agent, func(u *authentiktest.User) { u.SearchProviders = nil })
			sees(6)
			f.later(2 * time.Hour)
			sees(6) // and has authentik asked
			sees(1)
		})
		t.Run("down for too long", func(t *testing.T) {
			s.forget(t)
			f.later(time.Minute)
			bind := func(want uint16) {
				t.Helper()
				if got := s.bind(t, userDN(alice), secret); got != want {
					t.Errorf("result %d, want %d", got, want)
				}
			}
			bind(ldap.LDAPResultSuccess)
			f.Stop()
			f.later(8 * 24 * time.Hour)
			bind(ldap.LDAPResultUnavailable)
			f.Start()
			bind(ldap.LDAPResultSuccess)
		})
	})
}

// TestSessions has one session at authentik for each verified bind, the last.
func TestSessions(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		s := f.serve(t)
		alive := func(user string, want int) {
			t.Helper()
			s.settled(t)
			if n := f.Alive(user); n != want {
				t.Errorf("%s has %d sessions, want %d", user, n, want)
			}
		}
		bind := func(user, pw string, want uint16) {
			t.Helper()
			if got := s.bind(t, userDN(user), pw); got != want {
				t.Errorf("%s: result %d, want %d", user, got, want)
			}
		}
		const flows = 4
		for range flows { // each brings a factor of its own
			bind(bob, secret+";"+f.code(t), ldap.LDAPResultSuccess)
			alive(bob, 1)
		}
		if n := f.Counters().Logins; n != flows {
			t.Errorf("%d logins", n)
		}

		bind(alice, secret, ldap.LDAPResultSuccess)
		alive(alice, 1)
		f.EditUser(alice, func(u *authentiktest.User) { u.Password = "another" })
		bind(alice, "another", ldap.LDAPResultSuccess)
		bind(alice, secret, ldap.LDAPResultInvalidCredentials)
		alive(alice, 1)
		s.forgetOne(t, alice)
		alive(alice, 0)
		alive(bob, 1)
		s.forget(t)
		alive(bob, 0)

		// Without an unbind flow they end by themselves.
		f.provider(func(p *authentiktest.Provider) { p.UnbindFlow = "" })
		s.reload <- signal
		s.loaded(t, 2)
		for i := range 2 {
			bind(bob, secret+";"+f.code(t), ldap.LDAPResultSuccess)
			alive(bob, i+1)
		}
		// Last, for authentik takes no code at all for a second after it.
		bind(bob, secret+";000000", ldap.LDAPResultInvalidCredentials)
		alive(bob, 2)
	})
}
