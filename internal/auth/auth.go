// Package auth says what a backend is: what it is asked, and the three answers
// that it may give. A credential is granted, it is denied, or that cannot be
// determined. They are kept apart because clients act on them: Nextcloud ends
// all sessions of a user whose bind was denied, and waits when it could not be
// determined.
package auth

import (
	"context"
	"net/netip"

	"ldapd/internal/directory"
	"ldapd/internal/secret"
)

// Authenticator proves a credential.
type Authenticator interface {
	// Authenticate grants only what it checked: a password that somebody
	// compared, and the factor that was asked for. It returns a *Denied if the
	// credential is wrong or the user may not bind, a *Limited if it was asked
	// too often, and any other error if that could not be determined. It takes
	// the same time whatever it is denied for, also for a user who is not known.
	Authenticate(ctx context.Context, a Attempt) (Granted, error)
}

// Attempt is one reading of a credential.
type Attempt struct {
	Name    string            // the login name as the client wrote it, without a code
	Account directory.Account // if not Known, at most the Base; without that it is no DN of a user
	Known   bool              // the directory has the user

	Password Secret
	Code     Secret // empty: none
	CodeIn   CodeIn

	Addr netip.Addr // of the client; the zero value counts as one address
	// Home says that the attempt comes from where the user was granted before,
	// so that what strangers do elsewhere is not held against it.
	Home bool

	// Of a bind that was right before, and is asked about again.
	Cookie Secret // Granted.Cookie of that bind; empty: none
	Quiet  bool   // nobody is there to confirm a push: deny with CodeMissing instead
}

// CodeIn says where the code stood.
type CodeIn uint8

const (
	NoCode     CodeIn = iota
	InPassword        // behind the password: this may be a reading of what is no code at all
	InUsername        // behind the login name
)

// Granted is what the authenticator says of a right credential.
type Granted struct {
	// Username is who was proved, if the name is no username: authentik may
	// know a user by an address as well. Empty: the user of the attempt.
	Username string
	Search   bool // may read the whole directory
	Source   Source
	Factor   Factor // that was asked for and proved now
	// Once says that what was taken for the password is a code that is good
	// once. Remembered, it could be guessed.
	Once bool

	Session *Session // left behind at the backend; nil: none
	Cookie  Secret   // with it the backend asks for no factor for a while; empty: none
}

// Source says what a bind was granted from, in log and metric.
type Source string

const (
	SourceHash   Source = "hash"   // the password hash was computed
	SourceMemory Source = "memory" // it is a verified bind
	SourceFlow   Source = "flow"   // authentik ran its flow
)

// Factor is the second factor that was proved, in log and metric.
type Factor string

const (
	FactorNone   Factor = "none"
	FactorTOTP   Factor = "totp"
	FactorStatic Factor = "static" // a code from a list
	FactorDuo    Factor = "duo"    // a push that the user confirmed
)

// Secret is a credential; it prints as ***.
type Secret = secret.String
