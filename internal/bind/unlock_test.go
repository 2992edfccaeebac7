package bind_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/bind"
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

const otherBase = "dc=other,dc=example"

// otherTree has the same users.
type otherTree struct{ *flows }

func (o otherTree) LoginName(dn ldap.DN) (string, bool) { return dn[0][0].Value, true }

func (o otherTree) AccountByName(name string) (directory.Account, bool) {
	a, ok := o.flows.AccountByName(name)
	a.Base = otherBase
	return a, ok && name != "bob" // whom it has not
}

// newTwoTrees returns a house with a second tree.
func newTwoTrees(t *testing.T, change func(*bind.Options)) (*house, *altered) {
	return newAltered(t, func(o *bind.Options) {
		all := o.Authenticator.(*altered).flows
		o.Directory = func(dn ldap.DN) (bind.Directory, error) {
			if strings.HasSuffix(dn.String(), otherBase) {
				return otherTree{all}, nil
			}
			return all, nil
		}
		if change != nil {
			change(o)
		}
	})
}

// inOther binds in the second tree.
func (h *house) inOther(user, password string) (*bind.Identity, string) {
	h.Helper()
	id, err := h.Bind(h.Context(), bind.Request{DN: "cn=" + user + ",ou=users," + otherBase, Password: []byte(password), Addr: nextcloud})
	h.settle()
	return id, answer(id, err)
}

// unlock asks for a window at Nextcloud.
func (h *house) unlock(password, code string) (bind.Window, string) {
	h.Helper()
	w, err := h.Unlock(h.Context(), h.page("alice", password, code))
	h.settle()
	if err == nil {
		return w, "open"
	}
	return w, words(nil, err)
}

// page is what the unlock page asks for.
func (h *house) page(name, password, code string) bind.UnlockRequest {
	return bind.UnlockRequest{
		Directories: []bind.Directory{h.flows, otherTree{h.flows}}, Name: name, Password: auth.Secret(password), Code: auth.Secret(code),
		Clients: []string{"client " + nextcloud.String(), "client of another"}, Addr: elsewhere,
	}
}

// A window opens in all trees for all clients, once the backend says for each
// tree that the user may use the application there.
func TestUnlockInAllTrees(t *testing.T) {
	for _, tt := range []struct {
		name   string
		access func(base string) (bool, error)
		want   string // in the second tree
		search bool
	}{
		{"as it is", nil, byProof, false},
		{"who may search", func(base string) (bool, error) { return base == otherBase, nil }, byProof, true},
		{"no access", func(string) (bool, error) { return true, &auth.Denied{Reason: auth.NoAccess} }, missing, false},
		{"trouble", func(string) (bool, error) { return true, errors.New("connection refused") }, missing, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, a := newTwoTrees(t, nil)
			a.access = tt.access
			w, got := h.unlock("secret", "111111")
			h.want("unlock", got, "open")
			if w.Username != "alice" || len(w.Clients) != 2 || !w.Until.Equal(h.flows.Now().Add(30*24*time.Hour)) {
				t.Errorf("window %+v", w)
			}
			h.want("in the first tree", h.plain(nextcloud, "alice", "secret"), byProof)
			id, got := h.inOther("alice", "secret")
			h.want("in the second tree", got, tt.want)
			if id != nil && (id.Search != tt.search || h.MaySearch(id) != tt.search) {
				t.Errorf("may search: %v, want %v", id.Search, tt.search)
			}
			n := 0
			for _, e := range h.options.Book.All() {
				n += len(e.Record.Credentials[0].Proofs)
			}
			n1, err := h.Lock(t.Context(), h.page("alice", "secret", "222222"))
			if err != nil || n1 != n || n < 2 {
				t.Errorf("closed %d windows, %v, want %d", n1, err, n)
			}
			h.want("locked", h.plain(nextcloud, "alice", "secret"), missing)
			_, got = h.inOther("alice", "secret")
			h.want("locked in the second tree", got, missing)
		})
	}
}

// One who is in the first tree only has his window there.
func TestUnlockInOneTree(t *testing.T) {
	h, _ := newTwoTrees(t, nil)
	if _, err := h.Unlock(t.Context(), h.page("bob", "secret", "")); err != nil {
		t.Fatal(err)
	}
	for _, e := range h.options.Book.All() {
		if e.Base != base {
			t.Errorf("kept in %s", e.Base)
		}
	}
	h.want("bob", h.plain(nextcloud, "bob", "secret"), byMemory)
	if n, err := h.Lock(t.Context(), h.page("bob", "secret", "")); n != 2 || err != nil {
		t.Errorf("closed %d, %v, want 2", n, err)
	}
	h.want("the password is enough for him", h.plain(nextcloud, "bob", "secret"), byMemory)
}

// A window that was opened without a factor is none once there is one.
func TestWindowFromBeforeTheFactor(t *testing.T) {
	h, _ := newTwoTrees(t, nil)
	if _, err := h.Unlock(t.Context(), h.page("bob", "secret", "")); err != nil {
		t.Fatal(err)
	}
	h.change(func() { h.users["bob"].factor, h.users["bob"].codes = auth.FactorTOTP, map[string]bool{"444444": true} })
	h.want("with the factor", h.plain(nextcloud, "bob", "secret;444444"), byCode)
	h.want("in the window", h.plain(nextcloud, "bob", "secret"), missing)
}

// Codes that are tried on the page count for the page. They close it, whatever
// is remembered elsewhere, and close nothing where her logins are at home.
func TestCodesOnThePageCount(t *testing.T) {
	h, _ := newTwoTrees(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.want("at the client of the page", h.plain(elsewhere, "alice;222222", "secret"), byCode)
	for i := range 10 {
		_, got := h.unlock("secret", fmt.Sprint(500000+i))
		h.want("a guess", got, wrongCode)
	}
	flows := h.count()
	_, got := h.unlock("secret", "333333")
	h.want("no further one", got, codeLimit)
	h.wantFlows("no further one", flows)
	h.want("her login", h.login("alice;111111", "secret"), byProof)
	h.want("at the client of the page", h.plain(elsewhere, "alice;222222", "secret"), byProof)
}

// Wrong credentials on the page count like binds from there. The limit refuses,
// at home as well.
func TestPageIsLimited(t *testing.T) {
	h, _ := newTwoTrees(t, func(o *bind.Options) { o.Limits = guard.Limits{FailuresPerUser: 3} })
	h.want("at home there", h.plain(elsewhere, "alice;111111", "secret"), byCode)
	for i := range 3 {
		_, got := h.unlock(fmt.Sprint("wrong", i), "")
		h.want("wrong", got, wrongPass)
	}
	flows := h.count()
	_, got := h.unlock("secret", "222222")
	h.want("right", got, "limited limit_user 51")
	if _, err := h.Lock(t.Context(), h.page("alice", "secret", "")); err == nil {
		t.Error("locked beyond the limit")
	}
	h.wantFlows("beyond the limit", flows)
	h.Advance(time.Minute)
	if _, err := h.Lock(t.Context(), h.page("alice", "wrong", "")); words(nil, err) != wrongPass {
		t.Errorf("lock with a wrong password: %v", err)
	}
	for i := range 2 {
		_, got := h.unlock(fmt.Sprint("wrong", i), "")
		h.want("wrong", got, wrongPass)
	}
	_, got = h.unlock("secret", "222222")
	h.want("the lock counted, too", got, "limited limit_user 51")
}

// Where nothing can be kept, no window is open, and no session is left.
func TestUnlockThatCannotBeKept(t *testing.T) {
	for name, grant := range map[string]func(*auth.Granted){
		"a user who was made a moment ago": func(g *auth.Granted) { g.Username = "somebody" },
		"the password is a code":           func(g *auth.Granted) { g.Once = true },
	} {
		t.Run(name, func(t *testing.T) {
			h, a := newTwoTrees(t, nil)
			a.grant = grant
			_, got := h.unlock("secret", "111111")
			h.want("unlock", got, "unknown unavailable 52")
			if n := len(h.options.Book.All()); n > 0 || len(h.ended) != 1 {
				t.Errorf("%d users are kept, sessions %q ended", n, h.ended)
			}
		})
	}
	t.Run("trouble", func(t *testing.T) {
		h, _ := newTwoTrees(t, nil)
		h.change(func() { h.down = true })
		_, got := h.unlock("secret", "111111")
		h.want("unlock", got, "unknown unavailable 52")
		h.change(func() { h.down = false })
		_, got = h.unlock("secret", "111111")
		h.want("unlock, later", got, "open")
	})
}

// Locking closes windows and nothing else.
func TestLockLeavesLogins(t *testing.T) {
	h, _ := newTwoTrees(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	if _, got := h.unlock("secret", "222222"); got != "open" {
		t.Fatal(got)
	}
	if n, err := h.Lock(t.Context(), h.page("alice", "secret", "333333")); n != 4 || err != nil { // two clients, two trees
		t.Errorf("closed %d, %v, want 4", n, err)
	}
	h.want("the login", h.login("alice;111111", "secret"), byProof)
	h.want("the window", h.plain(nextcloud, "alice", "secret"), unpaired)
}
