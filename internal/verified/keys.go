package verified

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ldapd/internal/password"
)

// keySize is the size of a key, in bytes.
const keySize = 32

// Keys are what a store is read and written with. Everything is written with
// the current one. What was written with an old one can be read for as long as
// that is here, and is written with the current one when it changes next:
//
//   - the value of a user at the next change,
//   - the hash of a password when it is proved next,
//   - the digest of a code never, so an old key is of use for as long as a
//     factor is remembered.
//
// Replicas that share a store must all know a key before one of them writes
// with it: add it to the old keys of each first.
type Keys struct {
	current *key
	all     map[string]*key // by id
	old     []*key          // in the order given
	cost    password.Cost   // of new hashes
}

// key is what was derived from one key.
type key struct {
	id        string
	secret    []byte
	check     []byte
	passwords *macs
	codes     *macs
	seal      cipher.AEAD
}

var errKey = fmt.Errorf("must be %d bytes, in hex or base64", keySize)

// ParseKeys reads keys, each 32 bytes in hex or base64. The error does not
// hold them.
func ParseKeys(current string, old []string) (Keys, error) {
	k, err := parseKey(current)
	if err != nil {
		return Keys{}, fmt.Errorf("key: %w", err)
	}
	keys := Keys{current: k, all: map[string]*key{k.id: k}, cost: password.NewCost}
	for i, text := range old {
		o, err := parseKey(text)
		if err != nil {
			return Keys{}, fmt.Errorf("old key %d: %w", i+1, err)
		}
		if keys.all[o.id] == nil {
			keys.all[o.id] = o
			keys.old = append(keys.old, o)
		}
	}
	return keys, nil
}

func parseKey(text string) (*key, error) {
	text = strings.TrimSpace(text)
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if secret, err := decode(text); err == nil && len(secret) == keySize {
			return newKey(secret)
		}
	}
	return nil, errKey
}

func newKey(secret []byte) (*key, error) {
	var derived [5][]byte
	for i, purpose := range []string{"id", "passwords", "codes", "seal", "check"} {
		var err error
		if derived[i], err = derive(secret, purpose); err != nil {
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
		id: hex.EncodeToString(derived[0][:idSize]), secret: secret, check: derived[4],
		passwords: newMACs(derived[1]), codes: newMACs(derived[2]), seal: seal,
	}, nil
}

// derive returns a key for one purpose (RFC 5869).
func derive(secret []byte, purpose string) ([]byte, error) {
	k, err := hkdf.Key(sha256.New, secret, nil, "ldapd verified binds: "+purpose, keySize)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	return k, nil
}

// ID returns a name for the current key that tells nothing about it.
func (k Keys) ID() string {
	if k.current == nil {
		return ""
	}
	return k.current.id
}

// KeyCheck returns a value that is another for each key and tells nothing
// about it, for a store to remember which key it was written with.
func (k Keys) KeyCheck() []byte {
	if k.current == nil {
		return nil
	}
	return slices.Clone(k.current.check)
}

// OldKeyChecks returns what KeyCheck was when the old keys were current.
func (k Keys) OldKeyChecks() [][]byte {
	var all [][]byte
	for _, o := range k.old {
		all = append(all, slices.Clone(o.check))
	}
	return all
}

// Derive returns a key of 32 bytes for another purpose, which all that have
// the same current key share.
func (k Keys) Derive(purpose string) ([]byte, error) {
	if k.current == nil {
		return nil, errNoKey
	}
	return derive(k.current.secret, "for "+purpose)
}

var errNoKey = errors.New("there is no key")
