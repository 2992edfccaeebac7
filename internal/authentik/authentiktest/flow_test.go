package authentiktest_test

import (
	"testing"

	. "ldapd/internal/authentik/authentiktest"
)

func TestLogin(t *testing.T) {
	s := New(t, Options{})
	s.AddUser(User{Username: "alice", Password: "secret"})
	c := newClient(t, s)
	want(t, "first", c.start().component(), "ak-stage-identification")
	want(t, "second", c.identify("ALICE", "").component(), "ak-stage-password")
	a := c.password("secret")
	want(t, "end", a.component(), "xak-flow-redirect")
	want(t, "to", a.m["to"], "/")
	want(t, "me", c.me().m["user"].(map[string]any)["username"], "alice")
	want(t, "complaints", s.Complaints(), nil)
}
