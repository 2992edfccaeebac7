package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
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
