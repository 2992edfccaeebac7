package cache

import "time"

// tally counts within a window that began with the first.
type tally struct {
	last  [16]byte // secret that was added last
	n     uint64
	began time.Time
	until time.Time // when nobody asks for it any more
}

// within tells whether a window that began at some time is open. A clock that
// was far ahead once must not keep it open for ever.
func within(began, now time.Time, window time.Duration) bool {
	return now.Sub(began).Abs() < window
}

// add counts a secret. again says that it is what was added last, so that
// nothing changed.
func (t tally) add(secret [16]byte, now time.Time, window time.Duration) (next tally, again bool) {
	if t.n == 0 || !within(t.began, now, window) {
		return tally{last: secret, n: 1, began: now, until: now.Add(window)}, false
	}
	if secret == t.last && secret != [16]byte{} {
		return t, true
	}
	t.last, t.n = secret, t.n+1
	return t, false
}

func (t tally) count(now time.Time, window time.Duration) int {
	if t.n == 0 || !within(t.began, now, window) {
		return 0
	}
	return int(t.n)
}
