package bind

import (
	"net/netip"
	"slices"

	"ldapd/internal/auth"
	"ldapd/internal/ldap"
)

// Logins knows which login searches are open: Nextcloud looks a login name up
// on one connection and binds the user on another while the first one waits.
type Logins interface {
	// Open returns the login searches that found the user, from the address,
	// on connections that did nothing else since, less one for each granted
	// bind that they served. Of those for the same login it does not matter
	// which.
	Open(client netip.Addr, base, user string) []Login
	// Take hands the code of a login search over, to one caller only. It is
	// false if the code was handed over before, or too old by now.
	Take(id uint64) bool
	// Return takes a code back that no flow has judged.
	Return(id uint64)
	// Served says that a bind is granted for a login search, or another one
	// for the same login, which therefore is no longer open. It is false if
	// there is none.
	Served(id uint64) bool
}

// Login is a login search.
type Login struct {
	ID   uint64
	Name string      // without the code, as the client wrote it
	Code auth.Secret // empty: none
}

// Same reports that two searches are for one login.
func (l Login) Same(other Login) bool {
	fold := func(s string) string { return string(ldap.Fold(nil, []byte(s))) }
	return l.Code == other.Code && fold(l.Name) == fold(other.Name)
}

// look finds the login searches that the bind may belong to.
func (p *Pipeline) look(b *login) {
	if p.Logins != nil && b.known && !b.looked {
		b.open, b.looked = p.Logins.Open(b.req.Addr, b.account.Base, b.account.UUID), true
	}
}

// several reports that the bind may belong to logins that differ.
func (b *login) several() bool {
	return slices.ContainsFunc(b.open, func(l Login) bool { return !l.Same(b.open[0]) })
}

// pair gives the code of the login search that the bind belongs to, to the
// readings without one. It returns the search if it did.
func (p *Pipeline) pair(b *login) (taken uint64, ok bool) {
	if !p.CodeInUsername {
		return 0, false
	}
	if p.look(b); len(b.open) == 0 || b.open[0].Code == "" || b.several() {
		return 0, false
	}
	if b.code == "" {
		b.code = b.open[0].Code // taken before or not, the limits tell guesses apart by it
	}
	for _, l := range b.open {
		if !p.Logins.Take(l.ID) {
			continue
		}
		for i := range b.readings {
			if r := &b.readings[i]; r.CodeIn == auth.NoCode {
				r.Code, r.CodeIn = l.Code, auth.InUsername
			}
		}
		return l.ID, true
	}
	return 0, false
}

// served closes the login search that a granted bind belongs to. It is false
// if there is none, or another bind was faster.
func (p *Pipeline) served(b *login) bool {
	return slices.ContainsFunc(b.open, func(l Login) bool { return p.Logins.Served(l.ID) })
}
