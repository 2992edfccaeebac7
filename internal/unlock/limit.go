package unlock

import (
	"net/netip"
	"sync"
	"time"

	"ldapd/internal/fair"
	"ldapd/internal/recent"
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

// limiter counts the attempts of networks, see fair.Network. It forgets those
// that tried least recently.
type limiter struct {
	mu      sync.Mutex
	tallies recent.Map[key, recent.Tally]
}

// key is an address in one of its parts.
type key struct {
	netip.Prefix
	proxy bool // speaks for others
}

func newLimiter() *limiter {
	return &limiter{tallies: recent.NewMap[key, recent.Tally](maxTallies)}
}

// admit counts an attempt of an address, and of the peer if that speaks for it,
// unless one of them had too many.
func (l *limiter) admit(from, peer netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	client, proxy := key{Prefix: fair.Network(from)}, key{fair.Network(peer), true}
	byClient := l.tally(client, now)
	if byClient.N() >= perAddress {
		return false
	}
	if peer != from {
		byProxy := l.tally(proxy, now)
		if byProxy.N() >= perProxy {
			return false
		}
		l.tallies.Put(proxy, byProxy.More())
	}
	l.tallies.Put(client, byClient.More())
	return true
}

// tally returns the attempts in the current minute.
func (l *limiter) tally(k key, now time.Time) recent.Tally {
	t, _ := l.tallies.Get(k)
	return t.At(now, window)
}
