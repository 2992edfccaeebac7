package bindsim_test

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// attacker has the password of the owner, and none of his codes.
type attacker struct {
	*world
	got *tally // by answer

	mu     sync.Mutex
	codes  int
	strays int
	tried  []map[string]bool // by day: distinct codes that somebody may have compared
}

func newAttacker(w *world, days int) *attacker {
	a := &attacker{world: w, got: newTally(days), tried: make([]map[string]bool, days)}
	for i := range a.tried {
		a.tried[i] = make(map[string]bool)
	}
	return a
}

// code returns one that was not tried.
func (a *attacker) code() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.codes++
	return fmt.Sprintf("%06d", a.codes%guessable)
}

// address returns one that was not used.
func (a *attacker) address() netip.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.strays++
	return netip.AddrFrom4([4]byte{100, byte(a.strays >> 16), byte(a.strays >> 8), byte(a.strays)})
}

// note takes an answer to a code down. What is neither limited nor undecided may
// have been compared.
func (a *attacker) note(code string, got answer) answer {
	a.got.add(got)
	if got != busy && got != undecided && code != "" {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.tried[a.got.day()][code] = true
	}
	return got
}

// way is one of those to try a code, at a replica.
type way func(a *attacker, r *replica) answer

func byName(a *attacker, r *replica) answer {
	c := a.code()
	return a.note(c, a.bind(r, a.address(), ";"+c, password))
}

func byPassword(a *attacker, r *replica) answer {
	c := a.code()
	return a.note(c, a.bind(r, a.address(), "", password+";"+c))
}

func byPage(a *attacker, r *replica) answer {
	c := a.code()
	return a.note(c, a.unlock(r, a.address(), c, password))
}

func byNextcloud(a *attacker, r *replica) answer {
	c := a.code()
	return a.note(c, a.login(r, c, password))
}

// Those share Nextcloud's address.
func besideByName(a *attacker, r *replica) answer {
	c := a.code()
	return a.note(c, a.bind(r, nextcloud, ";"+c, password))
}

func besideByPassword(a *attacker, r *replica) answer {
	c := a.code()
	return a.note(c, a.bind(r, nextcloud, "", password+";"+c))
}

// play tries in a way until the end, with so many at a time at each replica.
// While codes are refused there is nothing to gain, so it looks again after a
// while.
func (a *attacker) play(w way, at int, end time.Time) {
	var all sync.WaitGroup
	for _, r := range a.replicas {
		for range at {
			all.Go(func() {
				for time.Now().Before(end) {
					switch w(a, r) {
					case busy:
						time.Sleep(time.Hour)
					case undecided: // nobody compared anything
						time.Sleep(10 * time.Minute)
					default:
						time.Sleep(20 * time.Millisecond)
					}
				}
			})
		}
	}
	all.Wait()
}

// poll binds with the bare password from Nextcloud's address, in the hope that a
// login search of the owner is open: all the time in some hours, and now and
// then in the others.
func (a *attacker) poll(end time.Time) {
	begin := time.Now()
	time.Sleep(100 * time.Second) // nobody is logging in
	for time.Now().Before(end) {
		a.note("", a.bind(a.replicas[0], nextcloud, "", password))
		if since := time.Since(begin); since%(5*day) >= 10*time.Hour && since%(5*day) < 10*time.Hour+20*time.Minute {
			time.Sleep(50 * time.Millisecond)
		} else {
			time.Sleep(5 * time.Minute)
		}
	}
}

// most returns the most codes that were tried on a day, and the mean.
func (a *attacker) most() (most int, mean float64) {
	sum := 0
	for _, d := range a.tried {
		most = max(most, len(d))
		sum += len(d)
	}
	return most, float64(sum) / float64(len(a.tried))
}
