// Package fair shares what is bounded among networks, so that none of them
// takes all of it: places (connections), a budget (octets), turns (processor
// time) and lines of the log.
//
// All of it is safe for concurrent use, costs the same however much is taken,
// and keeps nothing of a network that has nothing.
package fair

import (
	"net"
	"net/netip"
)

// Network is whom an address counts for: an IPv4 address for itself, an IPv6
// address for its /64, of which a single customer has all. What is no address
// counts for the zero Prefix.
func Network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// NetworkOf is Network for the address of a socket.
func NetworkOf(a net.Addr) netip.Prefix {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return Network(tcp.AddrPort().Addr())
	}
	return netip.Prefix{}
}
