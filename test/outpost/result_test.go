package outpost

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/await"
	"ldapd/internal/config"
)

// Shorter names for the stages of flows.
type (
	identify = authentiktest.Identification
	password = authentiktest.Password
	validate = authentiktest.Validate
	login    = authentiktest.Login
)

// skipped is a password stage with a policy that nobody passes.
var skipped = authentiktest.Bound{Stage: password{}, Policy: func(authentiktest.Subject) bool { return false }}

func fault(f authentiktest.Fault) func(*fake) { return func(a *fake) { a.Inject(f) } }

// TestResults has a row for each thing that a flow can do, sections 6.4 and 15
// of the contract. Only what was denied may be 49 or 50; what could not be
// determined is 52, and the connection is closed.
func TestResults(t *testing.T) {
	duo := func(answer authentiktest.DuoAnswer) func(*fake) {
		return func(f *fake) {
			f.EditUser(alice, func(u *authentiktest.User) {
				u.Devices = []authentiktest.Device{{Class: authentiktest.ClassDuo, Duo: answer}}
			})
		}
	}
	device := func(class string) func(*fake) {
		return func(f *fake) {
			f.EditUser(alice, func(u *authentiktest.User) { u.Devices = []authentiktest.Device{{Class: class}} })
		}
	}
	// A device of its own for each row: authentik throttles after a wrong code.
	static := func(list ...authentiktest.Stage) func(*fake) {
		return func(f *fake) {
			f.EditUser(alice, func(u *authentiktest.User) {
				u.Devices = []authentiktest.Device{{Class: authentiktest.ClassStatic, Tokens: []string{"static000000", "static08"}}}
			})
			f.flow(authentiktest.Flow{Stages: list})
		}
	}
	stages := func(list ...authentiktest.Stage) func(*fake) { return func(f *fake) { f.stages(list...) } }
	flow := func(flow authentiktest.Flow) func(*fake) { return func(f *fake) { f.flow(flow) } }
	const (
		granted = ldap.LDAPResultSuccess
		denied  = ldap.LDAPResultInvalidCredentials
		access  = ldap.LDAPResultInsufficientAccessRights
		unknown = ldap.LDAPResultUnavailable
	)
	tests := []struct {
		name     string
		set      func(*fake)
		user, pw string
		want     uint16
	}{
		// Section 6.4.
		{"passed, access ok, user info ok", func(*fake) {}, alice, secret, granted},
		{"wrong secret", func(*fake) {}, alice, "wrong", denied},
		{"flow error", stages(identify{}, authentiktest.Crash{}), alice, secret, unknown},
		{"flow error, wrong secret", stages(identify{}, authentiktest.Crash{}), alice, "wrong", unknown},
		{"flow error, a code on the password", stages(identify{}, authentiktest.Crash{}), bob, secret + ";123456", unknown},
		{"flow denied to everybody", flow(authentiktest.Flow{Denied: true}), alice, secret, unknown},
		{"flow denied to everybody, wrong secret", flow(authentiktest.Flow{Denied: true}), alice, "wrong", unknown},
		{"denied by a deny stage before the password", stages(identify{}, authentiktest.Deny{}, password{}, login{}), alice, secret, denied},
		{"denied by a deny stage", stages(identify{}, password{}, authentiktest.Deny{}), alice, secret, denied},
		{"unsupported stage", stages(identify{}, authentiktest.Component{Name: "ak-stage-prompt"}), alice, secret, unknown},
		{"captcha", stages(identify{PasswordFields: true, Captcha: true}, login{}), alice, secret, unknown},
		{"authentik unreachable", func(f *fake) { f.Stop() }, alice, secret, unknown},
		{"authentik unreachable, wrong secret", func(f *fake) { f.Stop() }, alice, "wrong", unknown},
		{"authentik unreachable, unknown user", func(f *fake) { f.Stop() }, nobody, secret, unknown},
		{"authentik answers with nothing", fault(authentiktest.Fault{Endpoint: authentiktest.Executor, Drop: true}), alice, secret, unknown},
		{"authentik does not answer", fault(authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "POST", Hang: true}), alice, secret, unknown},
		{"proxy error", fault(authentiktest.Fault{Endpoint: authentiktest.Executor, Status: http.StatusBadGateway}), alice, secret, unknown},
		{"proxy error behind the password", fault(authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "POST", Skip: 1, Status: http.StatusServiceUnavailable}), alice, secret, unknown},
		{"proxy refuses", fault(authentiktest.Fault{Endpoint: authentiktest.Executor, Status: http.StatusForbidden, Body: "<h1>Forbidden</h1>"}), alice, secret, unknown},
		{"throttled", fault(authentiktest.Fault{Endpoint: authentiktest.Executor, Status: http.StatusTooManyRequests}), alice, secret, unknown},
		{"throttled as flow error", fault(authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "POST", FlowError: true}), alice, secret, unknown},
		{"no JSON", fault(authentiktest.Fault{Endpoint: authentiktest.Executor, Status: http.StatusOK, Body: "<html>"}), alice, secret, unknown},
		{"no such flow", func(f *fake) { f.RemoveFlow(authentiktest.DefaultFlow) }, alice, secret, unknown},
		{"user info failed", fault(authentiktest.Fault{Endpoint: authentiktest.Me, Status: http.StatusInternalServerError}), alice, secret, unknown},
		{"access denied by application policy", func(f *fake) { f.DenyAccess(authentiktest.DefaultApplication, alice) }, alice, secret, access},
		{"flow for outposts only", flow(authentiktest.Flow{RequireOutpost: true}), alice, secret, granted},

		// Section 15, 2.
		{"password in the identification", stages(identify{PasswordFields: true}, login{}), alice, secret, granted},
		{"password in the identification, wrong", stages(identify{PasswordFields: true}, login{}), alice, "wrong", denied},
		{"password in the identification, code", static(identify{PasswordFields: true}, validate{}, login{}), alice, secret + ";static08", granted},
		{"password stage only", stages(identify{}, password{}, login{}), alice, secret, granted},
		{"user-login stage with a challenge", stages(identify{}, password{}, login{RememberOffset: time.Hour}), alice, secret, granted},

		// Section 15, 3.
		{"refused in a stage that starts again", flow(authentiktest.Flow{OnInvalid: authentiktest.Restart}), alice, "wrong", denied},
		{"refused in a stage that starts again with its context", flow(authentiktest.Flow{OnInvalid: authentiktest.RestartWithContext}), alice, "wrong", denied},
		{"wrong code", static(), alice, secret + ";000000", denied},
		{"Duo allowed", duo(authentiktest.DuoAllow), alice, secret, granted},
		{"Duo denied", duo(authentiktest.DuoDeny), alice, secret, denied},
		{"redirect to the executor", flow(authentiktest.Flow{ChallengeRedirects: true}), alice, secret, granted},
		{"redirect to the executor, wrong secret", flow(authentiktest.Flow{ChallengeRedirects: true}), alice, "wrong", denied},
		{"unknown component", stages(identify{}, password{}, authentiktest.Component{Name: "ak-stage-of-the-future"}), alice, secret, unknown},
		{"end without login", stages(identify{}, password{}), alice, secret, unknown},
		{"end without login, wrong secret", stages(identify{}, password{}), alice, "wrong", denied},
		{"redirect before the login", stages(identify{}, password{}, authentiktest.Redirect{To: "https://example.org/"}, login{}), alice, secret, unknown},
		{"user info refused", fault(authentiktest.Fault{Endpoint: authentiktest.Me, Status: http.StatusForbidden}), alice, secret, unknown},
		{"user info refused by a proxy", fault(authentiktest.Fault{Endpoint: authentiktest.Me, Status: http.StatusForbidden, Body: "<h1>Forbidden</h1>"}), alice, secret, unknown},
		{"no password asked for", stages(identify{}, login{}), alice, secret, unknown},
		{"no password asked for, wrong secret", stages(identify{}, login{}), alice, "wrong", unknown},
		{"password stage skipped", stages(identify{}, skipped, login{}), alice, "wrong", unknown},
		{"code asked for, and no password", static(identify{}, validate{}, login{}), alice, "wrong;static08", unknown},
		{"consent", stages(identify{}, password{}, login{}, authentiktest.Consent{}), alice, secret, unknown},
		{"consent before the login", stages(identify{}, password{}, authentiktest.Consent{}, login{}), alice, secret, granted},
		{"elsewhere at the end", flow(authentiktest.Flow{RedirectTo: "https://example.org/"}), alice, secret, granted},

		// Section 15, 4.
		{"check_access 500", fault(authentiktest.Fault{Endpoint: authentiktest.CheckAccess, Status: http.StatusInternalServerError}), alice, secret, unknown},
		{"check_access 404", fault(authentiktest.Fault{Endpoint: authentiktest.CheckAccess, Status: http.StatusNotFound}), alice, secret, unknown},
		{"missing has_search_permission", func(f *fake) { f.OmitSearchPermission(true) }, alice, secret, granted},

		// Section 15, 6.
		{"session cookie with Expires", stages(identify{}, password{}, login{Duration: time.Hour}), alice, secret, granted},

		// MFA: section 5.7 c, and what the issue adds.
		{"static code of 12", static(), alice, secret + ";static000000", granted},
		{"static code of 8", static(), alice, secret + ";static08", granted},
		{"no code", static(), alice, secret, denied},
		{"a code for nothing", stages(identify{}, password{}, login{}), alice, secret + ";123456", granted},
		{"webauthn only", device(authentiktest.ClassWebAuthn), alice, secret, denied},
		{"sms only", device(authentiktest.ClassSMS), alice, secret, denied},
		{"email only", device(authentiktest.ClassEmail), alice, secret, denied},
		{"MFA not configured, denied", stages(identify{}, password{}, validate{NotConfigured: "deny"}, login{}), alice, secret, denied},
		{"MFA not configured, to be set up", stages(identify{}, password{}, validate{NotConfigured: "configure", Configure: []string{"ak-stage-authenticator-totp"}}, login{}), alice, secret, unknown},
		{"app password", func(f *fake) {
			f.EditUser(alice, func(u *authentiktest.User) { u.AppPasswords = []string{strings.Repeat("x", 60)} })
		}, alice, strings.Repeat("x", 60), granted},
	}
	eachVersion(t, func(t *testing.T, f *fake) {
		s := start(t, f.env(), func(cfg *config.Config) {
			cfg.Limits.BindTime = 3 * time.Second
			// The rows are not to know of each other.
			cfg.Limits.FailuresPerUser, cfg.Authentik.UserBinds, cfg.Authentik.DenialMemory = 0, 0, 0
		})
		s.loaded(t, 1)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				t.Cleanup(f.restore)
				s.forget(t)
				tt.set(f)
				if got := s.bind(t, userDN(tt.user), tt.pw); got != tt.want {
					t.Errorf("result %d, want %d", got, tt.want)
				}
			})
		}
		if n := f.Counters().Messages; n != 0 {
			t.Errorf("%d text messages were sent", n)
		}
	})
}

// TestNoMFASupport has a provider that takes no code on the password.
func TestNoMFASupport(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		f.provider(func(p *authentiktest.Provider) { p.NoMFA = true })
		f.EditUser(alice, func(u *authentiktest.User) { u.Password = "odd;123456" })
		s := f.serve(t)
		for _, tt := range []struct {
			user, pw string
			want     uint16
		}{
			{alice, "odd;123456", ldap.LDAPResultSuccess},
			{alice, "odd", ldap.LDAPResultInvalidCredentials},
			{bob, secret + ";" + f.code(t), ldap.LDAPResultInvalidCredentials},
			{bob + ";" + f.code(t), secret, ldap.LDAPResultSuccess},
		} {
			if got := s.bind(t, userDN(ldap.EscapeDN(tt.user)), tt.pw); got != tt.want {
				t.Errorf("%s, %s: result %d, want %d", tt.user, tt.pw, got, tt.want)
			}
		}
	})
}

// TestMissingSearchPermission has nobody see more than himself where authentik
// does not say who may.
func TestMissingSearchPermission(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		f.OmitSearchPermission(true)
		s := f.serve(t)
		if got := names(find(t, s.as(t, userDN(agent), secret), rootDN, users), "cn"); !slices.Equal(got, []string{agent}) {
			t.Errorf("the service account sees %q", got)
		}
		// It is asked for with each flow.
		f.OmitSearchPermission(false)
		s.forget(t)
		if got := find(t, s.as(t, userDN(agent), secret), rootDN, users); len(got) != 6 {
			t.Errorf("the service account sees %q", names(got, "cn"))
		}
	})
}

// TestSlowDuo holds a bind until the user has confirmed; nothing else waits.
func TestSlowDuo(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		f.EditUser(alice, func(u *authentiktest.User) {
			u.Devices = []authentiktest.Device{{Class: authentiktest.ClassDuo}, {Class: authentiktest.ClassTOTP, Secret: totpKey}}
		})
		s := f.serve(t)
		for _, tt := range []struct {
			decide func(*authentiktest.Push)
			want   uint16
		}{
			{(*authentiktest.Push).Deny, ldap.LDAPResultInvalidCredentials},
			{(*authentiktest.Push).Allow, ldap.LDAPResultSuccess},
		} {
			got := make(chan uint16)
			// Not the same secret: that one is denied for a while.
			f.EditUser(alice, func(u *authentiktest.User) { u.Password += "+" })
			pw := f.User(alice).Password
			go func() { got <- s.bind(t, userDN(alice), pw) }()
			push := await.Receive(t, "a push", f.Pushes())
			if push.Username != alice {
				t.Errorf("push for %s", push.Username)
			}
			c := s.as(t, userDN(agent), secret)
			if n := len(find(t, c, rootDN, users)); n != 6 {
				t.Errorf("%d users during the push", n)
			}
			tt.decide(push)
			if got := <-got; got != tt.want {
				t.Errorf("result %d, want %d", got, tt.want)
			}
		}
		// With a code typed nobody is asked.
		f.EditUser(alice, func(u *authentiktest.User) { u.Password = secret })
		if got := s.bind(t, userDN(alice), secret+";"+f.Code(alice)); got != ldap.LDAPResultSuccess {
			t.Errorf("with a code: result %d", got)
		}
	})
}

// TestHangUpStopsTheFlow has a client leave during its bind.
func TestHangUpStopsTheFlow(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		s := f.serve(t)
		hang := f.Inject(authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "POST", Skip: 1, Hang: true})
		c := s.dial(t)
		failed := make(chan error)
		go func() { failed <- c.Bind(userDN(alice), secret) }()
		if err := f.Wait(t.Context(), func() bool { return hang.Hits() == 1 }); err != nil {
			t.Fatal(err)
		}
		if n := s.metric(t, "ldapd_authentik_flows_running"); n != 1 {
			t.Errorf("%v flows run", n)
		}
		c.Close()
		if err := <-failed; err == nil {
			t.Error("bind granted")
		}
		await.That(t, "the flow has ended", func() bool {
			return s.metric(t, "ldapd_authentik_flows_running") == 0 && s.metric(t, "ldapd_authentik_binds_waiting") == 0
		})
		f.ClearFaults()
		if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultSuccess {
			t.Errorf("result %d", got)
		}
	})
}

// TestPace answers 51 to more binds of one user than may reach authentik, and
// denies a stale password from memory.
func TestPace(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		s := start(t, f.env(), func(cfg *config.Config) { cfg.Authentik.UserBinds, cfg.Limits.FailuresPerUser = 3, 0 })
		s.loaded(t, 1)
		for range 4 { // as Nextcloud does with a stale app token
			for _, pw := range []string{"stale", "AbCdE-12345-fGhIj-67890-kLmNo"} {
				if got := s.bind(t, userDN(alice), pw); got != ldap.LDAPResultInvalidCredentials {
					t.Errorf("%s: result %d", pw, got)
				}
			}
		}
		if n := f.flows(); n != 2 {
			t.Errorf("%d flows for 2 passwords", n)
		}
		if n := s.metric(t, "ldapd_authentik_denials_remembered_total"); n != 6 {
			t.Errorf("%v denials from memory", n)
		}
		if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultSuccess {
			t.Errorf("third: result %d", got)
		}
		// Where she is at home now, what comes is counted apart.
		for _, pw := range []string{"fourth", "fifth", "sixth"} {
			if got := s.bind(t, userDN(alice), pw); got != ldap.LDAPResultInvalidCredentials {
				t.Errorf("%s: result %d", pw, got)
			}
		}
		if got := s.bind(t, userDN(alice), "seventh"); got != ldap.LDAPResultBusy {
			t.Errorf("seventh: result %d", got)
		}
		if got := s.bind(t, userDN(agent), secret); got != ldap.LDAPResultSuccess {
			t.Errorf("another user: result %d", got)
		}
		if n := f.flows(); n != 7 {
			t.Errorf("%d flows", n)
		}
		if n := s.metric(t, `ldapd_binds_total{factor="",outcome="limited",reason="pace_user",source=""}`); n != 1 {
			t.Errorf("%v binds counted as paced", n)
		}
	})
}
