package sse

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/await"
	"ldapd/internal/config"
	"ldapd/internal/testclock"
)

const (
	base      = authentiktest.DefaultBaseDN
	usersDN   = "ou=users," + base
	agent     = "ldapservice"
	agentPass = "Passw0rd-ldapservice"

	alice = "alice" // has a TOTP device
	bob   = "bob"   // has none
)

const day = 24 * time.Hour

// began is when every story begins, on a Monday.
var began = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// site is an authentik and a ldapd, with the time that passes for both.
type site struct {
	*testing.T
	*testclock.Clock
	authentik *authentiktest.Server
	*ldapd
	state   string
	change  func(*config.Config)
	clients string
	running bool // ldapd
	down    bool // authentik
	roads   []*road
}

// siteOptions make a site.
type siteOptions struct {
	threshold time.Duration // of the stage that validates the second factor; 0: it remembers nothing
	clients   string        // value of LDAPD_CLIENTS
	config    func(*config.Config)
}

func newSite(t *testing.T, o siteOptions) *site {
	t.Helper()
	s := &site{T: t, Clock: testclock.At(began), state: filepath.Join(t.TempDir(), "state")}
	s.authentik = authentiktest.New(t, authentiktest.Options{Now: s.Now, CleanUp: 5 * time.Minute})
	a := s.authentik
	a.SetFlow(authentiktest.Flow{Slug: authentiktest.DefaultFlow, Stages: []authentiktest.Stage{
		authentiktest.Identification{}, authentiktest.Password{},
		authentiktest.Validate{Threshold: o.threshold}, authentiktest.Login{},
	}})
	for _, name := range []string{"nextcloud-users", "nextcloud-admins", "staff", "dev"} {
		a.AddGroup(authentiktest.Group{Name: name})
	}
	totp := []authentiktest.Device{{Class: authentiktest.ClassTOTP, Secret: "JBSWY3DPEHPK3PXP"}}
	for _, u := range []authentiktest.User{
		{Username: agent, SearchProviders: []int{authentiktest.DefaultProvider}, Groups: []string{}},
		{Username: alice, Devices: totp, Groups: []string{"nextcloud-users", "nextcloud-admins", "staff"}},
		{Username: bob, Groups: []string{"nextcloud-users", "staff", "dev"}},
	} {
		s.addUser(u)
	}
	s.change = func(cfg *config.Config) {
		if o.config != nil {
			o.config(cfg)
		}
	}
	t.Cleanup(func() {
		for _, c := range a.Complaints() {
			t.Errorf("authentik complains: %s", c)
		}
	})
	s.clients = o.clients
	s.start()
	s.loaded()
	return s
}

// addUser adds a user with what the traces have of one.
func (s *site) addUser(u authentiktest.User) {
	s.Helper()
	u.Name, u.Email, u.Password = strings.ToUpper(u.Username[:1])+u.Username[1:], u.Username+"@example.org", "Passw0rd-"+u.Username
	u.PasswordChanged = began.Add(-100 * day)
	s.authentik.AddUser(u)
}

// start starts ldapd, on the state that it left.
func (s *site) start() {
	s.Helper()
	env := []string{"AUTHENTIK_HOST=" + s.authentik.URL, "AUTHENTIK_TOKEN=" + s.authentik.Token, "AUTHENTIK_INSECURE=false", "AUTHENTIK_HOST_BROWSER=", "LDAPD_STATE_DIR=" + s.state}
	if s.clients != "" {
		env = append(env, "LDAPD_CLIENTS="+s.clients)
	}
	log := &buffer{}
	s.ldapd = startLDAPD(s.T, s.Now, log, env, s.change)
	s.running = true
	for _, r := range s.roads {
		r.lead(s.LDAP().String())
	}
}

// road makes a road to ldapd.
func (s *site) road(from string, seen func(int, *ber.Packet)) *road {
	s.Helper()
	r := newRoad(s.T, from, seen)
	r.lead(s.LDAP().String())
	s.roads = append(s.roads, r)
	return r
}

// nextcloud starts the program of a Nextcloud at the end of a road.
func (s *site) nextcloud(r *road) *php {
	s.Helper()
	p := startPHP(s.T)
	p.do(map[string]any{"do": "config", "url": r.url(), "base": base, "agent": "cn=" + agent + "," + usersDN, "password": agentPass})
	return p
}

// stop stops ldapd, or it would be killed at the end of the test.
func (s *site) stop() {
	s.ldapd.stop()
	s.running = false
	for _, r := range s.roads {
		r.lead("")
	}
}

// settled waits until nothing runs in the background.
func (s *site) settled() {
	s.Helper()
	if s.running {
		await.That(s.T, "what runs in the background is done", s.Settled)
	}
}

// inStep waits, after a long time, until the directory is as new as it would
// be if the clock had not jumped.
func (s *site) inStep() {
	s.Helper()
	if s.running && !s.down {
		s.readAgain()
	}
}
