package unlock

import (
	"net/netip"
	"sync"
	"time"

	"ldapd/internal/fair"
)

// So many attempts of one address are let through in a minute, which begins
// with the first of them. Those that fail count at the service, too.
const (
	perAddress = 20
	window     = time.Minute
	maxTallies = 1 << 14 // about 2 MiB
)

// limiter counts the attempts of networks, see fair.Network. When the young tallies are half of
// the most there may be, the old ones go, and the young ones are old.
type limiter struct {
	mu         sync.Mutex
	young, old map[netip.Prefix]tally
}

type tally struct {
	since time.Time
	n     int
}

// admit counts an attempt, unless there were too many.
func (l *limiter) admit(from netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	network := fair.Network(from)
	t, ok := l.young[network]
	if !ok {
		t = l.old[network]
	}
	// A clock that was set back must not stretch the window.
	if age := now.Sub(t.since); age < 0 || age >= window {
		t = tally{since: now}
	}
	if t.n >= perAddress {
		return false
	}
	t.n++
	if l.young == nil || len(l.young) >= maxTallies/2 {
		l.young, l.old = map[netip.Prefix]tally{}, l.young
	}
	l.young[network] = t
	return true
}
