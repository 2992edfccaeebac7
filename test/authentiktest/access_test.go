package authentiktest

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	ak "ldapd/internal/authentik/authentiktest"
)

func TestDelegatedAddress(t *testing.T) {
	for _, test := range []struct {
		name   string
		admin  bool
		ip     string
		header func(*ak.Server, http.Header)
		want   string
		out    bool
	}{
		{"both headers", false, "2001:db8::1", nil, "2001:db8::1", true},
		{"no address", false, "x", func(_ *ak.Server, h http.Header) { h.Del("X-authentik-remote-ip") }, "127.0.0.1", false},
		{"no token", false, "192.0.2.7", func(_ *ak.Server, h http.Header) { h.Del("X-authentik-outpost-token") }, "127.0.0.1", false},
		{"with Bearer", false, "192.0.2.7", func(s *ak.Server, h http.Header) { h.Set("X-authentik-outpost-token", "Bearer "+s.Token) }, "127.0.0.1", false},
		{"bad address", false, "192.0.2.7:1234", nil, "127.0.0.1", true},
		{"an administrator's token", true, "192.0.2.7", nil, "127.0.0.1", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := ak.New(t, ak.Options{Admin: test.admin})
			s.AddUser(ak.User{Username: "alice", Password: "secret"})
			c := newClient(t, s)
			c.ip = test.ip
			r := c.userRequest("GET", "/api/v3/flows/executor/"+ak.DefaultFlow+"/"+outpostQuery, "")
			if test.header != nil {
				test.header(s, r.Header)
			}
			c.keep(c.do(r))
			for _, body := range []string{`{"component":"ak-stage-identification","uid_field":"alice"}`, `{"component":"ak-stage-password","password":"x"}`} {
				r := c.userRequest("POST", "/api/v3/flows/executor/"+ak.DefaultFlow+"/"+outpostQuery, body)
				if test.header != nil {
					test.header(s, r.Header)
				}
				c.keep(c.do(r))
			}
			e := s.Events()
			if len(e) != 1 || e[0].IP != test.want || e[0].Outpost != test.out {
				t.Errorf("events: %+v", e)
			}
			want(t, "reputation", s.Reputation("alice", test.want), -1)
			want(t, "complaints", len(s.Complaints()) == 0, test.want != "127.0.0.1" || test.admin)
		})
	}
}

func TestAuthorizationOnUserCalls(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	c := newClient(t, s)
	c.login("alice", "secret")
	c.header.Set("Authorization", "Bearer "+s.Token)
	if name := c.me().m["user"].(map[string]any)["username"].(string); !strings.HasPrefix(name, "ak-outpost-") {
		t.Errorf("me with a bearer is %q", name)
	}
	c.header.Set("Authorization", "Bearer wrong")
	want(t, "me", c.me().status, 403)
	want(t, "executor", c.start().component(), "ak-stage-flow-error")
	if n := len(s.Complaints()); n != 3 {
		t.Errorf("complaints: %q", s.Complaints())
	}
}

func TestCSRFBehindTheLogin(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	setStages(s, ak.Identification{}, ak.Password{}, ak.Login{}, ak.Consent{})
	c := newClient(t, s)
	a := c.login("alice", "secret")
	want(t, "behind the login", a.component(), "ak-stage-consent")
	answer := map[string]any{"token": a.m["token"]}
	want(t, "without", c.answer("ak-stage-consent", answer).component(), "ak-stage-flow-error")
	c.header.Set("X-authentik-CSRF", c.cookies[ak.CookieCSRF].Value)
	want(t, "with", c.answer("ak-stage-consent", answer).component(), "xak-flow-redirect")
}

func TestInactiveUserOfASession(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	c := newClient(t, s)
	c.login("alice", "secret")
	s.EditUser("alice", func(u *ak.User) { u.Inactive = true })
	want(t, "the session stays", len(s.Sessions("alice")), 1)
	a := c.start()
	want(t, "executor", []any{a.status, string(a.body)}, []any{400, ""})
	want(t, "the session ended", len(s.Sessions("alice")), 0)

	// Deactivated between password and login.
	s.EditUser("alice", func(u *ak.User) { u.Inactive = false })
	setStages(s, ak.Identification{}, ak.Password{}, ak.Consent{}, ak.Login{})
	clear(c.cookies)
	a = c.login("alice", "secret")
	s.Deactivate("alice")
	a = c.answer("ak-stage-consent", map[string]any{"token": a.m["token"]})
	want(t, "login stage", []any{a.component(), a.m["error_message"]}, []any{"ak-stage-access-denied", "Unknown error"})
}

func TestInvalidationFlow(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	c := newClient(t, s)
	c.login("alice", "secret")
	a := c.flow("GET", ak.DefaultInvalidation, "")
	want(t, "end", a.component(), "xak-flow-redirect")
	want(t, "me", c.me().status, 403)
	want(t, "sessions", len(s.Sessions("alice")), 0)
	want(t, "logouts", s.Counters().Logouts, 1)
}

func TestCheckAccess(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.AddGroup(ak.Group{Name: "admins", Superuser: true})
	s.AddGroup(ak.Group{Name: "ops", Parents: []string{"admins"}})
	s.AddUser(ak.User{Username: "root", Password: "secret", Groups: []string{"ops"}})
	s.AddUser(ak.User{Username: "sync", Password: "secret", SearchAll: true})
	s.AddUser(ak.User{Username: "seven", Password: "secret", SearchProviders: []int{7}})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	s.SetProvider(ak.Provider{PK: 8, Name: "b", Application: "b"})
	for name, may := range map[string][2]bool{"root": {true, true}, "sync": {true, true}, "seven": {true, false}, "alice": {false, false}} {
		c := newClient(t, s)
		c.login(name, "secret")
		for i, path := range []string{"7/check_access/?app_slug=ldap", "8/check_access/?app_slug=b"} {
			a := c.asUser("GET", "/api/v3/outposts/ldap/"+path, "")
			want(t, name, a.m["has_search_permission"], may[i])
			want(t, name, a.m["access"].(map[string]any)["passing"], true)
		}
	}
	c := newClient(t, s)
	path := "/api/v3/outposts/ldap/7/check_access/?app_slug=ldap"
	want(t, "anonymous", c.asUser("GET", path, "").status, 200)
	c.login("alice", "secret")
	s.DenyAccess("ldap", "alice")
	want(t, "denied", c.asUser("GET", path, "").m["access"].(map[string]any)["passing"], false)
	s.AllowAccess("ldap", "alice")
	want(t, "allowed", c.asUser("GET", path, "").m["access"].(map[string]any)["passing"], true)
	s.OmitSearchPermission(true)
	if _, ok := c.asUser("GET", path, "").m["has_search_permission"]; ok {
		t.Error("has_search_permission is there")
	}
	want(t, "no app_slug", c.asUser("GET", "/api/v3/outposts/ldap/7/check_access/", "").status, 500)
	want(t, "me", slices.Sorted(func(yield func(string) bool) {
		c := newClient(t, s)
		c.login("root", "secret")
		for _, g := range c.me().m["user"].(map[string]any)["groups"].([]any) {
			yield(g.(map[string]any)["name"].(string))
		}
	}), []string{"admins", "ops"})
}
