package bind_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/auth"
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
