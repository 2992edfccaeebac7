// Package peer says whom an address stands for.
package peer

import "net/netip"

// Network returns what one customer of a provider has for himself: an IPv4
// address, or the /64 of an IPv6 address, in which he may take as many
// addresses as he likes. An IPv4 address that is written as an IPv6 one is an
// IPv4 address, and zones do not count. The zero Addr is of the zero Prefix.
func Network(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil { // the zero Addr has no networks
		return netip.Prefix{}
	}
	return p
}
