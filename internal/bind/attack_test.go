package bind_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
	"ldapd/internal/ldap"
	"ldapd/internal/policy"
)

// answer puts the outcome of a bind like bindAs, from any goroutine.
func answer(id *bind.Identity, err error) string {
	if err == nil {
		return "granted " + string(id.Source) + " " + string(id.Factor)
	}
	return words(id, err)
}

// begin is plain without waiting for the answer.
func (h *house) begin(addr netip.Addr, user, password string) <-chan string {
	done := make(chan string, 1)
	go func() {
		done <- answer(h.Bind(h.Context(), bind.Request{DN: userDN(user), Password: []byte(password), Addr: addr}))
	}()
	return done
}

// halt makes flows wait until they are let go.
func (h *house) halt() (letGo func()) {
	hold := make(chan struct{})
	h.change(func() { h.hold = hold })
	return func() {
		h.change(func() { h.hold = nil })
		close(hold)
	}
}

// wantWaiting waits until so many binds wait for an answer.
func (h *house) wantWaiting(n int) {
	for h.Waiting() < n {
		time.Sleep(time.Millisecond)
	}
}

const (
	missing   = "denied code_missing 49"
	wrongCode = "denied wrong_code 49"
	wrongPass = "denied wrong_password 49"
	unpaired  = "unknown undecided 52"
	codeLimit = "limited limit_code 51"
	away      = "unknown unavailable 52"
)

// TestStolenHandover has somebody with alice's password, but no code, bind
// around her own login. Through Nextcloud he cannot but search for a login name
// of his own first. Who could bind from Nextcloud's address without that would
// be taken for her, if he came before her; she would not be let in, then.
func TestStolenHandover(t *testing.T) {
	attackers := []struct {
		name   string
		addr   netip.Addr
		search string // "": none
		// What he is told before, during and after her own bind, and she if
		// he came before or during it, and after he is gone.
		before, during, after string
		she, sheLater         string
	}{
		{"through Nextcloud", nextcloud, "alice", unpaired, missing, missing, unpaired, byCode},
		{"through Nextcloud with a code of his own", nextcloud, "alice;999999", unpaired, wrongCode, wrongCode, unpaired, byCode},
		{"through Nextcloud in other case", nextcloud, "ALICE", unpaired, missing, missing, unpaired, byCode},
		{"from elsewhere", elsewhere, "", missing, missing, unpaired, byCode, byProof},
		{"from elsewhere, with a search there", elsewhere, "alice", missing, missing, missing, byCode, byProof},
		{"from elsewhere, with a code there", elsewhere, "alice;999999", wrongCode, wrongCode, wrongCode, byCode, byProof},
		{"from the same address without a search", nextcloud, "", byCode, unpaired, unpaired, unpaired, byProof},
	}
	for _, tt := range attackers {
		attack := func(h *house) (answer string, gone func()) {
			if tt.search == "" {
				return h.plain(tt.addr, "alice", "secret"), func() {}
			}
			conn := h.search(tt.addr, tt.search)
			return h.plain(tt.addr, "alice", "secret"), func() { h.logins.Closed(conn) }
		}
		t.Run("before/"+tt.name, func(t *testing.T) {
			h := newHouse(t, nil)
			conn := h.search(nextcloud, "alice;111111")
			got, gone := attack(h)
			h.want("he", got, tt.before)
			h.want("she", h.plain(nextcloud, "alice", "secret"), tt.she)
			h.logins.Closed(conn)
			gone()
			h.want("she, once more", h.login("alice;111111", "secret"), tt.sheLater)
		})
		t.Run("during/"+tt.name, func(t *testing.T) {
			h := newHouse(t, nil)
			conn := h.search(nextcloud, "alice;111111")
			letGo := h.halt()
			she := h.begin(nextcloud, "alice", "secret")
			<-h.started
			if tt.search != "" {
				defer h.logins.Closed(h.search(tt.addr, tt.search))
			}
			he := h.begin(tt.addr, "alice", "secret")
			if tt.addr == nextcloud {
				h.wantWaiting(2) // the same bind
			} else {
				<-h.started
			}
			letGo()
			h.want("he", <-he, tt.during)
			h.want("she", <-she, byCode)
			h.logins.Closed(conn)
		})
		t.Run("after/"+tt.name, func(t *testing.T) {
			h := newHouse(t, nil)
			conn := h.search(nextcloud, "alice;111111") // PHP keeps it open
			h.want("she", h.plain(nextcloud, "alice", "secret"), byCode)
			got, gone := attack(h)
			h.want("he", got, tt.after)
			gone()
			h.logins.Closed(conn)
			h.want("she, later", h.login("alice;111111", "secret"), byProof)
		})
	}
}

// A program may bind the user on the connection that it searched on. Then that
// is who the connection is, and nothing is left to hand over.
func TestStolenHandoverOnOneConnection(t *testing.T) {
	h := newHouse(t, nil)
	conn := h.search(nextcloud, "alice;111111")
	h.want("she", h.plain(nextcloud, "alice", "secret"), byCode)
	h.logins.Rebound(conn)
	h.want("again", h.plain(nextcloud, "alice", "secret"), unpaired)
	conn = h.search(nextcloud, "alice;222222")
	h.want("wrong password", h.plain(nextcloud, "alice", "wrong"), wrongPass)
	h.logins.Rebound(conn)
	h.want("after it", h.plain(nextcloud, "alice", "secret"), unpaired)
	if !h.users["alice"].codes["222222"] {
		t.Error("the code was handed over with its connection gone")
	}
}

// A code serves one flow, and no longer than half a minute.
func TestHandoverEnds(t *testing.T) {
	h := newHouse(t, nil)
	conn := h.search(nextcloud, "alice;111111")
	h.want("raw", h.plain(nextcloud, "alice", "wrong%20"), wrongPass)
	h.want("decoded", h.plain(nextcloud, "alice", "wrong "), wrongPass)
	h.Advance(31 * time.Second)
	h.want("late", h.plain(nextcloud, "alice", "secret"), unpaired)
	h.search(nextcloud, "alice;111111")
	h.logins.Closed(conn)
	conn = h.search(nextcloud, "alice;999999")
	h.want("beside another", h.plain(nextcloud, "alice", "secret"), unpaired)
	h.logins.Closed(conn)
}

// TestReplayedCode: a code is good for the password that it came with, at the
// place where it stood.
func TestReplayedCode(t *testing.T) {
	h := newHouse(t, nil)
	h.want("on the name", h.login("alice;111111", "secret"), byCode)
	h.want("on the password", h.plain(elsewhere, "alice", "secret;222222"), byCode)
	for _, tt := range []struct{ name, got, want string }{
		{"name: another password", h.login("alice;111111", "other"), wrongPass},
		{"password: another password", h.plain(elsewhere, "alice", "other;222222"), wrongPass},
		{"from the name on the password", h.plain(elsewhere, "alice", "secret;111111"), wrongCode},
		{"from the password on the name", h.login("alice;222222", "secret"), wrongCode},
		{"from the password in the DN", h.plain(elsewhere, "alice;222222", "secret"), wrongCode},
		{"both at once", h.plain(elsewhere, "alice;111111", "secret;999999"), wrongCode},
	} {
		h.want(tt.name, tt.got, tt.want)
	}
	h.change(func() { h.users["alice"].password, h.users["alice"].changed = "new", 1 })
	h.want("name: the next password", h.login("alice;111111", "new"), wrongCode)
	h.want("password: the next password", h.plain(elsewhere, "alice", "new;222222"), wrongCode)
	h.want("a new code", h.login("alice;333333", "new"), byCode)
	h.want("the old code with it", h.login("alice;111111", "new"), wrongCode)
	h.want("the old pair", h.login("alice;111111", "secret"), wrongPass)
	h.restart()
	h.want("the old code after a restart", h.login("alice;111111", "new"), wrongCode)
	h.want("the new one", h.login("alice;333333", "new"), byProof)
}

// guesses counts the flows that judged a code since the one with a number.
func (h *house) guesses(since int) (n int) {
	h.change(func() {
		for _, a := range h.ran[since:] {
			if a.Code != "" {
				n++
			}
		}
	})
	return n
}

// TestCodeGuesses has somebody with alice's password guess codes. Ten are
// judged in a day, whichever way they come; her own logins go on, except where
// the guesses come from the home of hers.
func TestCodeGuesses(t *testing.T) {
	from := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	bySearch := func(h *house, i int, code string, addr netip.Addr) string {
		conn := h.search(addr, "alice;"+code)
		defer h.logins.Closed(conn)
		return h.plain(addr, "alice", "secret")
	}
	ways := []struct {
		name  string
		guess func(h *house, i int, code string) string
		she   string // after ten
	}{
		{"login searches", func(h *house, i int, code string) string { return bySearch(h, i, code, nextcloud) }, codeLimit},
		{"login searches from everywhere", func(h *house, i int, code string) string { return bySearch(h, i, code, from(i)) }, codeLimit},
		{"names", func(h *house, _ int, code string) string { return h.plain(nextcloud, "alice;"+code, "secret") }, byProof},
		{"passwords", func(h *house, _ int, code string) string { return h.plain(nextcloud, "alice", "secret;"+code) }, byProof},
		{"passwords from everywhere", func(h *house, i int, code string) string { return h.plain(from(i), "alice", "secret;"+code) }, byProof},
		{"all in turn", func(h *house, i int, code string) string {
			switch i % 3 {
			case 0:
				return bySearch(h, i, code, from(i))
			case 1:
				return h.plain(from(i), "ALICE;"+code, "secret")
			}
			return h.plain(from(i), "alice", "secret;"+code)
		}, codeLimit},
		{"passwords beside two login searches", func(h *house, _ int, code string) string {
			one, two := h.search(nextcloud, "alice"), h.search(nextcloud, "alice;000000")
			defer h.logins.Closed(one)
			defer h.logins.Closed(two)
			return h.plain(nextcloud, "alice", "secret;"+code)
		}, byProof},
		{"while the store is down", func(h *house, i int, code string) string {
			if i == 0 {
				if err := h.store.Close(); err != nil {
					h.Error(err)
				}
			}
			return h.plain(nextcloud, "alice", "secret;"+code)
		}, byProof},
	}
	for _, tt := range ways {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, nil)
			h.want("she", h.login("alice;111111", "secret"), byCode)
			days := 1
			if tt.name == "names" {
				days = 2
			}
			for day := range days {
				flows := h.count()
				last := ""
				for i := range 20 {
					if last = tt.guess(h, i, fmt.Sprint(500000+i)); strings.HasPrefix(last, "granted") {
						t.Fatal("guessed")
					}
					if i%10 == 9 {
						h.want("she meanwhile", h.login("alice;111111", "secret"), tt.she)
					}
				}
				if n := h.guesses(flows); n != 10 {
					t.Errorf("day %d: %d codes were judged, want 10", day, n)
				}
				h.want("the last guess", last, codeLimit)
				h.Advance(24 * time.Hour)
			}
		})
	}
}

// Pushes are guesses too: who asks often enough is let in at last.
func TestPushesBounded(t *testing.T) {
	deny := false
	h := newHouse(t, func(o *bind.Options) {
		o.Authenticator = denier{o.Authenticator, &deny}
	})
	for i := range 30 {
		// Two logins at once, so that the answer would be 52.
		one, two := h.search(nextcloud, "dora"), h.search(nextcloud, "dora;000000")
		deny = true
		got := h.plain(nextcloud, "dora", "secret")
		h.logins.Closed(one)
		h.logins.Closed(two)
		if i >= 5 {
			h.want("a push too many", got, "limited limit_push 51")
		}
	}
}

// denier turns every push down.
type denier struct {
	auth.Authenticator
	deny *bool
}

func (d denier) Authenticate(ctx context.Context, a auth.Attempt) (auth.Granted, error) {
	g, err := d.Authenticator.Authenticate(ctx, a)
	if err == nil && *d.deny {
		return auth.Granted{}, &auth.Denied{Reason: auth.FactorDenied, Password: auth.Right, Final: true}
	}
	return g, err
}

// TestUndecidedTells: 52 is for who has the right password. Whoever has not is
// told the same in every situation, and what is told of somebody unknown.
func TestUndecidedTells(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	situations := map[string][]string{"none": nil, "one": {"alice"}, "hers": {"alice;111111"}, "two": {"alice", "alice;111111"}, "others": {"bob", "zoe"}}
	for name, open := range situations {
		var conns []uint64
		for _, l := range open {
			conns = append(conns, h.search(nextcloud, l))
		}
		text := ""
		for _, user := range []string{"alice", "alice;111111", "alice;999999", "bob", "zoe", "zoe;111111"} {
			for _, password := range []string{"wrong", "wrong;111111"} {
				_, err := h.Bind(t.Context(), bind.Request{DN: userDN(user), Password: []byte(password), Addr: nextcloud})
				var e *ldap.Error
				if !errors.As(err, &e) || e.Code != ldap.ResultInvalidCredentials {
					t.Errorf("open %s: %s with %s: %v, want 49", name, user, password, err)
					continue
				}
				if text == "" {
					text = e.Message
				}
				if e.Message != text {
					t.Errorf("open %s: %s with %s is told %q, others %q", name, user, password, e.Message, text)
				}
			}
		}
		for _, c := range conns {
			h.logins.Closed(c)
		}
	}
}

// TestGuardBypass: nothing that ends like a code is taken for one at a client
// that encrypts with what is typed, and the text is the same for everybody.
func TestGuardBypass(t *testing.T) {
	h := newHouse(t, nil)
	h.change(func() {
		h.users["alice"].codes["abcdefgh"], h.users["alice"].codes["abcdef123456"] = true, true
		h.users["idle"] = &flowUser{password: "secret", inactive: true}
	})
	h.want("proved elsewhere", h.plain(elsewhere, "alice", "secret;111111"), byCode)
	flows := h.count()
	guarded := "denied code_guarded 49"
	for _, tt := range []struct{ user, password, want string }{
		{"alice", "secret;111111", guarded},
		{"alice", "secret;222222", guarded},
		{"alice", "secret;abcdefgh", guarded},
		{"alice", "secret;abcdef123456", guarded},
		{"alice", "secret;;222222", guarded},
		{"alice", "secret;222222;222222", guarded},
		{"alice", "secret;222222;333333", guarded},
		{"alice;222222", "secret;333333", guarded},
		{"alice", "secret; 222222", wrongPass},
		{"alice", "secret;222222 ", wrongPass},
		{"alice", "secret;222222\x00", wrongPass},
		{"alice", "secret；222222", wrongPass},
		{"alice", "secret\u037e222222", wrongPass}, // Greek question mark
		{"alice", "secret;２２２２２２", wrongPass},
		{"alice", "secret;٢٢٢٢٢٢", wrongPass},
		{"alice", "secret;22222", wrongPass},
		{"alice", "secret;2222222", wrongPass},
		{"alice", "secret222222", wrongPass},
		{"alice", ";222222", wrongPass},
	} {
		h.want(tt.user+" "+tt.password, h.plain(marked, tt.user, tt.password), tt.want)
	}
	conn := h.search(marked, "alice;222222")
	h.want("codes in both places", h.plain(marked, "alice", "secret;333333"), guarded)
	h.logins.Closed(conn)
	_, err := h.Bind(t.Context(), bind.Request{DN: userDN("alice"), Password: []byte("secret;222222"), Addr: marked})
	if err == nil || !strings.Contains(err.Error(), "put it behind the login name") || strings.Contains(err.Error(), "222222") {
		t.Errorf("the log would say: %v", err)
	}
	for _, a := range h.ran[flows:] {
		if a.CodeIn == auth.InPassword || a.Password == "secret" {
			t.Errorf("a code was taken off the password: %+v", a)
		}
	}
	for _, code := range []string{"222222", "333333", "abcdefgh", "abcdef123456"} {
		if !h.users["alice"].codes[code] {
			t.Errorf("%s was used", code)
		}
	}
	h.change(func() { h.users["alice"].password, h.users["alice"].changed = "right;123456", 1 })
	text := ""
	for _, c := range []struct{ user, password string }{
		{"alice", "secret;222222"}, {"alice", "right;123456"}, {"zoe", "secret;222222"}, {"idle", "secret;222222"}, {"bob", "x;222222"},
	} {
		_, err := h.Bind(t.Context(), bind.Request{DN: userDN(c.user), Password: []byte(c.password), Addr: marked})
		var e *ldap.Error
		if !errors.As(err, &e) || e.Code != ldap.ResultInvalidCredentials || !strings.Contains(e.Message, "name;123456") || text != "" && e.Message != text {
			t.Errorf("%s with %s is told %v", c.user, c.password, err)
		} else {
			text = e.Message
		}
	}
}

// TestForgedSessionEnds: only the end of the session that the last flow left
// ends a verified bind.
func TestForgedSessionEnds(t *testing.T) {
	h := newHouse(t, nil)
	h.want("bob", h.login("bob", "secret"), byFlow)
	h.want("alice", h.login("alice;111111", "secret"), byCode)
	h.want("alice, another device", h.login("alice;222222", "secret"), byCode) // supersedes session2
	h.Advance(16 * time.Hour)
	h.want("bob is proved again", h.login("bob", "secret"), byMemory) // supersedes session1
	for _, hash := range []string{"", " ", "session", "session1", "session2", "session99", "SESSION3", strings.Repeat("x", 1<<16)} {
		h.SessionEnded(hash)
	}
	h.settle()
	h.want("bob", h.login("bob", "secret"), byMemory)
	h.want("alice", h.login("alice;111111", "secret"), byProof)
	flows := h.count()
	h.SessionEnded("session3")
	h.settle()
	h.want("alice, ended", h.login("alice;111111", "secret"), wrongCode)
	h.want("bob", h.login("bob", "secret"), byMemory)
	h.wantFlows("of alice", flows+1)
}

// TestScopeChanges has the configuration changed over one store.
func TestScopeChanges(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	as := func(scope policy.Scope) {
		h.options.Rules.Scope = scope
		h.restart()
	}
	as(policy.ScopeClient)
	h.want("client: plain", h.plain(nextcloud, "alice", "secret"), byProof)
	h.want("client: from elsewhere", h.plain(elsewhere, "alice", "secret"), missing)
	h.want("client: login elsewhere", h.plain(elsewhere, "alice;222222", "secret"), byCode)
	h.want("client: from there", h.plain(elsewhere, "alice", "secret"), byProof)
	as(policy.ScopeOff)
	h.want("off: plain", h.plain(nextcloud, "alice", "secret"), missing)
	h.want("off: the first code", h.login("alice;111111", "secret"), wrongCode)
	h.want("off: a new code", h.login("alice;333333", "secret"), byCode)
	h.want("off: once more", h.login("alice;333333", "secret"), wrongCode)
	h.want("off: wrong", h.login("alice;333333", "wrong"), wrongPass)
	as(policy.ScopeLogin)
	h.want("login: plain", h.login("alice", "secret"), missing)
	h.want("login: alone", h.plain(nextcloud, "alice", "secret"), unpaired)
	for _, code := range []string{"111111", "333333"} {
		h.want("login: "+code, h.login("alice;"+code, "secret"), byProof)
	}
	h.want("login: elsewhere", h.plain(elsewhere, "alice;222222", "secret"), byProof)
	h.want("login: from elsewhere", h.login("alice;222222", "secret"), wrongCode)
	h.want("login: another code", h.login("alice;444444", "secret"), wrongCode)
	as(policy.ScopeUser)
	h.want("user: plain", h.plain(marked, "alice", "secret"), byProof)
	as(policy.ScopeLogin)
	h.want("login again: alone", h.plain(marked, "alice", "secret"), unpaired)
	h.want("login again: plain", h.login("alice", "secret"), missing)
}
