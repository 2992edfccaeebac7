package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"ldapd/internal/await"
)

const (
	nextcloud = "127.0.0.2"
	mail      = "127.0.0.3"
	stranger  = "127.0.0.4"
)

// bindFrom returns the result code of a bind from an address.
func (r *running) bindFrom(t *testing.T, addr, name, password string) uint16 {
	t.Helper()
	c := r.dialFrom(t, addr)
	defer c.Close()
	return code(t, c.Bind("cn="+name+",ou=users,"+base, password))
}

// searching is Nextcloud's service connection: it looks a login name up, and
// stays open while the user binds.
func (r *running) searching(t *testing.T, loginName string) *goldap.Conn {
	t.Helper()
	c := r.dialFrom(t, nextcloud)
	if err := c.Bind("cn=ldapservice,ou=users,"+base, "demo-ldapservice"); err != nil {
		t.Fatal(err)
	}
	filter := fmt.Sprintf("(&(objectClass=user)(|(cn=%s)(mail=%[1]s)))", loginName)
	res, err := c.Search(goldap.NewSearchRequest(base, goldap.ScopeWholeSubtree, 0, 0, 0, false, filter, []string{"cn"}, nil))
	if err != nil || len(res.Entries) != 1 {
		t.Fatalf("login search of %s: %v", loginName, err)
	}
	return c
}

// login is one check of a password by Nextcloud.
func (r *running) login(t *testing.T, name, loginName, password string) uint16 {
	t.Helper()
	defer r.searching(t, loginName).Close()
	return r.bindFrom(t, nextcloud, name, password)
}

// TestGuessedCodes: whoever has bob's password does not find the code that is
// remembered, wherever he tries, and bob goes on where nobody did.
func TestGuessedCodes(t *testing.T) {
	cfg := testConfig(t)
	cfg.Log.Level = "error"
	r := start(t, cfg, demoUsers(t))
	right := currentCode(t)
	if got := r.login(t, "bob", "bob;"+right, "demo-bob"); got != goldap.LDAPResultSuccess {
		t.Fatalf("bob: %d", got)
	}
	guess := func(addr, name, password string) uint16 {
		t.Helper()
		got := r.bindFrom(t, addr, name, password)
		if got == goldap.LDAPResultSuccess {
			t.Fatalf("%s let in at %s", name, addr)
		}
		return got
	}
	compared := 0
	for i := range 300 {
		wrong := fmt.Sprintf("%06d", 700000+i)
		if wrong == right {
			continue
		}
		got := guess(stranger, "bob;"+wrong, "demo-bob")
		if got != goldap.LDAPResultBusy {
			compared++
		}
	}
	if compared > 10 {
		t.Errorf("%d wrong codes were compared", compared)
	}
	for _, addr := range []string{stranger, mail, nextcloud} {
		if got := guess(addr, "bob;"+right, "demo-bob"); got != goldap.LDAPResultBusy {
			t.Errorf("the remembered code from %s: %d", addr, got)
		}
		if got := guess(addr, "bob", "demo-bob;"+right); got != goldap.LDAPResultBusy {
			t.Errorf("the remembered code behind the password from %s: %d", addr, got)
		}
	}
	if got := r.login(t, "bob", "bob;"+right, "demo-bob"); got != goldap.LDAPResultSuccess {
		t.Errorf("bob meanwhile: %d", got)
	}
	// Through Nextcloud itself one more is compared, and then not even his.
	for i := range 3 {
		if got := r.login(t, "bob", fmt.Sprintf("bob;%06d", 800000+i), "demo-bob"); got == goldap.LDAPResultSuccess {
			t.Fatal("let in through Nextcloud")
		}
	}
	if got := r.login(t, "bob", "bob;"+right, "demo-bob"); got != goldap.LDAPResultBusy {
		t.Errorf("bob, where codes are tried: %d", got)
	}
}

// TestGuessedPasswords: where alice was never granted, memory says nothing of
// her password to who guesses; where she is at home, she is always granted.
func TestGuessedPasswords(t *testing.T) {
	cfg := testConfig(t)
	cfg.Log.Level = "error"
	r := start(t, cfg, demoUsers(t))
	if got := r.bindFrom(t, mail, "alice", "demo-alice"); got != goldap.LDAPResultSuccess {
		t.Fatalf("alice: %d", got)
	}
	judged := 0
	for i := range 100 {
		if got := r.bindFrom(t, stranger, "alice", fmt.Sprint("guess", i)); got == goldap.LDAPResultInvalidCredentials {
			judged++
		}
	}
	if judged != cfg.Limits.FailuresPerUser {
		t.Errorf("%d guesses were judged", judged)
	}
	if got := r.bindFrom(t, stranger, "alice", "demo-alice"); got != goldap.LDAPResultBusy {
		t.Errorf("the right password beyond the limit: %d", got)
	}
	for i := range cfg.Limits.FailuresPerUser {
		r.bindFrom(t, mail, "alice", fmt.Sprint("guess", i))
	}
	if got := r.bindFrom(t, mail, "alice", "demo-alice"); got != goldap.LDAPResultSuccess {
		t.Errorf("alice where she is at home: %d", got)
	}
}

// TestPolling has a thief with bob's password bind from Nextcloud's address all
// the time, until Nextcloud's own check has the code.
func TestPolling(t *testing.T) {
	cfg := testConfig(t)
	cfg.Log.Level = "error"
	r := start(t, cfg, demoUsers(t))
	right := "bob;" + currentCode(t)
	if got := r.login(t, "bob", right, "demo-bob"); got != goldap.LDAPResultSuccess {
		t.Fatalf("bob: %d", got)
	}
	var over atomic.Bool
	var polls, in atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		c := r.dialFrom(t, nextcloud)
		wg.Go(func() {
			for !over.Load() {
				polls.Add(1)
				if c.Bind("cn=bob,ou=users,"+base, "demo-bob") == nil {
					in.Add(1)
				}
				if c.IsClosing() {
					c = r.dialFrom(t, nextcloud)
				}
			}
		})
	}
	await.That(t, "he polls", func() bool { return polls.Load() > 20 })
	for range 5 {
		switch got := r.login(t, "bob", right, "demo-bob"); got {
		case goldap.LDAPResultSuccess, goldap.LDAPResultUnavailable:
		default:
			t.Errorf("bob meanwhile: %d", got)
		}
	}
	over.Store(true)
	wg.Wait()
	if n := in.Load(); n > 0 {
		t.Errorf("he was let in %d times of %d", n, polls.Load())
	}
	await.That(t, "bob is granted when he is gone", func() bool {
		return r.login(t, "bob", right, "demo-bob") == goldap.LDAPResultSuccess
	})
}

// TestNewUserUnderAttack: a stranger's wrong passwords through Nextcloud do not
// shut out who has not logged in yet.
func TestNewUserUnderAttack(t *testing.T) {
	cfg := testConfig(t)
	cfg.Log.Level = "error"
	r := start(t, cfg, demoUsers(t))
	for i := range cfg.Limits.FailuresPerUser {
		if got := r.login(t, "alice", "alice", fmt.Sprint("guess", i)); got != goldap.LDAPResultInvalidCredentials {
			t.Fatalf("guess %d: %d", i, got)
		}
	}
	var over atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; !over.Load(); i++ {
			r.login(t, "alice", "alice", fmt.Sprint("further guess", i))
		}
	})
	if got := r.login(t, "alice", "alice", "demo-alice"); got != goldap.LDAPResultSuccess {
		t.Errorf("alice: %d", got)
	}
	over.Store(true)
	wg.Wait()
}

// TestRightToSearchFollowed: a connection that is open sees what its user may
// see now.
func TestRightToSearchFollowed(t *testing.T) {
	cfg := testConfig(t)
	cfg.File.Path = filepath.Join(t.TempDir(), "users.yaml")
	write := func(search bool) {
		t.Helper()
		text := fmt.Sprintf("users:\n  - {username: agent, password: %q, search: %v}\n  - {username: alice, password: %q}\n",
			cheapHash, search, cheapHash)
		if err := os.WriteFile(cfg.File.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(true)
	r := start(t, cfg, nil)
	c := r.dial(t)
	if err := c.Bind("cn=agent,ou=users,"+base, "secret"); err != nil {
		t.Fatal(err)
	}
	finds := func() bool {
		t.Helper()
		res, err := c.Search(goldap.NewSearchRequest(base, goldap.ScopeWholeSubtree, 0, 0, 0, false, "(cn=alice)", nil, nil))
		if err != nil && !goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchObject) {
			t.Fatal(err)
		}
		return err == nil && len(res.Entries) > 0
	}
	if !finds() {
		t.Fatal("alice is not found")
	}
	for _, may := range []bool{false, true} {
		write(may)
		r.reload <- syscall.SIGHUP
		await.That(t, fmt.Sprintf("the right to search is %v", may), func() bool { return finds() == may })
	}
}

// cheapHash is a hash of "secret" that takes no time.
const cheapHash = "pbkdf2_sha256$1$salt$ON9CizCTCOSMNofn+QvaDpzyU1aMIex1Sg4HarSrZCM="
