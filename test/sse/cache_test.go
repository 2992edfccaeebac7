package sse

import (
	"context"
	"strings"
	"testing"
	"time"

	"ldapd/internal/config"
	"ldapd/internal/control"
)

// ttl is Nextcloud's default for ldapCacheTTL: with a memory cache it finds a
// login name there, and the bind of the user comes alone.
const ttl = 10 * time.Minute

// TestMemoryCacheLogin has a Nextcloud with a memory cache where it should have
// none: whose bind it is cannot be determined, so nobody gets in by it, and nobody is
// thrown out.
func TestMemoryCacheLogin(t *testing.T) {
	t.Parallel()
	s := newStory(t, siteOptions{threshold: 30 * day})
	c := s.cloud("127.0.0.2", ttl)
	c.login("attacker", alice, passAlice, denied)
	browser := c.login("alice's browser", alice+";"+s.code(), passAlice, good)
	desktop := browser.app("alice's desktop")
	bobs := c.login("bob's browser", bob, passBob, good)
	if n := s.metric("ldapd_binds_undecided_total"); n != 0 {
		t.Errorf("%v undecided binds before there were any", n)
	}
	s.stayWith(8*time.Hour, checkEvery, []fate{good, trouble}, browser, desktop, bobs)
	c.login("attacker", alice, passAlice, denied)
	c.login("attacker", alice, passAlice, trouble) // the search is in the cache now
	s.stayWith(10*day, 7*time.Hour, []fate{good, trouble}, browser, desktop, bobs)
	s.warned(t)
	s.restart()
	s.stayWith(time.Hour, checkEvery, []fate{good, trouble}, browser, desktop, bobs)
	s.warned(t)
	s.edit(alice, "changes her password", changed)
	s.Advance(time.Hour)
	browser.use(denied)
	desktop.use(denied)
	s.compare("memory-cache-login")
}

// warned reports whether an administrator can know of undecided binds.
func (s *story) warned(t *testing.T) {
	t.Helper()
	if s.metric("ldapd_binds_undecided_total") == 0 {
		t.Error("undecided binds are not counted")
	}
	if !strings.Contains(s.log.String(), "ldapCacheTTL") {
		t.Errorf("undecided binds are not in the log with their remedy")
	}
	admin, err := control.Dial(s.state)
	if err != nil {
		t.Fatal(err)
	}
	st, err := admin.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Undecided) != 1 || st.Undecided[0].Client != "127.0.0.2" || st.Undecided[0].Count == 0 || !strings.Contains(st.Undecided[0].Remedy, "ldapCacheTTL") {
		t.Errorf("the status has %+v of undecided binds", st.Undecided)
	}
}

// TestMemoryCacheClient is the same with the scope that is made for it.
func TestMemoryCacheClient(t *testing.T) {
	t.Parallel()
	s := newStory(t, siteOptions{
		threshold: 30 * day,
		clients:   "[{name: nextcloud, networks: [127.0.0.2/32]}, {name: other, networks: [127.0.0.3/32]}]",
		config:    func(cfg *config.Config) { cfg.MFA.Remember.Scope = config.ScopeClient },
	})
	c := s.cloud("127.0.0.2", ttl)
	other := s.cloud("127.0.0.3", 0)
	c.login("attacker", alice, passAlice, denied)
	browser := c.login("alice's browser", alice+";"+s.code(), passAlice, good)
	desktop := browser.app("alice's desktop")
	bobs := c.login("bob's browser", bob, passBob, good)
	all := []*token{browser, desktop, bobs}
	s.stay(8*time.Hour, checkEvery, all...)
	s.restart()
	s.stay(10*day, 7*time.Hour, all...)
	other.login("attacker elsewhere", alice, passAlice, denied)
	c.login("attacker", alice, "wrong", denied)
	// What the documentation warns of.
	c.login("whoever has it", alice, passAlice, good)
	c.enter(0, "basic", "alice's camera", alice, passAlice, good)
	s.until(30*day, 7*time.Hour, all...)
	s.at(30*day + 2*time.Minute)
	for range 2 {
		s.Advance(checkEvery)
		bobs.use(good)
	}
	browser.use(denied)
	desktop.use(denied)
	c.login("attacker", alice, passAlice, denied)
	if n := s.metric("ldapd_binds_undecided_total"); n != 0 {
		t.Errorf("%v undecided binds", n)
	}
	s.compare("memory-cache-client")
}
