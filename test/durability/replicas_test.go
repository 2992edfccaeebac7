package durability

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/await"
	"ldapd/internal/postgrestest"
)

const (
	crashes      = 4 // of PostgreSQL
	sharers      = 4 // workers, each with users of its own
	sharedUsers  = 12
	upSteps      = 60 // of all workers, before each crash
	downSteps    = 30 // before each start
	quietRounds  = 30 // of one code at two replicas, with the store up
	codeUsers    = 24
	wrongBinders = 2
)

// TestReplicas has two replicas share a PostgreSQL that crashes and comes back
// under load. A right answer may be missing for a while (52), but none is wrong.
func TestReplicas(t *testing.T) {
	pg := postgrestest.Run(t)
	dsn := pg.Database(t)
	cache := fmt.Sprintf("{store: postgres, dsn: %q, key: %q}", dsn, strings.Repeat("0f", 32))
	r := &replicas{t: t, stop: make(chan struct{})}
	var all []*user
	for w := range sharers {
		r.users = append(r.users, newUsers(t, fmt.Sprintf("user%d", w), sharedUsers))
		all = append(all, r.users[w]...)
	}
	codes, victims := newUsers(t, "code", codeUsers), newUsers(t, "victim", wrongBinders)
	all = append(append(all, codes...), victims...)
	for i := range r.of {
		r.of[i] = newProcess(t, all, cache)
	}
	var starting sync.WaitGroup
	for _, p := range r.of {
		starting.Go(p.start) // both make the tables
	}
	starting.Wait()
	if t.Failed() {
		return
	}

	var wg sync.WaitGroup
	for w := range sharers {
		wg.Go(func() { r.work(w) })
	}
	for i, v := range victims {
		wg.Go(func() { r.guess(v, i) })
	}
	flapping := make(chan struct{})
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-flapping:
				return
			case <-r.stop:
				return
			default:
			}
			r.oneCode(codes[n%len(codes)], false)
			time.Sleep(20 * time.Millisecond)
		}
	})
	for range crashes {
		r.steps(upSteps)
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
		r.steps(downSteps)
		if err := pg.Start(t.Context()); err != nil {
			t.Error(err)
		}
	}
	r.steps(upSteps)
	close(flapping)
	close(r.stop)
	wg.Wait()
	if t.Failed() {
		return
	}

	// With the store back both agree.
	for _, p := range r.of {
		await.That(t, "all is saved", func() bool { return p.saved() })
	}
	for _, of := range r.users {
		for _, u := range of {
			r.settled(u)
		}
	}
	won := 0
	for n := 0; won < quietRounds && !t.Failed(); n++ {
		if r.oneCode(codes[n%len(codes)], true) {
			won++
		} else if n%len(codes) == 0 {
			time.Sleep(100 * time.Millisecond) // for the next period
		}
	}
	t.Logf("%d crashes; %d logins, %d validations at home and %d at the other replica (%d more answered 52), %d revocations, %d wrong binds; %d codes at both replicas at once, %d of them granted once, none twice",
		crashes, r.granted.Load(), r.home.Load(), r.other.Load(), r.unknown.Load(), r.revoked.Load(), r.wrong.Load(), r.raced.Load(), r.once.Load())
}

// replicas are two servers, and what their clients know. A user's home is
// where the proxy before them sends his Nextcloud.
type replicas struct {
	t     *testing.T
	of    [2]*process
	users [][]*user // by worker
	stop  chan struct{}
	done  atomic.Int64 // steps

	granted, home, other, unknown, revoked, wrong, raced, once atomic.Int64
}

// steps waits until the workers did so many.
func (r *replicas) steps(n int64) {
	before := r.done.Load()
	for deadline := time.Now().Add(await.Patience); r.done.Load() < before+n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Error("the workers do not come on") // who must still be stopped
			return
		}
	}
}

func (r *replicas) stopped() bool {
	select {
	case <-r.stop:
		return true
	default:
		return r.t.Failed()
	}
}

// saved reports that the store has all that a replica answered.
func (p *process) saved() bool {
	n, err := p.metric("ldapd_verified_unsaved_users")
	if err != nil {
		p.t.Error(err)
		return true
	}
	return n == 0
}

func (r *replicas) work(w int) {
	for n := 0; !r.stopped(); n++ {
		u := r.users[w][rand.IntN(sharedUsers)]
		home, other := r.of[w%2], r.of[1-w%2]
		r.step(u, home, other)
		if n%8 == 7 {
			r.save(w, home)
		}
		r.done.Add(1)
	}
}

// save asks whether what was answered is in the store.
func (r *replicas) save(w int, home *process) {
	if !home.saved() {
		return
	}
	for _, u := range r.users[w] {
		for _, l := range u.logins {
			l.saved = true
		}
	}
}

func (r *replicas) step(u *user, home, other *process) {
	switch n := rand.IntN(10); {
	case n < 1 && len(u.logins) > 0:
		r.revoke(u, home)
		return
	case n < 4 && len(u.logins) > 0:
		r.validate(u.logins[rand.IntN(len(u.logins))], home, &r.home)
		return
	case n < 6 && len(u.logins) > 0:
		if l := u.logins[rand.IntN(len(u.logins))]; l.saved {
			r.validate(l, other, &r.other)
		}
		return
	case n < 8 && len(u.ended) > 0:
		r.ended(u.ended[rand.IntN(len(u.ended))], home, other)
		return
	}
	l := u.fresh(r.t)
	if l == nil {
		return
	}
	l.onPassword = rand.IntN(3) == 0
	switch code := r.bind(home, l); code {
	case ldap.LDAPResultSuccess:
		u.logins = append(u.logins, l)
		r.granted.Add(1)
	case ldap.LDAPResultUnavailable: // whether the code was used before
	default:
		r.t.Errorf("%s logs in: %d", l.name, code)
	}
}

func (r *replicas) bind(p *process, l *login) uint16 {
	code, err := p.bind(l)
	if err != nil {
		r.t.Errorf("%s: %v\n%s", l.name, err, p.log)
	}
	return code
}

// validate has a login come again that was granted.
func (r *replicas) validate(l *login, at *process, count *atomic.Int64) {
	switch code := r.bind(at, l); code {
	case ldap.LDAPResultSuccess:
		count.Add(1)
	case ldap.LDAPResultUnavailable:
		r.unknown.Add(1)
	default:
		r.t.Errorf("%s, granted with code %d, comes again: %d", l.name, l.counter, code)
	}
}

// revoke ends all logins of a user. An error says that the store is down: then
// it counts at home, and the other replica hears of it later.
func (r *replicas) revoke(u *user, home *process) {
	_ = home.revoke(context.Background(), u.name)
	r.revoked.Add(1)
	u.ended, u.logins = u.logins, nil
	r.ended(u.ended[0], home, nil)
}

// ended has a login come again that was revoked. Once the other replica has
// heard of that, it stays so.
func (r *replicas) ended(l *login, home, other *process) {
	if !l.judged() {
		return
	}
	if code := r.bind(home, l); code == ldap.LDAPResultSuccess {
		r.t.Errorf("%s with code %d was revoked, and is let in", l.name, l.counter)
	}
	if other == nil || !l.judged() {
		return
	}
	switch code := r.bind(other, l); {
	case code != ldap.LDAPResultSuccess:
		l.gone = l.gone || code == ldap.LDAPResultInvalidCredentials
	case l.gone:
		r.t.Errorf("%s with code %d is back at the other replica", l.name, l.counter)
	}
}

// settled says that both replicas know what was answered.
func (r *replicas) settled(u *user) {
	r.t.Helper()
	for _, p := range r.of {
		for _, l := range u.logins {
			await.That(r.t, u.name+" is let in", func() bool {
				code := r.bind(p, l)
				if code != ldap.LDAPResultSuccess && code != ldap.LDAPResultUnavailable {
					r.t.Fatalf("%s, granted with code %d, comes again: %d", l.name, l.counter, code)
				}
				return code == ldap.LDAPResultSuccess
			})
		}
		for _, l := range u.ended {
			if l.judged() {
				await.That(r.t, u.name+" is out", func() bool { return r.bind(p, l) != ldap.LDAPResultSuccess })
			}
		}
	}
}

// guess tries what is wrong, in turn at both replicas.
func (r *replicas) guess(u *user, n int) {
	for ; !r.stopped(); n++ {
		pass := fmt.Sprint("wrong", n)
		if n%50 == 0 {
			pass = password // and no code
		}
		code, err := r.of[n%2].bindAs(u.name, pass)
		if err != nil || code == ldap.LDAPResultSuccess {
			r.t.Errorf("%s with %s: %d, %v", u.name, pass, code, err)
		}
		r.wrong.Add(1)
		time.Sleep(50 * time.Millisecond) // each costs two slow hashes
	}
}

// oneCode sends a code to both replicas at the same instant. It stands in two
// places, so that no replica can answer by what the other one has recorded. It
// returns false if there is no code at the moment, or no answer but 52.
func (r *replicas) oneCode(u *user, up bool) bool {
	one := u.fresh(r.t)
	if one == nil {
		return false
	}
	two := *one
	two.onPassword = true
	logins := [2]*login{one, &two}
	var results [2]uint16
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for i := range results {
		wg.Go(func() {
			<-gate
			results[i] = r.bind(r.of[i], logins[i])
		})
	}
	close(gate)
	wg.Wait()
	granted, unknown := 0, false
	for _, code := range results {
		if code == ldap.LDAPResultSuccess {
			granted++
		}
		unknown = unknown || code == ldap.LDAPResultUnavailable
	}
	r.raced.Add(1)
	r.once.Add(int64(granted))
	if granted == 0 && unknown {
		return false
	}
	if granted > 1 || up && granted != 1 {
		r.t.Errorf("%s with code %d at both replicas: %v, want one granted", u.name, one.counter, results)
	}
	return true
}
