package local

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// Bounds of the parameters that a hash may ask for. They are above all that is
// in use (Django's argon2 takes 100 MiB, authentik a million iterations), and
// keep a file from taking the memory or the hours of the machine.
const (
	maxArgonMemory  = 256 << 10 // KiB
	maxArgonTime    = 16
	maxArgonThreads = 64
	maxBcryptCost   = 16
	maxIterations   = 10_000_000
	maxHashLength   = 512 // characters
)

// Hash is a password hash of the users file.
type Hash struct {
	text   string
	scheme scheme
}

// scheme checks a password, slowly.
type scheme interface {
	matches(password string) bool
}

var errNoHash = errors.New(`must be a hash: argon2id ("$argon2id$..."), bcrypt ("$2b$...") or Django's "pbkdf2_sha256$..."; make one with: ldapd hash`)

// ParseHash reads a hash: argon2id in the PHC format (also behind Django's
// "argon2"), bcrypt, or Django's pbkdf2_sha256. The error does not hold it.
func ParseHash(s string) (*Hash, error) {
	if len(s) > maxHashLength {
		return nil, errNoHash
	}
	var sch scheme
	var err error
	switch {
	case strings.HasPrefix(s, "$argon2id$"):
		sch, err = parseArgon2id(s)
	case strings.HasPrefix(s, "argon2$argon2id$"):
		sch, err = parseArgon2id(strings.TrimPrefix(s, "argon2"))
	case strings.HasPrefix(s, "$2a$"), strings.HasPrefix(s, "$2b$"), strings.HasPrefix(s, "$2y$"):
		sch, err = parseBcrypt(s)
	case strings.HasPrefix(s, "pbkdf2_sha256$"):
		sch, err = parsePBKDF2(s)
	default:
		err = errNoHash
	}
	if err != nil {
		return nil, err
	}
	return &Hash{text: s, scheme: sch}, nil
}

// Matches reports whether this is the password. It takes as long as the
// parameters of the hash demand.
func (h *Hash) Matches(password string) bool { return h.scheme.matches(password) }

// String keeps the hash out of logs.
func (*Hash) String() string { return "***" }

// The cost of new hashes: OWASP's choice for argon2id with little memory.
const (
	newMemory  = 19456 // KiB
	newTime    = 2
	newThreads = 1
	newSalt    = 16 // bytes
	newKey     = 32
)

// HashPassword returns a new argon2id hash for the users file.
func HashPassword(password string) (string, error) {
	if password == "" {
		return "", errors.New("the password is empty")
	}
	salt := make([]byte, newSalt)
	rand.Read(salt) // never fails
	key := argon2.IDKey([]byte(password), salt, newTime, newMemory, newThreads, newKey)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, newMemory, newTime, newThreads,
		b64.EncodeToString(salt), b64.EncodeToString(key)), nil
}

// decoy returns a hash of the usual cost that no password has.
func decoy() *Hash {
	a := &argon2id{memory: newMemory, time: newTime, threads: newThreads, salt: make([]byte, newSalt), key: make([]byte, newKey)}
	rand.Read(a.salt)
	rand.Read(a.key)
	return &Hash{scheme: a}
}

type argon2id struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
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
	return &argon2id{memory: uint32(m), time: uint32(t), threads: uint8(p), salt: salt, key: key}, nil
}

func parameter(s, prefix string, low, high int) (int, bool) {
	digits, ok := strings.CutPrefix(s, prefix)
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n >= low && n <= high && digits[0] != '+'
}

func (a *argon2id) matches(password string) bool {
	key := argon2.IDKey([]byte(password), a.salt, a.time, a.memory, a.threads, uint32(len(a.key)))
	return subtle.ConstantTimeCompare(key, a.key) == 1
}

type bcryptHash []byte

func parseBcrypt(s string) (scheme, error) {
	cost, err := bcrypt.Cost([]byte(s))
	if err != nil || len(s) != 60 {
		return nil, errors.New("bcrypt: must be $2b$, the cost in two digits, $ and 53 characters")
	}
	if cost > maxBcryptCost {
		return nil, fmt.Errorf("bcrypt: the cost must be %d to %d", bcrypt.MinCost, maxBcryptCost)
	}
	return bcryptHash(s), nil
}

func (b bcryptHash) matches(password string) bool {
	return bcrypt.CompareHashAndPassword(b, []byte(password)) == nil
}

type pbkdf2SHA256 struct {
	iterations int
	salt, key  []byte
}

// parsePBKDF2 reads pbkdf2_sha256$iterations$salt$key, where the salt is
// taken as it stands.
func parsePBKDF2(s string) (scheme, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 4 {
		return nil, errors.New("pbkdf2_sha256: must be pbkdf2_sha256$iterations$salt$hash")
	}
	n, ok := parameter(parts[1], "", 1, maxIterations)
	if !ok {
		return nil, fmt.Errorf("pbkdf2_sha256: the iterations must be 1 to %d", maxIterations)
	}
	if parts[2] == "" {
		return nil, errors.New("pbkdf2_sha256: the salt is empty")
	}
	key, err := base64.StdEncoding.Strict().DecodeString(parts[3])
	if err != nil || len(key) != sha256.Size {
		return nil, fmt.Errorf("pbkdf2_sha256: the hash must be base64 of %d bytes", sha256.Size)
	}
	return &pbkdf2SHA256{iterations: n, salt: []byte(parts[2]), key: key}, nil
}

func (p *pbkdf2SHA256) matches(password string) bool {
	key, err := pbkdf2.Key(sha256.New, password, p.salt, p.iterations, len(p.key))
	return err == nil && subtle.ConstantTimeCompare(key, p.key) == 1
}
