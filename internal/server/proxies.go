package server

import (
	"fmt"
	"net"
	"net/netip"
	"sync"

	"ldapd/internal/fair"
	"ldapd/internal/proxy"
)

// proxies are those who speak for others. As whom a proxy names is in its hand,
// it has places of its own, too: four fifths of all, as it may stand before
// nearly all clients. The rest is for who comes directly, or by another one.
type proxies struct {
	most, each int // places of a proxy, and of a network behind it

	mu sync.Mutex
	of map[netip.Prefix]*crossings // those with connections
}

// crossings are the connections by way of one proxy.
type crossings struct {
	places *fair.Places
	n      int
}

// crossing is one of them.
type crossing struct {
	*fair.Place
	proxies *proxies
	peer    netip.Prefix
}

func newProxies(l Limits) *proxies {
	return &proxies{
		most: l.Connections - l.Connections/5,
		each: l.ConnectionsPerAddress,
		of:   make(map[netip.Prefix]*crossings),
	}
}

// enter takes one of the peer's places for a network, see fair.Places.
func (p *proxies) enter(peer, network netip.Prefix, yield func() bool) (*crossing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.of[peer]
	if all == nil {
		all = &crossings{places: fair.NewPlaces(p.most, p.each)}
	}
	place, err := all.places.Enter(network, yield)
	if err != nil {
		return nil, err
	}
	all.n++
	p.of[peer] = all
	return &crossing{place, p, peer}, nil
}

// end gives up the place. It is called once.
func (c *crossing) end() {
	p := c.proxies
	p.mu.Lock()
	defer p.mu.Unlock()
	c.Leave()
	all := p.of[c.peer]
	if all.n--; all.n == 0 {
		delete(p.of, c.peer)
	}
}

// enter takes a place for a connection that was accepted. Until identify knows
// better, the peer is the client: whoever owes a PROXY header counts for the
// proxy.
func (c *Conn) enter() (err error) {
	peer := proxy.Peer(c.raw)
	c.peer = peer.Addr()
	c.from(peer)
	c.place, err = c.srv.places.Enter(c.network, c.yield)
	return err
}

// identify finds out who the client is, and counts the connection for him, and
// for the proxy that says so. It waits for the PROXY header of a trusted peer,
// which has a deadline of its own.
func (c *Conn) identify() error {
	if a, ok := c.raw.RemoteAddr().(*net.TCPAddr); ok {
		c.from(a.AddrPort())
	}
	if err := c.place.Move(c.network); err != nil {
		return err
	}
	if c.peer == c.addr.Addr().WithZone("") {
		return nil
	}
	behind, err := c.srv.proxies.enter(fair.Network(c.peer), c.network, c.yield)
	if err != nil {
		return fmt.Errorf("%w, by way of %s", err, c.peer)
	}
	c.behind = behind
	return nil
}

// from notes whose connection it is.
func (c *Conn) from(client netip.AddrPort) {
	c.addr = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
	c.network = fair.Network(c.addr.Addr())
}

// hold keeps the places of the connection, as far as that is possible.
func (c *Conn) hold() {
	c.place.Hold()
	if c.behind != nil {
		c.behind.Hold()
	}
}

// loosen lets others have them.
func (c *Conn) loosen() {
	c.place.Loosen()
	if c.behind != nil {
		c.behind.Loosen()
	}
}

// leave gives them up.
func (c *Conn) leave() {
	c.place.Leave()
	if c.behind != nil {
		c.behind.end()
	}
}
