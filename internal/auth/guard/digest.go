package guard

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"ldapd/internal/auth"
	"ldapd/internal/ldap"
	"ldapd/internal/recent"
)

// Key makes digests that nobody else can make: it is of this process, or
// shared by replicas.
type Key [32]byte

// NewKey returns a key of this process.
func NewKey() (k Key) {
	rand.Read(k[:]) // never fails
	return k
}

// DeriveKey returns a key that all share who have the same secret.
func DeriveKey(secret []byte) Key {
	return Key(sha256.Sum256(append([]byte("ldapd limits "), secret...)))
}

// Digest stands for names and secrets in memory.
type Digest = recent.Digest

// Digest returns what stands for a sequence of texts.
func (k *Key) Digest(parts ...string) (d Digest) {
	mac := hmac.New(sha256.New, k[:])
	var size [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(size[:], uint64(len(p)))
		mac.Write(size[:])
		mac.Write([]byte(p))
	}
	var sum [sha256.Size]byte
	copy(d[:], mac.Sum(sum[:0]))
	return d
}

// Attempt returns what two attempts have in common if nothing tells them
// apart: the user, the secrets, and the address, which policies may look at.
func (k *Key) Attempt(a auth.Attempt) Digest {
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
