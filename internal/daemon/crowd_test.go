package daemon

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"ldapd/internal/await"
)

// dialFrom connects from an address of the loopback network.
func (r *running) dialFrom(t *testing.T, ip string) *goldap.Conn {
	t.Helper()
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: await.Patience}
	c, err := goldap.DialURL("ldap://"+r.LDAP().String(), goldap.DialWithDialer(d))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// metric returns the sum of a metric's samples.
func (r *running) metric(t *testing.T, name string) (sum float64) {
	t.Helper()
	families, err := r.served.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// TestCrowd has one address send wrong binds of names that nobody has, all the
// time and more at a time than there are turns for slow hashes. Somebody who
// logs in from elsewhere waits for few of them only: for his turns, one for the
// verified binds and one for the users file, a crowd has one in between.
func TestCrowd(t *testing.T) {
	const turns, crowd = 2, 100
	const atATime = 16 // of strangers from one address
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(turns))
	cfg := testConfig(t)
	cfg.Limits.FailuresPerUser, cfg.Limits.FailuresPerAddress = 0, 0 // none, so that the crowd stays
	cfg.Log.Level = "error"                                          // of so many binds
	r := start(t, cfg, demoUsers(t))
	owner := r.dialFrom(t, "127.0.0.3")

	waiting := func() float64 { return r.metric(t, "ldapd_password_hashes_waiting") }

	var wg sync.WaitGroup
	var over atomic.Bool
	var conns []*goldap.Conn
	for i := range crowd {
		c := r.dialFrom(t, "127.0.0.2")
		conns = append(conns, c)
		wg.Go(func() {
			for n := 0; !over.Load(); n++ {
				err := c.Bind(fmt.Sprintf("cn=nobody%d.%d,ou=users,%s", i, n, base), fmt.Sprint("wrong", n))
				if err == nil {
					t.Error("nobody was let in")
				}
			}
		})
	}
	defer func() {
		over.Store(true)
		for _, c := range conns {
			c.Close()
		}
		wg.Wait()
		await.That(t, "nobody waits", func() bool { return waiting() == 0 })
	}()
	await.That(t, "the crowd waits", func() bool { return waiting() >= atATime-4*turns })

	hashes := func() float64 {
		return r.metric(t, "ldapd_password_hashes_total") + r.metric(t, "ldapd_verified_hashes_total")
	}
	before := hashes()
	if got := code(t, owner.Bind("cn=alice,ou=users,"+base, "demo-alice")); got != 0 {
		t.Errorf("the owner is answered %d", got)
	}
	// Those that ran already, and one for each turn; and what the crowd gets
	// done while requests and answers are on their way.
	if n := hashes() - before; n > 10*turns {
		t.Errorf("%v hashes were computed before the owner was answered, of a crowd of %d", n, crowd)
	}
}
