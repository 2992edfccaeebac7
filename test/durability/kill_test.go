package durability

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const (
	kills      = 200 // of all servers together
	servers    = 2   // at a time
	workers    = 4   // of each server
	usersEach  = 20  // of each worker
	opsBetween = 10  // answers before a kill, at most
)

// TestKill kills ldapd under load at random points, and looks after each
// restart for everything that was answered.
func TestKill(t *testing.T) {
	for i := range servers {
		t.Run(fmt.Sprint("server ", i), func(t *testing.T) {
			t.Parallel()
			k := &killed{}
			for range workers {
				k.users = append(k.users, newUsers(t, fmt.Sprintf("user%d", len(k.users)), usersEach))
			}
			var all []*user
			for _, of := range k.users {
				all = append(all, of...)
			}
			k.process = newProcess(t, all, "{store: bolt}")
			for round := range kills / servers {
				k.start()
				k.verify(round == 0)
				k.load()
				k.kill()
				if t.Failed() {
					t.Fatalf("in round %d\n%s", round, k.log)
				}
			}
			k.start()
			k.verify(true)
			k.verifyAll()
			k.process.kill()
			t.Logf("%d kills; %d logins, %d validations and %d revocations answered, %d without an answer, %d answered 52; %d validations after restarts",
				kills/servers, k.granted.Load(), k.validated.Load(), k.revoked.Load(), k.cut.Load(), k.unknown.Load(), k.verified)
		})
	}
}

// killed is a server, and what its clients know.
type killed struct {
	*process
	users [][]*user       // by worker
	last  [workers]*login // that was answered in the last round

	granted, validated, revoked, cut, unknown atomic.Int64
	verified                                  int
}

// load works until the server is killed, after a random number of answers.
func (k *killed) load() {
	left := atomic.Int64{}
	left.Store(1 + rand.Int64N(opsBetween))
	later := time.Duration(rand.IntN(20_000)) * time.Microsecond
	dead := make(chan struct{})
	kill := sync.OnceFunc(func() {
		time.AfterFunc(later, func() {
			k.cmd.Process.Kill()
			close(dead)
		})
	})
	var wg sync.WaitGroup
	for w := range workers {
		k.last[w] = nil
		wg.Go(func() {
			for k.work(w) {
				if left.Add(-1) <= 0 {
					kill()
				}
			}
			kill()
		})
	}
	wg.Wait()
	<-dead
}

// work is one step of a worker; false: there was no answer.
func (k *killed) work(w int) bool {
	u := k.users[w][rand.IntN(usersEach)]
	switch n := rand.IntN(10); {
	case u.unsure || n < 1 && len(u.logins) > 0:
		return k.revokeUser(u)
	case n < 5 && len(u.logins) > 0:
		l := u.logins[rand.IntN(len(u.logins))]
		_, alive := k.expect(l, "validated", &k.validated, ldap.LDAPResultSuccess)
		return alive
	case n < 6 && len(u.ended) > 0:
		l := u.ended[rand.IntN(len(u.ended))]
		if !l.judged() {
			return true
		}
		_, alive := k.expect(l, "revoked", &k.validated, ldap.LDAPResultInvalidCredentials)
		return alive
	}
	l := u.fresh(k.t)
	if l == nil {
		return true
	}
	l.onPassword = rand.IntN(3) == 0
	granted, alive := k.expect(l, "logs in", &k.granted, ldap.LDAPResultSuccess)
	if granted {
		u.logins = append(u.logins, l)
		k.last[w] = l
	}
	return alive
}

// expect binds. A busy machine may answer 52, which says nothing; alive is
// false if there was no answer.
func (k *killed) expect(l *login, what string, count *atomic.Int64, want uint16) (ok, alive bool) {
	switch code, err := k.bind(l); {
	case err != nil:
		k.cut.Add(1)
		return false, false
	case code == ldap.LDAPResultUnavailable:
		k.unknown.Add(1)
		return false, true
	case code != want:
		k.t.Errorf("%s with code %d %s: %d, want %d", l.name, l.counter, what, code, want)
		return false, true
	}
	count.Add(1)
	return true, true
}

func (k *killed) revokeUser(u *user) bool {
	if err := k.revoke(context.Background(), u.name); err != nil {
		k.cut.Add(1)
		u.unsure, u.ended, u.logins = true, nil, nil
		return false
	}
	k.revoked.Add(1)
	u.unsure, u.ended, u.logins = false, u.logins, nil
	return true
}

// verify looks in the list for what the clients know. Some bind too, which
// takes a slow hash each.
func (k *killed) verify(empty bool) {
	k.t.Helper()
	listed := k.list()
	if empty && k.granted.Load() == 0 && len(listed) > 0 {
		k.t.Errorf("there are verified binds at the start: %v", listed)
	}
	for _, of := range k.users {
		for _, u := range of {
			n, ok := listed[u.name]
			switch {
			case u.unsure:
			case n < len(u.logins):
				k.t.Errorf("%s has %d proofs, want %d", u.name, n, len(u.logins))
			case ok && len(u.logins) == 0 && len(u.ended) > 0 && u.counter == u.ended[len(u.ended)-1].counter:
				k.t.Errorf("%s was revoked, and is back", u.name)
			}
		}
	}
	for _, l := range k.last[:workers/2] {
		if l != nil {
			k.check(l)
		}
	}
}

func (k *killed) verifyAll() {
	k.t.Helper()
	for _, of := range k.users {
		for _, u := range of {
			for _, l := range append(u.logins, u.ended...) {
				k.check(l)
			}
		}
	}
}

// check has a login bind after a restart.
func (k *killed) check(l *login) {
	k.t.Helper()
	for _, want := range l.logins {
		if want != l {
			continue
		}
		code, err := k.bind(l)
		for range 5 {
			if err != nil || code != ldap.LDAPResultUnavailable {
				break
			}
			k.unknown.Add(1)
			code, err = k.bind(l)
		}
		if err != nil || code != ldap.LDAPResultSuccess {
			k.t.Errorf("%s with code %d is lost: %d, %v", l.name, l.counter, code, err)
		}
		k.verified++
		return
	}
	for _, ended := range l.ended {
		if ended != l || !l.judged() {
			continue
		}
		if code, err := k.bind(l); err != nil || code == ldap.LDAPResultSuccess {
			k.t.Errorf("%s with code %d was revoked, and is back: %d, %v", l.name, l.counter, code, err)
		}
		k.verified++
	}
}
