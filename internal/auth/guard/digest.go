package guard

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strconv"
	"sync"

	"ldapd/internal/auth"
	"ldapd/internal/ldap"
	"ldapd/internal/recent"
)

// Key makes digests that nobody else can make: it is of this process, or
// shared by replicas. Copies are the same key.
type Key struct{ macs *sync.Pool } // of *mac

// mac is an HMAC that was keyed before, with its buffers.
type mac struct {
	hash      hash.Hash
	text, sum []byte
}

// NewKey returns a key of this process.
func NewKey() Key {
	secret := make([]byte, sha256.Size)
	rand.Read(secret) // never fails
	return DeriveKey(secret)
}

// DeriveKey returns a key that all share who have the same secret.
func DeriveKey(secret []byte) Key {
	key := sha256.Sum256(append([]byte("ldapd limits "), secret...))
	return Key{&sync.Pool{New: func() any { return &mac{hash: hmac.New(sha256.New, key[:])} }}}
}

// Digest stands for names and secrets in memory.
type Digest = recent.Digest

// Digest returns what stands for a sequence of texts.
func (k Key) Digest(parts ...string) (d Digest) {
	m := k.macs.Get().(*mac)
	for _, p := range parts {
		m.text = binary.BigEndian.AppendUint64(m.text, uint64(len(p)))
		m.text = append(m.text, p...)
	}
	m.hash.Write(m.text)
	m.sum = m.hash.Sum(m.sum[:0])
	copy(d[:], m.sum)
	clear(m.text)
	m.text = m.text[:0]
	m.hash.Reset() // it holds the end of the text
	k.macs.Put(m)
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
