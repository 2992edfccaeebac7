package sse

import (
	"context"
	"strings"
	"testing"
	"time"

	"ldapd/internal/control"
)

// TestCodeOnPassword has alice type her code behind the password. That works as
// it does with authentik's own outpost, and goes on working, where the client
// does not encrypt by the password.
func TestCodeOnPassword(t *testing.T) {
	t.Parallel()
	s := newStory(t, siteOptions{threshold: 30 * day})
	c := s.cloud("127.0.0.2", 0)
	secret := passAlice + ";" + s.code()
	browser := c.login("alice's browser", alice, secret, good)
	desktop := browser.app("alice's desktop")
	s.stay(day, 2*time.Hour, browser, desktop)
	c.login("attacker", alice, passAlice, denied)
	s.restart()
	c.login("alice's tablet", alice, secret, good)
	c.login("attacker", alice, passAlice, denied)
	c.login("attacker", alice, passAlice+";000000", denied)
	s.stay(time.Hour, checkEvery, browser, desktop)
	s.until(30*day, 7*time.Hour, browser, desktop)
	s.at(30*day + 2*time.Minute)
	browser.use(denied)
	desktop.use(denied)
	secret = passAlice + ";" + s.code()
	browser = c.login("alice's browser", alice, secret, good)
	desktop.use(good) // with the new code: Nextcloud has given it to the app password
	s.edit(alice, "changes her password", changed)
	s.Advance(checkEvery)
	browser.use(denied)
	desktop.use(denied)
	s.compare("code-on-password")
}

// TestCodeOnPasswordGuarded has her do so where it would cost her the key of
// her files.
func TestCodeOnPasswordGuarded(t *testing.T) {
	t.Parallel()
	s := newStory(t, siteOptions{
		threshold: 30 * day,
		clients:   "[{name: nextcloud, networks: [127.0.0.2/32], encryption: per-user}]",
	})
	c, other := s.cloud("127.0.0.2", 0), s.cloud("127.0.0.3", 0)
	code := s.code()
	c.login("alice's browser", alice, passAlice+";"+code, denied)
	c.enter(0, "basic", "alice's camera", alice, passAlice+";"+code, denied)
	c.login("attacker", alice, "wrong;"+code, denied)
	if n := s.kept(alice); n != 0 {
		t.Errorf("%d verified binds of what was refused", n)
	}
	if got := s.log.String(); !strings.Contains(got, "code_guarded") || strings.Contains(got, code) {
		t.Error("the log does not say why, or says too much")
	}
	// The code was not used up.
	browser := c.login("alice's browser", alice+";"+code, passAlice, good)
	s.stay(time.Hour, checkEvery, browser)
	c.login("alice's browser", alice, passAlice+";"+code, denied)

	// From elsewhere the same is good, and changes nothing here.
	secret := passAlice + ";" + s.code()
	other.login("alice elsewhere", alice, secret, good)
	c.login("alice's browser", alice, secret, denied)
	s.Advance(checkEvery)
	browser.use(good)
	s.restart()
	c.login("alice's browser", alice, secret, denied)
	s.stay(time.Hour, checkEvery, browser)
	s.compare("code-on-password-guarded")
}

// kept returns how many verified binds of a user there are.
func (s *story) kept(uid string) (n int) {
	s.Helper()
	admin, err := control.Dial(s.state)
	if err != nil {
		s.Fatal(err)
	}
	binds, err := admin.List(context.Background())
	if err != nil {
		s.Fatal(err)
	}
	for _, b := range binds {
		if b.User == uid {
			n++
		}
	}
	return n
}
