package authentiktest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	ak "ldapd/internal/authentik/authentiktest"
	"ldapd/internal/testclock"
)

func versions(t *testing.T, f func(t *testing.T, version string)) {
	for _, v := range []string{ak.V2026_5, ak.V2025_10} {
		t.Run(v, func(t *testing.T) { f(t, v) })
	}
}

func setStages(s *ak.Server, stages ...ak.Stage) {
	s.SetFlow(ak.Flow{Slug: ak.DefaultFlow, Stages: stages})
}

func TestLogin(t *testing.T) {
	versions(t, func(t *testing.T, version string) {
		s := ak.New(t, ak.Options{Version: version})
		s.AddUser(ak.User{Username: "alice", Email: "alice@example.org", Password: "secret"})
		c := newClient(t, s)
		want(t, "first", c.start().component(), "ak-stage-identification")
		want(t, "me before", c.me().status, 403)
		a := c.identify("ALICE", "ignored")
		want(t, "second", a.component(), "ak-stage-password")
		want(t, "pending", a.m["pending_user"], "alice")
		a = c.password("secret")
		want(t, "end", a.component(), "xak-flow-redirect")
		want(t, "to", a.m["to"], "/")
		want(t, "me", c.me().m["user"].(map[string]any)["username"], "alice")
		want(t, "events", s.Events(), []ak.Event{{Action: "login", Username: "alice", IP: c.ip, Outpost: true}})
		want(t, "reputation", s.Reputation("alice", c.ip), 1)
		n := s.Counters()
		want(t, "started", n.FlowsStarted, map[string]int{ak.DefaultFlow: 1})
		want(t, "finished", n.FlowsFinished, map[string]int{ak.DefaultFlow: 1})
		want(t, "logins", n.Logins, 1)
		want(t, "executor requests", n.Requests[ak.Executor], 6) // a GET, and a POST, a GET twice, a GET each for validate and login
		if s.User("alice").LastLogin.IsZero() {
			t.Error("last_login did not move")
		}
		want(t, "complaints", s.Complaints(), nil)

		// Authentik answers a solved stage by 302, with a cookie.
		c = newClient(t, s)
		c.start()
		a = c.asUser("POST", "/api/v3/flows/executor/"+ak.DefaultFlow+"/"+outpostQuery, `{"component":"ak-stage-identification","uid_field":"alice@example.org"}`)
		want(t, "status", a.status, 302)
		want(t, "location", a.header.Get("Location"), "/api/v3/flows/executor/"+ak.DefaultFlow+"/"+outpostQuery)
		if !strings.HasPrefix(a.header.Get("Set-Cookie"), "authentik_session=ey") || len(a.body) != 0 {
			t.Errorf("302 with %q and body %q", a.header.Get("Set-Cookie"), a.body)
		}
	})
}

func TestLostCookiesGiveTheFirstChallengeAgain(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	c := newClient(t, s)
	path := "/api/v3/flows/executor/" + ak.DefaultFlow + "/" + outpostQuery
	for range 3 {
		a := c.asUser("POST", path, `{"component":"ak-stage-identification","uid_field":"alice"}`)
		want(t, "status", a.status, 302)
		clear(c.cookies)
		want(t, "next", c.asUser("GET", path, "").component(), "ak-stage-identification")
		clear(c.cookies)
	}
	// A password posted without a session meets the first stage.
	a := c.password("secret")
	want(t, "component", a.component(), "ak-stage-identification")
	field, _ := a.refusal()
	want(t, "refused", field, "non_field_errors")
	if len(s.Complaints()) != 1 {
		t.Errorf("complaints: %q", s.Complaints())
	}
	// A forged cookie is no session.
	forged := strings.Split(c.cookies[ak.CookieSession].Value, ".")
	forged[2] = forged[1]
	c.cookies[ak.CookieSession].Value = strings.Join(forged, ".")
	want(t, "forged", c.start().component(), "ak-stage-identification")
	want(t, "started", s.Counters().FlowsStarted[ak.DefaultFlow], 8)
}

// sid reads the session id out of the cookie as an outpost does.
func (c *client) sid() string {
	c.t.Helper()
	part := strings.Split(c.cookies[ak.CookieSession].Value, ".")[1]
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		c.t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(b, &claims); err != nil {
		c.t.Fatal(err)
	}
	return claims["sid"].(string)
}

func TestSessionIDChangesAtLogin(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	c := newClient(t, s)
	c.start()
	old := *c.cookies[ak.CookieSession]
	before := c.sid()
	c.identify("alice", "")
	want(t, "sid until login", c.sid(), before)
	c.password("secret")
	if c.sid() == before {
		t.Error("the sid did not change at login")
	}
	sum := sha256.Sum256([]byte(c.sid()))
	want(t, "hash", s.Sessions("alice")[0].Hash, hex.EncodeToString(sum[:]))
	want(t, "me", c.me().status, 200)
	c.cookies[ak.CookieSession] = &old
	want(t, "me with the old cookie", c.me().status, 403)
}

func TestSessionExpiry(t *testing.T) {
	now := testclock.At(began)
	s := ak.New(t, ak.Options{Now: now.Now})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	c := newClient(t, s)
	c.login("alice", "secret")
	if k := c.cookies[ak.CookieSession]; !k.Expires.IsZero() || k.MaxAge != 0 {
		t.Errorf("a browser session expires: %v", k)
	}
	setStages(s, ak.Identification{}, ak.Password{}, ak.Login{Duration: time.Hour})
	c = newClient(t, s)
	c.login("alice", "secret")
	k := c.cookies[ak.CookieSession]
	want(t, "expires", k.Expires.Sub(now.Now().Truncate(time.Second)), time.Hour)
	if k.MaxAge != 3599 && k.MaxAge != 3600 {
		t.Errorf("max-age %d", k.MaxAge)
	}
	want(t, "me", c.me().status, 200)
	now.Advance(2 * time.Hour)
	want(t, "me when expired", c.me().status, 403)
	want(t, "alive", []int{s.Alive("alice"), len(s.Sessions("alice"))}, []int{1, 2})
	s.ExpireSessions()
	want(t, "sessions left", len(s.Sessions("alice")), 1)
}

// The row of a browser session lives for a day from the last flow in it.
func TestBrowserSessionExpiry(t *testing.T) {
	now := testclock.At(began)
	s := ak.New(t, ak.Options{Now: now.Now, CleanUp: 2 * time.Hour})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	c := newClient(t, s)
	c.login("alice", "secret")
	now.Advance(23 * time.Hour)
	want(t, "me", c.me().status, 200)
	now.Advance(time.Hour - time.Microsecond)
	want(t, "me at the end of a day", c.me().status, 200)
	now.Advance(time.Microsecond)
	want(t, "me a day later", c.me().status, 403)
	want(t, "alive", s.Alive("alice"), 0)
	want(t, "not cleaned up yet", len(s.Sessions("alice")), 1)
	now.Advance(time.Hour)
	c.me()
	want(t, "cleaned up", len(s.Sessions("alice")), 0)

	c.start()
	want(t, "anonymous", s.Alive(""), 1)
	now.Advance(20 * time.Hour)
	c.start()
	now.Advance(20 * time.Hour)
	want(t, "a flow keeps it", s.Alive(""), 1)
	now.Advance(4 * time.Hour)
	want(t, "over", s.Alive(""), 0)
}

func TestCountersByUser(t *testing.T) {
	s := ak.New(t, ak.Options{})
	for _, name := range []string{"alice", "bob"} {
		s.AddUser(ak.User{Username: name, Password: "secret"})
	}
	c := newClient(t, s)
	for _, try := range []struct{ name, password string }{{"alice", "secret"}, {"alice", "wrong"}, {"bob", "secret"}, {"zoe", "secret"}, {"alice", "secret"}} {
		clear(c.cookies)
		c.login(try.name, try.password)
	}
	want(t, "flows", s.Counters().UserFlows, map[string]int{"alice": 3, "bob": 1})
	want(t, "logins", s.Counters().UserLogins, map[string]int{"alice": 2, "bob": 1})
	s.ResetCounters()
	want(t, "reset", len(s.Counters().UserFlows)+len(s.Counters().UserLogins), 0)
}

func TestLayouts(t *testing.T) {
	totp := ak.Device{Class: ak.ClassTOTP, Secret: "JBSWY3DPEHPK3PXP"}
	id, pw := ak.Identification{}, ak.Password{}
	embedded := ak.Identification{PasswordFields: true}
	for _, test := range []struct {
		name   string
		stages []ak.Stage
		want   []string // components met
		login  bool
	}{
		{"separate password", []ak.Stage{id, pw, ak.Login{}}, []string{"ak-stage-identification", "ak-stage-password", "xak-flow-redirect"}, true},
		{"embedded password", []ak.Stage{embedded, ak.Login{}}, []string{"ak-stage-identification", "xak-flow-redirect"}, true},
		{"embedded password before a password stage", []ak.Stage{embedded, pw, ak.Login{}}, []string{"ak-stage-identification", "xak-flow-redirect"}, true},
		{"mfa", []ak.Stage{id, pw, ak.Validate{}, ak.Login{}},
			[]string{"ak-stage-identification", "ak-stage-password", "ak-stage-authenticator-validate", "xak-flow-redirect"}, true},
		{"embedded and mfa", []ak.Stage{embedded, ak.Validate{}, ak.Login{}},
			[]string{"ak-stage-identification", "ak-stage-authenticator-validate", "xak-flow-redirect"}, true},
		{"remember me", []ak.Stage{id, pw, ak.Login{RememberOffset: time.Hour}},
			[]string{"ak-stage-identification", "ak-stage-password", "ak-stage-user-login", "xak-flow-redirect"}, true},
		{"consent", []ak.Stage{id, pw, ak.Consent{}, ak.Login{}},
			[]string{"ak-stage-identification", "ak-stage-password", "ak-stage-consent", "xak-flow-redirect"}, true},
		{"no login stage", []ak.Stage{id, pw}, []string{"ak-stage-identification", "ak-stage-password", "xak-flow-redirect"}, false},
		{"redirect elsewhere", []ak.Stage{id, pw, ak.Redirect{To: "https://x.invalid/"}, ak.Login{}},
			[]string{"ak-stage-identification", "ak-stage-password", "xak-flow-redirect"}, false},
		{"deny", []ak.Stage{id, pw, ak.Deny{}, ak.Login{}}, []string{"ak-stage-identification", "ak-stage-password", "ak-stage-access-denied"}, false},
		{"exception", []ak.Stage{id, pw, ak.Crash{}, ak.Login{}}, []string{"ak-stage-identification", "ak-stage-password", "ak-stage-flow-error"}, false},
		{"e-mail", []ak.Stage{id, ak.Component{Name: "ak-stage-email"}}, []string{"ak-stage-identification", "ak-stage-email"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := ak.New(t, ak.Options{})
			s.AddUser(ak.User{Username: "alice", Password: "secret", Devices: []ak.Device{totp}})
			setStages(s, test.stages...)
			c := newClient(t, s)
			a := c.start()
			var met []string
			for len(met) < 10 {
				met = append(met, a.component())
				switch a.component() {
				case "ak-stage-identification":
					a = c.identify("alice", "secret")
					continue
				case "ak-stage-password":
					a = c.password("secret")
					continue
				case "ak-stage-authenticator-validate":
					a = c.code(s.Code("alice"))
					continue
				case "ak-stage-user-login":
					a = c.answer("ak-stage-user-login", map[string]any{"remember_me": true})
					if k := c.cookies[ak.CookieSession]; k.Expires.IsZero() {
						t.Error("remembered, but no Expires")
					}
					continue
				case "ak-stage-consent":
					want(t, "wrong token", c.answer("ak-stage-consent", map[string]any{"token": "x"}).component(), "ak-stage-consent")
					a = c.answer("ak-stage-consent", map[string]any{"token": a.m["token"]})
					continue
				}
				break
			}
			want(t, "met", met, test.want)
			want(t, "me", c.me().status == 200, test.login)
			want(t, "complaints", s.Complaints(), nil)
		})
	}
}

func TestRefusals(t *testing.T) {
	versions(t, func(t *testing.T, version string) {
		s := ak.New(t, ak.Options{Version: version})
		s.AddUser(ak.User{Username: "alice", Password: " secret ", AppPasswords: []string{"app"}, Attributes: map[string]any{"upn": "al@corp"}})
		s.AddUser(ak.User{Username: "gone", Password: "secret", Inactive: true})
		c := newClient(t, s)
		c.check.lax = true
		refused := func(what string, a answer, component, field, code string) {
			t.Helper()
			f, k := a.refusal()
			want(t, what, []string{a.component(), f, k}, []string{component, field, code})
		}
		const id, pw = "ak-stage-identification", "ak-stage-password"
		c.start()
		if version == ak.V2026_5 {
			refused("no uid", c.answer(id, nil), id, "non_field_errors", "invalid")
		} else {
			refused("no uid", c.answer(id, nil), id, "uid_field", "required")
			refused("empty uid", c.answer(id, map[string]any{"uid_field": ""}), id, "uid_field", "blank")
		}
		refused("no object", c.flow("POST", ak.DefaultFlow, "[]"), id, "non_field_errors", "invalid")
		want(t, "no JSON", c.flow("POST", ak.DefaultFlow, "{").component(), "ak-stage-flow-error")
		c.identify("alice", "")
		refused("empty", c.password(""), pw, "password", "blank")
		refused("missing", c.answer(pw, nil), pw, "password", "required")
		refused("trimmed", c.password("secret"), pw, "password", "invalid")
		want(t, "untrimmed", c.password(" secret ").component(), "xak-flow-redirect")

		clear(c.cookies)
		c.login("alice", "app")
		want(t, "app password", c.me().status, 200)
		clear(c.cookies)
		c.start()
		refused("inactive", c.login("gone", "secret"), pw, "password", "invalid")

		// The embedded password is trimmed, and its error is one for all.
		setStages(s, ak.Identification{PasswordFields: true, UserFields: []string{"upn"}}, ak.Login{})
		for _, try := range [][2]string{{"alice", "app"}, {"al@corp", " secret "}, {"al@corp", ""}, {"nobody", "x"}} {
			clear(c.cookies)
			c.start()
			refused(try[0], c.identify(try[0], try[1]), id, "non_field_errors", "invalid")
		}
		want(t, "by upn", c.identify(" AL@corp ", " app ").component(), "xak-flow-redirect")
		setStages(s, ak.Identification{PasswordFields: true, Captcha: true}, ak.Login{})
		clear(c.cookies)
		c.start()
		refused("captcha", c.identify("alice", "app"), id, "non_field_errors", "invalid")
		want(t, "slug", c.flow("GET", "no-such-flow", "").status, 404)
	})
}

func TestPretendUserExists(t *testing.T) {
	s := ak.New(t, ak.Options{})
	c := newClient(t, s)
	c.start()
	a := c.identify("nobody", "")
	want(t, "pretended", a.component(), "ak-stage-password")
	want(t, "pending", a.m["pending_user"], "nobody")
	want(t, "reputation", s.Reputation("nobody", c.ip), -1)
	f, _ := c.password("x").refusal()
	want(t, "refused", f, "password")
	want(t, "reputation after", s.Reputation("nobody", c.ip), -2)
	want(t, "events", s.Events(), []ak.Event{{Action: "login_failed", Username: "nobody", IP: c.ip, Stage: "ak-stage-password", Outpost: true}})

	setStages(s, ak.Identification{NoPretend: true}, ak.Password{})
	clear(c.cookies)
	c.start()
	f, _ = c.identify("nobody", "").refusal()
	want(t, "not pretended", f, "non_field_errors")
}

func TestPasswordTries(t *testing.T) {
	versions(t, func(t *testing.T, version string) {
		s := ak.New(t, ak.Options{Version: version})
		s.AddUser(ak.User{Username: "alice", Password: "secret"})
		setStages(s, ak.Identification{}, ak.Password{MaxTries: 3}, ak.Login{})
		c := newClient(t, s)
		c.start()
		c.identify("alice", "")
		for range 2 {
			want(t, "try", c.password("x").component(), "ak-stage-password")
		}
		a := c.password("x")
		want(t, "denied", a.component(), "ak-stage-access-denied")
		want(t, "message", a.m["error_message"], "Invalid password")
		want(t, "the plan is gone", c.start().component(), "ak-stage-identification")
		want(t, "reputation", s.Reputation("alice", c.ip), -3)
		// The score ends at -5, and with it what 2026.5 counts by.
		c.identify("alice", "")
		components := map[string]bool{}
		for range 6 {
			components[c.password("x").component()] = true
		}
		want(t, "denied at the limit", components["ak-stage-access-denied"], version == ak.V2025_10)
		want(t, "reputation at the limit", s.Reputation("alice", c.ip), -5)
	})
}

func TestRestartWithoutErrors(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	for _, action := range []ak.InvalidAction{ak.Restart, ak.RestartWithContext} {
		s.SetFlow(ak.Flow{Slug: ak.DefaultFlow, OnInvalid: action, Stages: []ak.Stage{ak.Identification{}, ak.Password{}, ak.Login{}}})
		s.ResetCounters()
		c := newClient(t, s)
		c.start()
		for n := range 3 {
			c.identify("alice", "")
			a := c.password("wrong")
			want(t, "component", a.component(), "ak-stage-identification")
			want(t, "errors", a.m["response_errors"], nil)
			want(t, "failed logins", s.Counters().LoginsFailed, n+1)
			if action == ak.RestartWithContext {
				want(t, "context", a.m["pending_user_identifier"], "alice")
			} else {
				want(t, "context", a.m["pending_user_identifier"], nil)
			}
		}
		want(t, "started", s.Counters().FlowsStarted[ak.DefaultFlow], 1)
	}
}

func TestQueryMustBeEncodedExactly(t *testing.T) {
	for _, test := range []struct {
		query     string
		exact, ok bool // answered by 302; what an outpost sends
	}{
		{outpostQuery, true, true},
		{"?query=goauthentik.io%252Foutpost%252Fldap%3Dtrue%26goauthentik.io%252Foutpost%252Fldap-warmup%3Dtrue", true, true},
		{"?query=goauthentik.io%252foutpost%252Fldap%3Dtrue", true, false}, // encoded within, not without
		{"?query=goauthentik.io%252Foutpost%252Fldap%3dtrue", false, false},
		{"?query=goauthentik.io%2Foutpost%2Fldap%3Dtrue", true, false},
		{"?query=goauthentik.io/outpost/ldap%3Dtrue", false, false},
		{"?query=a%20b", false, false},
		{"?query=a+b", true, false},
		{"?query=a~b", true, false},
		{"?query=a%7Eb", false, false},
		{"?query=a*b", false, false},
		{"?query=x&query=y", false, false},
		{"?query=%C3%BC&b=", true, false},
		{"?query=x&b", false, false},
		{"?", true, false},
		{"", true, false},
	} {
		s := ak.New(t, ak.Options{})
		s.AddUser(ak.User{Username: "alice", Password: "secret"})
		c := newClient(t, s)
		c.check.lax = true
		path := "/api/v3/flows/executor/" + ak.DefaultFlow + "/" + test.query
		c.asUser("GET", path, "")
		a := c.asUser("POST", path, `{"component":"ak-stage-identification","uid_field":"alice"}`)
		if test.exact {
			want(t, test.query, a.status, 302)
		} else {
			want(t, test.query, a.component(), "xak-flow-redirect")
			to, _ := a.m["to"].(string)
			if !strings.HasPrefix(to, "/api/v3/flows/executor/"+ak.DefaultFlow+"/?") {
				t.Errorf("%s: to %q", test.query, to)
			}
			want(t, "go on", c.asUser("GET", to, "").component(), "ak-stage-password")
		}
		want(t, test.query+" complaints", len(s.Complaints()) == 0, test.ok)
	}
}

func TestRedirectChallengeToTheExecutor(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	s.SetFlow(ak.Flow{Slug: ak.DefaultFlow, ChallengeRedirects: true, RedirectTo: "https://app.invalid/",
		Stages: []ak.Stage{ak.Identification{}, ak.Password{}, ak.Login{}}})
	c := newClient(t, s)
	c.start()
	want(t, "to", c.identify("alice", "").m["to"], "/api/v3/flows/executor/"+ak.DefaultFlow+"/"+outpostQuery)
	want(t, "next", c.start().component(), "ak-stage-password")
	c.password("secret")
	want(t, "me too early", c.me().status, 403)
	want(t, "end", c.start().m["to"], "https://app.invalid/")
	want(t, "me", c.me().status, 200)
}

func TestPolicyOfTheFlow(t *testing.T) {
	s := ak.New(t, ak.Options{})
	c := newClient(t, s)
	s.SetFlow(ak.Flow{Slug: ak.DefaultFlow, Denied: true})
	a := c.start()
	want(t, "denied", []any{a.component(), a.m["error_message"]}, []any{"ak-stage-access-denied", "Flow does not apply to current user."})
	s.SetFlow(ak.Flow{Slug: ak.DefaultFlow, Denied: true, DenyMessage: "not\ntoday"})
	want(t, "message", c.start().m["error_message"], "not\ntoday")
	want(t, "started", s.Counters().FlowsStarted, map[string]int{})

	s.SetFlow(ak.Flow{Slug: ak.DefaultFlow, RequireOutpost: true, Stages: []ak.Stage{ak.Identification{}}})
	want(t, "as outpost", c.start().component(), "ak-stage-identification")
	clear(c.cookies)
	c.token = "wrong"
	want(t, "with a wrong token", c.start().component(), "ak-stage-access-denied")
}

func TestAnotherSlugDiscardsThePlan(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	s.SetFlow(ak.Flow{Slug: "other", Stages: []ak.Stage{ak.Consent{}}})
	c := newClient(t, s)
	c.start()
	c.identify("alice", "")
	want(t, "repeated", c.start().component(), "ak-stage-password")
	want(t, "other", c.flow("GET", "other", "").component(), "ak-stage-consent")
	want(t, "back", c.start().component(), "ak-stage-identification")
}

// TestBound has a stage shown only to those who pass its policy.
func TestBound(t *testing.T) {
	versions(t, func(t *testing.T, version string) {
		s := ak.New(t, ak.Options{Version: version})
		s.AddUser(ak.User{Username: "alice", Password: "secret"})
		poor := func(of ak.Subject) bool { return of.Reputation < 0 }
		setStages(s, ak.Identification{}, ak.Bound{Stage: ak.Deny{Message: "poor " + version}, Policy: poor}, ak.Bound{
			Stage: ak.Password{MaxTries: 2}, Policy: func(of ak.Subject) bool { return of.Username == "alice" },
		}, ak.Login{})
		c := newClient(t, s)
		c.start()
		want(t, "alice", c.identify("alice", "").component(), "ak-stage-password")
		want(t, "wrong", c.password("x").component(), "ak-stage-password")
		want(t, "out of tries", c.password("x").component(), "ak-stage-access-denied")
		clear(c.cookies)
		c.start()
		a := c.identify("alice", "")
		want(t, "poor reputation", a.component(), "ak-stage-access-denied")
		want(t, "message", a.m["error_message"], "poor "+version)
		setStages(s, ak.Identification{}, ak.Bound{Stage: ak.Password{}, Policy: func(ak.Subject) bool { return false }})
		clear(c.cookies)
		c.start()
		want(t, "skipped, and last", c.identify("alice", "").component(), "xak-flow-redirect")
	})
}
