package authentiktest

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	ak "ldapd/internal/authentik/authentiktest"
)

const hello = `{"instruction":1,"args":{"version":"2026.5.0","buildHash":"","uuid":"u","hostname":"box"}}`

func dial(t *testing.T, ctx context.Context, s *ak.Server, outpost, token string) (*websocket.Conn, int) {
	t.Helper()
	c, resp, err := websocket.Dial(ctx, strings.Replace(s.URL, "http", "ws", 1)+"/ws/outpost/"+outpost+"/?instance_uuid=i1&attempt=0",
		&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}})
	if err != nil {
		if resp == nil {
			t.Fatal(err)
		}
		return nil, resp.StatusCode
	}
	t.Cleanup(func() { c.CloseNow() })
	return c, resp.StatusCode
}

func receive(t *testing.T, ctx context.Context, c *websocket.Conn) ak.Message {
	t.Helper()
	_, b, err := c.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var m ak.Message
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return m
}

func TestWebsocket(t *testing.T) {
	ctx := within(t)
	s := ak.New(t, ak.Options{})
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	c, _ := dial(t, ctx, s, ak.DefaultOutpost, s.Token)
	if err := c.Write(ctx, websocket.MessageText, []byte(hello)); err != nil {
		t.Fatal(err)
	}
	want(t, "ack", receive(t, ctx, c), ak.Message{Instruction: ak.Ack, Args: map[string]any{}})
	h := s.Hellos()
	if len(h) != 1 || h[0].Instance != "i1" || h[0].Attempt != "0" || h[0].Message.Args["hostname"] != "box" {
		t.Errorf("hellos %+v", h)
	}
	want(t, "connected", s.Websockets(), 1)

	for range 100 {
		s.TriggerUpdate()
	}
	for range 100 {
		want(t, "burst", receive(t, ctx, c).Instruction, ak.TriggerUpdate)
	}
	s.SetProvider(ak.Provider{PK: 8, Name: "x", Application: "x"})
	want(t, "provider saved", receive(t, ctx, c).Instruction, ak.TriggerUpdate)

	ended := func(what, hash string) {
		t.Helper()
		m := receive(t, ctx, c)
		want(t, what, m, ak.Message{Instruction: ak.SessionEnd, Args: map[string]any{"type": "event.session.end", "session_id": hash}})
	}
	user := newClient(t, s)
	login := func() string {
		clear(user.cookies)
		user.login("alice", "secret")
		return s.Sessions("alice")[0].Hash
	}
	hash := login()
	want(t, "hash", hash, ak.SessionHash(user.sid()))
	user.flow("GET", ak.DefaultInvalidation, "")
	ended("logout", hash)
	hash = login()
	s.EndSessions("alice")
	ended("deleted", hash)
	hash = login()
	s.EndSession(hash)
	ended("deleted alone", hash)
	hash = login()
	s.ExpireSessions()                                             // ends nothing
	s.EditUser("alice", func(u *ak.User) { u.Password = "other" }) // neither does this
	s.Deactivate("alice")
	ended("deactivated", hash)
	s.EditUser("alice", func(u *ak.User) { u.Password, u.Inactive = "secret", false })
	hash = login()
	s.RemoveUser("alice")
	ended("removed", hash)
	s.SessionEnd("00")
	ended("unknown", "00")

	if err := c.Write(ctx, websocket.MessageText, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(ctx, func() bool { return len(s.Complaints()) == 1 }); err != nil {
		t.Error("a frame that is no hello passed without complaint")
	}
	c.CloseNow()
	if err := s.Wait(ctx, func() bool { return s.Websockets() == 0 }); err != nil {
		t.Error(err)
	}
}

func TestWebsocketRefused(t *testing.T) {
	ctx := within(t)
	s := ak.New(t, ak.Options{})
	for _, try := range [][2]string{{ak.DefaultOutpost, "wrong"}, {"11111111-1111-4111-8111-111111111111", s.Token}} {
		_, status := dial(t, ctx, s, try[0], try[1])
		want(t, try[0], status, 403)
	}
	s.RefuseWebsocket(true)
	_, status := dial(t, ctx, s, ak.DefaultOutpost, s.Token)
	want(t, "refused", status, 403)
	s.RefuseWebsocket(false)
	_, status = dial(t, ctx, s, ak.DefaultOutpost, s.Token)
	want(t, "accepted", status, 101)
	want(t, "counted", s.Counters().Requests[ak.Websocket], 4)
}

func TestSilentWebsocket(t *testing.T) {
	ctx := within(t)
	s := ak.New(t, ak.Options{})
	c, _ := dial(t, ctx, s, ak.DefaultOutpost, s.Token)
	s.SilenceWebsocket(true)
	if err := c.Write(ctx, websocket.MessageText, []byte(hello)); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(ctx, func() bool { return len(s.Hellos()) == 1 }); err != nil {
		t.Fatal(err)
	}
	s.TriggerUpdate()
	s.SilenceWebsocket(false)
	s.SessionEnd("first")
	want(t, "first heard", receive(t, ctx, c).Args["session_id"], "first")
	s.DropWebsockets()
	if _, _, err := c.Read(ctx); err == nil {
		t.Error("still connected")
	}
}
