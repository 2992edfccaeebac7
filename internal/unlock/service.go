package unlock

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"ldapd/internal/secret"
)

// Service opens and ends windows. Its errors are ErrRefused, ErrBusy, or any
// other, which says that it cannot be determined now.
type Service interface {
	// Unlock proves name, password and code, and opens a window for the
	// clients that are named. Without a code the user confirms a push.
	Unlock(ctx context.Context, r Request) (Window, error)
	// Lock ends all windows of a user and returns how many there were. It
	// takes what Unlock takes.
	Lock(ctx context.Context, r Request) (n int, err error)
}

var (
	// ErrRefused is the one answer for an unknown user, a wrong password and
	// a wrong code.
	ErrRefused = errors.New("user name, password or code is wrong")
	// ErrBusy says that there were too many attempts.
	ErrBusy = errors.New("too many attempts, try again in a minute")
)

// Request is who wants a window, or wants none any more. Code may be empty.
type Request struct {
	User           string // as it was typed
	Password, Code secret.String
	Clients        []string   // names from the configuration
	Client         netip.Addr // where the browser is
	Peer           netip.Addr // of the other end of the connection: Client, or the proxy that says so
}

// Window is a time in which the plain name and password suffice.
type Window struct {
	Username string // as the directory has it
	Clients  []string
	Until    time.Time
}
