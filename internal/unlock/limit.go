package unlock

import (
	"net/netip"
	"sync"
	"time"

	"ldapd/internal/fair"
)

// So many attempts of one address are let through in a minute, which begins
// with the first of them. Those that fail count at the service, too.
//
// As whom a proxy names is in its hand, its attempts count for itself, too:
// thirty addresses may do their most, or ten users a second open their windows,
// which they do once a month.
const (
	perAddress = 20
	perProxy   = 600
	window     = time.Minute
	maxTallies = 1 << 14 // about 2 MiB
)

// limiter counts the attempts of networks, see fair.Network. When the young
// tallies are half of the most there may be, the old ones go, and the young ones
// are old.
type limiter struct {
	mu         sync.Mutex
	young, old map[key]tally
}

// key is an address in one of its parts.
type key struct {
	netip.Prefix
	proxy bool // speaks for others
}

type tally struct {
	since time.Time
	n     int
}

// admit counts an attempt of an address, and of the peer if that speaks for it,
// unless one of them had too many.
func (l *limiter) admit(from, peer netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	client, proxy := key{Prefix: fair.Network(from)}, key{fair.Network(peer), true}
	n := l.tally(client, now)
	if n.n >= perAddress {
		return false
	}
	if peer != from {
		n := l.tally(proxy, now)
		if n.n >= perProxy {
			return false
		}
		l.count(proxy, n)
	}
	l.count(client, n)
	return true
}

// tally returns the attempts in the current minute.
func (l *limiter) tally(k key, now time.Time) tally {
	t, ok := l.young[k]
	if !ok {
		t = l.old[k]
	}
	// A clock that was set back must not stretch the window.
	if age := now.Sub(t.since); age < 0 || age >= window {
		t = tally{since: now}
	}
	return t
}

// count adds an attempt to a tally.
func (l *limiter) count(k key, t tally) {
	t.n++
	if l.young == nil || len(l.young) >= maxTallies/2 {
		l.young, l.old = map[key]tally{}, l.young
	}
	l.young[k] = t
}
