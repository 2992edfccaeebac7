package outpost

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/await"
	"ldapd/internal/config"
	"ldapd/internal/control"
)

// unlimited lets tests bind as fast as they can.
func unlimited(cfg *config.Config) { cfg.Authentik.UserBinds, cfg.Authentik.AddressBinds = 0, 0 }

// quiet keeps the log short.
func quiet(cfg *config.Config) { cfg.Log.Level = "warn" }

// client binds and searches until it is told to stop.
type client struct {
	verified bool // its user, or else that is forgotten before each bind
	commands *control.Client
	binds    [4]atomic.Int64 // by phase: those that began and ended in it
	searches atomic.Int64
	granted  atomic.Bool // the last bind
}

// Phases of an outage.
const (
	up = iota
	falling
	down
	back
)

// TestOutage has authentik go away while 50 clients bind and search, and come
// back. Most of the users do not notice.
func TestOutage(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		const clients, names = 50, 10 // a slow hash for each first bind of a name
		f.Populate(names, 5, 1)
		s := start(t, f.env(), unlimited, quiet, func(cfg *config.Config) { cfg.Authentik.Sync = 500 * time.Millisecond })
		await.That(t, "authentik is read", func() bool { return s.metric(t, "ldapd_directory_users") == names+6 })

		var phase atomic.Int64
		stop := make(chan struct{})
		var done sync.WaitGroup
		end := sync.OnceFunc(func() { close(stop); done.Wait() })
		defer end()
		commands := s.control(t)
		all := make([]client, clients)
		for i := range all {
			all[i].verified, all[i].commands = i%5 > 0, commands
			searching := s.as(t, userDN(agent), secret)
			done.Go(func() { all[i].run(t, s, searching, fmt.Sprintf("user%06d", i%names), &phase, stop) })
		}
		every := func(what string, cond func(c *client) bool) {
			t.Helper()
			await.That(t, what, func() bool {
				for i := range all {
					if !cond(&all[i]) {
						return t.Failed()
					}
				}
				return true
			})
		}
		every("binds", func(c *client) bool { return c.binds[up].Load() >= 2 })
		phase.Store(falling)
		f.Stop()
		phase.Store(down)
		before := make([]int64, clients)
		for i := range all {
			before[i] = all[i].searches.Load()
		}
		every("binds while authentik is down", func(c *client) bool { return c.binds[down].Load() >= 2 })
		for i := range all {
			await.That(t, "searches while authentik is down", func() bool { return all[i].searches.Load() >= before[i]+3 || t.Failed() })
		}
		phase.Store(back)
		f.Start()
		every("binds afterwards", func(c *client) bool { return c.binds[back].Load() >= 2 && c.granted.Load() })
		end()

		// What changed meanwhile is seen, too.
		f.EditUser(alice, func(u *authentiktest.User) { u.Name = "Alice after" })
		c := s.as(t, userDN(agent), secret)
		await.That(t, "a change is seen", func() bool { return len(find(t, c, usersDN, "(displayName=Alice after)")) == 1 })
	})
}

// run binds on new connections and searches on an old one. While authentik is
// there binds are granted, while it is not they are 52 unless the user is
// verified, and on the way from one to the other they are one of the two.
// Searches are answered always.
func (c *client) run(t *testing.T, s *service, searching *ldap.Conn, name string, phase *atomic.Int64, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(200 * time.Millisecond): // fifty of them share the machine with authentik
		}
		r, err := searching.Search(whole(usersDN, "(&(objectClass=user)(cn="+name+"))", "cn"))
		if err != nil || len(r.Entries) != 1 {
			t.Errorf("search: %v", err)
			return
		}
		c.searches.Add(1)

		began := phase.Load()
		if !c.verified {
			if _, err := c.commands.Revoke(t.Context(), name); err != nil {
				t.Errorf("revoke: %v", err)
				return
			}
		}
		conn, err := ldap.DialURL("ldap://" + s.LDAP().String())
		if err != nil {
			t.Errorf("dial: %v", err)
			return
		}
		got := code(t, conn.Bind(userDN(name), authentiktest.PopulatePassword))
		conn.Close()
		ended := phase.Load()
		switch {
		case got == ldap.LDAPResultUnavailable && ended != up && !c.verified:
		case got == ldap.LDAPResultSuccess && (c.verified || began != down || ended != down):
		default:
			t.Errorf("bind in phases %d to %d: result %d", began, ended, got)
			return
		}
		c.granted.Store(got == ldap.LDAPResultSuccess)
		if began == ended {
			c.binds[began].Add(1)
		}
	}
}

// TestStartWhileDown serves from disk, and catches up when authentik is back.
func TestStartWhileDown(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		state := filepath.Join(t.TempDir(), "state")
		env := append(f.env(), "LDAPD_FILE_PATH="+usersFile(t))
		s := start(t, env, quick, at(state))
		s.loaded(t, 1)
		s.as(t, userDN(agent), secret)
		s.stop()
		f.Stop()

		s = start(t, env, quick, at(state))
		// At once, and with the local account, which needs no flow.
		c := s.as(t, userDN("local-service"), "pw")
		if n := len(find(t, c, usersDN, users)); n != 6+2 {
			t.Errorf("%d users from disk", n)
		}
		for _, pw := range []string{secret, "wrong"} {
			if got := s.bind(t, userDN(alice), pw); got != ldap.LDAPResultUnavailable {
				t.Errorf("bind: result %d", got)
			}
		}
		// Who was verified before is, and may search as before.
		if got := s.bind(t, userDN(agent), "wrong"); got != ldap.LDAPResultUnavailable {
			t.Errorf("wrong password of a verified user: result %d", got)
		}
		if n := len(find(t, s.as(t, userDN(agent), secret), usersDN, users)); n != 6+2 {
			t.Errorf("%d users for authentik's service account", n)
		}
		f.AddUser(authentiktest.User{Username: "late", Password: secret})
		f.Start()
		await.That(t, "a new user is found", func() bool { return len(find(t, c, usersDN, "(cn=late)")) == 1 })
		if got := s.bind(t, userDN("late"), secret); got != ldap.LDAPResultSuccess {
			t.Errorf("bind of the new user: result %d", got)
		}
	})
}

// TestNeverLoaded has no data at all: that is no empty directory.
func TestNeverLoaded(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		f.Stop()
		s := start(t, append(f.env(), "LDAPD_FILE_PATH="+usersFile(t)), quick)
		for _, dn := range []string{userDN(alice), userDN(nobody), userDN("local-service"), "cn=x,dc=example,dc=org"} {
			if got := s.bind(t, dn, secret); got != ldap.LDAPResultUnavailable {
				t.Errorf("bind as %s: result %d", dn, got)
			}
		}
		for _, base := range []string{rootDN, usersDN, userDN(alice), "dc=example,dc=org"} {
			r, err := s.dial(t).Search(whole(base, users))
			if got := code(t, err); got != ldap.LDAPResultUnavailable && got != ldap.LDAPResultOperationsError || len(r.Entries) > 0 {
				t.Errorf("search in %s: result %d", base, got)
			}
		}
		f.Start()
		s.loaded(t, 1)
		if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultSuccess {
			t.Errorf("bind: result %d", got)
		}
	})
}

// TestNotHalfLoaded breaks lists in the middle: what was known before is
// served, or nothing.
func TestNotHalfLoaded(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		f.Populate(250, 5, 1)
		bad := f.Inject(authentiktest.Fault{Endpoint: authentiktest.Users, Skip: 3, Status: 502})
		s := start(t, append(f.env(), "LDAPD_FILE_PATH="+usersFile(t)), quick)
		await.That(t, "a load fails", func() bool { return s.metric(t, `ldapd_authentik_syncs_total{kind="full",result="failed"}`) >= 1 })
		if got := s.bind(t, userDN("local-service"), "pw"); got != ldap.LDAPResultUnavailable {
			t.Errorf("bind before the first load: result %d", got)
		}
		bad.Remove()
		s.loaded(t, 1)
		c := s.as(t, userDN("local-service"), "pw")
		count := func() int { return len(find(t, c, usersDN, users, "cn")) }
		if n := count(); n != 250+6+2 {
			t.Errorf("%d users", n)
		}

		f.Inject(authentiktest.Fault{Endpoint: authentiktest.Users, Skip: 2, Status: 502})
		failed := s.metric(t, `ldapd_authentik_syncs_total{kind="full",result="failed"}`)
		s.reload <- os.Interrupt
		await.That(t, "a reload fails", func() bool {
			return s.metric(t, `ldapd_authentik_syncs_total{kind="full",result="failed"}`) > failed
		})
		if n := count(); n != 250+6+2 {
			t.Errorf("%d users after a load that broke off", n)
		}
		f.ClearFaults()
		s.loaded(t, 2)

		// A user is deleted while pages are read.
		f.Inject(authentiktest.Fault{Endpoint: authentiktest.Users, Skip: 2, Times: 1, Do: func() { f.RemoveUser("user000003") }})
		s.reload <- os.Interrupt
		s.loaded(t, 3)
		await.That(t, "the deleted user is gone", func() bool { return count() == 249+6+2 })
	})
}

// TestTokenRotated has authentik refuse the token, until the new one is in the
// file.
func TestTokenRotated(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		f.flow(authentiktest.Flow{RequireOutpost: true})
		path := filepath.Join(t.TempDir(), "token")
		write := func(token string) {
			if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(f.Token)
		s := start(t, []string{"AUTHENTIK_HOST=" + f.URL, "AUTHENTIK_TOKEN=file://" + path}, quick)
		s.loaded(t, 1)
		c := s.as(t, userDN(agent), secret)

		token := f.RotateToken()
		if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultUnavailable {
			t.Errorf("bind with the old token: result %d", got)
		}
		await.That(t, "the token is refused", func() bool { return s.metric(t, `ldapd_authentik_sync_errors_total{kind="token"}`) >= 1 })
		if n := len(find(t, c, usersDN, users)); n != 6 {
			t.Errorf("%d users", n)
		}
		write(token)
		if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultSuccess {
			t.Errorf("bind with the new token: result %d", got)
		}
		f.EditUser(alice, func(u *authentiktest.User) { u.Name = "Alice after" })
		await.That(t, "a change is seen", func() bool { return len(find(t, c, usersDN, "(displayName=Alice after)")) == 1 })
	})
}

// usersFile is one with two local accounts, whose password is pw: the service
// account, and one with the name of a user of authentik.
func usersFile(t *testing.T) string {
	t.Helper()
	const hash = "$2a$04$r0EmzLUxGfIlFAek2BofpukJxWgUzJs4lEnI8UmACvrblH/KO.lRu"
	path := filepath.Join(t.TempDir(), "users.yaml")
	text := "users:\n" +
		"  - {username: local-service, search: true, password: " + hash + "}\n" +
		"  - {username: local-alice, name: Local Alice, password: " + hash + "}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
