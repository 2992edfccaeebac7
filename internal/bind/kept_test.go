package bind_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/bind"
	"ldapd/internal/policy"
	"ldapd/internal/verified"
)

// ways says how the proofs of a user came.
func (h *house) ways(name string) (all []string) {
	h.Helper()
	for _, f := range h.proofs(name) {
		all = append(all, string(f.Way)+" "+f.Client+" "+f.Home)
	}
	return all
}

func (h *house) wantWays(what, name string, want ...string) {
	h.Helper()
	if got := h.ways(name); !slices.Equal(got, want) {
		h.Errorf("%s: kept %q, want %q", what, got, want)
	}
}

// again makes a code good for another flow, as one of another hour may be.
func (h *house) again(code string) {
	h.change(func() { h.users["alice"].codes[code] = true })
}

// A proof takes the place of one that says the same, and of what expired.
func TestProofsReplaced(t *testing.T) {
	const at1, at2, found = "at client 192.0.2.1", "at 192.0.2.2", "search uuid of service"
	const client1, client2 = "client 192.0.2.1", "192.0.2.2"
	t.Run("pushes", func(t *testing.T) {
		h := newHouse(t, func(o *bind.Options) { o.Rules.Scope = policy.ScopeOff })
		for range 2 {
			h.want("one client", h.plain(nextcloud, "dora", "secret"), "granted flow duo")
		}
		h.wantWays("one client", "dora", "push "+client1+" "+at1)
		h.want("another", h.plain(elsewhere, "dora", "secret"), "granted flow duo")
		h.wantWays("two clients", "dora", "push "+client1+" "+at1, "push "+client2+" "+at2)
		h.want("with a mark", h.plain(nextcloud, "dora;123456", "secret"), "granted flow duo")
		h.wantWays("with a mark", "dora", "push "+client1+" "+at1, "push "+client2+" "+at2, "name "+client1+" "+at1)
	})
	t.Run("codes", func(t *testing.T) {
		h := newHouse(t, func(o *bind.Options) { o.Rules.Scope = policy.ScopeOff })
		once := func(what, got string) {
			t.Helper()
			h.want(what, got, byCode)
			h.again("111111")
		}
		once("by a login search", h.login("alice;111111", "secret"))
		once("from elsewhere, by the same account", func() string {
			defer h.logins.Closed(h.search(elsewhere, "alice;111111"))
			return h.plain(elsewhere, "alice", "secret")
		}())
		h.wantWays("one home", "alice", "name "+client2+" "+found)
		once("in the bind DN", h.plain(nextcloud, "alice;111111", "secret"))
		h.wantWays("two homes", "alice", "name "+client2+" "+found, "name "+client1+" "+at1)
		once("behind the password", h.plain(nextcloud, "alice", "secret;111111"))
		h.wantWays("another way", "alice", "name "+client2+" "+found, "name "+client1+" "+at1, "password "+client1+" "+at1)
		h.want("another code", h.plain(nextcloud, "alice;222222", "secret"), byCode)
		h.wantWays("another code", "alice", "name "+client2+" "+found, "name "+client1+" "+at1, "password "+client1+" "+at1, "name "+client1+" "+at1)
		if f := h.proofs("alice")[0]; f.Factor != "totp" || !f.At.Equal(h.flows.Now()) || !f.Asked.Equal(h.flows.Now()) || f.Code.Key == "" || f.ID == "" {
			t.Errorf("kept %+v", f)
		}
	})
	t.Run("expired", func(t *testing.T) {
		h := newHouse(t, nil)
		h.want("one", h.login("alice;111111", "secret"), byCode)
		h.Advance(30*24*time.Hour - 1)
		h.want("two", h.login("alice;222222", "secret"), byCode)
		if n := len(h.proofs("alice")); n != 2 {
			t.Errorf("%d proofs at the last moment, want 2", n)
		}
		h.Advance(1)
		h.want("three", h.login("alice;333333", "secret"), byCode)
		if n := len(h.proofs("alice")); n != 2 {
			t.Errorf("%d proofs when the first one expired, want 2", n)
		}
	})
	t.Run("without a factor", func(t *testing.T) {
		h := newHouse(t, nil)
		h.want("password", h.login("bob", "secret"), byFlow)
		h.want("with a mark", h.plain(nextcloud, "bob;123456", "secret"), byMemory)
		h.wantWays("nothing was proved", "bob")
		h.want("with something behind the password", h.plain(nextcloud, "bob", "secret;123456"), "granted flow none")
		h.wantWays("the string was right", "bob", "password "+client1+" "+at1)
		h.change(func() { h.users["bob"].factor, h.users["bob"].codes = auth.FactorTOTP, map[string]bool{"444444": true} })
		h.Advance(longAfter)
		h.want("served while it is asked", h.login("bob", "secret"), byMemory)
		h.want("the factor is due", h.login("bob", "secret"), "denied code_missing 49")
	})
}

// What was proved without a factor counts no more when one was asked for.
func TestFactorGained(t *testing.T) {
	h := newHouse(t, nil)
	h.want("string", h.plain(nextcloud, "bob", "secret;123456"), "granted flow none")
	h.change(func() { h.users["bob"].factor, h.users["bob"].codes = auth.FactorTOTP, map[string]bool{"444444": true} })
	h.want("with the factor", h.plain(nextcloud, "bob", "secret;444444"), byCode)
	if all := h.proofs("bob"); len(all) != 1 || all[0].Factor != "totp" {
		t.Errorf("kept %+v, want the code's", all)
	}
	h.want("string, later", h.plain(nextcloud, "bob", "secret;123456"), wrongCode)
	if !h.credential("bob").Factored {
		t.Error("the password alone is enough")
	}
}

// The session of a proof takes the place of the one before, which is ended.
func TestSessionsSuperseded(t *testing.T) {
	h := newHouse(t, nil)
	ended := func(what string, want ...string) {
		t.Helper()
		h.settle()
		h.change(func() {
			if !slices.Equal(h.ended, want) {
				t.Errorf("%s: ended %q, want %q", what, h.ended, want)
			}
		})
	}
	h.want("login", h.login("alice;111111", "secret"), byCode)
	ended("the only one")
	s := h.credential("alice").Session
	if s == nil || s.Hash != "session1" || s.State != "state of session1" || !s.Begin.Equal(h.flows.Now()) ||
		!s.Asked.Equal(h.flows.Now()) || s.Client != nextcloud.String() {
		t.Errorf("kept %+v", s)
	}
	h.want("another login", h.login("alice;222222", "secret"), byCode)
	ended("superseded", "session1")
	h.want("validated", h.login("alice;222222", "secret"), byProof)
	ended("nothing new", "session1")
	if _, err := h.Revoke(t.Context(), verified.User{Base: base, UUID: "uuid-alice"}); err != nil {
		t.Fatal(err)
	}
	ended("revoked", "session1", "session2")
	h.want("login", h.login("alice;333333", "secret"), byCode)
	h.change(func() { h.users["alice"].changed, h.users["alice"].password = 1, "new" })
	h.want("password changed", h.login("alice;333333", "secret"), wrongPass)
	ended("the password was wrong", "session1", "session2", "session3")
}

// A session that ended by itself is not ended.
func TestSessionOver(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after time.Duration
		want  int
	}{{"at the last moment", 24*time.Hour - 1, 1}, {"over", 24 * time.Hour, 0}} {
		h := newHouse(t, func(o *bind.Options) { o.Rules.Reprove, o.Rules.Access = 48*time.Hour, 0 })
		h.want("login", h.login("bob", "secret"), byFlow)
		h.Advance(tt.after)
		if n, err := h.Revoke(t.Context(), verified.User{Base: base, UUID: "uuid-bob"}); n != 1 || err != nil {
			t.Fatalf("revoked %d, %v", n, err)
		}
		h.settle()
		if n := len(h.ended); n != tt.want {
			t.Errorf("%s: %d sessions ended, want %d", tt.name, n, tt.want)
		}
	}
}

// What is proved while it is revoked is not kept, and its session is ended.
func TestRevokedWhileProved(t *testing.T) {
	h := newHouse(t, nil)
	letGo := h.halt()
	login := h.begin(nextcloud, "bob", "secret")
	<-h.started
	if _, err := h.Revoke(t.Context(), verified.User{Base: base, UUID: "uuid-bob"}); err != nil {
		t.Fatal(err)
	}
	letGo()
	h.want("login", <-login, byFlow)
	h.settle()
	if n := len(h.options.Book.All()); n != 0 || !slices.Equal(h.ended, []string{"session1"}) {
		t.Errorf("%d users are kept, and sessions %q ended", n, h.ended)
	}
	h.want("after it", h.login("bob", "secret"), byFlow)
	h.want("again", h.login("bob", "secret"), byMemory)
}

// A password that turned out right is searched anew at once, as it may have been
// learned and revoked since it was searched in vain.
func TestSearchedAnewWhenRight(t *testing.T) {
	bob, alice := verified.User{Base: base, UUID: "uuid-bob"}, verified.User{Base: base, UUID: "uuid-alice"}
	h := newHouse(t, nil)
	revoke := func(k verified.User) {
		t.Helper()
		if _, err := h.Revoke(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	h.want("granted", h.login("bob", "secret"), byFlow)
	revoke(bob)
	h.want("granted again", h.login("bob", "secret"), byFlow)
	h.want("kept", h.login("bob", "secret"), byMemory)

	h.want("right, without the code", h.login("alice", "secret"), missing)
	revoke(alice)
	h.want("granted", h.login("alice;111111", "secret"), byCode)
	h.want("kept", h.login("alice;111111", "secret"), byProof)
}

// A password that is remembered, and that the backend says is wrong, is
// forgotten with all its proofs, whatever brought that up.
func TestWrongByNow(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.change(func() { h.users["alice"].password = "new" }) // and the directory does not know yet
	h.want("memory does not know", h.login("alice;111111", "secret"), byProof)
	h.want("a new code", h.login("alice;222222", "secret"), wrongPass)
	h.want("the old one", h.login("alice;111111", "secret"), wrongPass)
	if n := len(h.options.Book.All()); n != 0 {
		t.Errorf("%d users are kept", n)
	}
}

// Whatever else the backend denies says nothing of the password.
func TestDeniedOtherwise(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.want("a wrong code", h.login("alice;999999", "secret"), wrongCode)
	h.change(func() { h.down = true })
	h.want("trouble", h.login("alice;222222", "secret"), "unknown unavailable 52")
	h.want("the login", h.login("alice;111111", "secret"), byProof)
}

// A right bind that was under way when others reached the limit is held to it
// where the user is not at home, and leaves nothing behind.
func TestRightWhileOthersReachTheLimit(t *testing.T) {
	for _, tt := range []struct {
		name string
		from netip.Addr
		want string
		kept int
	}{
		{"of a stranger", elsewhere, "limited limit_user 51", 0},
		{"at a client that is named", nextcloud, byFlow, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, func(o *bind.Options) { o.Limits = guard.Limits{FailuresPerUser: 2} })
			hold := make(chan struct{})
			h.change(func() { h.hold = hold })
			right := h.begin(tt.from, "bob", "secret")
			<-h.started
			h.change(func() { h.hold = nil })
			for i := range 2 {
				got := answer(h.Bind(t.Context(), bind.Request{DN: userDN("bob"), Password: fmt.Append(nil, i), Addr: tt.from}))
				h.want("wrong", got, wrongPass)
			}
			close(hold)
			h.want("right", <-right, tt.want)
			h.settle()
			if n := len(h.options.Book.All()); n != tt.kept || len(h.ended) != 1-tt.kept {
				t.Errorf("%d users are kept, sessions %q ended", n, h.ended)
			}
		})
	}
}

// The end of a session at the backend ends its verified bind, unless it is over
// by itself, which a backend that names no end says nothing of.
func TestSessionEnded(t *testing.T) {
	for _, tt := range []struct {
		name  string
		end   time.Duration // of the session, as the backend says; 0: it does not
		after time.Duration
		kept  bool
	}{
		{"no end, in time", 0, 24*time.Hour - time.Minute - time.Second, false},
		{"no end, cleaned up", 0, 24*time.Hour - time.Minute, true},
		{"an end, in time", 48 * time.Hour, 48*time.Hour - time.Minute - time.Second, false},
		{"an end, cleaned up", 48 * time.Hour, 48*time.Hour - time.Minute, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, a := newAltered(t, func(o *bind.Options) { o.Rules.Reprove, o.Rules.Access = 96*time.Hour, 0 })
			a.grant = func(g *auth.Granted) {
				if tt.end > 0 {
					g.Session.End = h.flows.Now().Add(tt.end)
				}
			}
			h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
			h.Advance(tt.after)
			h.SessionEnded("session1")
			h.settle()
			if n := len(h.options.Book.All()); (n == 1) != tt.kept {
				t.Errorf("%d users are kept, want it kept: %v", n, tt.kept)
			}
			if tt.kept && h.credential("bob").Session != nil {
				t.Error("the session that is over is kept")
			}
		})
	}
}

// When access was asked for is kept, and so is what came of it. A session that
// is gone is not asked with again.
func TestAccessIsAsked(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	asked := func(what string, want int) {
		t.Helper()
		h.want(what, h.plain(nextcloud, "bob", "secret"), byMemory)
		if h.asked != want {
			t.Errorf("%s: asked %d times, want %d", what, h.asked, want)
		}
	}
	h.Advance(time.Hour - time.Second)
	asked("before it is time", 0)
	h.Advance(time.Second)
	asked("it is time", 1)
	if c := h.credential("bob"); h.flows.Now().Sub(c.Told) > time.Second || h.flows.Now().Sub(c.Session.Asked) > time.Second {
		t.Errorf("told at %v, asked at %v", c.Told, c.Session.Asked)
	}
	asked("just asked", 1)
	h.Advance(time.Hour)
	asked("an hour later", 2)
	h.change(func() { clear(h.sessions) })
	h.Advance(time.Hour)
	asked("it is gone", 3)
	if h.credential("bob").Session != nil {
		t.Error("a session that is gone is kept")
	}
	h.Advance(time.Hour)
	asked("it was gone", 3)
}

// Revoking a user, or all, says how many there were, and of nobody else.
func TestRevokeCounts(t *testing.T) {
	h := newHouse(t, nil)
	h.want("bob", h.plain(nextcloud, "bob", "secret"), byFlow)
	h.want("service", h.plain(nextcloud, "service", "service"), byFlow)
	if n, err := h.Revoke(t.Context(), verified.User{Base: base, UUID: "uuid-bob"}); n != 1 || err != nil {
		t.Errorf("revoked %d, %v, want 1", n, err)
	}
	h.settle()
	if !slices.Equal(h.ended, []string{"session1"}) {
		t.Errorf("ended %q", h.ended)
	}
	h.want("bob again", h.plain(nextcloud, "bob", "secret"), byFlow)
	if n, err := h.RevokeAll(t.Context()); n != 2 || err != nil {
		t.Errorf("revoked %d, %v, want both", n, err)
	}
	h.settle()
	if n := len(h.ended); n != 3 || len(h.sessions) != 0 {
		t.Errorf("ended %q, left %v", h.ended, h.sessions)
	}
}
