package bindsim_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// goodCodes of a million are good at a time: those that are remembered at a
// home, and those of the app.
const goodCodes = 16 + 3

// TestWithoutAFactor is G1: who has the password and no factor gets in with a
// probability below 1 in 4 000 a day, over all ways together, and what the owner
// sees of it ends no session.
func TestWithoutAFactor(t *testing.T) {
	const days = 30
	elsewhere := []way{byName, byPassword, byPage}
	everywhere := append([]way{byNextcloud, besideByName, besideByPassword}, elsewhere...)
	for _, tt := range []struct {
		name         string
		replicas     int
		named, polls bool
		ways         []way
	}{
		{name: "nobody", replicas: 1},
		{name: "from elsewhere", replicas: 1, ways: elsewhere},
		{name: "polls", replicas: 1, polls: true},
		{name: "every way", replicas: 1, ways: everywhere, polls: true},
		{name: "every way, two replicas", replicas: 2, named: true, ways: everywhere, polls: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.replicas, tt.named)
				defer w.stop()
				o, a := newOwner(w, days), newAttacker(w, days)
				end := time.Now().Add(days * day)
				var all sync.WaitGroup
				all.Go(func() { o.live(days) })
				all.Go(func() {
					time.Sleep(2 * day)
					var ways sync.WaitGroup
					for _, way := range tt.ways {
						ways.Go(func() { a.play(way, 10, end) })
					}
					if tt.polls {
						ways.Go(func() { a.poll(end) })
					}
					ways.Wait()
				})
				all.Wait()
				most, mean := a.most()
				p := float64(most*goodCodes) / 1e6
				t.Logf("attacker: %v; codes: at most %d a day, %.1f on average, %d compared by the backend; in by luck: once in %.0f days",
					a.got, most, mean, w.app.compared(), 1/p)
				t.Logf("owner: sessions %v; logins %v; mail %v", o.web, o.logins, o.mail)
				if p >= 1.0/4000 {
					t.Errorf("%d codes a day", most)
				}
				if n := a.got.sum(granted); n > 0 {
					t.Errorf("the attacker was granted %d times", n)
				}
				// Where nobody guesses or waits, all is as ever.
				if !tt.polls && len(tt.ways) <= len(elsewhere) && o.web.sum(granted)+o.logins.sum(granted) != o.web.all()+o.logins.all() {
					t.Errorf("the owner saw sessions %v, logins %v", o.web, o.logins)
				}
				for _, seen := range []*tally{o.web, o.logins, o.mail} {
					if n := seen.sum(denied) + seen.sum(noAccess); n > 0 {
						t.Errorf("the owner was denied %d times", n)
					}
				}
				if n := o.mail.sum(busy) + o.mail.sum(unavailable) + o.mail.sum(undecided); n > 0 {
					t.Errorf("the owner's mail client was refused %d times", n)
				}
			})
		})
	}
}
