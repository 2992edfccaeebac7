package authentik

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/directory"
)

// keeper is an authenticator of a fake authentik; one clock is for both.
type keeper struct {
	*flows
	*Authenticator
	clock    *clock
	provider Provider
}

var keeperAddr = netip.MustParseAddr("192.0.2.17")

func newKeeper(t *testing.T, o authentiktest.Options) *keeper {
	t.Helper()
	k := &keeper{clock: newClock()}
	o.Now = k.clock.Now
	s := authentiktest.New(t, o)
	k.flows = &flows{s, newClient(t, Config{Host: s.URL, Token: StaticToken(s.Token), Now: k.clock.Now})}
	t.Cleanup(func() {
		if c := s.Complaints(); len(c) > 0 {
			t.Errorf("authentik complains: %q", c)
		}
	})
	k.provider = Provider{
		PK: authentiktest.DefaultProvider, Name: "ldap", Application: authentiktest.DefaultApplication, MFASupport: true,
		BindFlow: authentiktest.DefaultFlow, UnbindFlow: authentiktest.DefaultInvalidation,
	}
	k.Authenticator = NewAuthenticator(k.c, func(base string) (Provider, bool) {
		return k.provider, base == authentiktest.DefaultBaseDN
	}, nil)
	return k
}

// attempt is one of alice.
func (k *keeper) attempt(change ...func(*auth.Attempt)) auth.Attempt {
	a := auth.Attempt{
		Name: "alice", Known: true, Password: plantedPassword, Addr: keeperAddr,
		Account: directory.Account{UUID: "a", Username: "alice", Base: authentiktest.DefaultBaseDN, Active: true},
	}
	for _, c := range change {
		c(&a)
	}
	return a
}

// login binds alice, who is made with the devices.
func (k *keeper) login(t *testing.T, devices ...authentiktest.Device) auth.Granted {
	t.Helper()
	k.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword, Devices: devices})
	g, err := k.Authenticate(t.Context(), k.attempt(func(a *auth.Attempt) {
		if len(devices) > 0 {
			a.Code = auth.Secret(k.Code("alice"))
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// answer puts an error shortly, and looks for secrets in it.
func (k *keeper) answer(t *testing.T, err error) string {
	t.Helper()
	for _, secret := range []string{plantedPassword, k.Token, totpSecret, "eyJ"} {
		if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, secret) {
			t.Errorf("%q is in %s", secret, text)
		}
	}
	var d *auth.Denied
	switch {
	case err == nil:
		return "good"
	case errors.As(err, &d):
		return "denied " + string(d.Reason)
	case errors.Is(err, auth.ErrSessionGone):
		return "gone"
	}
	return "unknown"
}

// access asks for access, and puts the answer shortly.
func (k *keeper) access(t *testing.T, ctx context.Context, base string, s auth.Session) string {
	t.Helper()
	search, err := k.Access(ctx, base, s, keeperAddr)
	said := k.answer(t, err)
	if search {
		said += ", may search"
	}
	return said
}

// TestGrantedOnce has a flow of codes only, whose code is in the password field.
func TestGrantedOnce(t *testing.T) {
	k := newKeeper(t, authentiktest.Options{})
	k.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword, Devices: []authentiktest.Device{static}})
	k.provider.MFASupport = false
	k.stages(identify{}, validate{}, login{})
	code := func(a *auth.Attempt) { a.Password = plantedStatic }
	if g, err := k.Authenticate(t.Context(), k.attempt(code)); err != nil || !g.Once || g.Factor != auth.FactorStatic {
		t.Errorf("%+v, %v", g, err)
	}
	_, err := k.Authenticate(t.Context(), k.attempt(code))
	var d *auth.Denied
	if !errors.As(err, &d) || d.Reason != auth.WrongPassword || d.Password != auth.Wrong {
		t.Errorf("again: %v", err)
	}
}

// TestDeniedUnjudged has what this package denies without that authentik has
// compared the password with anybody's.
func TestDeniedUnjudged(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*auth.Attempt)
		want   auth.Reason
		flows  int
	}{
		{"no code is taken from a password", func(a *auth.Attempt) { a.Code, a.CodeIn = "123456", auth.InPassword }, auth.WrongPassword, 0},
		{"no DN of a user", func(a *auth.Attempt) { a.Known, a.Account = false, directory.Account{} }, auth.UnknownUser, 0},
		{"password that JSON cannot carry", func(a *auth.Attempt) { a.Password = "\xff" }, auth.WrongPassword, 0},
		{"code that JSON cannot carry", func(a *auth.Attempt) { a.Code, a.CodeIn = "\xff", auth.InUsername }, auth.WrongPassword, 0},
		{"disabled", func(a *auth.Attempt) { a.Account.Active = false }, auth.Inactive, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newKeeper(t, authentiktest.Options{})
			k.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword, Inactive: tt.name == "disabled"})
			k.provider.MFASupport = false
			_, err := k.Authenticate(t.Context(), k.attempt(tt.change))
			var d *auth.Denied
			if !errors.As(err, &d) || d.Reason != tt.want || d.Password != auth.Unjudged {
				t.Errorf("%v, %+v", err, d)
			}
			if n := k.Counters().FlowsStarted[authentiktest.DefaultFlow]; n != tt.flows {
				t.Errorf("%d flows", n)
			}
		})
	}
}

func TestAccess(t *testing.T) {
	const app = authentiktest.DefaultApplication
	fault := func(f authentiktest.Fault) func(*keeper, *auth.Session) {
		return func(k *keeper, _ *auth.Session) { k.Inject(f) }
	}
	ends := func(endpoint authentiktest.Endpoint, denied string) func(*keeper, *auth.Session) {
		return func(k *keeper, _ *auth.Session) {
			k.DenyAccess(app, denied)
			k.Inject(authentiktest.Fault{Endpoint: endpoint, Do: func() { k.EndSessions("alice") }})
		}
	}
	tests := []struct {
		name     string
		set      func(*keeper, *auth.Session)
		want     string
		requests int
	}{
		{"nothing happened", func(*keeper, *auth.Session) {}, "good", 2},
		{"withdrawn", func(k *keeper, _ *auth.Session) { k.DenyAccess(app, "alice") }, "denied no_access", 3},
		{"may search by now", func(k *keeper, _ *auth.Session) {
			k.EditUser("alice", func(u *authentiktest.User) { u.SearchAll = true })
		}, "good, may search", 2},
		{"password changed", func(k *keeper, _ *auth.Session) {
			k.EditUser("alice", func(u *authentiktest.User) { u.Password = "new" })
		}, "good", 2},

		// What is judged of a session that is over is judged of nobody.
		{"ended", func(k *keeper, _ *auth.Session) { k.EndSessions("alice") }, "gone", 3},
		{"ended, and anonymous may not", func(k *keeper, _ *auth.Session) {
			k.DenyAccess(app, "AnonymousUser")
			k.EndSessions("alice")
		}, "gone", 3},
		{"ends before it is judged", ends(authentiktest.CheckAccess, "AnonymousUser"), "gone", 3},
		{"ends before it is judged, and anonymous may", ends(authentiktest.CheckAccess, "alice"), "gone", 3},
		{"ends after it was judged", ends(authentiktest.Me, "alice"), "gone", 3},
		{"of a user who was removed", func(k *keeper, _ *auth.Session) { k.RemoveUser("alice") }, "gone", 3},
		{"of a user who was disabled", func(k *keeper, _ *auth.Session) { k.Deactivate("alice") }, "gone", 3},
		{"a day later", func(k *keeper, _ *auth.Session) { k.clock.Advance(24 * time.Hour) }, "gone", 3},
		{"a moment before", func(k *keeper, _ *auth.Session) { k.clock.Advance(24*time.Hour - time.Second) }, "good", 2},
		{"past its end", func(k *keeper, s *auth.Session) { s.End = k.clock.Now() }, "gone", 0},
		{"before its end", func(k *keeper, s *auth.Session) { s.End = k.clock.Now().Add(1) }, "good", 2},
		{"of another user", func(_ *keeper, s *auth.Session) {
			s.State = auth.Secret(strings.Replace(string(s.State), `"user":4`, `"user":5`, 1))
		}, "gone", 2},
		{"state of nothing", func(_ *keeper, s *auth.Session) { s.State = "" }, "gone", 0},
		{"state of another version", func(_ *keeper, s *auth.Session) {
			s.State = auth.Secret(strings.Replace(string(s.State), `"v":1`, `"v":2`, 1))
		}, "gone", 0},

		{"disabled by a source", func(k *keeper, _ *auth.Session) {
			k.EditUser("alice", func(u *authentiktest.User) { u.Inactive = true })
		}, "denied inactive", 2},
		{"disabled, says users/me", fault(authentiktest.Fault{Endpoint: authentiktest.Me, Status: 200,
			Body: `{"user":{"pk":4,"username":"alice","is_active":false}}`}), "denied inactive", 2},
		{"a status 400 of a proxy", fault(authentiktest.Fault{Endpoint: authentiktest.CheckAccess, Status: 400}), "unknown", 2},
		{"a status 400 of a proxy to all", fault(authentiktest.Fault{Status: 400}), "unknown", 2},

		{"check_access fails", fault(authentiktest.Fault{Endpoint: authentiktest.CheckAccess, Status: 500}), "unknown", 1},
		{"no verdict", fault(authentiktest.Fault{Endpoint: authentiktest.CheckAccess, Status: 200, Body: `{"access":{}}`}), "unknown", 1},
		{"users/me fails", fault(authentiktest.Fault{Endpoint: authentiktest.Me, Status: 500}), "unknown", 2},
		{"users/me says nobody", fault(authentiktest.Fault{Endpoint: authentiktest.Me, Status: 200, Body: `{"user":null}`}), "unknown", 2},
		{"a proxy forbids", fault(authentiktest.Fault{Status: 403, Body: "<html>"}), "unknown", 1},
		{"a right is lacking", fault(authentiktest.Fault{Endpoint: authentiktest.Me, Status: 403,
			Body: `{"detail":"You do not have permission to perform this action."}`}), "unknown", 2},
		{"a passing failure", fault(authentiktest.Fault{Endpoint: authentiktest.Me, Status: 502, Times: 1}), "good", 3},
		{"no such provider", func(k *keeper, _ *auth.Session) { k.provider.PK = 99 }, "unknown", 1},
		{"authentik is down", func(k *keeper, _ *auth.Session) { k.Stop() }, "unknown", 0},
		{"denied with a token that is not good", func(k *keeper, _ *auth.Session) {
			k.DenyAccess(app, "alice")
			k.RotateToken()
		}, "unknown", 3},
		{"ended with a token that is not good", func(k *keeper, _ *auth.Session) {
			k.EndSessions("alice")
			k.RotateToken()
		}, "unknown", 3},
	}
	eachVersion(t, func(t *testing.T, o authentiktest.Options) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				k := newKeeper(t, o)
				s := k.login(t).Session
				k.ResetCounters()
				tt.set(k, s)
				if got := k.access(t, t.Context(), authentiktest.DefaultBaseDN, *s); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
				if n := len(k.Requests()); n != tt.requests {
					t.Errorf("%d requests, want %d", n, tt.requests)
				}
				if e := k.Events(); len(e) > 0 {
					t.Errorf("events %+v", e)
				}
			})
		}
		k := newKeeper(t, o)
		s := k.login(t).Session
		if got := k.access(t, t.Context(), "dc=other", *s); got != "unknown" {
			t.Errorf("another tree: %s", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got := k.access(t, ctx, authentiktest.DefaultBaseDN, *s); got != "unknown" {
			t.Errorf("cancelled: %s", got)
		}
	})
}

func TestEndSession(t *testing.T) {
	const refused = `{"component":"ak-stage-access-denied","error_message":"Flow does not apply to current user."}`
	tests := []struct {
		name  string
		set   func(*keeper, *auth.Session)
		want  string
		alive int
	}{
		{"alive", func(*keeper, *auth.Session) {}, "good", 0},
		{"no unbind flow", func(k *keeper, _ *auth.Session) { k.provider.UnbindFlow = "" }, "good", 1},
		{"over by its cookie", func(k *keeper, s *auth.Session) { s.End = k.clock.Now() }, "good", 1},
		{"over already", func(k *keeper, _ *auth.Session) { k.EndSessions("alice") }, "good", 0},
		{"over already, and the flow is for users", func(k *keeper, _ *auth.Session) {
			k.EndSessions("alice")
			k.Inject(authentiktest.Fault{Endpoint: authentiktest.Executor, Status: 200, Body: refused})
		}, "good", 0},
		{"the flow refuses", func(k *keeper, _ *auth.Session) {
			k.Inject(authentiktest.Fault{Endpoint: authentiktest.Executor, Status: 200, Body: refused})
		}, "unknown", 1},
		{"no such flow", func(k *keeper, _ *auth.Session) { k.provider.UnbindFlow = "gone" }, "unknown", 1},
		{"state of nothing", func(_ *keeper, s *auth.Session) { s.State = "" }, "gone", 1},
	}
	eachVersion(t, func(t *testing.T, o authentiktest.Options) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				k := newKeeper(t, o)
				s := k.login(t).Session
				tt.set(k, s)
				if got := k.answer(t, k.EndSession(t.Context(), authentiktest.DefaultBaseDN, *s, keeperAddr)); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
				if n := k.Alive("alice"); n != tt.alive {
					t.Errorf("%d sessions, want %d", n, tt.alive)
				}
			})
		}
		k := newKeeper(t, o)
		if got := k.answer(t, k.EndSession(t.Context(), "dc=other", *k.login(t).Session, keeperAddr)); got != "unknown" {
			t.Errorf("another tree: %s", got)
		}
	})
}

func TestGranted(t *testing.T) {
	eachVersion(t, func(t *testing.T, o authentiktest.Options) {
		k := newKeeper(t, o)
		k.clock.Advance(1000 * time.Hour) // it is not the clock on the wall that counts
		k.stages(identify{}, password{}, validate{Threshold: time.Hour}, login{Duration: 8 * time.Hour})
		g := k.login(t, totp)
		s := k.Sessions("alice")[0]
		if g.Factor != auth.FactorTOTP || g.Session.Hash != s.Hash || g.Session.State == "" || g.Cookie == "" {
			t.Errorf("granted %+v", g)
		}
		if d := s.Expires.Sub(g.Session.End).Abs(); d > time.Second {
			t.Errorf("end %v, want %v", g.Session.End, s.Expires)
		}
		for _, format := range []string{"%v", "%+v", "%#v"} {
			if got := fmt.Sprintf(format, *g.Session) + fmt.Sprintf(format, g); strings.Contains(got, "eyJ") {
				t.Errorf("%s: %s", format, got)
			}
		}
	})
}

// What the second factor of a quiet flow comes to, and what it costs the user.
func TestQuiet(t *testing.T) {
	const due = "denied code_missing"
	class := func(c string) authentiktest.Device { return authentiktest.Device{Class: c} }
	tests := []struct {
		name    string
		devices []authentiktest.Device
		set     func(*keeper, *auth.Attempt)
		want    string
	}{
		{"no factor", nil, nil, "good"},
		{"TOTP", []authentiktest.Device{totp}, nil, due},
		{"TOTP, with a code", []authentiktest.Device{totp}, func(k *keeper, a *auth.Attempt) { a.Code = auth.Secret(k.Code("alice")) }, due},
		{"TOTP, with a wrong code", []authentiktest.Device{totp}, func(_ *keeper, a *auth.Attempt) { a.Code = "000000" }, due},
		{"static", []authentiktest.Device{static}, nil, due},
		{"Duo", []authentiktest.Device{duo(authentiktest.DuoAllow)}, nil, due},
		{"Duo that would be denied", []authentiktest.Device{duo(authentiktest.DuoDeny)}, nil, due},
		{"mail", []authentiktest.Device{class(authentiktest.ClassEmail)}, nil, due},
		{"WebAuthn", []authentiktest.Device{class(authentiktest.ClassWebAuthn)}, nil, due},
		{"the password is the code", []authentiktest.Device{totp}, func(k *keeper, _ *auth.Attempt) {
			k.provider.MFASupport = false
			k.stages(identify{}, validate{}, login{})
		}, due},
		{"a cookie of nobody", []authentiktest.Device{totp}, func(_ *keeper, a *auth.Attempt) { a.Cookie = "eyJ.eyJ.x" }, due},
		{"wrong password", []authentiktest.Device{totp}, func(_ *keeper, a *auth.Attempt) { a.Password = "wrong" }, "denied wrong_password"},
		{"authentik is down", []authentiktest.Device{totp}, func(k *keeper, _ *auth.Attempt) { k.Stop() }, "unknown"},
	}
	eachVersion(t, func(t *testing.T, o authentiktest.Options) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				k := newKeeper(t, o)
				k.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword, Devices: tt.devices})
				a := k.attempt(func(a *auth.Attempt) { a.Quiet = true })
				if tt.set != nil {
					tt.set(k, &a)
				}
				_, err := k.Authenticate(t.Context(), a)
				if got := k.answer(t, err); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
				c := k.Counters()
				if failed := c.LoginsFailed; failed > 0 && tt.want == due || c.Messages > 0 {
					t.Errorf("%d failed logins, %d messages", failed, c.Messages)
				}
			})
		}
	})
}

// The cookie of the second factor over two simulated months, with two flows a
// day, each of which ends the session before.
func TestCookieOverMonths(t *testing.T) {
	eachVersion(t, func(t *testing.T, o authentiktest.Options) {
		const threshold = 30 * 24 * time.Hour
		k := newKeeper(t, o)
		k.stages(identify{}, password{}, validate{Threshold: threshold}, login{})
		g := k.login(t, totp)
		begin := k.clock.Now()
		for half := 1; half <= 120; half++ {
			k.clock.Advance(12 * time.Hour)
			left := begin.Add(threshold).Sub(k.clock.Now())
			quiet := k.attempt(func(a *auth.Attempt) { a.Quiet, a.Cookie = true, g.Cookie })
			next, err := k.Authenticate(t.Context(), quiet)
			if left <= 0 {
				if got := k.answer(t, err); got != "denied code_missing" {
					t.Fatalf("%v after the threshold: %s", -left, got)
				}
				next, err = k.Authenticate(t.Context(), k.attempt(func(a *auth.Attempt) {
					a.Cookie, a.Code = g.Cookie, auth.Secret(k.Code("alice"))
				}))
				if err != nil || next.Factor != auth.FactorTOTP || next.Cookie == "" || next.Cookie == g.Cookie {
					t.Fatalf("the factor again: %+v %v", next, err)
				}
				begin = k.clock.Now()
			} else if err != nil || next.Factor != auth.FactorNone || next.Cookie != g.Cookie {
				t.Fatalf("%v before the end of the threshold: %+v %v", left, next, err)
			}
			if err := k.EndSession(t.Context(), authentiktest.DefaultBaseDN, *g.Session, keeperAddr); err != nil {
				t.Fatal(err)
			}
			g = next
			if n := k.Alive("alice"); n != 1 {
				t.Fatalf("%d sessions", n)
			}
		}
		// One login, 120 flows, and two that found the factor due.
		if c := k.Counters(); c.UserFlows["alice"] != 123 || c.UserLogins["alice"] != 121 || c.LoginsFailed != 0 {
			t.Errorf("%d flows, %d logins, %d failed", c.UserFlows["alice"], c.UserLogins["alice"], c.LoginsFailed)
		}
	})
}

// A cookie is handed on only for as long as authentik takes it.
func TestCookieNotTaken(t *testing.T) {
	tests := []struct {
		name   string
		set    func(*keeper)
		cookie bool // there is another
	}{
		{"threshold gone", func(k *keeper) { k.stages(identify{}, password{}, validate{}, login{}) }, false},
		{"another stage", func(k *keeper) {
			k.stages(identify{PasswordFields: true}, validate{Threshold: time.Hour}, login{})
		}, true},
		{"device replaced", func(k *keeper) {
			k.EditUser("alice", func(u *authentiktest.User) { u.Devices[0].ID++ })
		}, true},
		{"too old", func(k *keeper) { k.clock.Advance(time.Hour) }, true},
	}
	eachVersion(t, func(t *testing.T, o authentiktest.Options) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				k := newKeeper(t, o)
				k.stages(identify{}, password{}, validate{Threshold: time.Hour}, login{})
				old := k.login(t, totp).Cookie
				tt.set(k)
				k.clock.Advance(time.Minute) // to the next code
				with := func(a *auth.Attempt) { a.Cookie = old }
				quiet := func(a *auth.Attempt) { a.Quiet = true }
				if _, err := k.Authenticate(t.Context(), k.attempt(with, quiet)); k.answer(t, err) != "denied code_missing" {
					t.Errorf("quiet: %v", err)
				}
				g, err := k.Authenticate(t.Context(), k.attempt(with, func(a *auth.Attempt) { a.Code = auth.Secret(k.Code("alice")) }))
				if err != nil {
					t.Fatal(err)
				}
				if g.Cookie == old || (g.Cookie != "") != tt.cookie {
					t.Errorf("a cookie: %v, the old one: %v", g.Cookie != "", g.Cookie == old)
				}
			})
		}
	})
}

func TestStamps(t *testing.T) {
	k := newKeeper(t, authentiktest.Options{})
	if p, f := k.Stamps(directory.Account{UUID: "a", Changed: "20260101000000Z"}); p != "20260101000000Z" || f != "" {
		t.Errorf("%q %q", p, f)
	}
}

// A session that is too large is named, and not used again.
func TestStateBounded(t *testing.T) {
	s := Session{UserPK: 4, Hash: "h", Cookies: []Cookie{{sessionCookie, strings.Repeat("x", maxState)}}}
	if k := s.kept(); k.Hash != "h" || k.State != "" {
		t.Errorf("a state of %d octets", len(k.State))
	}
	var cookies []Cookie
	for i := range maxCookies {
		cookies = append(cookies, Cookie{fmt.Sprint(i), "x"})
	}
	cookies[3].name = sessionCookie
	s.Cookies = cookies
	if user, got, err := unpack(s.kept().State); err != nil || user != 4 || fmt.Sprintf("%s", got) != fmt.Sprintf("%s", cookies) || got[3].value != "x" {
		t.Errorf("%d %v %v", user, got, err)
	}
}

func FuzzState(f *testing.F) {
	good := (&Session{UserPK: 4, Cookies: []Cookie{{sessionCookie, "x.y.z"}, {"authentik_csrf", ""}}}).kept().State
	for _, s := range []string{string(good), "", "{}", `{"v":1,"user":4,"cookies":[["authentik_session"]]}`, `{"v":1,"user":4,"cookies":[["a","b","c"]]}`, "null", "[]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		user, cookies, err := unpack(auth.Secret(text))
		if err != nil {
			if !errors.Is(err, auth.ErrSessionGone) || user != 0 || cookies != nil {
				t.Fatalf("%d %v %v", user, cookies, err)
			}
			return
		}
		if user <= 0 || len(cookies) == 0 || len(cookies) > maxCookies {
			t.Fatalf("%d %v", user, cookies)
		}
		again := (&Session{UserPK: user, Cookies: cookies}).kept().State
		if again == "" {
			return // escapes made it too long
		}
		if u, c, err := unpack(again); err != nil || u != user || !slices.Equal(c, cookies) {
			t.Fatalf("%d %v %v", u, c, err)
		}
	})
}
