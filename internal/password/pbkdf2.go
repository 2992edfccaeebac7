package password

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const maxIterations = 10_000_000

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
