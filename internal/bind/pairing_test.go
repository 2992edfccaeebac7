package bind_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/bind"
	"ldapd/internal/login"
)

// timed returns a house whose binds wait by the clock of the bubble.
func timed(t *testing.T) *house {
	return newHouse(t, func(o *bind.Options) { o.Sleep = guard.Sleep })
}

// A bind that waits for other logins to be over goes on when they are.
func TestGoesOnAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name string
		both bool
		want string
	}{
		{"one is left", false, byCode},
		{"none is left", true, unpaired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := timed(t)
				one, two := h.search(nextcloud, "alice;111111"), h.search(nextcloud, "alice;222222")
				time.AfterFunc(3*time.Second, func() {
					h.logins.Closed(one)
					if tt.both {
						h.logins.Closed(two)
					}
				})
				began := time.Now()
				h.want("she", answer(h.Bind(t.Context(), bind.Request{DN: userDN("alice"), Password: []byte("secret"), Addr: nextcloud})), tt.want)
				if d := time.Since(began); d != 3*time.Second {
					t.Errorf("she waited %v", d)
				}
			})
		})
	}
}

// Who leaves while he waits has nothing done for him: his code stays good.
func TestLeavesWhileWaiting(t *testing.T) {
	for _, tt := range []struct {
		name  string
		other string // a login beside hers
		known bool   // memory knows her password
		flows int    // that are run before she leaves
	}{
		{"to see whether somebody comes", "", false, 0},
		{"for another login to be over", "alice;222222", false, 1},
		{"for another login to be over, by memory", "alice;222222", true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var leave context.CancelFunc
			h := newHouse(t, func(o *bind.Options) {
				sleep := o.Sleep
				o.Sleep = func(ctx context.Context, d time.Duration) error {
					if leave != nil {
						leave()
						<-ctx.Done()
					}
					return sleep(ctx, d)
				}
			})
			if tt.known {
				h.want("login", h.login("alice;333333", "secret"), byCode)
			}
			if tt.other == "" {
				h.want("somebody", h.plain(nextcloud, "alice", "secret"), missing)
			} else {
				h.search(nextcloud, tt.other)
			}
			h.search(nextcloud, "alice;111111")
			flows := h.count()
			ctx, cancel := context.WithCancel(t.Context())
			leave = cancel
			got := answer(h.Bind(ctx, bind.Request{DN: userDN("alice"), Password: []byte("secret"), Addr: nextcloud}))
			h.want("she", got, "unknown unavailable 52")
			h.settle()
			h.wantFlows("she", flows+tt.flows)
		})
	}
}

// A code that became too old while its bind waited for others is not asked
// about, nor is the bind told that it has none.
func TestTooOldWhenTheOtherIsOver(t *testing.T) {
	h := newHouse(t, nil)
	one := h.search(nextcloud, "alice;111111")
	h.search(nextcloud, "alice;222222")
	h.Advance(25 * time.Second)
	h.asleep = func() { h.logins.Closed(one) }
	h.want("she", h.plain(nextcloud, "alice", "secret"), unpaired)
	h.wantFlows("to see that the password is right", 1)
}

// A bind whose login has a code that was not handed over to it is undecided
// where a code was needed, and then somebody may wait for another's login.
func TestCodeTooOld(t *testing.T) {
	h := newHouse(t, nil)
	conn := h.search(nextcloud, "alice;111111")
	h.Advance(31 * time.Second)
	h.want("too late", h.plain(nextcloud, "alice", "secret"), unpaired)
	h.logins.Closed(conn)
	h.search(nextcloud, "alice;222222")
	got, d := h.waits()
	h.want("the next login", got, byCode)
	if d != login.Hold {
		t.Errorf("it waited %v, want %v", d, login.Hold)
	}
}

// What is denied for another reason is denied, whether its code was handed over
// or not.
func TestDeniedWithoutItsCode(t *testing.T) {
	h, a := newAltered(t, nil)
	a.deny = func(auth.Attempt) error {
		return &auth.Denied{Reason: auth.FactorDenied, Password: auth.Right, Final: true}
	}
	h.search(nextcloud, "dora;271828")
	h.Advance(31 * time.Second)
	h.want("a push that was turned down", h.plain(nextcloud, "dora", "secret"), "denied factor_denied 49")
	a.deny = func(auth.Attempt) error {
		return &auth.Denied{Reason: auth.CodeMissing, Password: auth.Right, Final: true}
	}
	h.want("a code that the backend does not take", h.login("alice;111111", "secret"), missing)
}

// Only who lacks a factor waits for other logins to be over; what is denied
// otherwise is at once.
func TestDeniedBesideOthers(t *testing.T) {
	for _, tt := range []struct {
		name, password string
		change         func(u *flowUser)
		want           string
	}{
		{"a wrong password", "wrong", func(*flowUser) {}, wrongPass},
		{"no access", "secret", func(u *flowUser) { u.factor, u.noAccess = auth.FactorNone, true }, "denied no_access 50"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, nil)
			h.change(func() { tt.change(h.users["alice"]) })
			h.search(nextcloud, "alice;111111")
			h.search(nextcloud, "alice;222222")
			h.asleep = func() { h.Error("it waits") }
			h.want("bind", h.plain(nextcloud, "alice", tt.password), tt.want)
			h.wantFlows("bind", 1)
		})
	}
}

// Of those who came with the right password while she waits, one may have been
// meant by her login: its code is left alone.
func TestAnotherComesWhileSheWaits(t *testing.T) {
	h := newHouse(t, nil)
	h.want("somebody", h.plain(nextcloud, "alice", "secret"), missing)
	h.search(nextcloud, "alice;111111")
	h.asleep = func() {
		h.Advance(time.Millisecond)
		h.want("another", answer(h.Bind(t.Context(), bind.Request{DN: userDN("alice;999999"), Password: []byte("secret"), Addr: nextcloud})), wrongCode)
	}
	h.want("she", h.plain(nextcloud, "alice", "secret"), unpaired)
	h.wantFlows("somebody, another and she", 3)
}

// Only a right password that lacked its factor makes others wait.
func TestNoStrays(t *testing.T) {
	for _, tt := range []struct {
		name   string
		denied auth.Denied
		want   string
	}{
		{"who may not use the application", auth.Denied{Reason: auth.NoAccess, Password: auth.Right, Final: true}, "denied no_access 50"},
		{"a password that nobody compared", auth.Denied{Reason: auth.CodeMissing, Final: true}, missing},
		{"a wrong password", auth.Denied{Reason: auth.WrongPassword, Password: auth.Wrong}, wrongPass},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, a := newAltered(t, nil)
			a.deny = func(auth.Attempt) error { return &tt.denied }
			h.want("denied", h.plain(nextcloud, "alice", "secret"), tt.want)
			a.deny = nil
			h.search(nextcloud, "alice;111111")
			got, d := h.waits()
			h.want("she", got, byCode)
			if d != 0 {
				t.Errorf("she waited %v", d)
			}
		})
	}
}

// A code is with one bind at a time: another one that comes meanwhile neither
// has it nor gives it back.
func TestCodeIsWithOneBind(t *testing.T) {
	h, a := newAltered(t, nil)
	h.search(nextcloud, "alice;111111")
	meanwhile := true
	a.deny = func(auth.Attempt) error {
		if meanwhile {
			meanwhile = false
			ask := func(password, want string) {
				h.want(password, answer(h.Bind(t.Context(), bind.Request{DN: userDN("alice"), Password: []byte(password), Addr: nextcloud})), want)
			}
			ask("secret;999999", wrongCode)
			ask("wrong", wrongPass)
		}
		return nil
	}
	h.want("she", h.plain(nextcloud, "alice", "secret"), byCode)
	if codes := h.askedOf("111111"); codes != 1 {
		t.Errorf("her code was asked about %d times", codes)
	}
}

// askedOf returns how often the backend was asked about a code.
func (f *flows) askedOf(code string) (n int) {
	for _, at := range f.ran {
		if string(at.Code) == code {
			n++
		}
	}
	return n
}

// Each search for a login hands its code to one bind, and has it back if nobody
// judged it.
func TestCodeOfEachSearch(t *testing.T) {
	h, a := newAltered(t, nil)
	h.want("memory knows her", h.login("alice;333333", "secret"), byCode)
	h.search(nextcloud, "alice;111111")
	h.search(nextcloud, "alice;111111")
	meanwhile := true
	a.deny = func(auth.Attempt) error {
		if meanwhile {
			meanwhile = false
			for _, wrong := range []string{"wrong", "wrong too"} {
				h.want(wrong, answer(h.Bind(t.Context(), bind.Request{DN: userDN("alice"), Password: []byte(wrong), Addr: nextcloud})), wrongPass)
			}
		}
		return nil
	}
	h.want("she", h.plain(nextcloud, "alice", "secret"), byCode)
	if codes := h.askedOf("111111"); codes != 3 {
		t.Errorf("the code of the login was asked about %d times, want 3", codes)
	}
}

// A code in the bind DN is at home at its client, whatever login is open beside
// it, which stays as it is.
func TestCodeInTheDNBesideALogin(t *testing.T) {
	h := newHouse(t, nil)
	conn := h.search(nextcloud, "alice;222222")
	h.want("with a code in the bind DN", h.plain(nextcloud, "alice;111111", "secret"), byCode)
	h.logins.Closed(conn)
	h.want("again", h.plain(nextcloud, "alice;111111", "secret"), byProof)
}

// A bind that differs from another login, and whose code is new, is not asked
// about while it cannot be determined which is its own.
func TestNothingAskedWhileUndecided(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.search(nextcloud, "alice")
	h.search(nextcloud, "alice;111111")
	h.want("one of two", h.plain(nextcloud, "alice", "secret"), unpaired)
	h.wantFlows("one of two", 1)
}

// Where nobody tells of login searches, codes that are remembered answer for
// themselves, and what comes without one is undecided.
func TestNoLogins(t *testing.T) {
	h := newHouse(t, func(o *bind.Options) { o.Logins = nil })
	h.want("code in the bind DN", h.plain(nextcloud, "alice;111111", "secret"), byCode)
	h.want("again", h.plain(nextcloud, "alice;111111", "secret"), byProof)
	h.want("without one", h.plain(nextcloud, "alice", "secret"), unpaired)
}

// A login search that is over before its bind is refused is no trouble.
func TestLoginOverWhenRefused(t *testing.T) {
	h, a := newAltered(t, nil)
	conn := h.search(nextcloud, "alice;111111")
	a.deny = func(auth.Attempt) error {
		h.logins.Closed(conn)
		return nil
	}
	h.want("she", h.plain(nextcloud, "alice", "wrong"), wrongPass)
}

// moments runs a test at each moment of a bind in turn, in a house of its
// own in which alice has logged in: a moment is when the pipeline looks at the
// clock.
func moments(t *testing.T, during func(h *house, bind func(at func()) string) (done bool)) {
	t.Helper()
	for n := 1; ; n++ {
		var now func()
		h := newHouse(t, func(o *bind.Options) {
			clock := o.Now
			o.Now = func() time.Time {
				if now != nil {
					now()
				}
				return clock()
			}
		})
		h.want("login", h.login("alice;111111", "secret"), byCode)
		done := during(h, func(at func()) string {
			left := n
			now = func() {
				if left--; left == 0 {
					at()
				}
			}
			defer func() { now = nil }()
			return answer(h.Bind(t.Context(), bind.Request{DN: userDN("alice"), Password: []byte("secret"), Addr: nextcloud}))
		})
		h.settle()
		if done {
			if n < 3 {
				t.Fatalf("a bind has %d moments", n)
			}
			return
		}
	}
}

// A login that ends before it served its bind admits nobody.
func TestLoginEndsMeanwhile(t *testing.T) {
	moments(t, func(h *house, bind func(at func()) string) (done bool) {
		conn := h.search(nextcloud, "alice;111111")
		want, done := byProof, true
		got := bind(func() {
			done = false
			if h.openLogins("alice") > 0 {
				want = unpaired
			}
			h.logins.Closed(conn)
		})
		h.want("bind", got, want)
		return done
	})
}
