package economy

import (
	"cmp"
	"math/rand/v2"
	"time"
)

// client is a program that a person logged in with, through Nextcloud. What was
// typed at the login is what Nextcloud repeats.
type client struct {
	*person
	every time.Duration // between two binds
	until time.Time     // of a visit; zero: it stays logged in

	password string
	code     string // empty: none
	login    time.Time

	cachedLost, directLost bool
}

// right reports that nobody has a reason to deny what the client sends: the
// password is that of the user, and the login not older than the factor may be.
func (c *client) right(now time.Time) bool {
	return c.password == c.person.password && (c.factor == none || now.Sub(c.login) < maxAge)
}

// event is what happens next.
type event struct {
	at time.Time
	do func(now time.Time) error
}

// agenda is a heap of events, the next one first. What happens at the same time
// happens in the order in which it was planned.
type agenda struct {
	events []planned
	number int
}

type planned struct {
	event
	number int
}

func (e *planned) before(o *planned) bool {
	return cmp.Or(e.at.Compare(o.at), cmp.Compare(e.number, o.number)) < 0
}

func (a *agenda) plan(at time.Time, do func(now time.Time) error) {
	a.number++
	a.events = append(a.events, planned{event{at, do}, a.number})
	for i := len(a.events) - 1; i > 0; {
		parent := (i - 1) / 2
		if !a.events[i].before(&a.events[parent]) {
			return
		}
		a.events[i], a.events[parent] = a.events[parent], a.events[i]
		i = parent
	}
}

func (a *agenda) next() event {
	first, last := a.events[0], len(a.events)-1
	a.events[0], a.events[last] = a.events[last], planned{}
	a.events = a.events[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return first.event
		}
		if child+1 < last && a.events[child+1].before(&a.events[child]) {
			child++
		}
		if !a.events[child].before(&a.events[i]) {
			return first.event
		}
		a.events[i], a.events[child] = a.events[child], a.events[i]
		i = child
	}
}

// within returns a time of so much, by chance, to the second.
func within(r *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(d/time.Second))) * time.Second
}

// day returns when the day of a time began.
func day(t time.Time) time.Time { return t.Truncate(24 * time.Hour) }

// later returns when a client that has just bound does so again: people sleep.
func (c *client) later(now time.Time, r *rand.Rand) time.Time {
	next := now.Add(c.every)
	if next.Before(day(now).Add(c.wakes + awake)) {
		return next
	}
	return day(now).Add(24*time.Hour + c.wakes + within(r, c.every))
}
