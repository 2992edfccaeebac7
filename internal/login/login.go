// Package login knows login searches, and joins the two halves of a login
// through Nextcloud, which come on two connections from one address: a login
// search on that of the service account, and then, on a new one, the bind of
// the user whom the search found. While that bind is in flight, the first
// connection is still there and has done nothing since its login search but
// base reads of that user's entry. So no time decides what belongs together.
package login

import (
	"net/netip"
	"time"

	"ldapd/internal/ldap"
	"ldapd/internal/secret"
)

// Times of what is known of logins.
const (
	// codeLife is how long after its login search a code may be handed over.
	codeLife = 30 * time.Second
	// freshFor is how long ago a login search may be whose bind is on its way.
	// Nextcloud binds within milliseconds; a connection that lingers, since
	// PHP slows a guesser down, has no bind to come.
	freshFor = time.Second
	// refusedFor is how long a login is remembered by which a wrong password
	// came, and goodFor one that was granted.
	refusedFor = 30 * time.Second
	goodFor    = 24 * time.Hour
	// strayFor is how long a user is remembered whose right password came
	// without a login: by a program that remembers what it found for a name,
	// or by somebody who waits for a login to be on its way.
	strayFor = 7 * 24 * time.Hour
	// leftFor is how long those are remembered one by one. No bind waits longer.
	leftFor = 30 * time.Second
)

// Hold is how long a bind waits whose login may be somebody else's.
const Hold = 500 * time.Millisecond

// maxMarks bounds what is remembered of logins and users: about 4 MiB each.
const maxMarks = 1 << 14

// Login is an open login search.
type Login struct {
	ID       uint64
	Name     string        // without the code, as the client wrote it
	Code     secret.String // empty: none
	Searcher string        // UUID of the account that searched
	Fresh    bool          // its bind may be on its way
}

// Same reports that two searches are for one login.
func (l Login) Same(other Login) bool { return l.mark() == other.mark() }

func (l Login) mark() mark {
	return mark{name: string(ldap.Fold(nil, []byte(l.Name))), code: l.Code, searcher: l.Searcher}
}

// mark tells logins apart.
type mark struct {
	name     string
	code     secret.String
	searcher string
}

// user is whose bind, from where, a login search waits for.
type user struct {
	client     netip.Addr
	base, uuid string
}
