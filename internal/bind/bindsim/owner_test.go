package bindsim_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const day = 24 * time.Hour

// tally counts answers by day.
type tally struct {
	begin time.Time

	mu   sync.Mutex
	days []map[answer]int
}

func newTally(days int) *tally {
	t := &tally{begin: time.Now(), days: make([]map[answer]int, days)}
	for i := range t.days {
		t.days[i] = make(map[answer]int)
	}
	return t
}

func (t *tally) day() int { return min(int(time.Since(t.begin)/day), len(t.days)-1) }

func (t *tally) add(a answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.days[t.day()][a]++
}

func (t *tally) sum(a answer) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.days {
		n += d[a]
	}
	return n
}

func (t *tally) all() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.days {
		for _, m := range d {
			n += m
		}
	}
	return n
}

func (t *tally) String() string {
	return fmt.Sprintf("0: %d, 51: %d, 52: %d, 49/50: %d", t.sum(granted), t.sum(busy), t.sum(unavailable)+t.sum(undecided), t.sum(denied)+t.sum(noAccess))
}

// owner logs in each morning with three clients of Nextcloud, each with a code
// of the moment behind the login name, which Nextcloud keeps, and presents every
// five minutes. His mail client has one code behind the password for ever.
type owner struct {
	*world
	web, mail *tally
	logins    *tally // of them the ones with a new code
	rand      *rand.Rand
}

func newOwner(w *world, days int) *owner {
	return &owner{w, newTally(days), newTally(days), newTally(days), rand.New(rand.NewPCG(1, 1))}
}

// live plays so many days.
func (o *owner) live(days int) {
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() { o.session(days, time.Duration(i)*7*time.Minute, time.Duration(i)*40*time.Second) })
	}
	all.Go(func() { o.mailClient(days) })
	all.Wait()
}

// session logs in each morning, as often as it takes, and is checked every five
// minutes until midnight.
func (o *owner) session(days int, morning, phase time.Duration) {
	begin := time.Now()
	for d := range days {
		from := begin.Add(time.Duration(d)*day + 8*time.Hour + morning)
		until := begin.Add(time.Duration(d+1) * day)
		time.Sleep(time.Until(from))
		code := ""
		for time.Now().Before(until) {
			if code == "" {
				c := o.app.code(step(time.Now()))
				a := o.login(o.replicas[0], c, password)
				o.logins.add(a)
				if a == granted {
					code = c
				}
			} else {
				o.web.add(o.login(o.replicas[0], code, password))
			}
			next := time.Now().Truncate(5 * time.Minute).Add(5*time.Minute + phase)
			time.Sleep(time.Until(next))
		}
	}
}

func (o *owner) mailClient(days int) {
	time.Sleep(7 * time.Hour)
	secret := password + ";" + o.app.code(step(time.Now()))
	for end := time.Now().Add(time.Duration(days)*day - 8*time.Hour); time.Now().Before(end); time.Sleep(10 * time.Minute) {
		o.mail.add(o.bind(o.replicas[0], mailer, "", secret))
	}
}
