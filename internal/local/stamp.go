package local

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"ldapd/internal/password"
)

// passwordStamp changes when a user's password hash does, or the right that
// goes with the password, for that is told with its proof.
func passwordStamp(uuid string, h *password.Hash, search bool) string {
	if h == nil {
		return ""
	}
	return stamp("password", uuid, h.Encoded(), strconv.FormatBool(search))
}

// factorStamp changes when a user's second factor does, but not with the way
// that it is written.
func factorStamp(uuid string, f *factor) string {
	if f == nil {
		return ""
	}
	return stamp("totp", uuid,
		strings.TrimRight(strings.ToUpper(strings.ReplaceAll(f.Secret, " ", "")), "="),
		cmp.Or(strings.ToUpper(f.Algorithm), "SHA1"),
		strconv.Itoa(cmp.Or(f.Digits, 6)),
		cmp.Or(f.Period, 30*time.Second).String())
}

// stamp returns a short digest, the same in each process. What goes into it
// cannot be guessed: a salted hash, or a secret of 80 bits and more.
func stamp(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}
