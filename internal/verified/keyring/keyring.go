// Package keyring holds the keys that verified binds are kept with: it seals
// what goes into a store, and makes digests of passwords and codes that tell
// nothing without a key. What it seals and digests is not its business.
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"ldapd/internal/password"
	"ldapd/internal/secret"
)

// KeySize is the size of a key, in bytes.
const KeySize = secret.KeySize

// Ring is the keys that a store is read and written with; the zero one has
// none. Everything is written with the current one. What was written with an
// old one can be read for as long as that is here, and is written with the
// current one when it changes next:
//
//   - the value of a user at the next change,
//   - the hash of a password when it is proved next,
//   - the digest of a code never, so an old key is of use for as long as a
//     factor is remembered.
//
// Replicas that share a store must all know a key before one of them writes
// with it: add it to the old keys of each first.
type Ring struct {
	current *key
	all     map[string]*key // by id
	old     []*key          // in the order given
	cost    password.Cost   // of new hashes
}

// key is what was derived from one key.
type key struct {
	id        string // in hex
	secret    []byte // all others are derived from it
	check     []byte // another for each key, for a store to remember
	passwords *secret.Digests
	codes     *secret.Digests
	seal      cipher.AEAD
}

// Parse reads keys, each 32 bytes in hex or base64. The error does not hold
// them.
func Parse(current string, old []string) (Ring, error) {
	k, err := parseKey(current)
	if err != nil {
		return Ring{}, fmt.Errorf("key: %w", err)
	}
	ring := Ring{current: k, all: map[string]*key{k.id: k}, cost: password.NewCost()}
	for i, text := range old {
		o, err := parseKey(text)
		if err != nil {
			return Ring{}, fmt.Errorf("old key %d: %w", i+1, err)
		}
		if ring.all[o.id] == nil {
			ring.all[o.id] = o
			ring.old = append(ring.old, o)
		}
	}
	return ring, nil
}

func parseKey(text string) (*key, error) {
	raw, err := secret.ParseKey(text)
	if err != nil {
		return nil, err
	}
	return newKey(raw)
}

func newKey(raw []byte) (*key, error) {
	var derived [5][]byte
	for i, purpose := range []string{"id", "passwords", "codes", "seal", "check"} {
		var err error
		if derived[i], err = derive(raw, purpose); err != nil {
			return nil, err
		}
	}
	block, err := aes.NewCipher(derived[3])
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return &key{
		id: hex.EncodeToString(derived[0][:idSize]), secret: raw, check: derived[4],
		passwords: secret.NewDigests(derived[1]), codes: secret.NewDigests(derived[2]), seal: seal,
	}, nil
}

// derive returns a key for one purpose (RFC 5869).
func derive(secret []byte, purpose string) ([]byte, error) {
	k, err := hkdf.Key(sha256.New, secret, nil, "ldapd verified binds: "+purpose, KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	return k, nil
}

// IDs returns the names of all keys, in no order.
func (r Ring) IDs() []string { return slices.Collect(maps.Keys(r.all)) }

// ID returns a name for the current key that tells nothing about it; it is
// empty if there is none.
func (r Ring) ID() string {
	if r.current == nil {
		return ""
	}
	return r.current.id
}

// Check returns a value that is another for each key and tells nothing
// about it, for a store to remember which key it was written with.
func (r Ring) Check() []byte {
	if r.current == nil {
		return nil
	}
	return slices.Clone(r.current.check)
}

// OldChecks returns what Check was when the old keys were current.
func (r Ring) OldChecks() [][]byte {
	var all [][]byte
	for _, o := range r.old {
		all = append(all, slices.Clone(o.check))
	}
	return all
}

// Derive returns a key of 32 bytes for another purpose, which all that have
// the same current key share.
func (r Ring) Derive(purpose string) ([]byte, error) {
	if r.current == nil {
		return nil, ErrEmpty
	}
	return derive(r.current.secret, "for "+purpose)
}

// ErrEmpty says that a ring has no key.
var ErrEmpty = errors.New("there is no key")

// Has reports whether the key of an id is here, current or old.
func (r Ring) Has(id string) bool { return r.all[id] != nil }
