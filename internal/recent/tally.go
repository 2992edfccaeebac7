package recent

import "time"

// Tally is how many of something came within a window of time, which begins
// with the first of them.
type Tally struct {
	since time.Time
	n     int
}

// N returns how many came.
func (t Tally) N() int { return t.n }

// At returns the tally as of now: an empty one if the window is over. A clock
// that was set back must not stretch the window.
func (t Tally) At(now time.Time, window time.Duration) Tally {
	if age := now.Sub(t.since); age < 0 || age >= window {
		return Tally{since: now}
	}
	return t
}

// More returns the tally with one more.
func (t Tally) More() Tally { return Tally{t.since, t.n + 1} }
