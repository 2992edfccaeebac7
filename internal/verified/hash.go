package verified

import (
	"crypto/subtle"
	"sync/atomic"

	"ldapd/internal/password"
	"ldapd/internal/secret"
)

// scheme is a way to hash passwords slowly: by argon2id over an HMAC of the
// password. The salt is an HMAC, too, of the user. So the hashes that are kept
// of one user are compared by computing one, and computing one for somebody of
// whom there is none takes the same time.
type scheme struct {
	key  string // its id
	cost password.Cost
}

// scheme returns the one of new hashes.
func (k Keys) scheme() scheme { return scheme{k.current.id, k.cost} }

// hash hashes a password. The key of the scheme must be among the keys.
func (k Keys) hash(s scheme, of User, text secret.String) (d digest) {
	macs := k.all[s.key].passwords
	salt := macs.of("salt", of.Base, of.UUID)
	mac := macs.of("password", of.Base, of.UUID, string(text))
	copy(d[:], s.cost.Key(mac[:], salt[:], len(d)))
	return d
}

// verifier recognises the password of a credential, slowly, and fast once it
// was recognised or made in this process.
type verifier struct {
	scheme
	slow digest
	fast atomic.Pointer[digest] // by a key of this process; nil: not known yet
}

// cold reports that only the slow way is there.
func (v *verifier) cold() bool { return v.fast.Load() == nil }

func (v *verifier) isFast(d *digest) bool {
	f := v.fast.Load()
	return f != nil && equal(f, d)
}

func equal(a, b *digest) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }
