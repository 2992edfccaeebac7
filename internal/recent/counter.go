package recent

import "time"

// Digest stands for what is counted, and for what it is counted under.
type Digest = [16]byte

// secrets is how many different secrets of a key are told apart.
const secrets = 16

// Counter counts under keys within a window of time, which begins with the
// first thing that is counted. It is not safe for concurrent use.
type Counter struct {
	window  time.Duration
	tallies Map[Digest, tally]
}

type tally struct {
	Tally
	last [secrets]Digest // the latest, n modulo its length being the next place
}

// NewCounter returns a counter for at most max keys, of about 300 bytes each.
func NewCounter(window time.Duration, max int) Counter {
	return Counter{window: window, tallies: NewMap[Digest, tally](max)}
}

// find returns the tally of a key as of now.
func (c *Counter) find(key Digest, now time.Time) tally {
	t, _ := c.tallies.Get(key)
	t.Tally = t.At(now, c.window) // of an empty one, last does not count
	return t
}

// N returns what was counted under a key.
func (c *Counter) N(key Digest, now time.Time) int {
	t := c.find(key, now)
	return t.n
}

// Has reports that a secret is among the latest 16 that were counted.
func (c *Counter) Has(key, secret Digest, now time.Time) bool {
	t := c.find(key, now)
	if secret == (Digest{}) {
		return false
	}
	for _, s := range t.last[:min(t.n, secrets)] {
		if s == secret {
			return true
		}
	}
	return false
}

// Add counts a secret, and reports that it did: one that Has knows counts once,
// the zero secret always.
func (c *Counter) Add(key, secret Digest, now time.Time) bool {
	if c.Has(key, secret, now) {
		return false
	}
	t := c.find(key, now)
	t.last[t.n%secrets] = secret
	t.Tally = t.More()
	c.tallies.Put(key, t)
	return true
}
