package local

import (
	"slices"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/authtest"
	"ldapd/internal/cache"
	"ldapd/internal/directory"
	"ldapd/internal/password"
)

func TestSuite(t *testing.T) {
	authtest.Run(t, func(t *testing.T, users ...authtest.User) authtest.Backend {
		now := fixed()
		clock := func() time.Time { return now }
		f := parse(t, string(authtest.UsersFile(t, users)))
		a := NewAuthenticator(f, cache.NewMemory(clock), password.NewQueue(), clock)
		return authtest.Backend{
			Auth: a,
			Account: func(name string) (directory.Account, bool) {
				at := attempt(f, name, "", "", auth.NoCode)
				return at.Account, at.Known
			},
			Code: func(string) auth.Secret {
				now = now.Add(time.Minute)
				return code(t, int(now.Sub(fixed())/(30*time.Second)))
			},
			Set: func(u authtest.User) {
				users[slices.IndexFunc(users, func(o authtest.User) bool { return o.Name == u.Name })] = u
				f = parse(t, string(authtest.UsersFile(t, users)))
				a.Update(f)
			},
			Break: func() { a.codes = brokenCodes{} },
			Hold:  func() <-chan struct{} { return nil },
			Work:  func() int { return int(a.Hashes()) },
		}
	})
}
