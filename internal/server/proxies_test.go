package server

import (
	"errors"
	"net/netip"
	"testing"

	"ldapd/internal/fair"
)

// A proxy is forgotten with the last of its connections, also if those lost
// their places, or were refused.
func TestProxiesAreForgotten(t *testing.T) {
	network := func(s string) netip.Prefix { return fair.Network(netip.MustParseAddr(s)) }
	p := newProxies(Limits{Connections: 5, ConnectionsPerAddress: 2})
	displaced := 0
	var all []*crossing
	for _, peer := range []string{"192.0.2.1", "192.0.2.2"} {
		for _, client := range []string{"10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.3"} {
			c, err := p.enter(network(peer), network(client), func() bool { displaced++; return true })
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
	}
	if displaced != 2 || len(p.of) != 2 {
		t.Errorf("%d displaced, %d proxies", displaced, len(p.of))
	}
	for _, c := range all {
		c.end()
	}
	held := newProxies(Limits{Connections: 1, ConnectionsPerAddress: 1})
	c, err := held.enter(network("192.0.2.1"), network("10.0.0.1"), func() bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	c.Hold()
	if _, err := held.enter(network("192.0.2.1"), network("10.0.0.2"), nil); !errors.Is(err, fair.ErrFull) {
		t.Errorf("one more: %v", err)
	}
	c.end()
	if len(p.of) != 0 || len(held.of) != 0 {
		t.Errorf("%d and %d proxies are left", len(p.of), len(held.of))
	}
}
