package sse

import (
	"testing"
	"time"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/await"
	"ldapd/internal/config"
)

const (
	passAlice = "Passw0rd-alice"
	passBob   = "Passw0rd-bob"
)

// TestSixtyDays is the life of alice, who has a second factor, and bob, who has
// none, with a Nextcloud without a memory cache: once with a bind flow that
// remembers nothing, and once with one whose last validation threshold is as
// long as ldapd remembers.
func TestSixtyDays(t *testing.T) {
	for _, tt := range []struct {
		name             string
		threshold, every time.Duration // every: requests on the first day
	}{
		{"sixty-days", 0, time.Hour},
		{"sixty-days-threshold", 30 * day, checkEvery},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStory(t, siteOptions{threshold: tt.threshold})
			s.sixtyDays(tt.every)
			s.compare(tt.name)
		})
	}
}

func (s *story) sixtyDays(first time.Duration) {
	c := s.cloud("127.0.0.2", 0)
	outside := s.cloud("127.0.0.3", 0)
	// attack is somebody who has alice's password, and no code.
	attack := func() {
		s.Helper()
		s.Advance(20 * time.Second)
		c.login("attacker", alice, passAlice, denied)
		outside.login("attacker elsewhere", alice, passAlice, denied)
	}

	attack()
	browser := c.login("alice's browser", alice+";"+s.code(), passAlice, good)
	oldest := browser.name
	attack()
	desktop := browser.app("alice's desktop")
	desktop.use(good)
	phone := c.login("alice's phone", alice+";"+s.code(), passAlice, good)
	bobs := c.login("bob's browser", bob, passBob, good)
	c.enter(0, "basic", "bob's camera", bob, passBob, good)
	all := []*token{browser, desktop, phone, bobs}
	s.stay(day, first, all...)

	attack()
	s.collide(c, browser)
	s.restart()
	s.stay(time.Hour, 5*time.Minute, all...)
	attack()
	for range 4 {
		s.stay(4*day, 6*time.Hour, all...)
		s.restart()
	}
	attack()
	s.outage(c, all)

	// The factor is asked for again thirty days after it was proved.
	s.until(30*day, 6*time.Hour, all...)
	attack()
	s.at(30*day + 5*time.Minute)
	browser.use(denied)
	desktop.use(denied)
	phone.use(denied)
	bobs.use(good)
	attack()
	browser = c.login("alice's browser", alice+";"+s.code(), passAlice, good)
	desktop.use(denied) // the app password has the old code in its login name for good
	desktop = browser.app("alice's desktop")
	s.stay(2*day, 6*time.Hour, browser, desktop, bobs)
	s.expire(browser, desktop)

	// An administrator ends her session in authentik.
	phone = c.login("alice's phone", alice+";"+s.code(), passAlice, good)
	s.stay(time.Hour, 20*time.Minute, browser, desktop, phone)
	s.endSessions(alice)
	browser.use(denied)
	desktop.use(denied)
	phone.use(denied)
	attack()
	browser = c.login("alice's browser", alice+";"+s.code(), passAlice, good)
	old := browser.name
	bobsApp := bobs.app("bob's desktop")
	s.stay(2*day, 6*time.Hour, browser, bobs, bobsApp)

	// Both change their passwords.
	s.edit(alice, "changes her password", changed)
	s.edit(bob, "changes his password", changed)
	s.Advance(checkEvery)
	browser.use(denied)
	bobs.use(denied)
	bobsApp.use(denied)
	c.login("attacker", alice, passAlice, denied)
	c.login("attacker", old, passAlice, denied)
	c.login("attacker", old, passAlice+new, denied)
	c.login("attacker", oldest, passAlice+new, denied)
	bobs = c.login("bob's browser", bob, passBob+new, good)
	bobsApp.use(good) // Nextcloud has given it the new password
	browser = c.login("alice's browser", alice+";"+s.code(), passAlice+new, good)
	c.login("attacker", old, passAlice+new, denied)
	desktop = browser.app("alice's desktop")
	all = []*token{browser, desktop, bobs, bobsApp}
	s.stay(time.Hour, 5*time.Minute, all...)

	// Access is withdrawn: that is asked for once an hour.
	s.authentik.DenyAccess(authentiktest.DefaultApplication, alice)
	s.authentik.DenyAccess(authentiktest.DefaultApplication, bob)
	s.tell("authentik", "alice and bob may not use the application any more", "", "")
	s.withdrawn(browser, desktop)
	s.withdrawn(bobs, bobsApp)
	s.authentik.AllowAccess(authentiktest.DefaultApplication, alice)
	s.authentik.AllowAccess(authentiktest.DefaultApplication, bob)
	s.tell("authentik", "alice and bob may use it again", "", "")
	s.Advance(time.Minute)
	bobs = c.login("bob's browser", bob, passBob+new, good)
	bobsApp.use(good)
	browser = c.login("alice's browser", alice+";"+s.code(), passAlice+new, good)
	desktop = browser.app("alice's desktop")
	all = []*token{browser, desktop, bobs, bobsApp}
	s.stay(2*day, 6*time.Hour, all...)

	// Both are disabled, in the two ways there are, and enabled again.
	s.edit(alice, "is disabled by a directory that authentik reads", func(u *authentiktest.User) { u.Inactive = true })
	s.authentik.Deactivate(bob)
	s.synced()
	s.tell("authentik", "bob is disabled by an administrator", "", "")
	s.Advance(checkEvery)
	browser.use(denied)
	desktop.use(denied)
	bobs.use(denied)
	bobsApp.use(denied)
	s.restart()
	s.edit(alice, "is enabled", func(u *authentiktest.User) { u.Inactive = false })
	s.edit(bob, "is enabled", func(u *authentiktest.User) { u.Inactive = false })
	c.login("attacker", alice, passAlice+new, denied)
	bobs = c.login("bob's browser", bob, passBob+new, good)
	bobsApp.use(good)
	browser = c.login("alice's browser", alice+";"+s.code(), passAlice+new, good)
	desktop = browser.app("alice's desktop")
	s.until(60*day, 6*time.Hour, browser, desktop, bobs, bobsApp)
}

const new = "-changed"

// changed changes a password.
func changed(u *authentiktest.User) { u.Password += new }

// TestFactorDue has the second factor asked for again before ldapd itself would:
// where authentik decides by its threshold, and where the administrator has
// decided by mfa.remember.for.
func TestFactorDue(t *testing.T) {
	for _, tt := range []struct {
		name                string
		threshold, remember time.Duration
	}{
		{"factor-due-threshold", 20 * day, 30 * day},
		{"factor-due-remember", 0, 20 * day},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStory(t, siteOptions{threshold: tt.threshold, config: func(cfg *config.Config) { cfg.MFA.Remember.For = tt.remember }})
			c := s.cloud("127.0.0.2", 0)
			browser := c.login("alice's browser", alice+";"+s.code(), passAlice, good)
			s.Advance(2 * time.Hour)
			tablet := c.login("alice's tablet", alice+";"+s.code(), passAlice, good)
			s.until(20*day, 6*time.Hour, browser, tablet)
			s.tell("", "-- two days later, with requests now and then", "", "")
			for _, t := range []*token{browser, tablet} {
				for end := began.Add(22 * day); !t.out && s.Now().Before(end); s.Advance(checkEvery) {
					r := t.command()
					t.answered(r, t.request(0, r))
				}
			}
			s.at(22 * day)
			for _, t := range []*token{browser, tablet} {
				s.tell(t.who, "", "", map[bool]string{true: "logged out", false: "served"}[t.out])
				if !t.out {
					s.Errorf("%s is still logged in", t.who)
				}
			}
			c.login("attacker", alice, passAlice, denied)
			c.login("attacker", browser.name, passAlice, denied)
			browser = c.login("alice's browser", alice+";"+s.code(), passAlice, good)
			s.stay(2*day, 6*time.Hour, browser)
			s.compare(tt.name)
		})
	}
}

// collide has an attacker act at the same instant as alice.
func (s *story) collide(c *cloud, t *token) {
	s.Helper()
	s.tell("", "-- the attacker and alice at the same instant", "", "")
	s.Advance(checkEvery)
	goOn := c.holdLogin(1, "attacker", alice, passAlice)
	t.use(trouble) // whose bind it is cannot be determined
	goOn(denied)
	s.Advance(checkEvery)
	goOn = t.hold(1)
	c.login("attacker", alice, passAlice, trouble)
	goOn(good)
	// Her own login, with a code that no flow has seen yet.
	name := alice + ";" + s.code()
	goOn = c.holdLogin(1, "attacker", alice, passAlice)
	c.login("alice's tablet", name, passAlice, trouble)
	goOn(denied)
	c.login("alice's tablet", name, passAlice, good)
	s.Advance(checkEvery)
	t.use(good)
}

// outage is a day without authentik.
func (s *story) outage(c *cloud, all []*token) {
	s.Helper()
	s.authentik.Stop()
	s.down = true
	s.tell("authentik", "is down", "", "")
	s.stay(2*time.Hour, 5*time.Minute, all...)
	c.login("attacker", alice, passAlice, trouble)
	c.login("alice", alice+";"+s.code(), passAlice, trouble)
	c.login("bob", bob, passBob, good)
	s.stop()
	for _, t := range all {
		s.Advance(checkEvery)
		t.use(trouble)
	}
	s.start()
	s.tell("ldapd", "is started again", "", "")
	s.stay(21*time.Hour, time.Hour, all...)
	s.authentik.Start()
	s.down = false
	s.synced()
	s.tell("authentik", "is up", "", "")
	s.stay(day, 6*time.Hour, all...)
}

// expire waits for authentik to clean expired sessions up, which ends nothing.
func (s *story) expire(tokens ...*token) {
	s.Helper()
	await.That(s.T, "ldapd listens", func() bool { return s.authentik.Websockets() == 1 })
	const ends = "ldapd_authentik_session_ends_total"
	before := s.metric(ends)
	s.Advance(25 * time.Hour)
	s.authentik.ExpireSessions()
	await.That(s.T, "ldapd is told of sessions that are over", func() bool { return s.metric(ends) > before })
	s.settled()
	s.tell("authentik", "cleans sessions up that are over, and tells ldapd", "", "")
	for _, t := range tokens {
		t.use(good)
	}
}

// endSessions has an administrator end the sessions of a user.
func (s *story) endSessions(uid string) {
	s.Helper()
	await.That(s.T, "ldapd listens", func() bool { return s.authentik.Websockets() == 1 })
	const ends = "ldapd_authentik_session_ends_total"
	before := s.metric(ends)
	if s.authentik.Alive(uid) == 0 {
		s.Fatalf("no session of %s", uid)
	}
	s.authentik.EndSessions(uid)
	await.That(s.T, "ldapd is told of the end of a session", func() bool { return s.metric(ends) > before })
	s.settled()
	s.tell("authentik", "an administrator ends the session of "+uid, "", "")
	s.Advance(checkEvery)
}

// withdrawn waits until tokens are no longer good.
func (s *story) withdrawn(tokens ...*token) {
	s.Helper()
	for range 13 {
		s.Advance(checkEvery)
		r := tokens[0].command()
		answers := tokens[0].request(0, r)
		if f := tokens[0].answered(r, answers); f == denied {
			s.tell(tokens[0].who, "request, an hour after the last question for access at most", codes(answers), tokens[0].fared(f))
			for _, t := range tokens[1:] {
				t.use(denied)
			}
			return
		}
	}
	s.Errorf("%s is still good", tokens[0].who)
}

// edit changes a user in authentik, and waits until ldapd has read it.
func (s *story) edit(uid, what string, change func(*authentiktest.User)) {
	s.Helper()
	s.Advance(time.Minute)
	s.authentik.EditUser(uid, change)
	s.synced()
	s.tell("authentik", uid+" "+what, "", "")
}

// restart stops ldapd and starts it again.
func (s *story) restart() {
	s.Helper()
	s.stop()
	s.start()
	s.loaded()
	s.tell("ldapd", "is started again", "", "")
}

// until is stay until so long after the beginning.
func (s *story) until(d, every time.Duration, tokens ...*token) {
	s.Helper()
	s.stay(began.Add(d).Sub(s.Now()).Truncate(every), every, tokens...)
}

// at passes the time until so long after the beginning.
func (s *story) at(d time.Duration) {
	s.Helper()
	if d = began.Add(d).Sub(s.Now()); d < 0 {
		s.Fatalf("it is %v already", s.Now())
	}
	s.Advance(d)
}
