package bind

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"ldapd/internal/ldap"
)

// key makes digests that nobody else can make: it is of this process.
type key [32]byte

func newKey() (k key) {
	rand.Read(k[:]) // never fails
	return k
}

// digest stands for names and secrets in memory.
type digest [16]byte

func (k *key) digest(parts ...string) (d digest) {
	mac := hmac.New(sha256.New, k[:])
	var size [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(size[:], uint64(len(p)))
		mac.Write(size[:])
		mac.Write([]byte(p))
	}
	var sum [sha256.Size]byte
	copy(d[:], mac.Sum(sum[:0]))
	return d
}

// attempt returns what two attempts have in common if nothing tells them
// apart: the user, the secrets, and the address, which policies may look at.
func (k *key) attempt(a Attempt) digest {
	return k.digest("attempt", a.Account.Base, a.subject(), a.Addr.String(),
		string(a.Password), string(a.Code), string(rune(a.CodeIn)), string(a.Cookie), strconv.FormatBool(a.Quiet))
}

// subject names who an attempt is for: the user, or the name that nobody has.
func (a Attempt) subject() string {
	if a.Known {
		return "user " + a.Account.UUID + " " + a.Account.Username
	}
	return "name " + string(ldap.Fold(nil, []byte(a.Name)))
}
