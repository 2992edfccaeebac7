package bind

import (
	"ldapd/internal/directory"
	"ldapd/internal/verified"
)

// MaySearch reports whether who is bound may read the whole directory now: the
// right may have been given or withdrawn since the bind.
func (p *Pipeline) MaySearch(id *Identity) bool {
	if p.rights != nil {
		a := directory.Account{UUID: id.UUID, Username: id.Username, DN: id.Entry, Base: id.Base, Active: true}
		if may, known := p.rights.MaySearch(a); known {
			return may
		}
	}
	if p.Book != nil {
		if may, known := p.Book.MaySearch(verified.User{Base: id.Base, UUID: id.UUID}); known {
			return may
		}
	}
	return id.Search
}
