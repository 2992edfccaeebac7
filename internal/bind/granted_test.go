package bind_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
	"ldapd/internal/policy"
	"ldapd/internal/verified"
)

// A login search is over when its bind is granted, by whatever that is, so that
// another bind finds none.
func TestLoginIsOverWhenGranted(t *testing.T) {
	over := func(h *house, name string) {
		h.Helper()
		if n := h.openLogins(name); n != 0 {
			h.Errorf("%d login searches are open", n)
		}
	}
	t.Run("by a push", func(t *testing.T) {
		h := newHouse(t, nil)
		h.search(nextcloud, "dora")
		h.want("bind", h.plain(nextcloud, "dora", "secret"), "granted flow duo")
		over(h, "dora")
	})
	t.Run("by its code", func(t *testing.T) {
		h := newHouse(t, nil)
		h.search(nextcloud, "alice;111111")
		h.want("bind", h.plain(nextcloud, "alice", "secret"), byCode)
		over(h, "alice")
	})
	t.Run("by a code that is remembered", func(t *testing.T) {
		h := newHouse(t, nil)
		h.want("login", h.login("alice;111111", "secret"), byCode)
		h.search(nextcloud, "alice;111111")
		h.want("bind", h.plain(nextcloud, "alice", "secret"), byProof)
		over(h, "alice")
	})
	t.Run("by a code behind the password", func(t *testing.T) {
		h := newHouse(t, nil)
		h.search(nextcloud, "alice")
		h.want("bind", h.plain(nextcloud, "alice", "secret;111111"), byCode)
		over(h, "alice")
	})
	t.Run("though its code is too old", func(t *testing.T) {
		h := newHouse(t, nil)
		h.search(nextcloud, "bob;123456")
		h.Advance(31 * time.Second)
		h.want("bind", h.plain(nextcloud, "bob", "secret"), byFlow)
		over(h, "bob")
	})
	t.Run("in a window", func(t *testing.T) {
		h, _ := newTwoTrees(t, nil)
		if _, got := h.unlock("secret", "111111"); got != "open" {
			t.Fatal(got)
		}
		h.search(nextcloud, "alice")
		h.want("bind", h.plain(nextcloud, "alice", "secret"), byProof)
		over(h, "alice")
	})
	t.Run("in a window, with a wrong code", func(t *testing.T) {
		h, _ := newTwoTrees(t, nil)
		if _, got := h.unlock("secret", "111111"); got != "open" {
			t.Fatal(got)
		}
		h.search(nextcloud, "alice;999999")
		h.want("bind", h.plain(nextcloud, "alice", "secret"), byProof)
		over(h, "alice")
	})
}

// A window that is closed while the code is judged admits nobody.
func TestRevokedWhileJudged(t *testing.T) {
	h, _ := newTwoTrees(t, nil)
	if _, got := h.unlock("secret", "111111"); got != "open" {
		t.Fatal(got)
	}
	defer h.logins.Closed(h.search(nextcloud, "alice;999999"))
	letGo := h.halt()
	login := h.begin(nextcloud, "alice", "secret")
	<-h.started
	if _, err := h.Revoke(t.Context(), verified.User{Base: base, UUID: "uuid-alice"}); err != nil {
		t.Fatal(err)
	}
	letGo()
	h.want("login", <-login, wrongCode)
}

// What is granted for once is not kept, and leaves no session.
func TestGrantedOnce(t *testing.T) {
	h, a := newAltered(t, nil)
	a.grant = func(g *auth.Granted) { g.Once = true }
	h.want("login", h.login("bob", "secret"), byFlow)
	if n := len(h.options.Book.All()); n != 0 || !slices.Equal(h.ended, []string{"session1"}) {
		t.Errorf("%d users are kept, sessions %q ended", n, h.ended)
	}
	h.want("again", h.login("bob", "secret"), byFlow)
}

// A factor that came with neither a code nor a push is in the password, which
// is enough anywhere.
func TestFactorInThePassword(t *testing.T) {
	h, a := newAltered(t, nil)
	a.grant = func(g *auth.Granted) { g.Factor = auth.FactorStatic }
	h.want("login", h.plain(nextcloud, "bob", "secret"), "granted flow static")
	h.wantWays("kept", "bob", "itself client 192.0.2.1 at client 192.0.2.1")
	h.want("elsewhere", h.plain(elsewhere, "bob", "secret"), "granted memory static")
}

// A factor that was changed is not the one that was proved.
func TestFactorChanged(t *testing.T) {
	h, a := newAltered(t, nil)
	h.want("one", h.login("alice;111111", "secret"), byCode)
	a.factor = "another"
	h.want("two", h.login("alice;222222", "secret"), byCode)
	if all := h.proofs("alice"); len(all) != 1 {
		t.Errorf("%d proofs are kept, want the new one", len(all))
	}
	h.want("one, again", h.login("alice;111111", "secret"), wrongCode)
	h.want("two, again", h.login("alice;222222", "secret"), byProof)
}

// Where a user was granted is kept, by a flow or from memory, the latest first.
func TestPlacesAreKept(t *testing.T) {
	h := newHouse(t, nil)
	places := func(what string, want ...string) {
		t.Helper()
		if got := h.options.Book.Places(verified.User{Base: base, UUID: "uuid-bob"}); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	const first, second, third = "client 192.0.2.1", "192.0.2.2", "client 192.0.2.3"
	h.want("by a flow", h.plain(nextcloud, "bob", "secret"), byFlow)
	places("by a flow", first)
	h.want("from memory", h.plain(elsewhere, "bob", "secret"), byMemory)
	places("from memory", second, first)
	h.want("where he was before", h.plain(nextcloud, "bob", "secret"), byMemory)
	places("where he was before", second, first)
	h.want("by another flow", h.plain(marked, "bob", "secret"), byMemory)
	places("three", third, second, first)
	h.want("a string", h.plain(nextcloud, "bob", "secret;123456"), byFlow)
	places("by a flow, where he was before", first, third, second)
}

// The use of a code is noted every six hours, so that those that are in use are
// kept. A proof without a home is at home where it first admits.
func TestUseIsNoted(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	begin := h.flows.Now()
	used := func(after time.Duration, want time.Duration) {
		t.Helper()
		h.Advance(begin.Add(after).Sub(h.flows.Now()))
		h.want("validated", h.login("alice;111111", "secret"), byProof)
		got := h.proofs("alice")[0].Used
		if want == 0 && !got.IsZero() || want > 0 && got.Sub(begin).Round(time.Millisecond) != want {
			t.Errorf("after %v: used at %v, want after %v", after, got, want)
		}
	}
	used(6*time.Hour-time.Second, 0)
	used(6*time.Hour, 6*time.Hour)
	used(12*time.Hour-time.Second, 6*time.Hour)
	used(12*time.Hour, 12*time.Hour)
	homeless := func() {
		err := h.options.Book.Update(t.Context(), verified.User{Base: base, UUID: "uuid-alice"}, h.credential("alice").ID, func(c *verified.Credential) bool {
			c.Proofs = slices.Clone(c.Proofs)
			c.Proofs[0].Home = ""
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	homeless()
	h.want("validated", h.login("alice;111111", "secret"), byProof)
	h.wantWays("by a search", "alice", "name client 192.0.2.1 search uuid of service")
	homeless()
	h.want("in the bind DN", h.plain(nextcloud, "alice;111111", "secret"), byProof)
	h.wantWays("in the bind DN", "alice", "name client 192.0.2.1 at client 192.0.2.1")
}

// What a push admits is no code, whose use is not noted.
func TestUseOfWindowsIsNotNoted(t *testing.T) {
	h := newHouse(t, func(o *bind.Options) { o.Rules.Scope = policy.ScopeClient })
	h.want("login", h.login("dora", "secret"), "granted flow duo")
	h.Advance(7 * time.Hour)
	h.want("validated", h.login("dora", "secret"), "granted memory duo")
	if f := h.proofs("dora")[0]; !f.Used.IsZero() {
		t.Errorf("used at %v", f.Used)
	}
}

// The log says what could not be kept or removed, and nothing of what could.
func TestLogOfWhatIsKept(t *testing.T) {
	h, a, said := newLoggedHouse(t, zap.NewAtomicLevelAt(zap.WarnLevel))
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.want("validated", h.plain(nextcloud, "bob", "secret"), byFlow)
	h.change(func() { h.users["alice"].password, h.users["alice"].changed = "new", 1 })
	h.want("wrong by now", h.login("alice;111111", "secret"), wrongPass)
	said("all is well")

	a.grant = func(g *auth.Granted) { g.Cookie = auth.Secret(strings.Repeat("x", 1<<21)) }
	h.want("what is too large", h.login("alice;222222", "new"), byCode)
	said("what is too large", "verified bind not kept")
	a.grant = nil

	h.change(func() { h.users["bob"].password, h.users["bob"].changed = "new", 1 })
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	h.want("wrong by now, and the store is down", h.plain(nextcloud, "bob", "secret"), wrongPass)
	said("the store is down", "verified bind not removed")
}
