package bind_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
	"ldapd/internal/directory"
	"ldapd/internal/verified"
)

// branch is another tree of the same users.
type branch struct {
	*flows
	base string
}

func (b branch) AccountByName(name string) (directory.Account, bool) {
	a, ok := b.flows.AccountByName(name)
	a.Base = b.base
	return a, ok
}

// request is of a user on the unlock page, for a window at Nextcloud.
func (h *house) request(user, password, code string) bind.UnlockRequest {
	return bind.UnlockRequest{
		Directories: []bind.Directory{h.flows}, Name: user, Password: auth.Secret(password), Code: auth.Secret(code),
		Clients: []string{"client " + nextcloud.String()}, Addr: elsewhere,
	}
}

// unlock opens a window, or the test ends.
func (h *house) openWindows(r bind.UnlockRequest) {
	h.Helper()
	if _, err := h.Unlock(h.Context(), r); err != nil {
		h.Fatal(err)
	}
}

// lock closes windows, and says how many there were or why not.
func (h *house) lock(r bind.UnlockRequest) string {
	h.Helper()
	n, err := h.Lock(h.Context(), r)
	h.settle()
	if err != nil {
		return words(nil, err)
	}
	return fmt.Sprint(n, " closed")
}

// windows are how many are kept below a base.
func (h *house) windows(base string) (n int) {
	for _, e := range h.options.Book.All() {
		if e.User.Base != base {
			continue
		}
		for _, c := range e.Record.Credentials {
			for _, f := range c.Proofs {
				if f.Way == verified.ByUnlock {
					n++
				}
			}
		}
	}
	return n
}

// TestLock: what closes a window is what opens it, or who has the password alone
// would have the owner's binds answered 49.
func TestLock(t *testing.T) {
	h := newHouse(t, nil)
	h.openWindows(h.request("alice", "secret", "111111"))
	for _, tt := range []struct{ what, password, code, want string }{
		{"the password alone", "secret", "", "denied code_missing 49"},
		{"a wrong code", "secret", "999999", "denied wrong_code 49"},
		{"the code that opened it", "secret", "111111", "denied wrong_code 49"},
		{"a wrong password", "wrong", "222222", "denied wrong_password 49"},
	} {
		h.want(tt.what, h.lock(h.request("alice", tt.password, tt.code)), tt.want)
		h.want("after "+tt.what, h.login("alice", "secret"), byProof)
	}
	h.change(func() { h.down = true })
	h.want("in an outage", h.lock(h.request("alice", "secret", "222222")), "unknown unavailable 52")
	h.want("after it", h.login("alice", "secret"), byProof)
	h.change(func() { h.down = false })

	h.want("a new code", h.lock(h.request("alice", "secret", "222222")), "1 closed")
	h.want("closed", h.login("alice", "secret"), "denied code_missing 49")
	if n := len(h.sessions); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	h.wantNothingKept("closed")
	h.restart()
	h.want("after a restart", h.login("alice", "secret"), "denied code_missing 49")
	h.want("none is open", h.lock(h.request("alice", "secret", "333333")), "0 closed")
	h.wantNothingKept("none was open")
}

// TestLockEndsWhatAWindowLetIn: a login with a wrong code that a window let in is
// over with it, and one whose code was right is not.
func TestLockEndsWhatAWindowLetIn(t *testing.T) {
	h := newHouse(t, nil)
	h.openWindows(h.request("alice", "secret", "111111"))
	h.want("a right code", h.login("alice;222222", "secret"), byCode)
	h.want("a wrong code", h.login("alice;999999", "secret"), byProof)
	h.want("lock", h.lock(h.request("alice", "secret", "333333")), "1 closed")
	h.want("the right code", h.login("alice;222222", "secret"), byProof)
	h.want("the wrong code", h.login("alice;999999", "secret"), "denied wrong_code 49")
	h.want("plain", h.login("alice", "secret"), "denied code_missing 49")
	if n := len(h.sessions); n != 1 {
		t.Errorf("%d sessions are left, want that of the last flow", n)
	}
}

// TestLockWithANewPassword: the windows of the old one are closed too.
func TestLockWithANewPassword(t *testing.T) {
	h := newHouse(t, nil)
	h.openWindows(h.request("alice", "secret", "111111"))
	h.change(func() { h.users["alice"].password, h.users["alice"].changed = "new", 1 })
	h.want("lock", h.lock(h.request("alice", "new", "222222")), "1 closed")
	h.wantNothingKept("closed")
}

// TestLockWithoutAFactor: where none is asked for, the password is enough.
func TestLockWithoutAFactor(t *testing.T) {
	h := newHouse(t, nil)
	h.openWindows(h.request("bob", "secret", ""))
	h.want("lock", h.lock(h.request("bob", "secret", "")), "1 closed")
	h.want("afterwards", h.login("bob", "secret"), byMemory)
}

// TestLockByWhoGainedAFactor: what was proved without one is over.
func TestLockByWhoGainedAFactor(t *testing.T) {
	h := newHouse(t, nil)
	h.openWindows(h.request("bob", "secret", ""))
	h.change(func() {
		h.users["bob"].factor, h.users["bob"].codes = auth.FactorTOTP, map[string]bool{"111111": true}
	})
	h.want("the password alone", h.lock(h.request("bob", "secret", "")), "denied code_missing 49")
	h.want("with a code", h.lock(h.request("bob", "secret", "111111")), "0 closed") // the proof had ended it
	h.want("plain", h.login("bob", "secret"), "denied code_missing 49")
}

// TestLockCounts: codes that are tried to close windows count among those that
// are tried to open them.
func TestLockCounts(t *testing.T) {
	h := newHouse(t, nil)
	h.openWindows(h.request("alice", "secret", "111111"))
	for i := range 10 {
		r := h.request("alice", "secret", fmt.Sprint(900000+i))
		h.want("a wrong code", h.lock(r), "denied wrong_code 49")
		h.Advance(2 * time.Minute)
	}
	h.want("one more", h.lock(h.request("alice", "secret", "222222")), "limited limit_code 51")
	_, err := h.Unlock(t.Context(), h.request("alice", "secret", "222222"))
	h.want("to open one", words(nil, err), "limited limit_code 51")
	h.want("the owner", h.login("alice", "secret"), byProof)
}

// TestLockByPush: closing asks the telephone, and not for ever.
func TestLockByPush(t *testing.T) {
	h := newHouse(t, nil)
	h.openWindows(h.request("dora", "secret", ""))
	h.want("lock", h.lock(h.request("dora", "secret", "")), "1 closed")
	pushed := h.count()
	h.want("plain", h.login("dora", "secret"), "granted flow duo")
	h.wantFlows("plain", pushed+1)
}

// TestLockInAllTrees: the code is asked for once.
func TestLockInAllTrees(t *testing.T) {
	h := newHouse(t, nil)
	other := branch{h.flows, "dc=other"}
	trees := func(code string) bind.UnlockRequest {
		r := h.request("alice", "secret", code)
		r.Directories = append(r.Directories, other)
		return r
	}
	want := func(what string, here, there int) {
		t.Helper()
		if a, b := h.windows(base), h.windows(other.base); a != here || b != there {
			t.Errorf("%s: %d and %d windows, want %d and %d", what, a, b, here, there)
		}
	}
	h.openWindows(trees("111111"))
	want("open", 1, 1)
	h.want("lock", h.lock(trees("222222")), "2 closed")
	want("closed", 0, 0)

	// The flow of the first tree asks for no factor any more. That of the other
	// may still.
	h.openWindows(trees("333333"))
	h.change(func() { h.users["alice"].factor = auth.FactorNone })
	h.want("without a factor", h.lock(trees("")), "unknown unavailable 52")
	want("without a factor", 0, 1)
}

// TestUnlockWithoutAFactorInAnotherTree: what the flow of one tree did not ask
// for counts as proved in no other one.
func TestUnlockWithoutAFactorInAnotherTree(t *testing.T) {
	var asks branch // whose flow asks for the factor
	h := newHouse(t, func(o *bind.Options) {
		f := o.Authenticator.(*flows)
		asks = branch{f, "dc=other"}
		o.Authenticator = &tampered{f, func(ctx context.Context, a auth.Attempt) (auth.Granted, error) {
			a.Name = map[bool]string{true: "alice", false: "bob"}[a.Account.Base == asks.base]
			return f.Authenticate(ctx, a)
		}}
	})
	r := h.request("alice", "secret", "")
	r.Directories = append(r.Directories, asks)
	h.openWindows(r)
	if a, b := h.windows(base), h.windows(asks.base); a != 1 || b != 0 {
		t.Errorf("%d and %d windows, want one where no factor is asked for", a, b)
	}
}
