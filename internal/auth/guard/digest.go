package guard

import (
	"crypto/rand"
	"crypto/sha256"
	"strconv"

	"ldapd/internal/auth"
	"ldapd/internal/ldap"
	"ldapd/internal/recent"
	"ldapd/internal/secret"
)

// Key makes digests that nobody else can make: it is of this process, or
// shared by replicas. Copies are the same key.
type Key struct{ digests *secret.Digests }

// NewKey returns a key of this process.
func NewKey() Key {
	own := make([]byte, sha256.Size)
	rand.Read(own) // never fails
	return DeriveKey(own)
}

// DeriveKey returns a key that all share who have the same secret.
func DeriveKey(shared []byte) Key {
	key := sha256.Sum256(append([]byte("ldapd limits "), shared...))
	return Key{secret.NewDigests(key[:])}
}

// Digest stands for names and secrets in memory.
type Digest = recent.Digest

// Digest returns what stands for a sequence of texts.
func (k Key) Digest(parts ...string) (d Digest) {
	whole := k.digests.Of(parts...)
	copy(d[:], whole[:])
	return d
}

// Attempt returns what two attempts have in common if nothing tells them
// apart: the user, the secrets, and the address, which policies may look at.
func (k Key) Attempt(a auth.Attempt) Digest {
	return k.Digest("attempt", a.Account.Base, subject(a), a.Addr.String(), string(a.Password), string(a.Code),
		string(rune(a.CodeIn)), string(a.Cookie), strconv.FormatBool(a.Quiet))
}

// subject names who an attempt is for: the user, or the name that nobody has.
func subject(a auth.Attempt) string {
	if a.Known {
		return "user " + a.Account.UUID + " " + a.Account.Username
	}
	return "name " + string(ldap.Fold(nil, []byte(a.Name)))
}
