package bind_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/bind"
	"ldapd/internal/ldap"
	"ldapd/internal/login"
	"ldapd/internal/verified"
)

// The use of one proof is noted of that one, and says nothing of the homes of
// others.
func TestUseOfOneProof(t *testing.T) {
	h := newHouse(t, nil)
	h.want("one", h.login("alice;111111", "secret"), byCode)
	h.want("two", h.login("alice;222222", "secret"), byCode)
	err := h.options.Book.Update(t.Context(), aliceKey, h.credential("alice").ID, func(c *verified.Credential) bool {
		c.Proofs[0].Home = ""
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Advance(7 * time.Hour)
	h.want("two, later", h.login("alice;222222", "secret"), byProof)
	all := h.proofs("alice")
	if !all[0].Used.IsZero() || all[0].Home != "" {
		t.Errorf("the other one: used at %v, at home at %q", all[0].Used, all[0].Home)
	}
	if !all[1].Used.Equal(h.flows.Now()) {
		t.Errorf("used at %v, want now", all[1].Used)
	}
}

// A string that was right where no factor is asked for stays at home where it
// was proved, however often it is used.
func TestHomeOfAString(t *testing.T) {
	h := newHouse(t, nil)
	h.want("string", h.plain(nextcloud, "bob", "secret;123456"), byFlow)
	h.Advance(7 * time.Hour)
	h.want("used", h.plain(nextcloud, "bob", "secret;123456"), byMemory)
	h.wantWays("used", "bob", "password client 192.0.2.1 at client 192.0.2.1")
	if f := h.proofs("bob")[0]; !f.Used.Equal(h.flows.Now()) {
		t.Errorf("used at %v, want now", f.Used)
	}
}

// A window, which is at home nowhere, is not noted each time that it lets in.
func TestWindowIsNotedOnce(t *testing.T) {
	h := newHouse(t, nil)
	h.openWindows(h.request("alice", "secret", "111111"))
	h.want("first", h.plain(nextcloud, "alice", "secret"), byProof)
	first := h.proofs("alice")[0].Used
	h.Advance(7 * time.Hour)
	h.want("later", h.plain(nextcloud, "alice", "secret"), byProof)
	if f := h.proofs("alice")[0]; !f.Used.Equal(first) || f.Home != "" {
		t.Errorf("used at %v, want %v; at home at %q", f.Used, first, f.Home)
	}
}

// A code that nobody judged is not kept: its login was let in by the window
// alone.
func TestWindowKeepsNoCodeThatWasNotJudged(t *testing.T) {
	h := newHouse(t, nil)
	h.openWindows(h.request("alice", "secret", "111111"))
	h.search(nextcloud, "alice;999999")
	h.Advance(31 * time.Second) // too old to be handed over
	h.want("in the window", h.plain(nextcloud, "alice", "secret"), byProof)
	h.wantWays("in the window", "alice", "unlock client 192.0.2.1 ")
}

// A code in the bind DN is the code of the bind, whatever login search is open:
// no window makes up for it.
func TestWindowIsNotForACodeInTheDN(t *testing.T) {
	h := newHouse(t, nil)
	h.openWindows(h.request("alice", "secret", "111111"))
	defer h.logins.Closed(h.search(nextcloud, "alice;999999"))
	h.want("in the DN", h.plain(nextcloud, "alice;888888", "secret"), wrongCode)
}

// Where no verified binds are kept there are no windows, neither for a login
// with a wrong code nor for who asks for one.
func TestNoWindowWithoutABook(t *testing.T) {
	logins := login.New(nil)
	f := &flows{clock: newClock(), sessions: map[string]string{}, users: map[string]*flowUser{
		"alice": {password: "secret", factor: auth.FactorTOTP, codes: map[string]bool{"111111": true}},
	}}
	h := &house{T: t, flows: f, logins: logins}
	s := newServer(t, nil, func(o *bind.Options) {
		o.Directory = func(ldap.DN) (bind.Directory, error) { return f, nil }
		o.Authenticator, o.Logins = f, logins
	})
	h.Pipeline = s.Pipeline
	h.want("wrong code", h.login("alice;999999", "secret"), wrongCode)
	_, err := h.Unlock(t.Context(), h.request("alice", "secret", "111111"))
	h.want("unlock", words(nil, err), "unknown unavailable 52")
	h.settle()
	if !slices.Equal(h.ended, []string{"session2"}) {
		t.Errorf("ended %q", h.ended)
	}
}

// A backend may know somebody whom the directory does not. Of nobody nothing is
// kept, and no window opens.
func TestNothingIsKeptOfNobody(t *testing.T) {
	h := newHouse(t, func(o *bind.Options) {
		o.Authenticator = &tampered{o.Authenticator.(*flows), func(context.Context, auth.Attempt) (auth.Granted, error) {
			return auth.Granted{Source: auth.SourceFlow, Factor: auth.FactorNone, Session: &auth.Session{Hash: "left"}}, nil
		}}
	})
	h.want("bind", h.plain(nextcloud, "nobody", "secret"), byFlow)
	h.wantNothingKept("bind")
	_, err := h.Unlock(t.Context(), h.request("nobody", "secret", ""))
	h.settle()
	h.want("unlock", words(nil, err), "unknown unavailable 52")
	h.wantNothingKept("unlock")
	if n := len(h.ended); n != 2 {
		t.Errorf("%d sessions ended, want both", n)
	}
}

// The code of a login search is the code of one bind. An identical one that
// waited for it has to bring its own, unless no code was needed.
func TestIdenticalBindsOfLoginSearches(t *testing.T) {
	for _, tt := range []struct {
		name, login string
		old         time.Duration // of the login searches
		granted     string
		flows       int
	}{
		{"with its code", "alice;111111", 0, byCode, 2},
		{"without its code", "bob;111111", 31 * time.Second, byFlow, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, a := newAltered(t, nil)
			a.grant = func(g *auth.Granted) { g.Once = true } // so that memory knows neither
			h.search(nextcloud, tt.login)
			h.search(nextcloud, tt.login)
			h.Advance(tt.old)
			letGo := h.halt()
			user, _, _ := strings.Cut(tt.login, ";")
			one := h.begin(nextcloud, user, "secret")
			<-h.started
			two := h.begin(nextcloud, user, "secret")
			h.wantWaiting(2)
			letGo()
			h.want("one", <-one, tt.granted)
			got := <-two
			h.wantFlows("all", tt.flows)
			if tt.flows == 1 {
				h.want("two", got, tt.granted)
			}
		})
	}
}

// fill makes what is kept of alice as large as it may be.
func (h *house) fill() {
	h.Helper()
	id := h.credential("alice").ID
	large := func(n int) error {
		return h.options.Book.Update(h.Context(), aliceKey, id, func(c *verified.Credential) bool {
			c.Places = []string{strings.Repeat("x", n)}
			return true
		})
	}
	fits, not := 0, 2<<20
	for not-fits > 8 {
		if n := (fits + not) / 2; large(n) == nil {
			fits = n
		} else {
			not = n
		}
	}
	if err := large(fits); err != nil || fits == 0 {
		h.Fatal("cannot be filled", err)
	}
}

// What cannot be kept of a bind from memory changes nothing for it, and is
// logged; and nothing is logged of what can.
func TestLogOfWhatIsNoted(t *testing.T) {
	h, _, said := newLoggedHouse(t, zap.NewAtomicLevelAt(zap.DebugLevel))
	h.openWindows(h.request("alice", "secret", "111111"))
	h.want("in the window", h.plain(nextcloud, "alice", "secret"), byProof)
	h.want("with a wrong code", h.login("alice;999999", "secret"), byProof)
	said("all is well")
	h.fill()
	h.want("with another", h.login("alice;888888", "secret"), byProof)
	said("a login that is not kept", "login not kept")
	h.want("in the window", h.plain(nextcloud, "alice", "secret"), byProof)
	said("a place that is not kept", "use of a verified bind not noted")
}

// A right credential on the page that was under way when others reached the
// limit opens nothing and leaves no session.
func TestPageWhileOthersReachTheLimit(t *testing.T) {
	h := newHouse(t, func(o *bind.Options) { o.Limits = guard.Limits{FailuresPerUser: 2} })
	letGo := h.halt()
	opened := make(chan error, 1)
	go func() {
		_, err := h.Unlock(h.Context(), h.request("alice", "secret", "111111"))
		opened <- err
	}()
	<-h.started
	h.change(func() { h.flows.hold = nil })
	for _, wrong := range []string{"wrong", "wrong too"} {
		_, err := h.Unlock(t.Context(), h.request("alice", wrong, ""))
		h.want(wrong, words(nil, err), wrongPass)
	}
	letGo()
	h.want("unlock", words(nil, <-opened), "limited limit_user 51")
	h.settle()
	h.wantNothingKept("unlock")
	if len(h.sessions) != 0 || len(h.ended) != 1 {
		t.Errorf("sessions %v are left, %q ended", h.sessions, h.ended)
	}
}

// What is asked on the page without a code is asked so.
func TestPageWithoutACode(t *testing.T) {
	h := newHouse(t, nil)
	h.openWindows(h.request("bob", "secret", ""))
	h.openWindows(h.request("alice", "secret", "111111"))
	if got := h.ran[0].CodeIn; got != auth.NoCode {
		t.Errorf("without a code: it is in %v", got)
	}
	if got := h.ran[1].CodeIn; got != auth.InUsername {
		t.Errorf("with a code: it is in %v", got)
	}
}

// The session of a flow is kept in the tree where it was proved, and only there:
// it is ended once.
func TestSessionOfAWindow(t *testing.T) {
	h, a := newTwoTrees(t, nil)
	sessions := func(want ...bool) {
		t.Helper()
		var got []bool
		for _, e := range h.options.Book.All() { // the trees by their base
			got = append(got, e.Record.Credentials[0].Session != nil)
		}
		if !slices.Equal(got, want) {
			t.Errorf("sessions in the trees: %v, want %v", got, want)
		}
	}
	_, got := h.unlock("secret", "111111")
	h.want("unlock", got, "open")
	if base > otherBase {
		t.Fatal("the other tree comes first")
	}
	sessions(true, false)
	if _, err := h.RevokeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.settle()
	if !slices.Equal(h.ended, []string{"session1"}) {
		t.Errorf("ended %q", h.ended)
	}
	a.grant = func(g *auth.Granted) { g.Session = nil }
	_, got = h.unlock("secret", "222222")
	h.want("without a session", got, "open")
	sessions(false, false)
}

// The log says in which tree no window was opened, and why.
func TestLogOfWindows(t *testing.T) {
	level := zap.NewAtomicLevelAt(zap.InfoLevel)
	h, a, said := newLoggedHouse(t, level)
	const not = "no window opened in another tree"
	both := func(name, code string) bind.UnlockRequest {
		r := h.request(name, "secret", code)
		r.Directories = append(r.Directories, branch{h.flows, "dc=other"})
		return r
	}
	h.openWindows(both("alice", "111111"))
	said("all is well")
	a.access = func(string) (bool, error) { return false, errors.New("connection refused") }
	h.openWindows(both("alice", "222222"))
	said("access", not)
	a.access = nil
	a.deny = func(at auth.Attempt) error {
		if at.Account.Base == base {
			return nil
		}
		return &auth.Denied{Reason: auth.NoAccess, Password: auth.Right}
	}
	h.openWindows(both("bob", ""))
	said("the flow of that tree", not)
	a.deny = nil
	level.SetLevel(zap.WarnLevel)
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	h.openWindows(both("dora", ""))
	said("the store", not)
	if n := h.windows("dc=other"); n != 1 {
		t.Errorf("%d windows in the other tree, want the first one", n)
	}
}

// Where the store cannot be asked whether others opened windows, none is closed,
// and who asks for it is told.
func TestLockWhileTheStoreIsDown(t *testing.T) {
	h := newHouse(t, nil)
	h.openWindows(h.request("alice", "secret", "111111"))
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	n, err := h.Lock(t.Context(), h.request("alice", "secret", "222222"))
	h.want("lock", words(nil, err), "unknown unavailable 52")
	if open := h.windows(base); n != 0 || open != 1 {
		t.Errorf("%d closed, %d open", n, open)
	}
}
