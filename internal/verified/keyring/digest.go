package keyring

import (
	"ldapd/internal/password"
	"ldapd/internal/secret"
)

// Digest is a keyed digest.
type Digest = secret.Digest

// Code returns the digest of a one-time code by the key of an id, and false if
// that key is not here.
func (r Ring) Code(id, base, user string, code secret.String) (d Digest, ok bool) {
	k := r.all[id]
	if k == nil {
		return Digest{}, false
	}
	return k.codes.Of(base, user, string(code)), true
}

// Scheme is a way to hash passwords slowly: by argon2id over an HMAC of the
// password. The salt is an HMAC, too, of the user. So the hashes that are kept
// of one user are compared by computing one, and computing one for somebody of
// whom there is none takes the same time.
type Scheme struct {
	Key  string // id of the key
	Cost password.Cost
}

// Scheme returns the one of new hashes.
func (r Ring) Scheme() Scheme { return Scheme{r.ID(), r.cost} }

// WithCost returns a ring of the same keys whose new hashes have another cost
// than password.NewCost.
func (r Ring) WithCost(c password.Cost) Ring {
	r.cost = c
	return r
}

// Password hashes a password, slowly. The key of the scheme must be here, and
// its cost valid.
func (r Ring) Password(s Scheme, base, user string, text secret.String) (d Digest) {
	by := r.all[s.Key].passwords
	salt := by.Of("salt", base, user)
	mac := by.Of("password", base, user, string(text))
	copy(d[:], s.Cost.Key(mac[:], salt[:], len(d)))
	return d
}
