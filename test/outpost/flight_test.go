package outpost

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/await"
	"ldapd/internal/config"
)

// outcomes counts the results of binds.
type outcomes struct {
	mu sync.Mutex
	n  map[uint16]int
}

func (o *outcomes) add(code uint16) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.n == nil {
		o.n = make(map[uint16]int)
	}
	o.n[code]++
}

// TestThousandBinds is "must show" 3: as many identical binds at once are one
// flow, right or wrong.
func TestThousandBinds(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		const n = 1000
		s := start(t, f.env(), quiet, func(cfg *config.Config) { cfg.Authentik.DenialMemory = time.Hour })
		await.That(t, "authentik is read", func() bool { return s.metric(t, "ldapd_directory_users") == 6 })
		for _, tt := range []struct {
			what, pw string
			want     uint16
		}{
			{"wrong", "wrong", ldap.LDAPResultInvalidCredentials},
			{"right", secret, ldap.LDAPResultSuccess},
		} {
			f.ResetCounters()
			release := make(chan struct{})
			f.Inject(authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "POST", Until: release})
			var got outcomes
			var done sync.WaitGroup
			for range n {
				c := s.dial(t)
				done.Go(func() {
					defer c.Close()
					got.add(code(t, c.Bind(userDN(alice), tt.pw)))
				})
			}
			await.That(t, "all wait", func() bool { return s.metric(t, "ldapd_binds_waiting") == n })
			close(release)
			done.Wait()
			f.ClearFaults()
			if got.n[tt.want] != n {
				t.Errorf("%s: results %v", tt.what, got.n)
			}
			c := f.Counters()
			if flows := f.flows(); flows != 1 || c.Logins+c.LoginsFailed != 1 {
				t.Errorf("%s: %d flows, %d logins, %d failed", tt.what, flows, c.Logins, c.LoginsFailed)
			}
		}
		if r := f.Reputation(alice, "127.0.0.1"); r != 0 {
			t.Errorf("reputation %d", r)
		}
		// Not at once, but in a row and spread over connections: still denied.
		f.ResetCounters()
		for range 10 {
			if got := s.bind(t, userDN(alice), "wrong"); got != ldap.LDAPResultInvalidCredentials {
				t.Errorf("again: result %d", got)
			}
		}
		if n := f.flows(); n != 0 {
			t.Errorf("%d flows for what was denied a moment ago", n)
		}
	})
}

// TestQueue bounds the flows under way; the rest is served in turn. One address
// holds three quarters of the turns at most, and sixteen of its strangers wait
// for them.
func TestQueue(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		const binds, flows, ofOne, strangers = 20, 4, 3, 16
		f.Populate(binds, 1, 1)
		s := start(t, f.env(), unlimited, func(cfg *config.Config) { cfg.Authentik.Flows = flows })
		s.loaded(t, 1)
		release := make(chan struct{})
		f.Inject(authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "POST", Until: release})
		var got outcomes
		var done sync.WaitGroup
		for i := range binds {
			c := s.dial(t)
			done.Go(func() { got.add(code(t, c.Bind(userDN(fmt.Sprintf("user%06d", i)), authentiktest.PopulatePassword))) })
		}
		await.That(t, "the others wait", func() bool {
			return s.metric(t, "ldapd_authentik_flows_running") == ofOne && s.metric(t, "ldapd_authentik_flows_waiting") == strangers-ofOne &&
				s.metric(t, "ldapd_binds_strangers_waiting") == binds-strangers
		})
		if n := f.flows(); n != ofOne {
			t.Errorf("%d flows under way", n)
		}
		close(release)
		done.Wait()
		if got.n[ldap.LDAPResultSuccess] != binds {
			t.Errorf("results %v", got.n)
		}
	})
}
