// Package guard stands before a backend, and before what is remembered of it:
// it joins what is the same, remembers denials for a moment, and bounds what
// anybody may try or have others do.
package guard

import (
	"net/netip"
	"time"
)

// maxCounted bounds the keys of each counter: about 10 MiB.
const maxCounted = 1 << 15

// minute is the window of everything that is counted by the minute.
const minute = time.Minute

// addressKey returns the address, or for IPv6 the network that one customer
// has for himself.
func addressKey(a netip.Addr) string {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// Network names who may be one customer: the address, or for IPv6 its /64.
func Network(a netip.Addr) string { return addressKey(a) }
