// Package economy counts what it costs authentik to serve a Nextcloud for some
// days, by simulation: people with sync clients, whose sessions Nextcloud
// validates again and again. The same binds are answered by ldapd (the pipeline
// of internal/bind), and as authentik's own outpost would in its two modes.
package economy

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// Options say what is simulated.
type Options struct {
	Users, Days int
	Seed        uint64
	Every       time.Duration // between two checks of Nextcloud; 0: five minutes, as it is
}

// Report is what came of it.
type Report struct {
	Users, Days int
	Logins      int // with a new code or a new password
	Binds       int // with a credential that is right
	Wrong       int // with a password that was changed

	Ldapd, Cached, Direct Cost

	// Most is how many flows ran for one user on one day, at most, beside one
	// for each login with a new code or password, and for each bind with a
	// wrong password.
	Most      int
	Undecided int // binds that ldapd answered 52
	Access    int // questions for access, which are no event
}

// Cost is what one of the three ways of answering comes to.
type Cost struct {
	Flows    int // that authenticate
	Events   int // in authentik's log: logins, failed ones, logouts
	Sessions int // at authentik, at the end
	Denied   int // right credentials that were answered 49
	Lost     int // logins that Nextcloud ended for that
}

// PerUserHour divides by the number of users, and by the hours of all days.
func (r Report) PerUserHour(n int) float64 { return float64(n) / float64(r.Users*r.Days*24) }

// PerDay divides by the days.
func (r Report) PerDay(n int) int { return n / r.Days }

// Run simulates. Users are spread over as many simulations as there are
// processors; users have nothing to do with each other.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.Users < 1 || o.Days < 1 {
		return Report{}, errors.New("economy: there must be users and days")
	}
	if o.Every == 0 {
		o.Every = validateTime
	}
	parts := make([]Report, min(runtime.GOMAXPROCS(0), o.Users))
	g, ctx := errgroup.WithContext(ctx)
	for i := range parts {
		g.Go(func() (err error) {
			w, err := newWorld(ctx, o, i, len(parts))
			if err != nil {
				return fmt.Errorf("economy: %w", err)
			}
			defer w.close()
			if parts[i], err = w.run(ctx); err != nil {
				return fmt.Errorf("economy: %w", err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return Report{}, err
	}
	sum := Report{Users: o.Users, Days: o.Days}
	for _, p := range parts {
		sum.Logins += p.Logins
		sum.Binds += p.Binds
		sum.Wrong += p.Wrong
		sum.Ldapd.add(p.Ldapd)
		sum.Cached.add(p.Cached)
		sum.Direct.add(p.Direct)
		sum.Most = max(sum.Most, p.Most)
		sum.Undecided += p.Undecided
		sum.Access += p.Access
	}
	return sum, nil
}

func (c *Cost) add(o Cost) {
	c.Flows += o.Flows
	c.Events += o.Events
	c.Sessions += o.Sessions
	c.Denied += o.Denied
	c.Lost += o.Lost
}

// What people do.
const (
	syncClients  = 3
	validateTime = 5 * time.Minute  // between two checks of Nextcloud
	pollers      = 5                // of 100 clients have no app password
	polls        = 10               // as often they ask
	awake        = 16 * time.Hour   // a day
	visit        = 4 * time.Hour    // of the day's login in a browser
	changes      = 1                // of 100 users change the password on a day
	comeBack     = 10 * time.Minute // until who was logged out has logged in again
	expiry       = time.Hour        // between two clean-ups of authentik
)

// factor is what the flow asks of a user.
type factor uint8

const (
	totp       factor = iota // a code
	remembered               // a code, and the stage has a threshold
	none                     // nothing
)

// factorOf spreads factors over the users: of 20, 14 have totp, 3 remembered,
// and 3 none.
func factorOf(user int) factor {
	switch user % 20 {
	case 3, 9, 15:
		return remembered
	case 6, 12, 18:
		return none
	}
	return totp
}
