package authentik

import (
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/authtest"
	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/directory"
)

func TestSuite(t *testing.T) {
	for name, embedded := range map[string]bool{"separate password": false, "embedded password": true} {
		t.Run(name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, o authentiktest.Options) {
				authtest.Run(t, func(t *testing.T, users ...authtest.User) authtest.Backend {
					k := newKeeper(t, o)
					k.stages(identify{PasswordFields: embedded}, password{}, validate{}, login{})
					return k.backend(users)
				})
			})
		})
	}
}

// backend is the fake with users of the suite.
func (k *keeper) backend(users []authtest.User) authtest.Backend {
	known := make(map[string]bool)
	change := func(of authtest.User, u *authentiktest.User) {
		u.Password, u.Inactive, u.SearchAll, u.Devices = of.Password, of.Inactive, of.Search, nil
		if of.Factor {
			u.Devices = []authentiktest.Device{totp}
		}
	}
	for _, of := range users {
		known[of.Name] = true
		u := authentiktest.User{Username: of.Name}
		change(of, &u)
		k.AddUser(u)
	}
	return authtest.Backend{
		Auth: k.Authenticator,
		Account: func(name string) (directory.Account, bool) {
			if !known[name] {
				return directory.Account{Base: authentiktest.DefaultBaseDN}, false
			}
			u := k.User(name)
			return directory.Account{
				UUID: u.UUID, Username: name, Base: authentiktest.DefaultBaseDN, Active: !u.Inactive,
				Changed: u.PasswordChanged.Format(time.RFC3339),
			}, true
		},
		Code: func(name string) auth.Secret {
			k.clock.Advance(time.Minute)
			return auth.Secret(k.Code(name))
		},
		Set: func(of authtest.User) {
			k.clock.Advance(time.Minute)
			k.EditUser(of.Name, func(u *authentiktest.User) { change(of, u) })
		},
		Break: k.Stop,
		Hold: func() <-chan struct{} {
			held := make(chan struct{})
			k.Inject(authentiktest.Fault{
				Endpoint: authentiktest.Executor, Method: "POST", Times: 1, Do: func() { close(held) }, Hang: true,
			})
			return held
		},
		Work: func() int {
			n := 0
			for _, requests := range k.Counters().Requests {
				n += requests
			}
			return n
		},
	}
}
