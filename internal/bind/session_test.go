package bind_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
	"ldapd/internal/verified"
)

// newLoggedHouse returns a house with a log, and what says what it was told.
func newLoggedHouse(t *testing.T, level zap.AtomicLevel) (h *house, a *altered, said func(what string, want ...string)) {
	core, logs := observer.New(level)
	h, a = newAltered(t, func(o *bind.Options) { o.Log = zap.New(core) })
	return h, a, func(what string, want ...string) {
		t.Helper()
		h.settle()
		var got []string
		for _, e := range logs.TakeAll() {
			got = append(got, e.Message)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: logged %q, want %q", what, got, want)
		}
	}
}

// A flow that left no session behind, or the same one, leaves the one that there
// is.
func TestSessionStays(t *testing.T) {
	h, a := newAltered(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	want := *h.credential("alice").Session
	for code, same := range map[string]*auth.Session{"222222": nil, "444444": {Hash: want.Hash, State: want.State}} {
		a.grant = func(g *auth.Granted) { g.Session = same }
		h.again(code)
		h.want("another", h.plain(elsewhere, "alice", "secret;"+code), byCode)
		if got := h.credential("alice").Session; got == nil || *got != want {
			t.Errorf("kept %+v, want %+v", got, want)
		}
	}
	a.grant = func(g *auth.Granted) { g.Session = &auth.Session{Hash: want.Hash, State: "another"} }
	h.want("another state", h.plain(elsewhere, "alice", "secret;333333"), byCode)
	if got := h.credential("alice").Session; got.State != "another" {
		t.Errorf("kept %+v", got)
	}
	if !slices.Equal(h.ended, []string{"session1"}) {
		t.Errorf("ended %q", h.ended)
	}
}

// What is heard of a session that is superseded meanwhile is of no use.
func TestAccessOfASessionThatIsSuperseded(t *testing.T) {
	for name, meanwhile := range map[string]func(h *house){
		"superseded": func(h *house) {
			if _, err := h.Bind(h.Context(), bind.Request{DN: userDN("alice"), Password: []byte("secret;222222"), Addr: elsewhere}); err != nil {
				h.Error(err)
			}
		},
		"gone": func(h *house) {
			err := h.options.Book.Update(h.Context(), verified.User{Base: base, UUID: "uuid-alice"}, h.credential("alice").ID, func(c *verified.Credential) bool {
				c.Session = nil
				return true
			})
			if err != nil {
				h.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, a := newAltered(t, nil)
			h.want("login", h.login("alice;111111", "secret"), byCode)
			a.access = func(string) (bool, error) {
				meanwhile(h)
				return true, nil
			}
			h.Advance(time.Hour)
			h.want("validated", h.login("alice;111111", "secret"), byProof)
			if c := h.credential("alice"); c.Search {
				t.Error("the right to search is that of the session before")
			}
		})
	}
}

// Trouble with access, and with the end of a session, changes nothing and is
// logged.
func TestTroubleWithSessions(t *testing.T) {
	h, a, said := newLoggedHouse(t, zap.NewAtomicLevelAt(zap.DebugLevel))
	h.want("login", h.login("alice;111111", "secret"), byCode)
	session := *h.credential("alice").Session
	a.access = func(string) (bool, error) { return true, errors.New("connection refused") }
	h.Advance(time.Hour)
	h.want("validated", h.login("alice;111111", "secret"), byProof)
	said("access", "verified bind not proved again, it stays for now")
	if c := h.credential("alice"); c.Search || c.Session == nil || *c.Session != session {
		t.Errorf("kept %+v with %+v", c, c.Session)
	}
	a.access = nil

	for _, tt := range []struct {
		err  error
		code string
		want []string
	}{
		{nil, "222222", nil},
		{auth.ErrSessionGone, "333333", nil},
		{errors.New("connection refused"), "444444", []string{"session not ended, it expires by itself"}},
	} {
		a.end = func() error { return tt.err }
		h.again(tt.code)
		h.want("superseded", h.plain(elsewhere, "alice", "secret;"+tt.code), byCode)
		said("superseded", tt.want...)
	}
}

// The log says whose verified bind ended with its session, once.
func TestLogOfEndedSessions(t *testing.T) {
	h, _, said := newLoggedHouse(t, zap.NewAtomicLevelAt(zap.InfoLevel))
	h.SessionEnded("session1")
	said("of nobody")
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	h.SessionEnded("session1")
	said("ended", "verified bind ended, as authentik ended its session")
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	h.Advance(24 * time.Hour)
	h.SessionEnded("session2")
	said("over by itself")
	h.want("login", h.plain(nextcloud, "service", "service"), byFlow)
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	h.SessionEnded("session3")
	said("the store is down", "verified bind not removed, though authentik ended its session")
}

// Without verified binds there is nothing to end, and nobody to sweep for.
func TestNoBook(t *testing.T) {
	s := newServer(t, nil, nil)
	s.SessionEnded("session1")
	s.Run(t.Context())
	if !s.Settled() {
		t.Error("something runs in the background")
	}
}
