// Package verified keeps verified binds: which password was right for whom,
// with which second factor, and when that was proved last. What is kept
// answers a bind in microseconds, through restarts and while the backend
// cannot be reached. When it may do that is the business of package bind.
package verified

import (
	"time"

	"ldapd/internal/secret"
)

// User names a user of a tree.
type User struct {
	Base string // base DN of the tree, as the backend writes it
	UUID string
}

// Record is all that was proved of one user. Records and what they refer to
// are immutable once they are in a Book.
type Record struct {
	Username    string       // for lists
	Credentials []Credential // the one proved last comes first
}

// Credential is a password that was right.
type Credential struct {
	ID     string // unique within the record, for as long as it exists
	Search bool   // may read the whole directory

	// Factored says that the password alone is not enough: the last flow that
	// could tell asked for a second factor.
	Factored bool
	// Doubt says that the password may be wrong by now, so it must be proved
	// before it answers again: another one was right in the meantime.
	Doubt bool

	// What auth.Stamper said of the user when it was proved.
	PasswordStamp, FactorStamp string

	First  time.Time // proved for the first time
	Proved time.Time // by a flow or hash, the last time
	Told   time.Time // known to be good by flow, session or directory, the last time

	Session *Session // left at the backend by the last flow; nil: none
	Proofs  []Proof  // of the second factor
	Places  []string // clients where it was granted, the latest first

	*verifier // of the password
}

// Session is what a flow left at the backend.
type Session struct {
	Hash   string        // by which the backend names it; may be empty
	Begin  time.Time     // of the flow
	End    time.Time     // zero: not known
	State  secret.String // opaque; encrypted at rest
	Asked  time.Time     // when access was asked for with it, the last time
	Client string        // address that it was made for
}

// Way says how the second factor came.
type Way string

const (
	ByName     Way = "name"     // a code behind the login name
	ByPassword Way = "password" // a code behind the password
	ByItself   Way = "itself"   // the password is the code, too
	ByPush     Way = "push"     // the user confirmed a push
	ByUnlock   Way = "unlock"   // the user opened a window for a client
)

// Proof is a second factor that was proved with the password.
type Proof struct {
	ID     string // unique within the credential
	Way    Way
	Code   Code   // the code that it was proved with; zero: none
	Client string // name or address of the client it was proved for
	// Home is where the code is good: at the account that searched for the
	// login name, or else at the client. Empty: it was proved before homes were
	// kept, and is good everywhere.
	Home   string
	Factor string // totp, static, duo; none: the user had none to prove

	At    time.Time
	Until time.Time // of a window; zero: as the configuration says

	// Cookie is what the backend remembers the factor by; encrypted at rest.
	// Empty: it remembers nothing.
	Cookie secret.String
	Asked  time.Time // when the backend was asked with the cookie, the last time
	Used   time.Time // when it admitted a bind, as of some hours ago; zero: not since it was made
}

// Code is a keyed digest of a one-time code of a user.
type Code struct {
	Key string // id of the key; empty: there is no code
	Sum [32]byte
}

// Is reports, in constant time, that the digest is one of those of a code.
func (c *Code) Is(codes []Code) bool {
	for i := range codes {
		if c.Key != "" && codes[i].Key == c.Key {
			return equal(&codes[i].Sum, &c.Sum)
		}
	}
	return false
}
