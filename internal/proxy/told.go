package proxy

import (
	"net/netip"
	"sync"
	"time"
)

// Of a peer that goes on, the log has a line a minute. Beyond so many peers all
// others are one, so that nobody fills the memory or the log.
const (
	quiet = time.Minute
	peers = 256
)

// told remembers of whom the log has spoken lately.
type told struct {
	now func() time.Time

	mu   sync.Mutex
	last map[netip.Prefix]*line // by address, for IPv6 by /64; the zero key for all others
}

// line is the last one of a peer.
type line struct {
	at    time.Time
	since int // refusals that were not logged
}

// add says whether a refusal is to be logged, and how many of the peer were not
// since the last one that was.
func (t *told) add(peer netip.Addr) (since int, now bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.now()
	key := network(peer)
	l := t.last[key]
	if l == nil && len(t.last) >= peers {
		t.forget(at)
		if len(t.last) >= peers {
			key = netip.Prefix{}
			l = t.last[key]
		}
	}
	// A clock that was set back must not silence the log.
	if l != nil && at.Sub(l.at) < quiet && !at.Before(l.at) {
		l.since++
		return 0, false
	}
	if l != nil {
		since = l.since
	}
	if t.last == nil {
		t.last = map[netip.Prefix]*line{}
	}
	t.last[key] = &line{at: at}
	return since, true
}

// forget drops what is old.
func (t *told) forget(at time.Time) {
	for key, l := range t.last {
		if at.Sub(l.at) >= quiet {
			delete(t.last, key)
		}
	}
}

// network is the address, or for IPv6 what one customer has for himself.
func network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(a, bits).Masked()
}
