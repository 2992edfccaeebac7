// Package password holds the slow hashes of passwords: the schemes that the
// users file may be written in, what they may cost, and the queue that all of
// a process wait in to compute one.
//
// The bounds of the costs are above all that is in use (Django's argon2 takes
// 100 MiB, authentik a million iterations of pbkdf2), and keep a file from
// taking the memory or the hours of the machine.
package password

import (
	"errors"
	"strconv"
	"strings"
)

const maxHashLength = 512 // characters

// Hash is a password hash of the users file.
type Hash struct {
	text   string // as it was parsed
	scheme scheme
}

// scheme checks a password, slowly.
type scheme interface {
	matches(password string) bool
}

var errNoHash = errors.New(`must be a hash: argon2id ("$argon2id$..."), bcrypt ("$2b$...") or Django's "pbkdf2_sha256$..."; make one with: ldapd hash`)

// Parse reads a hash: argon2id in the PHC format (also behind Django's
// "argon2"), bcrypt, or Django's pbkdf2_sha256. The error does not hold it.
func Parse(s string) (*Hash, error) {
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

// Encoded returns the hash as it was parsed. It is a secret.
func (h *Hash) Encoded() string { return h.text }

// String keeps the hash out of logs.
func (*Hash) String() string { return "***" }

// parameter reads a number within bounds that stands behind a prefix.
func parameter(s, prefix string, low, high int) (int, bool) {
	digits, ok := strings.CutPrefix(s, prefix)
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n >= low && n <= high && digits[0] != '+'
}
