package authentik

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/authentik/authentiktest"
)

// Secrets that must not be seen anywhere.
const (
	plantedPassword = "planted;password 17"
	plantedStatic   = "plantd123456"
	totpSecret      = "JBSWY3DPEHPK3PXP"
)

// The stages that most flows have.
type (
	st       = authentiktest.Stage
	identify = authentiktest.Identification
	password = authentiktest.Password
	validate = authentiktest.Validate
	login    = authentiktest.Login
)

// flows is a fake authentik with a client.
type flows struct {
	*authentiktest.Server
	c *Client
}

func newFlows(t *testing.T, o authentiktest.Options) *flows {
	t.Helper()
	s := authentiktest.New(t, o)
	f := &flows{s, newClient(t, Config{Host: s.URL, Token: StaticToken(s.Token)})}
	t.Cleanup(func() {
		if c := s.Complaints(); len(c) > 0 {
			t.Errorf("authentik complains: %q", c)
		}
	})
	return f
}

// eachVersion runs a test against both generations of the API.
func eachVersion(t *testing.T, test func(*testing.T, authentiktest.Options)) {
	for _, v := range []string{authentiktest.V2025_10, authentiktest.V2026_5} {
		t.Run(v, func(t *testing.T) { test(t, authentiktest.Options{Version: v}) })
	}
}

func (f *flows) execution(change ...func(*Execution)) Execution {
	e := Execution{
		Flow: authentiktest.DefaultFlow, AppSlug: authentiktest.DefaultApplication, Provider: authentiktest.DefaultProvider,
		Username: "alice", Password: plantedPassword, ClientIP: netip.MustParseAddr("192.0.2.17"),
	}
	for _, c := range change {
		c(&e)
	}
	return e
}

// stages replaces the flow.
func (f *flows) stages(stages ...st) {
	f.SetFlow(authentiktest.Flow{Slug: authentiktest.DefaultFlow, Stages: stages})
}

// words puts the outcome of an execution shortly, and looks for secrets in it.
func (f *flows) words(t *testing.T, s *Session, err error) string {
	t.Helper()
	secrets := []string{plantedPassword, plantedStatic, f.Token, totpSecret, "eyJ"} // a JWT begins so
	for _, text := range []string{fmt.Sprint(err), fmt.Sprintf("%v %+v %#v", s, s, s), fmt.Sprintf("%+v %#v", err, err)} {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %s", secret, text)
			}
		}
	}
	var r *Refusal
	var e *FlowError
	switch {
	case err == nil && s != nil:
		return "granted " + string(s.Factor)
	case errors.As(err, &r):
		w := "refused " + string(r.Reason)
		if r.Stage != "" {
			w += " by " + strings.TrimPrefix(r.Stage, "ak-stage-")
		}
		if r.Password == auth.Right {
			w += ", password right"
		}
		return w
	case errors.As(err, &e):
		return "unknown at " + strings.TrimPrefix(strings.TrimPrefix(e.Stage, "ak-stage-"), "xak-")
	}
	return fmt.Sprintf("neither: %v", err)
}

func (f *flows) run(t *testing.T, e Execution) string {
	t.Helper()
	s, err := f.c.Execute(t.Context(), e)
	return f.words(t, s, err)
}

var (
	static = authentiktest.Device{Class: authentiktest.ClassStatic, Tokens: []string{plantedStatic, "12345678"}}
	totp   = authentiktest.Device{Class: authentiktest.ClassTOTP, Secret: totpSecret}
)

func duo(a authentiktest.DuoAnswer) authentiktest.Device {
	return authentiktest.Device{Class: authentiktest.ClassDuo, Duo: a}
}

func TestFlow(t *testing.T) {
	separate := []st{identify{}, password{}, validate{}, login{}}
	embedded := []st{identify{PasswordFields: true}, password{}, validate{}, login{}}
	wrong := func(e *Execution) { e.Password = "wrong" }
	code := func(c string) func(*Execution) { return func(e *Execution) { e.Code = auth.Secret(c) } }
	of := func(class string) authentiktest.Device { return authentiktest.Device{Class: class} }
	tests := []struct {
		name    string
		stages  []st
		change  func(*authentiktest.Flow)
		devices []authentiktest.Device
		try     func(*Execution)
		want    string
		failed  int // login_failed events that it cost
	}{
		// Section 15, 2.
		{"separate password", separate, nil, nil, nil, "granted none", 0},
		{"embedded password", embedded, nil, nil, nil, "granted none", 0},
		{"without MFA stage", []st{identify{}, password{}, login{}}, nil, nil, nil, "granted none", 0},
		{"with user-login stage", []st{identify{}, password{}, login{RememberOffset: time.Hour}}, nil, nil, nil, "granted none", 0},
		{"with consent", []st{identify{}, password{}, authentiktest.Consent{}, login{}}, nil, nil, nil, "granted none", 0},

		// MFA choice.
		{"static", separate, nil, []authentiktest.Device{static}, code("12345678"), "granted static", 0},
		{"static of 12", embedded, nil, []authentiktest.Device{static}, code(plantedStatic), "granted static", 0},
		{"static beside totp", separate, nil, []authentiktest.Device{totp, static}, code(plantedStatic), "granted static", 0},
		{"code beside Duo pushes nothing", separate, nil, []authentiktest.Device{duo(authentiktest.DuoDeny), static}, code(plantedStatic), "granted static", 0},
		{"no code and Duo", separate, nil, []authentiktest.Device{duo(authentiktest.DuoAllow), static, totp}, nil, "granted duo", 0},
		{"no code", separate, nil, []authentiktest.Device{static, totp}, nil, "refused code_missing by authenticator-validate, password right", 0},
		{"code but Duo only", separate, nil, []authentiktest.Device{duo(authentiktest.DuoAllow)}, code("123456"), "refused code_unexpected by authenticator-validate, password right", 0},
		{"code dropped where no stage asks", separate, nil, nil, code("123456"), "granted none", 0},
		{"webauthn only", separate, nil, []authentiktest.Device{of(authentiktest.ClassWebAuthn)}, nil, "refused factor_unusable by authenticator-validate, password right", 0},
		{"sms and email only", separate, nil, []authentiktest.Device{of(authentiktest.ClassSMS), of(authentiktest.ClassEmail)}, code("123456"), "refused factor_unusable by authenticator-validate, password right", 0},
		{"no device, to be set up", []st{identify{}, password{}, validate{NotConfigured: "configure", Configure: []string{"a", "b"}}, login{}}, nil, nil, nil, "refused factor_unusable by authenticator-validate, password right", 0},
		{"password as code", []st{identify{}, validate{}, login{}}, nil, []authentiktest.Device{static}, func(e *Execution) { e.Password, e.PasswordAsCode = plantedStatic, true }, "granted static", 0},
		{"password as code, but it was asked for", separate, nil, []authentiktest.Device{static}, func(e *Execution) { e.PasswordAsCode = true }, "refused code_missing by authenticator-validate, password right", 0},
		{"password as code, Duo first", []st{identify{}, validate{}, login{}}, nil, []authentiktest.Device{duo(authentiktest.DuoAllow), static}, func(e *Execution) { e.PasswordAsCode = true }, "unknown at flow-redirect", 0},

		// Section 15, 3.
		{"response_errors under non_field_errors", embedded, nil, nil, wrong, "refused wrong_password by identification", 1},
		{"response_errors under password", separate, nil, nil, wrong, "refused wrong_password by password", 1},
		{"response_errors under code", separate, nil, []authentiktest.Device{totp}, code("000000"), "refused wrong_code by authenticator-validate, password right", 1},
		{"response_errors under duo", embedded, nil, []authentiktest.Device{duo(authentiktest.DuoDeny)}, nil, "refused factor_denied by authenticator-validate, password right", 1},
		{"code before password", []st{identify{}, validate{}, password{}, login{}}, nil, []authentiktest.Device{static}, code("00000000"), "refused wrong_code by authenticator-validate", 1},
		{"unknown user", []st{identify{NoPretend: true}, password{}, login{}}, nil, nil, func(e *Execution) { e.Username = "nobody" }, "refused unknown_user by identification", 0},
		{"unknown user pretended", separate, nil, nil, func(e *Execution) { e.Username = "nobody" }, "refused wrong_password by password", 1},
		{"password that JSON cannot carry", separate, nil, nil, func(e *Execution) { e.Password = "\xff" }, "refused wrong_password", 0},
		{"out of tries", []st{identify{}, password{MaxTries: 1}, login{}}, nil, nil, wrong, "refused wrong_password by password", 1},
		{"access-denied by the flow", separate, func(f *authentiktest.Flow) { f.Denied = true }, nil, nil, "unknown at ", 0},
		{"access-denied by a stage", []st{identify{}, password{}, authentiktest.Deny{}, login{}}, nil, nil, nil, "refused policy by password, password right", 0},
		{"access-denied for want of a device", []st{identify{}, password{}, validate{NotConfigured: "deny"}, login{}}, nil, nil, nil, "refused policy by password, password right", 0},
		{"flow-error", []st{identify{}, password{}, authentiktest.Crash{}}, nil, nil, nil, "unknown at flow-error", 0},
		{"restart without errors", separate, func(f *authentiktest.Flow) { f.OnInvalid = authentiktest.Restart }, nil, wrong, "refused wrong_password by password", 1},
		{"restart without errors, embedded", embedded, func(f *authentiktest.Flow) { f.OnInvalid = authentiktest.Restart }, nil, wrong, "refused wrong_password by identification", 1},
		{"restart with context", separate, func(f *authentiktest.Flow) { f.OnInvalid = authentiktest.RestartWithContext }, []authentiktest.Device{totp}, code("000000"), "refused wrong_code by authenticator-validate, password right", 1},
		{"redirect whose to is the executor", separate, func(f *authentiktest.Flow) { f.ChallengeRedirects = true }, nil, nil, "granted none", 0},
		{"redirect to another flow", []st{identify{}, authentiktest.Redirect{To: "/api/v3/flows/executor/other/?query="}}, nil, nil, nil, "unknown at identification", 0},
		{"redirect elsewhere", []st{identify{}, password{}, login{}}, func(f *authentiktest.Flow) { f.RedirectTo = "https://elsewhere.example/" }, nil, nil, "granted none", 0},
		{"redirect without a login", []st{identify{}, password{}, authentiktest.Redirect{To: "https://elsewhere.example/"}, login{}}, nil, nil, nil, "unknown at users/me", 0},
		{"unknown component", []st{identify{}, password{}, authentiktest.Component{Name: "ak-stage-new"}}, nil, nil, nil, "unknown at new", 0},
		{"captcha", []st{authentiktest.Component{Name: "ak-stage-captcha"}}, nil, nil, nil, "unknown at captcha", 0},
		{"enrolment", []st{identify{}, password{}, validate{NotConfigured: "configure", Configure: []string{"ak-stage-authenticator-totp"}}}, nil, nil, nil, "unknown at authenticator-totp", 0},
		{"end without login", []st{identify{}, password{}}, nil, nil, nil, "unknown at users/me", 0},
		{"end at once", nil, nil, nil, nil, "unknown at flow-redirect", 0},
		{"captcha within identification", []st{identify{Captcha: true}, password{}, login{}}, nil, nil, nil, "unknown at identification", 0},
		{"identification by email only", []st{identify{UserFields: []string{"email"}}, password{}, login{}}, nil, nil, nil, "unknown at identification", 0},
		{"no such flow", separate, nil, nil, func(e *Execution) { e.Flow = "other" }, "unknown at ", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, o authentiktest.Options) {
				f := newFlows(t, o)
				f.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword, Devices: tt.devices})
				flow := authentiktest.Flow{Slug: authentiktest.DefaultFlow, Stages: tt.stages}
				if tt.change != nil {
					tt.change(&flow)
				}
				f.SetFlow(flow)
				e := f.execution()
				if tt.try != nil {
					tt.try(&e)
				}
				if got := f.run(t, e); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
				c := f.Counters()
				if c.LoginsFailed != tt.failed {
					t.Errorf("%d failed logins, want %d", c.LoginsFailed, tt.failed)
				}
				if c.Messages != 0 {
					t.Errorf("%d messages sent", c.Messages)
				}
				for _, event := range f.Events() {
					if event.IP != "192.0.2.17" || !event.Outpost {
						t.Errorf("event %+v", event)
					}
				}
			})
		})
	}
}

func TestFlowTOTP(t *testing.T) {
	eachVersion(t, func(t *testing.T, o authentiktest.Options) {
		now := time.Unix(1_700_000_010, 0)
		o.Now = func() time.Time { return now }
		f := newFlows(t, o)
		f.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword, Devices: []authentiktest.Device{totp, static}})
		code := auth.Secret(f.Code("alice"))
		if got := f.run(t, f.execution(func(e *Execution) { e.Code = code })); got != "granted totp" {
			t.Error(got)
		}
		if got := f.run(t, f.execution(func(e *Execution) { e.Code = code })); got != "refused wrong_code by authenticator-validate, password right" {
			t.Errorf("again: %s", got)
		}
	})
}

// Section 15, 1 and 9: what the requests of one bind look like.
func TestFlowRequests(t *testing.T) {
	for _, base := range []string{"", "/sso/"} {
		t.Run("base "+base, func(t *testing.T) {
			f := newFlows(t, authentiktest.Options{BasePath: base})
			f.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword})
			f.stages(identify{}, password{}, validate{}, login{RememberOffset: time.Hour})
			if got := f.run(t, f.execution()); got != "granted none" {
				t.Fatal(got)
			}
			var got []string
			last := ""
			for i, r := range f.Requests() {
				got = append(got, r.Method+" "+string(r.Endpoint))
				if r.Endpoint == authentiktest.Executor && r.RawQuery != "query=goauthentik.io%252Foutpost%252Fldap%3Dtrue" {
					t.Errorf("query %s", r.RawQuery)
				}
				if r.Header.Get("Authorization") != "" || r.Header.Get("X-authentik-remote-ip") != "192.0.2.17" || r.Header.Get("X-authentik-outpost-token") != f.Token {
					t.Errorf("request %d: header %v", i, r.Header)
				}
				cookie := r.Header.Get("Cookie")
				if (cookie == "") != (i == 0) {
					t.Errorf("request %d: cookies %q", i, cookie)
				}
				last = cookie
			}
			want := []string{
				"GET flows/executor", "POST flows/executor", // identification
				"GET flows/executor", "POST flows/executor", // password
				"GET flows/executor",                        // no device: the stage is skipped
				"GET flows/executor", "POST flows/executor", // login
				"GET core/users/me", "GET outposts/ldap/check_access",
			}
			if !slices.Equal(got, want) {
				t.Errorf("requests %q, want %q", got, want)
			}
			sessions := f.Sessions("alice")
			if len(sessions) != 1 || strings.Count(last, "authentik_session=") != 1 {
				t.Errorf("sessions %v, cookies %s", sessions, last)
			}
		})
	}
}

func TestFlowCookies(t *testing.T) {
	// Over plain HTTP, with the domain of another name, and over HTTPS.
	for _, o := range []authentiktest.Options{{CookieDomain: "auth.example.org"}, {TLS: true, CookieDomain: "example.org"}} {
		s := authentiktest.New(t, o)
		s.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword})
		f := &flows{s, newClient(t, Config{Host: s.URL, Token: StaticToken(s.Token), Insecure: o.TLS})}
		if got := f.run(t, f.execution()); got != "granted none" {
			t.Errorf("%+v: %s", o, got)
		}
	}
}

func TestFlowNamesAndPasswords(t *testing.T) {
	f := newFlows(t, authentiktest.Options{})
	for _, name := range []string{`a,b+c"d;e\f<g>h#i=j`, "two words", "zoë", "名前", "a&b?c%2Fd", "</script>"} {
		f.AddUser(authentiktest.User{Username: name, Password: " " + name + " "})
		if got := f.run(t, f.execution(func(e *Execution) { e.Username, e.Password = name, auth.Secret(" "+name+" ") })); got != "granted none" {
			t.Errorf("%q: %s", name, got)
		}
	}
}

func TestSession(t *testing.T) {
	eachVersion(t, func(t *testing.T, o authentiktest.Options) {
		f := newFlows(t, o)
		alice := f.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword, SearchAll: true})
		for _, duration := range []time.Duration{0, time.Hour} {
			f.stages(identify{}, password{}, login{Duration: duration})
			s, err := f.c.Execute(t.Context(), f.execution())
			if err != nil {
				t.Fatal(err)
			}
			if s.UserPK != alice.PK || s.Username != "alice" || len(s.UID) != 64 || !s.Search {
				t.Errorf("%+v", s)
			}
			sessions := f.Sessions("alice")
			if len(sessions) != 1 || sessions[0].Hash != s.Hash || s.RequestID == "" {
				t.Errorf("%+v, request %s, want %+v", s.Hash, s.RequestID, sessions)
			}
			// With a session lifetime the cookie carries it, else nothing.
			if duration == 0 && !s.Expires.IsZero() || duration > 0 && (time.Until(s.Expires) > duration || time.Until(s.Expires) < duration-time.Minute) {
				t.Errorf("duration %v: expires %v", duration, s.Expires)
			}
			if err := f.c.Logout(t.Context(), authentiktest.DefaultInvalidation, s, netip.MustParseAddr("192.0.2.17")); err != nil {
				t.Error(err)
			}
			if n := len(f.Sessions("alice")); n != 0 {
				t.Errorf("%d sessions after logout", n)
			}
		}
		f.SetFlow(authentiktest.Flow{Slug: "out", Designation: "invalidation", Stages: []st{authentiktest.Logout{}, authentiktest.SessionEndStage{}}})
		s, err := f.c.Execute(t.Context(), f.execution())
		if err != nil {
			t.Fatal(err)
		}
		if err := f.c.Logout(t.Context(), "out", s, netip.Addr{}); err != nil {
			t.Error(err)
		}
		if err := f.c.Logout(t.Context(), "", s, netip.Addr{}); err != nil {
			t.Error(err)
		}
		if err := f.c.Logout(t.Context(), "gone", s, netip.Addr{}); !NotFound(err) {
			t.Errorf("error %v", err)
		}
	})
}

func TestFlowMFACookie(t *testing.T) {
	f := newFlows(t, authentiktest.Options{})
	f.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword, Devices: []authentiktest.Device{static}})
	f.stages(identify{}, password{}, validate{Threshold: time.Hour}, login{})
	s, err := f.c.Execute(t.Context(), f.execution(func(e *Execution) { e.Code = plantedStatic }))
	if err != nil {
		t.Fatal(err)
	}
	if s.MFACookie == "" || f.words(t, s, err) != "granted static" {
		t.Errorf("%+v", s)
	}
	if got := f.run(t, f.execution(func(e *Execution) { e.MFACookie = s.MFACookie })); got != "granted none" {
		t.Error(got)
	}
	if got := f.run(t, f.execution()); !strings.HasPrefix(got, "refused code_missing") {
		t.Errorf("without the cookie: %s", got)
	}
}

// Section 15, 4.
func TestCheckAccess(t *testing.T) {
	tests := []struct {
		name   string
		set    func(*flows)
		want   string
		search bool
	}{
		{"may search", func(f *flows) {
			f.EditUser("alice", func(u *authentiktest.User) { u.SearchProviders = []int{authentiktest.DefaultProvider} })
		}, "granted none", true},
		{"may not search", func(f *flows) {}, "granted none", false},
		{"missing has_search_permission", func(f *flows) {
			f.EditUser("alice", func(u *authentiktest.User) { u.SearchAll = true })
			f.OmitSearchPermission(true)
		}, "granted none", false},
		{"passing false", func(f *flows) { f.DenyAccess(authentiktest.DefaultApplication, "alice") }, "refused no_access by check_access, password right", false},
		{"500", func(f *flows) {
			f.Inject(authentiktest.Fault{Endpoint: authentiktest.CheckAccess, Status: 500})
		}, "unknown at check_access", false},
		{"404", func(f *flows) {
			f.Inject(authentiktest.Fault{Endpoint: authentiktest.CheckAccess, Status: 404})
		}, "unknown at check_access", false},
		{"no verdict", func(f *flows) {
			f.Inject(authentiktest.Fault{Endpoint: authentiktest.CheckAccess, Status: 200, Body: `{"has_search_permission":true}`})
		}, "unknown at check_access", false},
		{"passing null", func(f *flows) {
			f.Inject(authentiktest.Fault{Endpoint: authentiktest.CheckAccess, Status: 200, Body: `{"access":{"passing":null}}`})
		}, "unknown at check_access", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFlows(t, authentiktest.Options{})
			f.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword})
			tt.set(f)
			s, err := f.c.Execute(t.Context(), f.execution())
			if got := f.words(t, s, err); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if err == nil && s.Search != tt.search {
				t.Errorf("search %v", s.Search)
			}
		})
	}
}

// Whatever goes wrong between us and authentik says nothing of the password.
func TestFlowFaults(t *testing.T) {
	html := "<html>bad gateway</html>"
	tests := []struct {
		name  string
		fault authentiktest.Fault
		want  string
	}{
		{"flow-error for throttling", authentiktest.Fault{Endpoint: authentiktest.Executor, FlowError: true}, "unknown at flow-error"},
		{"flow-error on an answer", authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "POST", FlowError: true}, "unknown at flow-error"},
		{"429", authentiktest.Fault{Endpoint: authentiktest.Executor, Status: 429}, "unknown at "},
		{"400", authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "POST", Status: 400}, "unknown at identification"},
		{"403 of a proxy", authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "POST", Skip: 1, Status: 403, Body: html}, "unknown at password"},
		{"500", authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "POST", Skip: 1, Status: 500}, "unknown at password"},
		{"502 on every read", authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "GET", Skip: 1, Status: 502}, "unknown at identification"},
		{"502 on one read", authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "GET", Skip: 1, Times: 1, Status: 502}, "granted none"},
		{"connection cut on one read", authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "GET", Skip: 1, Times: 1, Drop: true}, "granted none"},
		{"connection cut on an answer", authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "POST", Skip: 1, Times: 1, Drop: true}, "unknown at password"},
		{"HTML", authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "POST", Skip: 1, Status: 200, Body: html}, "unknown at password"},
		{"no challenge", authentiktest.Fault{Endpoint: authentiktest.Executor, Status: 200, Body: `{}`}, "unknown at unknown"},
		{"no object", authentiktest.Fault{Endpoint: authentiktest.Executor, Status: 200, Body: `[]`}, "unknown at "},
		{"hostile component", authentiktest.Fault{Endpoint: authentiktest.Executor, Status: 200, Body: `{"component":"a\nb"}`}, "unknown at unknown"},
		{"errors before an answer", authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "GET", Status: 200, Body: `{"component":"ak-stage-password","response_errors":{"password":[{"code":"invalid"}]}}`}, "unknown at "},
		{"empty errors", authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "GET", Times: 1, Status: 200, Body: `{"component":"ak-stage-session-end","response_errors":{"password":[]}}`}, "unknown at session-end"},
		{"redirect to a login page", authentiktest.Fault{Endpoint: authentiktest.Executor, Status: 302, Body: html, Header: http.Header{"Location": {"https://sso.example/login?token=" + plantedStatic}}}, "unknown at "},
		{"redirect to HTTPS", authentiktest.Fault{Endpoint: authentiktest.Executor, Status: 301, Body: html, Header: http.Header{"Location": {"https://auth.example/api/v3/flows/executor/default-authentication-flow/?" + flowQuery}}}, "unknown at "},
		{"redirect without a place", authentiktest.Fault{Endpoint: authentiktest.Executor, Status: 302, Body: html}, "unknown at "},
		{"redirects without end", authentiktest.Fault{Endpoint: authentiktest.Executor, Status: 302, Body: html, Header: http.Header{"Location": {"/api/v3/flows/executor/default-authentication-flow/?" + flowQuery}}}, "unknown at "},
		{"redirect challenges without end", authentiktest.Fault{Endpoint: authentiktest.Executor, Status: 200, Body: `{"component":"xak-flow-redirect","to":"/api/v3/flows/executor/default-authentication-flow/"}`}, "unknown at "},
		{"users/me 500", authentiktest.Fault{Endpoint: authentiktest.Me, Status: 500}, "unknown at users/me"},
		{"users/me 403 of a proxy", authentiktest.Fault{Endpoint: authentiktest.Me, Status: 403, Body: html}, "unknown at users/me"},
		{"users/me of nobody", authentiktest.Fault{Endpoint: authentiktest.Me, Status: 200, Body: `{"user":null}`}, "unknown at users/me"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFlows(t, authentiktest.Options{})
			f.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword})
			f.Inject(tt.fault)
			if got := f.run(t, f.execution()); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// A flow that starts again in a session that was lost is no refusal, also if
// the cookies are what gets lost.
func TestFlowSessionLost(t *testing.T) {
	f := newFlows(t, authentiktest.Options{})
	f.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword})
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Cookie")
		relay(t, f.URL, w, r)
	})
	f.c = newClient(t, Config{Host: proxy.URL, Token: StaticToken(f.Token)})
	if got := f.run(t, f.execution()); got != "unknown at identification" {
		t.Error(got)
	}
}

// relay passes a request on, as it is.
func relay(t *testing.T, to string, w http.ResponseWriter, r *http.Request) {
	t.Helper()
	req, err := http.NewRequestWithContext(r.Context(), r.Method, to+r.URL.RequestURI(), r.Body)
	if err != nil {
		t.Error(err)
		return
	}
	req.Header = r.Header
	var transport http.Transport
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		t.Error(err)
	}
}

// Section 15, 5: everybody is refused by a flow for outposts when the token is
// not good any more, and that must log nobody out.
func TestFlowTokenRotated(t *testing.T) {
	f := newFlows(t, authentiktest.Options{})
	f.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword})
	f.SetFlow(authentiktest.Flow{Slug: authentiktest.DefaultFlow, RequireOutpost: true, Stages: []st{identify{}, password{}, login{}}})
	if got := f.run(t, f.execution()); got != "granted none" {
		t.Fatal(got)
	}
	f.RotateToken()
	_, err := f.c.Execute(t.Context(), f.execution())
	if got := f.words(t, nil, err); got != "unknown at " || !TokenRefused(err) {
		t.Errorf("%s: %v", got, err)
	}
}

// Section 15, 7.
func TestFlowWhileDown(t *testing.T) {
	f := newFlows(t, authentiktest.Options{})
	f.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword})
	f.Stop()
	for _, name := range []string{"alice", "nobody"} {
		if got := f.run(t, f.execution(func(e *Execution) { e.Username = name })); got != "unknown at " {
			t.Errorf("%s: %s", name, got)
		}
	}
	f.Start()
	if got := f.run(t, f.execution()); got != "granted none" {
		t.Error(got)
	}
}

// A push waits for its user, and ends with the bind that asked for it.
func TestFlowSlowDuo(t *testing.T) {
	f := newFlows(t, authentiktest.Options{})
	f.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword, Devices: []authentiktest.Device{duo(authentiktest.DuoAsk)}})
	for _, tt := range []struct {
		decide func(*authentiktest.Push, context.CancelFunc)
		want   string
	}{
		{func(p *authentiktest.Push, _ context.CancelFunc) { p.Allow() }, "granted duo"},
		{func(p *authentiktest.Push, _ context.CancelFunc) { p.Deny() }, "refused factor_denied by authenticator-validate, password right"},
		{func(_ *authentiktest.Push, cancel context.CancelFunc) { cancel() }, "unknown at authenticator-validate"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var decided sync.WaitGroup
		decided.Go(func() { tt.decide(<-f.Pushes(), cancel) })
		s, err := f.c.Execute(ctx, f.execution())
		if got := f.words(t, s, err); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
		decided.Wait()
		cancel()
	}
	if duoTimeout <= time.Minute {
		t.Errorf("Duo has only %v", duoTimeout)
	}
}

// Must show 5: each stage with its time.
func TestFlowTrace(t *testing.T) {
	f := newFlows(t, authentiktest.Options{})
	f.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword, Devices: []authentiktest.Device{static}})
	tests := []struct {
		name string
		try  func(*Execution)
		want []string
	}{
		{"granted", func(e *Execution) { e.Code = plantedStatic }, []string{componentIdentification, componentPassword, componentValidate, componentRedirect, StepUser, StepAccess}},
		{"refused", func(e *Execution) { e.Password = "wrong" }, []string{componentIdentification, componentPassword}},
		{"failed", func(e *Execution) { e.Flow = "crash" }, []string{componentIdentification, componentError}},
	}
	f.SetFlow(authentiktest.Flow{Slug: "crash", Stages: []st{identify{}, authentiktest.Crash{}}})
	for _, tt := range tests {
		var tr Trace
		s, err := f.c.Execute(t.Context(), f.execution(tt.try))
		var r *Refusal
		var e *FlowError
		switch {
		case err == nil:
			tr = s.Trace
		case errors.As(err, &r):
			tr = r.Trace
		case errors.As(err, &e):
			tr = e.Trace
		}
		var got []string
		for _, stage := range tr.Stages {
			got = append(got, stage.Component)
			if stage.Component != componentRedirect && stage.Took() <= 0 {
				t.Errorf("%s: %s took %v", tt.name, stage.Component, stage.Took())
			}
			if !strings.Contains(tr.Times(), stage.Component+" ") {
				t.Errorf("%s is not in %q", stage.Component, tr.Times())
			}
		}
		if !slices.Equal(got, tt.want) || len(tr.RequestID) != 32 {
			t.Errorf("%s: %q, request %s", tt.name, got, tr.RequestID)
		}
	}
}

// A stage that comes again and again must not be answered again and again.
func TestFlowAnswersOnce(t *testing.T) {
	f := newFlows(t, authentiktest.Options{})
	var stages []st
	for range 15 {
		stages = append(stages, authentiktest.Consent{})
	}
	f.stages(stages...)
	if got := f.run(t, f.execution()); got != "unknown at consent" {
		t.Error(got)
	}
	if n := f.Counters().Requests[authentiktest.Executor]; n > 3 {
		t.Errorf("%d requests", n)
	}
}
