// Package policy decides what a bind is answered with, from what is remembered
// of its password, what was presented, which login searches are open, the
// rules and the time. It does no I/O and has no clock: whoever asks obeys.
package policy

import (
	"strings"
	"time"

	"ldapd/internal/verified"
)

// Rules are those of the configuration.
type Rules struct {
	Reprove  time.Duration // since the last proof: then it is proved again
	Access   time.Duration // between two questions for access; 0: none
	StaleFor time.Duration // since it was last known to be good: then it does not answer
	MaxAge   time.Duration // since the factor was proved, or the password of who has none

	Scope    Scope
	Remember time.Duration // of a factor that the backend does not remember
	// CodeInUsername says that a code may stand behind the login name, so that
	// login searches may bring one.
	CodeInUsername bool
}

// Scope is what a second factor that was proved admits.
type Scope string

const (
	ScopeLogin  Scope = "login"  // the same login name, with its code, and password
	ScopeClient Scope = "client" // the password, from the same client
	ScopeUser   Scope = "user"   // the password, from anywhere
	ScopeOff    Scope = "off"    // nothing
)

// Until returns when a proof expires. What the backend remembers, it also
// forgets. Nothing outlives MaxAge.
func (r *Rules) Until(f *verified.Proof) time.Time {
	until := f.At.Add(r.MaxAge)
	switch {
	case !f.Until.IsZero():
		return earlier(f.Until, until)
	case f.Cookie != "":
		return until
	}
	return earlier(f.At.Add(r.Remember), until)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// HomeAt returns where a code is good that stood in a bind: at the client.
func HomeAt(client string) string { return "at " + client }

// HomeOfSearch returns where a code is good that came by a login search: at the
// account that searched, wherever it does. Its password is a secret, an
// address is not.
func HomeOfSearch(searcher string) string { return "search " + searcher }

// Searcher returns the account that searched, if that is what a home is.
func Searcher(home string) (searcher string, ok bool) { return strings.CutPrefix(home, "search ") }
