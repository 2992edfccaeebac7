package bind

import (
	"net/netip"
)

// Logins knows which login searches are open: Nextcloud looks a login name up
// on one connection and binds the user on another while the first one waits.
type Logins interface {
	// Open returns the login searches that found the user, from the address,
	// on connections that did nothing else since and served no granted bind.
	Open(client netip.Addr, base, user string) []Login
	// Take hands the code of a login search over, to one caller only. It is
	// false if the code was handed over before, or too old by now.
	Take(id uint64) bool
	// Return takes a code back that no flow has judged.
	Return(id uint64)
	// Served says that a bind was granted for a login search, which therefore
	// is no longer open.
	Served(id uint64)
}

// Login is a login search.
type Login struct {
	ID   uint64
	Name string // without the code, as the client wrote it
	Code Secret // empty: none
}
