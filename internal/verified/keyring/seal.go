package keyring

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// A sealed value is a version, the id of a key, and the plain text, sealed with
// the key (AES-256-GCM) for a name: it can be neither read nor changed nor
// given another name without the key. Whoever may write to the store can still
// bring an old value back.
const (
	version = 1
	idSize  = 6 // bytes of the id of a key
)

// Overhead is what a sealed value is larger than its plain text, in bytes: a
// version, an id, a nonce of 12 and a tag of 16.
const Overhead = 1 + idSize + 12 + 16

// Why a value cannot be opened.
var (
	ErrVersion = errors.New("of an unknown version")
	ErrNoKey   = errors.New("written with a key that is not here")
	ErrForged  = errors.New("not written with its key, or not for this user")
	ErrDamaged = errors.New("damaged")
)

// Seal returns a text as only the holder of the current key can read it, under
// the same name.
func (r Ring) Seal(name string, plain []byte) ([]byte, error) {
	if r.current == nil {
		return nil, ErrEmpty
	}
	id, err := hex.DecodeString(r.current.id)
	if err != nil {
		return nil, fmt.Errorf("id of the key: %w", err)
	}
	return r.current.seal.Seal(append([]byte{version}, id...), nil, plain, []byte(name)), nil
}

// Open returns the text of a sealed value.
func (r Ring) Open(name string, sealed []byte) ([]byte, error) {
	switch {
	case len(sealed) < 1+idSize:
		return nil, ErrDamaged
	case sealed[0] != version:
		return nil, ErrVersion
	}
	k := r.all[hex.EncodeToString(sealed[1:1+idSize])]
	if k == nil {
		return nil, ErrNoKey
	}
	plain, err := k.seal.Open(nil, nil, sealed[1+idSize:], []byte(name))
	if err != nil {
		return nil, ErrForged
	}
	return plain, nil
}
