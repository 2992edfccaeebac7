package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

const (
	maxArgonMemory  = 256 << 10 // KiB
	maxArgonTime    = 16
	maxArgonThreads = 64
)

// Cost is what argon2id is told to spend (RFC 9106).
type Cost struct {
	Memory  uint32 // KiB
	Time    uint32 // passes over the memory
	Threads uint8
}

// NewCost returns the cost of new hashes: OWASP's choice for argon2id with
// little memory.
func NewCost() Cost { return Cost{Memory: 19456, Time: 2, Threads: 1} }

// Valid reports whether the cost is one that argon2id takes, and within the
// bounds.
func (c Cost) Valid() bool {
	return c.Threads >= 1 && c.Threads <= maxArgonThreads && c.Time >= 1 && c.Time <= maxArgonTime &&
		c.Memory >= 8*uint32(c.Threads) && c.Memory <= maxArgonMemory
}

// Key computes argon2id at a valid cost, of a size in bytes.
func (c Cost) Key(password, salt []byte, size int) []byte {
	return argon2.IDKey(password, salt, c.Time, c.Memory, c.Threads, uint32(size))
}

// Sizes of new hashes, in bytes.
const (
	newSalt = 16
	newKey  = 32
)

// New returns a new argon2id hash for the users file.
func New(password string) (string, error) {
	if password == "" {
		return "", errors.New("the password is empty")
	}
	salt := make([]byte, newSalt)
	rand.Read(salt) // never fails
	c := NewCost()
	key := c.Key([]byte(password), salt, newKey)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.Memory, c.Time, c.Threads,
		b64.EncodeToString(salt), b64.EncodeToString(key)), nil
}

// Decoy returns a hash of the usual cost that no password has.
func Decoy() *Hash {
	a := &argon2id{cost: NewCost(), salt: make([]byte, newSalt), key: make([]byte, newKey)}
	rand.Read(a.salt)
	rand.Read(a.key)
	return &Hash{scheme: a}
}

type argon2id struct {
	cost      Cost
	salt, key []byte
}

// parseArgon2id reads $argon2id$v=19$m=19456,t=2,p=1$salt$key.
func parseArgon2id(s string) (scheme, error) {
	bad := func(what string) error { return fmt.Errorf("argon2id: %s", what) }
	parts := strings.Split(s, "$")
	if len(parts) != 6 {
		return nil, bad("must be $argon2id$v=19$m=...,t=...,p=...$salt$hash")
	}
	if parts[2] != "v=19" {
		return nil, bad("must be version 19 (v=19)")
	}
	params := strings.Split(parts[3], ",")
	if len(params) != 3 {
		return nil, bad("must have the parameters m, t and p")
	}
	m, okM := parameter(params[0], "m=", 8, maxArgonMemory)
	t, okT := parameter(params[1], "t=", 1, maxArgonTime)
	p, okP := parameter(params[2], "p=", 1, maxArgonThreads)
	switch {
	case !okP:
		return nil, bad(fmt.Sprintf("p must be 1 to %d", maxArgonThreads))
	case !okM || m < 8*p:
		return nil, bad(fmt.Sprintf("m must be 8 times p to %d (KiB)", maxArgonMemory))
	case !okT:
		return nil, bad(fmt.Sprintf("t must be 1 to %d", maxArgonTime))
	}
	salt, err := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	if err != nil || len(salt) < 8 {
		return nil, bad("the salt must be base64 of 8 bytes or more")
	}
	key, err := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err != nil || len(key) < 16 {
		return nil, bad("the hash must be base64 of 16 bytes or more")
	}
	return &argon2id{cost: Cost{uint32(m), uint32(t), uint8(p)}, salt: salt, key: key}, nil
}

func (a *argon2id) matches(password string) bool {
	key := a.cost.Key([]byte(password), a.salt, len(a.key))
	return subtle.ConstantTimeCompare(key, a.key) == 1
}
