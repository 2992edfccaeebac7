package authtest

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// TOTPSecret is that of the second factors in a UsersFile.
const TOTPSecret = "JBSWY3DPEHPK3PXP"

// UsersFile writes users as a users file has them, with hashes that cost little.
func UsersFile(t *testing.T, users []User) []byte {
	t.Helper()
	var b strings.Builder
	b.WriteString("users:\n")
	for _, u := range users {
		key, err := pbkdf2.Key(sha256.New, u.Password, []byte("salt"), 1, sha256.Size)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "- {username: %s, active: %v, search: %v, password: %q", u.Name, !u.Inactive, u.Search,
			"pbkdf2_sha256$1$salt$"+base64.StdEncoding.EncodeToString(key))
		if u.Factor {
			b.WriteString(", totp: {secret: " + TOTPSecret + "}")
		}
		b.WriteString("}\n")
	}
	return []byte(b.String())
}
