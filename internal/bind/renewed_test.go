package bind_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
	"ldapd/internal/verified"
)

// asked counts how often a backend is asked, whether it can be reached or not.
type asked struct {
	*flows
	flow atomic.Int32
}

func (a *asked) Authenticate(ctx context.Context, at auth.Attempt) (auth.Granted, error) {
	a.flow.Add(1)
	return a.flows.Authenticate(ctx, at)
}

// newAskedHouse returns a house that never asks for access, and what counts its
// flows.
func newAskedHouse(t *testing.T) (*house, *asked) {
	a := new(asked)
	h := newHouse(t, func(o *bind.Options) {
		a.flows = o.Authenticator.(*flows)
		o.Authenticator = a
		o.Rules.Access = 0
	})
	return h, a
}

// longAfter is when every credential is due to be proved again.
const longAfter = 16 * time.Hour

// What cannot be determined in the background is asked again after a minute,
// then twice that each time, up to an hour. When it was determined, that begins
// anew.
func TestPausesAfterProofsThatFail(t *testing.T) {
	h, a := newAskedHouse(t)
	// asks returns the minutes in which a user who binds all the time has the
	// backend asked.
	asks := func(minutes int) (all []int) {
		for m := range minutes {
			for _, d := range []time.Duration{0, time.Minute - 1} {
				h.Advance(d)
				before := a.flow.Load()
				h.want("meanwhile", h.plain(nextcloud, "bob", "secret"), byMemory)
				if a.flow.Load() > before {
					if d > 0 {
						t.Errorf("asked again a moment before minute %d", m+1)
					}
					all = append(all, m)
				}
			}
			h.Advance(1)
		}
		return all
	}
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	for range 2 {
		h.Advance(longAfter)
		h.change(func() { h.down = true })
		if got, want := asks(260), []int{0, 1, 3, 7, 15, 31, 63, 123, 183, 243}; !slices.Equal(got, want) {
			t.Errorf("asked in minutes %v, want %v", got, want)
		}
		h.change(func() { h.down = false })
		h.Advance(time.Hour)
		if got := asks(10); len(got) != 1 {
			t.Errorf("asked in minutes %v once it can be determined, want one", got)
		}
	}
}

// How long the pauses were is forgotten of who does not come again.
func TestPausesAreForgotten(t *testing.T) {
	for _, tt := range []struct {
		name  string
		since time.Duration // the end of the last pause
		want  time.Duration
	}{
		{"just over", time.Hour, 4 * time.Minute},
		{"long over", time.Hour + 1, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, a := newAskedHouse(t)
			h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
			h.Advance(longAfter)
			h.change(func() { h.down = true })
			ask := func(after time.Duration, want bool) {
				t.Helper()
				h.Advance(after)
				before := a.flow.Load()
				h.want("meanwhile", h.plain(nextcloud, "bob", "secret"), byMemory)
				if got := a.flow.Load() > before; got != want {
					t.Errorf("asked: %v, want %v", got, want)
				}
			}
			ask(0, true)
			ask(time.Minute, true)
			h.Advance(2*time.Minute + tt.since)
			h.Sweep(t.Context())
			ask(0, true)
			ask(tt.want-1, false)
			ask(1, true)
		})
	}
}

// A proof that is under way is not begun again, and forgotten by no sweep.
func TestOneProofAtATime(t *testing.T) {
	h, a := newAskedHouse(t)
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	h.Advance(longAfter)
	hold := make(chan struct{})
	h.change(func() { h.hold = hold })
	for range 3 {
		if _, err := h.Bind(t.Context(), bind.Request{DN: userDN("bob"), Password: []byte("secret"), Addr: nextcloud}); err != nil {
			t.Fatal(err)
		}
		h.Sweep(t.Context())
	}
	<-h.started
	h.change(func() { h.hold = nil })
	close(hold)
	h.settle()
	if n := a.flow.Load(); n != 2 {
		t.Errorf("%d flows, want the login's and one", n)
	}
}

// A flow that asked for no factor, though the backend was reminded of none, says
// that the user has none any more.
func TestFactorGone(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.change(func() { h.users["alice"].factor, h.users["alice"].changed = auth.FactorNone, 1 })
	h.want("proved again", h.login("alice;111111", "secret"), byMemory)
	h.want("without the code", h.login("alice", "secret"), byMemory)
	h.wantFlows("all", 2)
}

// A flow that was reminded of a factor says nothing like that: the factor is
// still needed of logins without a proof.
func TestFactorStaysThoughReminded(t *testing.T) {
	h := newHouse(t, nil)
	h.threshold = 3 * 24 * time.Hour
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.change(func() { h.users["alice"].changed = 1 })
	h.want("proved again", h.login("alice;111111", "secret"), byProof)
	h.wantFlows("proved again", 2)
	h.want("without the code", h.login("alice", "secret"), "denied code_missing 49")
}

// Of several proofs the backend is reminded of the one that it was asked about
// least lately, and what it says of one says nothing of the others.
func TestRemindsInTurn(t *testing.T) {
	h := newHouse(t, func(o *bind.Options) { o.Rules.Access, o.Rules.Reprove = 0, 4*time.Hour })
	h.threshold = 3 * 24 * time.Hour
	h.want("one", h.login("alice;111111", "secret"), byCode)
	h.Advance(time.Hour)
	h.want("two", h.login("alice;222222", "secret"), byCode)
	first, second := h.proofs("alice")[0], h.proofs("alice")[1]
	for _, want := range []auth.Secret{first.Cookie, second.Cookie, first.Cookie, second.Cookie, first.Cookie} {
		h.Advance(14*time.Hour + 18*time.Minute)
		flows := h.count()
		h.want("validated", h.login("alice;222222", "secret"), byProof)
		h.wantFlows("validated", flows+1)
		if got := h.ran[flows].Cookie; got != want {
			t.Errorf("reminded by %q, want %q", got, want)
		}
	}
	// The last time the first one had expired.
	if left := h.proofs("alice"); len(left) != 1 || left[0].ID != second.ID {
		t.Errorf("left: %+v, want the second", left)
	}
	if c := h.credential("alice"); !c.Proved.Equal(h.flows.Now()) || !c.Told.Equal(h.flows.Now()) || !c.Factored {
		t.Errorf("%+v, want the password known to be good now", c)
	}
	h.want("one", h.login("alice;111111", "secret"), "denied wrong_code 49")
	h.want("two", h.login("alice;222222", "secret"), byProof)
}

// proofs returns the proofs of the user's only credential.
func (h *house) proofs(name string) []verified.Proof {
	h.Helper()
	return h.credential(name).Proofs
}

// credential returns what is kept of a user who has one password.
func (h *house) credential(name string) *verified.Credential {
	h.Helper()
	for _, e := range h.options.Book.All() {
		if e.Record.Username == name {
			if n := len(e.Record.Credentials); n != 1 {
				h.Fatalf("%d passwords of %s are kept, want 1", n, name)
			}
			return &e.Record.Credentials[0]
		}
	}
	h.Fatalf("nothing is kept of %s", name)
	return nil
}

// Who has no answer yet is not in the way of others.
func TestPausesOfEach(t *testing.T) {
	h, a := newAskedHouse(t)
	h.want("bob", h.plain(nextcloud, "bob", "secret"), byFlow)
	h.want("service", h.plain(nextcloud, "service", "service"), byFlow)
	h.Advance(longAfter)
	h.change(func() { h.down = true })
	for range 3 {
		h.want("bob", h.plain(nextcloud, "bob", "secret"), byMemory)
		h.want("service", h.plain(nextcloud, "service", "service"), byMemory)
	}
	if n := a.flow.Load(); n != 4 {
		t.Errorf("%d flows, want the logins' and one for each", n)
	}
}

// Nothing is asked, or taken for known, before it is time.
func TestNothingBeforeItsTime(t *testing.T) {
	h, a := newAskedHouse(t)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	told := h.credential("alice").Told
	h.Advance(12*time.Hour - 1)
	h.want("validated", h.login("alice;111111", "secret"), byProof)
	if c := h.credential("alice"); !c.Told.Equal(told) {
		t.Errorf("told at %v, want %v", c.Told, told)
	}
	h.Advance(longAfter)
	h.want("validated", h.login("alice;111111", "secret"), byProof)
	if c := h.credential("alice"); h.flows.Now().Sub(c.Told) > time.Second || h.flows.Now().Sub(c.Proved) < longAfter {
		t.Errorf("told at %v by the directory, proved at %v", c.Told, c.Proved)
	}
	if n := a.flow.Load(); n != 1 {
		t.Errorf("%d flows, want the login's", n)
	}
}

// The proofs of many are not due at one instant.
func TestProofsAreSpread(t *testing.T) {
	h, _ := newAskedHouse(t)
	const users = 16
	name := func(i int) string { return fmt.Sprint("user", i) }
	for i := range users {
		h.change(func() { h.users[name(i)] = &flowUser{password: "secret", factor: auth.FactorNone} })
		h.want("login", h.plain(nextcloud, name(i), "secret"), byFlow)
	}
	first := h.credential(name(0)).First
	at := map[time.Duration]bool{}
	for range 12 * 6 {
		h.Advance(15 * time.Minute)
		for i := range users {
			before := h.count()
			h.want("validated", h.plain(nextcloud, name(i), "secret"), byMemory)
			if h.count() > before {
				at[h.flows.Now().Sub(first)] = true
			}
		}
	}
	if len(at) < 3 {
		t.Errorf("proved again at %v", at)
	}
	for d := range at {
		if d < 12*time.Hour || d > 15*time.Hour+15*time.Minute {
			t.Errorf("proved again after %v", d)
		}
	}
	for i := range users {
		if c := h.credential(name(i)); !c.First.Equal(first) || !c.Proved.After(first) {
			t.Errorf("%s: proved at %v first, and at %v", name(i), c.First, c.Proved)
		}
	}
}

// Only a denial that is about the credential ends a verified bind.
func TestWhatEndsAVerifiedBind(t *testing.T) {
	for _, tt := range []struct {
		denied auth.Denied
		ends   bool
	}{
		{auth.Denied{Reason: auth.WrongPassword, Password: auth.Wrong}, true},
		{auth.Denied{Reason: auth.NoAccess, Password: auth.Right}, true},
		{auth.Denied{Reason: auth.NoAccess}, false},
		{auth.Denied{Reason: auth.WrongPassword}, false},
		{auth.Denied{Reason: auth.Inactive, Password: auth.Right}, false},
	} {
		for _, doubt := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, the password is %v, in doubt %v", tt.denied.Reason, tt.denied.Password, doubt), func(t *testing.T) {
				h, a := newAltered(t, func(o *bind.Options) { o.Rules.Access = 0 })
				h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
				a.deny = func(at auth.Attempt) error {
					if !at.Quiet {
						t.Error("the user is asked for something")
					}
					denied := tt.denied
					return &denied
				}
				flows := h.count()
				if doubt {
					h.change(func() { h.users["bob"].changed = 1 })
					if got := h.plain(nextcloud, "bob", "secret"); !strings.HasPrefix(got, "denied "+string(tt.denied.Reason)) {
						t.Errorf("answered %s", got)
					}
				} else {
					h.Advance(longAfter)
					h.want("meanwhile", h.plain(nextcloud, "bob", "secret"), byMemory)
				}
				h.wantFlows("it is asked once", flows+1)
				if n := len(h.options.Book.All()); (n == 0) != tt.ends {
					t.Errorf("%d users are kept, want it ended: %v", n, tt.ends)
				}
			})
		}
	}
}

// A bind whose code is good is not denied since its user is revoked while the
// password is proved.
func TestRevokedWhileInDoubt(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.change(func() { h.users["alice"].changed = 1 })
	h.again("111111")
	letGo := h.halt()
	defer h.logins.Closed(h.search(nextcloud, "alice;111111"))
	login := h.begin(nextcloud, "alice", "secret")
	<-h.started
	if _, err := h.Revoke(t.Context(), verified.User{Base: base, UUID: "uuid-alice"}); err != nil {
		t.Fatal(err)
	}
	letGo()
	h.want("login", <-login, byCode)
}

// The log says what ended in the background, and what stays for now.
func TestLogOfRenewals(t *testing.T) {
	h, _, said := newLoggedHouse(t, zap.NewAtomicLevelAt(zap.InfoLevel))
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	h.Advance(longAfter)
	h.want("meanwhile", h.plain(nextcloud, "bob", "secret"), byMemory)
	said("right still")
	h.Advance(longAfter)
	h.change(func() { h.down = true })
	h.want("meanwhile", h.plain(nextcloud, "bob", "secret"), byMemory)
	said("trouble", "verified bind not proved again, it stays for now")
	h.Advance(time.Hour)
	h.change(func() { h.users["bob"].password, h.down = "new", false })
	h.want("meanwhile", h.plain(nextcloud, "bob", "secret"), byMemory)
	said("wrong by now", "verified bind ended")
}

// Where the factor that was proved is another one by now, nothing is left.
func TestFactorDueIsAnother(t *testing.T) {
	h, a := newAltered(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	a.factor = "another"
	h.want("it is due", h.login("alice;111111", "secret"), missing)
	if n := len(h.options.Book.All()); n != 0 || !slices.Equal(h.ended, []string{"session1"}) {
		t.Errorf("%d users are kept, sessions %q ended", n, h.ended)
	}
}

// A password that was in doubt, and is right, is so for the next bind as well.
func TestDoubtIsOver(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	err := h.options.Book.Update(t.Context(), verified.User{Base: base, UUID: "uuid-alice"}, h.credential("alice").ID, func(c *verified.Credential) bool {
		c.Doubt = true
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		h.want("in doubt, once", h.login("alice;111111", "secret"), byProof)
	}
	h.wantFlows("in doubt, once", 2)
}

// What the backend remembers a factor by may be another thing each time.
func TestCookieIsRenewed(t *testing.T) {
	h, a := newAltered(t, nil)
	h.threshold = 3 * 24 * time.Hour
	h.want("login", h.login("alice;111111", "secret"), byCode)
	for _, tt := range []struct{ says, want auth.Secret }{{"2000000000", "2000000000"}, {"", "2000000000"}, {"2000000001", "2000000001"}} {
		a.grant = func(g *auth.Granted) { g.Cookie = tt.says }
		h.Advance(longAfter)
		h.want("validated", h.login("alice;111111", "secret"), byProof)
		if f := h.proofs("alice")[0]; f.Cookie != tt.want || h.flows.Now().Sub(f.Asked) > time.Second {
			t.Errorf("remembered by %q, asked at %v", f.Cookie, f.Asked)
		}
	}
}

// The directory tells that a user is good if it is in step.
func TestDirectoryInStep(t *testing.T) {
	for _, tt := range []struct {
		old  time.Duration
		told bool
	}{{0, true}, {5 * time.Minute, true}, {5*time.Minute + 1, false}} {
		var synced time.Time
		h := newHouse(t, func(o *bind.Options) {
			o.Rules.Access = 0
			o.Synced = func() time.Time { return synced }
		})
		h.want("login", h.login("alice;111111", "secret"), byCode)
		h.Advance(longAfter)
		synced = h.flows.Now().Add(-tt.old)
		h.want("validated", h.login("alice;111111", "secret"), byProof)
		if got := h.flows.Now().Sub(h.credential("alice").Told) < time.Second; got != tt.told {
			t.Errorf("synced %v ago: told %v, want %v", tt.old, got, tt.told)
		}
	}
}

// A sweep leaves what may answer once more.
func TestSweepInTime(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	h.Advance(30*24*time.Hour - time.Second)
	h.Sweep(t.Context())
	if n := len(h.options.Book.All()); n != 1 {
		t.Errorf("%d users at the last moment, want 1", n)
	}
	h.Advance(time.Second)
	h.Sweep(t.Context())
	if n := len(h.options.Book.All()); n != 0 {
		t.Errorf("%d users after it, want none", n)
	}
}
