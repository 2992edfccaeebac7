package verified

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
)

// digest is a keyed digest.
type digest = [sha256.Size]byte

// macs make keyed digests (HMAC-SHA256), for many at a time.
type macs struct{ pool sync.Pool }

func newMACs(key []byte) *macs {
	return &macs{sync.Pool{New: func() any { return &mac{hash: hmac.New(sha256.New, key)} }}}
}

// mac is an HMAC that was keyed before, with its buffers.
type mac struct {
	hash      hash.Hash
	text, sum []byte
}

// of returns the digest of a sequence of texts.
func (s *macs) of(texts ...string) (d digest) {
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
