package sse

import (
	"fmt"
	"net"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/await"
	"ldapd/internal/config"
)

// TestEveryFiveMinutes has a session of alice validated every five minutes for
// sixty days, 17 280 times, where the administrator has decided that she stays
// logged in for so long. Each time is a login search and a bind, by a program
// that is quicker than PHP.
func TestEveryFiveMinutes(t *testing.T) {
	t.Parallel()
	const long = 61 * day
	s := newStory(t, siteOptions{threshold: long, config: func(cfg *config.Config) {
		cfg.Cache.MaxAge, cfg.MFA.Remember.For = long, long
		cfg.Log.Level = "warn" // it takes longer to write than the rest
	}})
	name := alice + ";" + s.code()
	s.validate(name, alice, passAlice)
	s.validate(bob, bob, passBob)
	for d := range scheduleDays {
		before := s.authentik.Counters().UserFlows
		for i := range int(day / checkEvery) {
			s.Advance(checkEvery)
			s.validate(name, alice, passAlice)
			if i%12 == 0 {
				s.validate(bob, bob, passBob)
			}
		}
		after := s.authentik.Counters().UserFlows
		for _, uid := range []string{alice, bob} {
			if n := after[uid] - before[uid]; n > 2 {
				t.Errorf("day %d: %d flows of %s", d, n, uid)
			}
			if n := s.authentik.Alive(uid); n > 1 {
				t.Errorf("day %d: %d sessions of %s", d, n, uid)
			}
		}
		if d%7 == 3 {
			s.stop()
			s.start()
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	n := s.authentik.Counters().UserFlows
	t.Logf("flows in %d days: %v", scheduleDays, n)
}

// validate does what a Nextcloud without a memory cache does to validate a
// session, as far as ldapd is asked whether it is good.
func (s *story) validate(name, uid, password string) {
	s.Helper()
	// An address for each day: one has too few ports for all these connections.
	from := fmt.Sprintf("127.0.1.%d", 1+s.Now().YearDay()%200)
	agentConn := s.dial(from)
	defer agentConn.Close()
	if err := agentConn.Bind("cn="+agent+","+usersDN, agentPass); err != nil {
		s.Fatalf("service bind: %v", err)
	}
	const filter = "(&(objectclass=user)(memberof=cn=nextcloud-users,ou=groups," + base + ")"
	dn := "cn=" + uid + "," + usersDN
	search := func(base string, scope int, filter string, attrs []string, controls ...ldap.Control) {
		s.Helper()
		r, err := agentConn.Search(ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, 0, false, filter, attrs, controls))
		if err != nil || len(r.Entries) != 1 {
			s.Fatalf("%v: %s: %v, %v", s.Now(), filter, r, err)
		}
	}
	search(dn, ldap.ScopeBaseObject, filter+")", []string{""})
	literal := ldap.EscapeFilter(name)
	search(usersDN, ldap.ScopeWholeSubtree, filter+"(|(cn="+literal+")(mail="+literal+")))", []string{"entryuuid", "cn"}, ldap.NewControlPaging(500))
	c := s.dial(from)
	defer c.Close()
	if err := c.Bind(dn, password); err != nil {
		s.Fatalf("%v: bind of %s: %v", s.Now(), uid, err)
	}
	s.settled()
}

// dial connects from an address.
func (s *story) dial(from string) *ldap.Conn {
	s.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	nc, err := d.Dial("tcp", s.LDAP().String())
	if err != nil {
		s.Fatal(err)
	}
	c := ldap.NewConn(nc, false)
	c.SetTimeout(await.Patience)
	c.Start()
	return c
}
