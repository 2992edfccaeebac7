package bind_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/await"
	"ldapd/internal/bind"
	"ldapd/internal/login"
)

// waits returns the answer to a bind of alice, and how long she waited.
func (h *house) waits() (answer string, d time.Duration) {
	since := h.flows.Now()
	answer = h.plain(nextcloud, "alice", "secret")
	return answer, h.flows.Now().Sub(since)
}

// A login by which a wrong password came, and that lingers, is not in the way of
// hers; nobody waits for it.
func TestBesideAWrongPassword(t *testing.T) {
	h := newHouse(t, nil)
	stranger := h.search(nextcloud, "alice;666666")
	h.want("stranger", h.plain(nextcloud, "alice", "wrong"), wrongPass)
	hers := h.search(nextcloud, "alice;111111")
	got, d := h.waits()
	h.want("she", got, byCode)
	if d != 0 {
		t.Errorf("she waited %v", d)
	}
	h.logins.Closed(hers)
	h.logins.Closed(stranger)
}

// A wrong password is told to be wrong while her bind, with the code of her
// login, is under way.
func TestWrongBesideHers(t *testing.T) {
	h := newHouse(t, nil)
	h.want("she", h.login("alice;111111", "secret"), byCode)
	defer h.logins.Closed(h.search(nextcloud, "alice;222222"))
	letGo := h.halt()
	hers := h.begin(nextcloud, "alice", "secret")
	await.Receive(t, "her flow", h.started)
	other := h.begin(nextcloud, "alice", "wrong")
	await.Receive(t, "the other flow", h.started)
	letGo()
	h.want("other", await.Receive(t, "other", other), wrongPass)
	h.want("she", await.Receive(t, "hers", hers), byCode)
}

// A login by which the right password came is in the way of another: whose bind
// comes next cannot be determined.
func TestBesideARightPassword(t *testing.T) {
	h := newHouse(t, nil)
	defer h.logins.Closed(h.search(nextcloud, "alice"))
	h.want("thief", h.plain(nextcloud, "alice", "secret"), missing)
	defer h.logins.Closed(h.search(nextcloud, "alice;111111"))
	h.want("she", h.plain(nextcloud, "alice", "secret"), unpaired)
}

// Where the right password came without a login lately, a new code is handed
// over after a while only, in which the other one would come again.
func TestWaitsBesideStrays(t *testing.T) {
	for _, tt := range []struct {
		name     string
		password string // that came without a login
		want     time.Duration
	}{
		{"nobody", "", 0},
		{"who has not the password", "wrong", 0},
		{"who has", "secret", login.Hold},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, nil)
			if tt.password != "" {
				h.plain(nextcloud, "alice", tt.password)
			}
			defer h.logins.Closed(h.search(nextcloud, "alice;111111"))
			got, d := h.waits()
			h.want("she", got, byCode)
			if d != tt.want {
				t.Errorf("she waited %v, want %v", d, tt.want)
			}
		})
	}
}

// One of two new logins goes on when the other is over.
func TestGoesOnWhenTheOtherIsOver(t *testing.T) {
	h := newHouse(t, nil)
	one, two := h.search(nextcloud, "alice;111111"), h.search(nextcloud, "alice;222222")
	h.asleep = func() { h.logins.Closed(one) }
	h.want("the other", h.plain(nextcloud, "alice", "secret"), byCode)
	h.logins.Closed(two)
	h.want("its code", h.login("alice;222222", "secret"), byProof)
	one, two = h.search(nextcloud, "alice;999999"), h.search(nextcloud, "alice;888888")
	h.asleep = func() { h.logins.Closed(one); h.logins.Closed(two) }
	h.want("both are over", h.plain(nextcloud, "alice", "secret"), unpaired)
}

// A code that nobody judged is handed over again.
func TestCodeIsReturned(t *testing.T) {
	h := newHouse(t, nil)
	defer h.logins.Closed(h.search(nextcloud, "alice;111111"))
	h.change(func() { h.down = true })
	h.want("trouble", h.plain(nextcloud, "alice", "secret"), "unknown unavailable 52")
	h.want("a wrong password", h.plain(nextcloud, "alice", "wrong"), "unknown unavailable 52")
	h.change(func() { h.down = false })
	h.want("after it", h.plain(nextcloud, "alice", "secret"), byCode)
}

// A window does not make up for what the backend denies otherwise.
func TestDeniedInAWindow(t *testing.T) {
	h, a := newTwoTrees(t, nil)
	if _, got := h.unlock("secret", "111111"); got != "open" {
		t.Fatal(got)
	}
	a.deny = func(auth.Attempt) error {
		return &auth.Denied{Reason: auth.NoAccess, Password: auth.Right, Final: true}
	}
	h.want("a new code", h.login("alice;222222", "secret"), "denied no_access 50")
}

// However many devices a user has, their codes are no guesses.
func TestManyDevices(t *testing.T) {
	h := newHouse(t, nil)
	name := func(i int) string { return fmt.Sprint("alice;", 700000+i) }
	for i := range 14 {
		h.again(fmt.Sprint(700000 + i))
		h.want("login", h.login(name(i), "secret"), byCode)
	}
	h.want("somebody guesses elsewhere", h.plain(elsewhere, "alice;999999", "secret"), away)
	for i := range 14 {
		h.want("validated", h.login(name(i), "secret"), byProof)
	}
}

// Who was asked too often to confirm a push may log in with a code.
func TestCodeInPlaceOfAPush(t *testing.T) {
	h, a := newAltered(t, nil)
	a.deny = func(at auth.Attempt) error {
		if at.Code == "" {
			return &auth.Denied{Reason: auth.FactorDenied, Password: auth.Right, Final: true}
		}
		return nil
	}
	for range 5 {
		h.want("push", h.plain(nextcloud, "alice", "secret"), "denied factor_denied 49")
	}
	h.want("a push too many", h.plain(nextcloud, "alice", "secret"), "limited limit_push 51")
	h.want("with a code", h.plain(nextcloud, "alice;111111", "secret"), byCode)
}

// The fifth and the tenth wrong code with the right password are worth a line,
// and no other.
func TestLogOfGuesses(t *testing.T) {
	h, _, said := newLoggedHouse(t, zap.NewAtomicLevelAt(zap.WarnLevel))
	for i := range 12 {
		h.plain(elsewhere, fmt.Sprint("alice;", 500000+i), "secret")
		switch i {
		case 4:
			said("the fifth", "somebody has the password of this user and tries codes: half of those that are compared in a day were wrong; let the user change the password, or, if it was the user: ldapd cache forgive USER")
		case 9:
			said("the tenth", "somebody has the password of this user and tries codes: no more are compared for a day where these came from; let the user change the password, or: ldapd cache forgive USER")
		}
		said("another")
	}
}

// One login search admits one bind, also where memory has to be asked for the
// password first, and identical binds share that.
func TestOneBindForALoginSearchAfterARestart(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	for range 20 {
		h.restart()
		conn := h.search(nextcloud, "alice;111111")
		var granted atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				_, err := h.Bind(t.Context(), bind.Request{DN: userDN("alice"), Password: []byte("secret"), Addr: nextcloud})
				if err == nil {
					granted.Add(1)
				}
			})
		}
		wg.Wait()
		h.logins.Closed(conn)
		if g := granted.Load(); g > 1 {
			t.Fatalf("%d granted", g)
		}
	}
}

// A rival who leaves while she waits may have been the one, so that her code is
// not handed over; not one who brought a code of his own, which was judged.
func TestRivalWhileSheWaits(t *testing.T) {
	bindWith := func(h *house, password string) string {
		return answer(h.Bind(t.Context(), bind.Request{DN: userDN("alice"), Password: []byte(password), Addr: nextcloud}))
	}
	thief := func(h *house, want string) func() {
		return func() { h.want("thief", bindWith(h, "secret;000000"), want) }
	}
	t.Run("to see whether somebody comes", func(t *testing.T) {
		h := newHouse(t, nil)
		h.want("somebody", h.plain(nextcloud, "alice", "secret"), missing)
		defer h.logins.Closed(h.search(nextcloud, "alice;111111"))
		h.asleep = thief(h, wrongCode)
		h.want("she", bindWith(h, "secret"), byCode)
	})
	t.Run("for another login to be over", func(t *testing.T) {
		h := newHouse(t, nil)
		one := h.search(nextcloud, "alice;111111")
		defer h.logins.Closed(h.search(nextcloud, "alice;222222"))
		rival := thief(h, unpaired)
		h.asleep = func() {
			rival()
			h.logins.Closed(one)
		}
		h.want("she", bindWith(h, "secret"), unpaired)
		if !h.users["alice"].codes["222222"] {
			t.Error("her code was used")
		}
	})
}

// The code of a login search is for a bind without one of its own, where a code
// may stand behind the name.
func TestCodesOfLoginsAreLeftAlone(t *testing.T) {
	h := newHouse(t, nil)
	defer h.logins.Closed(h.search(nextcloud, "alice;222222"))
	h.want("with a code in the bind DN", h.plain(nextcloud, "alice;111111", "secret"), byCode)
	if !h.users["alice"].codes["222222"] {
		t.Error("the code of the login was used")
	}
	h = newHouse(t, func(o *bind.Options) { o.Rules.CodeInUsername = false })
	defer h.logins.Closed(h.search(nextcloud, "alice;222222"))
	h.want("where none may stand behind the name", h.plain(nextcloud, "alice", "secret"), missing)
	if !h.users["alice"].codes["222222"] {
		t.Error("the code of the login was used")
	}
}

// A code that was wrong is not compared again, as it would be right some time.
func TestWrongOnceIsWrong(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.want("wrong", h.login("alice;999999", "secret"), wrongCode)
	h.again("999999")
	h.Advance(2 * time.Minute)
	flows := h.count()
	h.want("right by now", h.login("alice;999999", "secret"), wrongCode)
	h.wantFlows("right by now", flows)
}

// elsewhereTried is a guard.GuessStore that says how many codes others tried.
type elsewhereTried struct{ n int }

func (e *elsewhereTried) Guess(context.Context, [16]byte, [16]byte, time.Duration) (int, bool, error) {
	return e.n, false, nil
}

func (e *elsewhereTried) Guessed(context.Context, [16]byte, [16]byte, time.Duration) (int, bool, error) {
	return e.n, false, nil
}

func (*elsewhereTried) Forgive(context.Context, [16]byte) error { return nil }

// What was tried at other replicas counts here.
func TestGuessesElsewhere(t *testing.T) {
	others := &elsewhereTried{}
	h := newHouse(t, func(o *bind.Options) { o.Guesses = others })
	h.want("at home", h.login("alice;111111", "secret"), byCode)
	others.n = 10
	h.want("elsewhere", h.plain(elsewhere, "alice;222222", "secret"), codeLimit)
	h.wantFlows("elsewhere", 1)
	h.want("at home, again", h.login("alice;111111", "secret"), byProof)
	h.want("who needs none", h.login("bob", "secret"), byFlow)
}

// Who is disabled is forgotten, also when the backend cannot be asked, and does
// not come back by being enabled.
func TestDisabledWhileDown(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.change(func() { h.users["alice"].inactive, h.down = true, true })
	h.want("disabled", h.login("alice;111111", "secret"), "unknown unavailable 52")
	h.change(func() { h.users["alice"].inactive, h.down = false, false })
	h.want("enabled", h.login("alice;111111", "secret"), wrongCode)
}

// A backend that asks for the factor first cannot say of a password in doubt
// whether it is right: the whole credential is asked about.
func TestFactorFirst(t *testing.T) {
	h, a := newAltered(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	a.deny = func(at auth.Attempt) error {
		if at.Quiet {
			return &auth.Denied{Reason: auth.CodeMissing}
		}
		return nil
	}
	h.change(func() { h.users["alice"].changed = 1 })
	h.want("in doubt, the code is used up", h.login("alice;111111", "secret"), wrongCode)
	h.want("a new code", h.login("alice;222222", "secret"), byCode)
}
