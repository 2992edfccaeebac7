package authentiktest

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	ak "ldapd/internal/authentik/authentiktest"
	"ldapd/internal/testclock"
)

const validate = "ak-stage-authenticator-validate"

func (c *client) toMFA(name string) answer {
	c.t.Helper()
	clear(c.cookies)
	return c.login(name, "secret")
}

func refusedWith(t *testing.T, what string, a answer, field, code string) {
	t.Helper()
	f, k := a.refusal()
	want(t, what, []string{a.component(), f, k}, []string{validate, field, code})
}

func TestTOTP(t *testing.T) {
	versions(t, func(t *testing.T, version string) {
		now := testclock.At(began)
		s := ak.New(t, ak.Options{Version: version, Now: now.Now})
		s.AddUser(ak.User{Username: "alice", Password: "secret", Devices: []ak.Device{{Class: ak.ClassTOTP, Secret: "JBSWY3DPEHPK3PXP"}}})
		c := newClient(t, s)
		c.toMFA("alice")
		code := s.Code("alice")
		want(t, "good", c.code(code).component(), "xak-flow-redirect")
		if used := s.User("alice").Devices[0].LastUsed; used.IsZero() {
			t.Error("last_used did not move")
		}

		// The same code again, and then throttling of a good one.
		c.toMFA("alice")
		before := s.Reputation("alice", c.ip)
		refusedWith(t, "reused", c.code(code), "code", "invalid")
		loss := map[string]int{ak.V2026_5: 2, ak.V2025_10: 1}[version]
		want(t, "reputation", before-s.Reputation("alice", c.ip), loss)
		e := s.Events()
		want(t, "event", e[len(e)-1], ak.Event{Action: "login_failed", Username: "alice", IP: c.ip, Stage: validate, DeviceClass: "totp", Outpost: true})
		now.Advance(30 * time.Second)
		want(t, "next step", c.code(s.Code("alice")).component(), "xak-flow-redirect")

		// 1, 2, 4 seconds; refusals do not count.
		c.toMFA("alice")
		refusedWith(t, "wrong", c.code("000000"), "code", "invalid")
		now.Advance(30 * time.Second)
		refusedWith(t, "wrong", c.code("000000"), "code", "invalid")
		now.Advance(1999 * time.Millisecond)
		refusedWith(t, "throttled", c.code(s.Code("alice")), "code", "invalid")
		now.Advance(time.Millisecond)
		want(t, "not any more", c.code(s.Code("alice")).component(), "xak-flow-redirect")
	})
}

func TestTOTPToleranceAndDrift(t *testing.T) {
	now := testclock.At(began)
	s := ak.New(t, ak.Options{Now: now.Now})
	s.AddUser(ak.User{Username: "alice", Password: "secret", Devices: []ak.Device{
		{Class: ak.ClassTOTP, Secret: "JBSWY3DPEHPK3PXP", Digits: 8, Step: 60},
	}})
	c := newClient(t, s)
	c.toMFA("alice")
	early := s.Code("alice")
	want(t, "digits", len(early), 8)
	now.Advance(time.Minute)
	want(t, "a step late", c.code(early).component(), "xak-flow-redirect")
	want(t, "drift", s.User("alice").Devices[0].Drift, -1)
	// Drift moves the window with the device.
	slow := s.Code("alice")
	if slow != early {
		t.Errorf("the device shows %s, want %s", slow, early)
	}
	now.Advance(2 * time.Minute)
	c.toMFA("alice")
	want(t, "in the drifted window", c.code(s.Code("alice")).component(), "xak-flow-redirect")

	s.AddUser(ak.User{Username: "bob", Password: "secret", Devices: []ak.Device{
		{Class: ak.ClassTOTP, Secret: "JBSWY3DPEHPK3PXP", Tolerance: -1},
	}})
	c.toMFA("bob")
	late := s.Code("bob")
	now.Advance(30 * time.Second)
	refusedWith(t, "without tolerance", c.code(late), "code", "invalid")
}

func TestStaticTokens(t *testing.T) {
	now := testclock.At(began)
	s := ak.New(t, ak.Options{Now: now.Now})
	s.AddUser(ak.User{Username: "alice", Password: "secret", Devices: []ak.Device{
		{Class: ak.ClassStatic, Tokens: []string{"abcdefghijkl", "mnopqrstuvwx"}},
		{Class: ak.ClassTOTP, Secret: "JBSWY3DPEHPK3PXP"},
	}})
	c := newClient(t, s)
	c.toMFA("alice")
	want(t, "good", c.code("abcdefghijkl").component(), "xak-flow-redirect")
	want(t, "left", s.User("alice").Devices[0].Tokens, []string{"mnopqrstuvwx"})
	c.toMFA("alice")
	refusedWith(t, "used up", c.code("abcdefghijkl"), "code", "invalid")
	now.Advance(time.Minute)
	// A good TOTP code is tried on the static device first, which counts it as
	// a failure.
	want(t, "totp", c.code(s.Code("alice")).component(), "xak-flow-redirect")
	c.toMFA("alice")
	refusedWith(t, "static is throttled", c.code("mnopqrstuvwx"), "code", "invalid")
}

func TestDeviceChallenges(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice", Password: "secret", Email: "alice@x", Devices: []ak.Device{
		{Class: ak.ClassWebAuthn}, {Class: ak.ClassTOTP, ID: 12, Secret: "JBSWY3DPEHPK3PXP"}, {Class: ak.ClassTOTP, ID: 13, Secret: "JBSWY3DPEHPK3PXQ"},
		{Class: ak.ClassStatic, Unconfirmed: true}, {Class: ak.ClassSMS, ID: 15}, {Class: ak.ClassEmail}, {Class: ak.ClassDuo},
	}})
	listed := func(a answer) (out []string) {
		for _, d := range a.m["device_challenges"].([]any) {
			out = append(out, d.(map[string]any)["device_class"].(string))
		}
		return out
	}
	c := newClient(t, s)
	a := c.toMFA("alice")
	want(t, "classes", listed(a), []string{"duo", "email", "sms", "totp", "webauthn"})
	want(t, "email", a.m["device_challenges"].([]any)[1].(map[string]any)["challenge"], map[string]any{"email": "a***@x"})

	element := func(class string, id int) map[string]any {
		return map[string]any{"device_class": class, "device_uid": strconv.Itoa(id), "challenge": map[string]any{}, "last_used": nil}
	}
	refusedWith(t, "another class", c.answer(validate, map[string]any{"selected_challenge": element("static", 12), "code": "1"}), "selected_challenge", "invalid")
	refusedWith(t, "neither", c.answer(validate, nil), "non_field_errors", "invalid")
	refusedWith(t, "sms", c.answer(validate, map[string]any{"selected_challenge": element("sms", 15), "code": "1"}), "code", "invalid")
	want(t, "messages", s.Counters().Messages, 1)

	setStages(s, ak.Identification{}, ak.Password{}, ak.Validate{Classes: []string{ak.ClassWebAuthn, ak.ClassDuo}}, ak.Login{})
	want(t, "allowed", listed(c.toMFA("alice")), []string{"duo", "webauthn"})
	refusedWith(t, "no class for a code", c.code("123456"), "code", "invalid")
	setStages(s, ak.Identification{}, ak.Password{}, ak.Validate{Classes: []string{ak.ClassWebAuthn}}, ak.Login{})
	c.toMFA("alice")
	refusedWith(t, "no duo", c.answer(validate, map[string]any{"duo": 1}), "duo", "invalid")
	want(t, "complaints", s.Complaints(), nil)
}

func TestUserWithoutDevice(t *testing.T) {
	for _, test := range []struct {
		stage ak.Validate
		want  string
	}{
		{ak.Validate{}, "xak-flow-redirect"},
		{ak.Validate{NotConfigured: "deny"}, "ak-stage-access-denied"},
		{ak.Validate{NotConfigured: "configure", Configure: []string{"ak-stage-authenticator-totp"}}, "ak-stage-authenticator-totp"},
		{ak.Validate{NotConfigured: "configure", Configure: []string{"ak-stage-authenticator-totp", "ak-stage-authenticator-webauthn"}}, validate},
	} {
		t.Run(fmt.Sprint(test.stage.NotConfigured, len(test.stage.Configure)), func(t *testing.T) {
			s := ak.New(t, ak.Options{})
			s.AddUser(ak.User{Username: "alice", Password: "secret", Devices: []ak.Device{{Class: ak.ClassTOTP, Unconfirmed: true}}})
			setStages(s, ak.Identification{}, ak.Password{}, test.stage, ak.Login{})
			a := newClient(t, s).toMFA("alice")
			want(t, "component", a.component(), test.want)
			if test.want == validate {
				want(t, "devices", len(a.m["device_challenges"].([]any)), 0)
				want(t, "stages", len(a.m["configuration_stages"].([]any)), 2)
			}
		})
	}
}

func TestDuo(t *testing.T) {
	s := ak.New(t, ak.Options{})
	for name, does := range map[string]ak.DuoAnswer{"ask": ak.DuoAsk, "allow": ak.DuoAllow, "deny": ak.DuoDeny} {
		s.AddUser(ak.User{Username: name, Password: "secret", Devices: []ak.Device{{Class: ak.ClassDuo, Duo: does}}})
	}
	push := func(c *client, name string) answer {
		c.toMFA(name)
		return c.answer(validate, map[string]any{"duo": s.User(name).Devices[0].ID})
	}
	c := newClient(t, s)
	want(t, "allow", push(c, "allow").component(), "xak-flow-redirect")
	refusedWith(t, "deny", push(c, "deny"), "duo", "denied")
	e := s.Events()
	want(t, "event", e[len(e)-1].DeviceClass, "duo")

	for _, allow := range []bool{true, false} {
		c.toMFA("ask")
		done := c.pushing(t.Context(), "ask")
		p := nextPush(t, s)
		want(t, "whose", p.Username, "ask")
		// The others go on while one waits.
		want(t, "another login", newClient(t, s).login("allow", "secret").component(), validate)
		if allow {
			p.Allow()
		} else {
			p.Deny()
		}
		got := <-done
		if got.err != nil {
			t.Fatal(got.err)
		}
		if allow {
			want(t, "allowed", got.status, 302)
			c.keep(got.answer)
			want(t, "end", c.start().component(), "xak-flow-redirect")
		} else {
			refusedWith(t, "denied", got.answer, "duo", "denied")
		}
	}
}

func nextPush(t *testing.T, s *ak.Server) *ak.Push {
	t.Helper()
	select {
	case p := <-s.Pushes():
		return p
	case <-within(t).Done():
		t.Fatal("no push")
		return nil
	}
}

type tried struct {
	answer
	err error
}

// pushing has a Duo device asked in the background.
func (c *client) pushing(ctx context.Context, name string) <-chan tried {
	c.t.Helper()
	r := c.userRequest("POST", "/api/v3/flows/executor/"+ak.DefaultFlow+"/"+outpostQuery,
		fmt.Sprintf(`{"component":%q,"duo":%d}`, validate, c.s.User(name).Devices[0].ID)).WithContext(ctx)
	done := make(chan tried, 1)
	go func() {
		a, err := c.try(r)
		done <- tried{a, err}
	}()
	return done
}

func TestDuoWhoseClientLeft(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice", Password: "secret", Devices: []ak.Device{{Class: ak.ClassDuo}}})
	c := newClient(t, s)
	c.toMFA("alice")
	ctx, cancel := withCancel(t)
	done := c.pushing(ctx, "alice")
	nextPush(t, s)
	cancel()
	if got := <-done; got.err == nil {
		t.Error("an answer")
	}
	want(t, "the plan stays", c.start().component(), validate)
}

func TestLastAuthThreshold(t *testing.T) {
	now := testclock.At(began)
	s := ak.New(t, ak.Options{Now: now.Now})
	for _, name := range []string{"alice", "bob"} {
		s.AddUser(ak.User{Username: name, Password: "secret", Devices: []ak.Device{{Class: ak.ClassTOTP, Secret: "JBSWY3DPEHPK3PXP"}}})
	}
	setStages(s, ak.Identification{}, ak.Password{}, ak.Validate{Threshold: time.Hour}, ak.Login{})
	c := newClient(t, s)
	c.toMFA("alice")
	c.code(s.Code("alice"))
	mfa := c.cookies[ak.CookieMFA]
	if mfa == nil {
		t.Fatal("no cookie")
	}
	with := func(name string) string {
		clear(c.cookies)
		c.cookies[ak.CookieMFA] = mfa
		return c.login(name, "secret").component()
	}
	want(t, "remembered", with("alice"), "xak-flow-redirect")
	want(t, "another user", with("bob"), validate)
	now.Advance(time.Hour - time.Second)
	want(t, "at the end", with("alice"), "xak-flow-redirect")
	now.Advance(time.Second)
	want(t, "over", with("alice"), validate)
	want(t, "fresh jar", c.toMFA("alice").component(), validate)

	// It is worth as much as the device.
	c.code(s.Code("alice"))
	mfa = c.cookies[ak.CookieMFA]
	want(t, "remembered again", with("alice"), "xak-flow-redirect")
	s.EditUser("alice", func(u *ak.User) {
		u.Devices = append(u.Devices, ak.Device{Class: ak.ClassStatic, Tokens: []string{"token"}})
	})
	want(t, "beside another device", with("alice"), "xak-flow-redirect")
	s.EditUser("alice", func(u *ak.User) { u.Devices = u.Devices[1:] })
	want(t, "device deleted", with("alice"), validate)
}
