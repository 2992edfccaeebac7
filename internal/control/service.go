// Package control is how commands talk to the running server: HTTP on a Unix
// socket in the state directory, which only its owner and root can open.
package control

import (
	"context"
	"time"

	"ldapd/internal/unlock"
)

// Service is what the server does for commands.
type Service interface {
	// List returns the verified binds, sorted by user.
	List(ctx context.Context) ([]Bind, error)
	// Revoke ends the verified binds of a user and returns how many there
	// were. The user is a user name, in any case, or a UUID.
	Revoke(ctx context.Context, user string) (n int, err error)
	// RevokeAll is Revoke for all users, also for those whose verified binds
	// are not known here.
	RevokeAll(ctx context.Context) (n int, err error)
	// Forgive has codes of a user compared again, after so many wrong ones that
	// no more were, and returns how many are forgotten. The user is named as
	// for Revoke, which does it as well. Other replicas know within a minute.
	Forgive(ctx context.Context, user string) (n int, err error)
	// Unlock is unlock.Service's.
	Unlock(ctx context.Context, r unlock.Request) (unlock.Window, error)
	Status(ctx context.Context) (Status, error)
}

// Bind is a verified bind: a user with one password. It holds no secrets.
type Bind struct {
	User     string  `json:"user"`
	UUID     string  `json:"uuid"`
	Base     string  `json:"base"`     // base DN
	Factored bool    `json:"factored"` // the password alone is not enough
	Doubt    bool    `json:"doubt"`    // has to be proved before it answers again
	Proofs   []Proof `json:"proofs"`   // of the second factor

	First  time.Time `json:"first"`          // proved for the first time
	Proved time.Time `json:"proved"`         // proved by the backend, the last time
	Told   time.Time `json:"told"`           // known to be good, the last time
	Until  time.Time `json:"until,omitzero"` // the factor is asked for again; zero: never
}

// Proof is a second factor that was proved.
type Proof struct {
	Way    string    `json:"way"`              // name, password, itself, push, unlock
	Factor string    `json:"factor,omitempty"` // totp, static, duo
	Client string    `json:"client"`           // name or address
	At     time.Time `json:"at"`
	Until  time.Time `json:"until,omitzero"` // zero: as long as the bind
}

// Status is how the server does. It names no users, but those whose password
// somebody has who tries codes.
type Status struct {
	Version       string    `json:"version"`
	Since         time.Time `json:"since"`     // the server runs
	Directory     string    `json:"directory"` // what is served, in words
	Store         string    `json:"store"`     // bolt, memory, postgres
	StoreError    string    `json:"store_error,omitempty"`
	VerifiedUsers int       `json:"verified_users"`
	// GoodAnywhere are those of them with a remembered code that was proved by
	// a release which did not keep where: it is good at every client.
	GoodAnywhere int         `json:"good_anywhere,omitempty"`
	Undecided    []Undecided `json:"undecided"`
	Warnings     []string    `json:"warnings"` // each says what to do
}

// Undecided counts the binds with the right password that could not be paired
// with a login, and so were answered 52.
type Undecided struct {
	Client string    `json:"client"` // name or address
	Count  uint64    `json:"count"`  // since the server runs
	Last   time.Time `json:"last"`
	Remedy string    `json:"remedy"`
}
