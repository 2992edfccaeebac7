// Package guard stands before a backend, and before what is remembered of it:
// it joins what is the same, remembers denials for a moment, and bounds what
// anybody may try or have others do.
package guard

import (
	"ldapd/internal/fair"
	"net/netip"
	"time"
)

// maxCounted bounds the keys of each counter: about 10 MiB.
const maxCounted = 1 << 15

// minute is the window of everything that is counted by the minute.
const minute = time.Minute

// Network names who may be one customer: an address, or for IPv6 its /64.
func Network(a netip.Addr) string {
	n := fair.Network(a)
	if n.IsSingleIP() {
		return n.Addr().String()
	}
	return n.String()
}
