package durability

import (
	"encoding/base32"
	"fmt"
	"strings"
	"testing"
	"time"

	"ldapd/internal/mfa"
)

const (
	// hash is one of the password that takes no time.
	password = "secret"
	hash     = "pbkdf2_sha256$1$salt$ON9CizCTCOSMNofn+QvaDpzyU1aMIex1Sg4HarSrZCM="
	period   = 30 * time.Second
)

// user has a second factor, and belongs to one worker at a time.
type user struct {
	name    string
	secret  string
	factor  mfa.TOTP
	counter int64 // of the last code

	logins []*login // that were granted, and not revoked
	ended  []*login // revoked, the last ones
	unsure bool     // nobody knows whether a revocation was made
	wrong  int      // codes that ldapd may have counted as wrong
}

// login is a code with the password.
type login struct {
	*user
	code       string
	counter    int64
	onPassword bool // where the code stands
	saved      bool // it is in the store for certain
	gone       bool // the other replica knows of the revocation
}

// credential returns the login name in the DN and the password.
func (l *login) credential() (name, pass string) {
	if l.onPassword {
		return l.name, password + ";" + l.code
	}
	return l.name + ";" + l.code, password
}

func newUsers(t *testing.T, prefix string, n int) []*user {
	t.Helper()
	users := make([]*user, n)
	for i := range users {
		u := &user{name: fmt.Sprintf("%s%03d", prefix, i)}
		u.secret = base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte("the secret of " + u.name))
		var err error
		if u.factor, err = mfa.NewTOTP(u.secret, mfa.Options{}); err != nil {
			t.Fatal(err)
		}
		users[i] = u
	}
	return users
}

func usersFile(users []*user) string {
	var b strings.Builder
	b.WriteString("users:\n")
	for _, u := range users {
		fmt.Fprintf(&b, "  - {username: %s, password: %q, totp: {secret: %s}}\n", u.name, hash, u.secret)
	}
	return b.String()
}

// fresh returns a login with a code that was not used and is good for half a
// minute at least; nil if there is none at the moment.
func (u *user) fresh(t *testing.T) *login {
	now := time.Now()
	c := max(u.counter+1, now.Unix()/int64(period/time.Second))
	at := time.Unix(c*int64(period/time.Second), 0)
	if at.Sub(now) > period {
		return nil
	}
	u.counter = c
	code, err := u.factor.Code(at)
	if err != nil {
		t.Error(err)
		return nil
	}
	return &login{user: u, code: code, counter: c}
}

// judged notes that a login was tried that is not in memory. It returns false
// if that would come near the limit of wrong codes: late codes are such.
func (l *login) judged() bool {
	if l.user.wrong >= 5 {
		return false
	}
	if time.Since(time.Unix(l.counter*int64(period/time.Second), 0)) > period {
		l.user.wrong++
	}
	return true
}
