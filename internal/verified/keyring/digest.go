package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"

	"ldapd/internal/password"
	"ldapd/internal/secret"
)

// Digest is a keyed digest.
type Digest = [sha256.Size]byte

// Digests makes keyed digests (HMAC-SHA256), for many at a time.
type Digests struct{ pool sync.Pool }

// NewDigests makes digests by a key.
func NewDigests(key []byte) *Digests {
	return &Digests{sync.Pool{New: func() any { return &mac{hash: hmac.New(sha256.New, key)} }}}
}

// mac is an HMAC that was keyed before, with its buffers.
type mac struct {
	hash      hash.Hash
	text, sum []byte
}

// Of returns the digest of a sequence of texts.
func (s *Digests) Of(texts ...string) (d Digest) {
	m := s.pool.Get().(*mac)
	for _, t := range texts {
		m.text = binary.BigEndian.AppendUint32(m.text, uint32(len(t)))
		m.text = append(m.text, t...)
	}
	m.hash.Write(m.text)
	m.sum = m.hash.Sum(m.sum[:0])
	copy(d[:], m.sum)
	clear(m.text)
	m.text = m.text[:0]
	m.hash.Reset() // it holds the end of the text
	s.pool.Put(m)
	return d
}

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
