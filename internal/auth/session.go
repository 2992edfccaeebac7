package auth

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"ldapd/internal/directory"
)

// Session is what a bind left at the backend.
type Session struct {
	Hash  string    // by which the backend names it when it ends; may be empty
	End   time.Time // zero: the backend named none
	State Secret    // what the backend needs to use the session again
}

// ErrSessionGone says that a session is over, which says nothing of the user.
var ErrSessionGone = errors.New("the session is over")

// SessionKeeper is an Authenticator that leaves sessions at a backend. Base is
// that of the user's tree.
type SessionKeeper interface {
	// Access asks whether the user may still use the application, and whether
	// he may read the whole directory. It returns a *Denied if he may not use
	// it, ErrSessionGone if the session is over, and any other error if that
	// could not be determined.
	Access(ctx context.Context, base string, s Session, client netip.Addr) (search bool, err error)
	// EndSession ends a session if there is a way.
	EndSession(ctx context.Context, base string, s Session, client netip.Addr) error
}

// Stamper is an Authenticator that knows when credentials change.
type Stamper interface {
	// Stamps returns two texts: the first changes when the user's password
	// does, the second when the second factor does. Both may be empty. It is
	// called for each bind.
	Stamps(a directory.Account) (password, factor string)
}

// Rights is an Authenticator that knows at any moment who may read the whole
// directory.
type Rights interface {
	// MaySearch says so without I/O; it is called for each search. known is
	// false for a user of whom only a bind tells.
	MaySearch(a directory.Account) (may, known bool)
}
