package backend

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/auth/authtest"
	"ldapd/internal/authentik"
	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/cache"
	"ldapd/internal/config"
	"ldapd/internal/directory"
	"ldapd/internal/local"
	"ldapd/internal/mfa"
	"ldapd/internal/password"
)

// TestSuite has what binds of an outpost are proved by pass the suite: authentik
// alone, the users file beside it alone, and users of both.
func TestSuite(t *testing.T) {
	for name, inFile := range map[string][]string{
		"authentik": nil, "file": {"alice", "bob", "carol", "dave", "erin"}, "both": {"alice", "carol", "dave"}, "both, the other way": {"bob", "erin"},
	} {
		for _, version := range []string{authentiktest.V2025_10, authentiktest.V2026_5} {
			t.Run(name+" "+version, func(t *testing.T) {
				authtest.Run(t, func(t *testing.T, users ...authtest.User) authtest.Backend {
					var file, rest []authtest.User
					for _, u := range users {
						if slices.Contains(inFile, u.Name) {
							file = append(file, u)
						} else {
							rest = append(rest, u)
						}
					}
					return newBoth(t, version, file, rest).backend()
				})
			})
		}
	}
}

// both is authentik with a users file beside it, and the directory of both.
type both struct {
	*authentiktest.Server
	t     *testing.T
	auth  outpostAuth
	codes *failingCodes
	users []authtest.User // of the users file
	known map[string]bool // users of authentik
	file  *local.File

	mu  sync.Mutex
	now time.Time
}

func (b *both) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// later is as late as the next code.
func (b *both) later() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(time.Minute)
}

// newBoth serves the users of the first list from the file, those of the other
// one from authentik.
func newBoth(t *testing.T, version string, inFile, inAuthentik []authtest.User) *both {
	t.Helper()
	b := &both{t: t, users: inFile, known: make(map[string]bool), now: time.Unix(1_700_000_010, 0)}
	b.Server = authentiktest.New(t, authentiktest.Options{Version: version, Now: b.clock})
	cfg := outpostConfig(t, b.Server)
	cfg.Authentik.UserBinds, cfg.Authentik.AddressBinds = 0, 0
	b.codes = &failingCodes{UsedCodes: cache.NewMemory(b.clock)}
	o := Options{Config: cfg, Version: "test", Codes: b.codes, Hashes: password.NewQueue(), Log: zap.NewNop(), Now: b.clock}
	client, err := NewClient(cfg, o.Version, b.clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	b.auth = outpostAuth{newOutpost(o, client)}
	b.auth.local = newUsersFile(o, b.auth.serveLocal)
	b.auth.providers.Store(&map[string]authentik.Provider{authentiktest.DefaultBaseDN: {
		PK: authentiktest.DefaultProvider, Name: "ldap", Application: authentiktest.DefaultApplication, MFASupport: true,
		BindFlow: authentiktest.DefaultFlow, UnbindFlow: authentiktest.DefaultInvalidation,
	}})
	b.load()
	for _, of := range inAuthentik {
		b.known[of.Name] = true
		row := authentiktest.User{Username: of.Name}
		set(&row, of)
		b.AddUser(row)
	}
	return b
}

// outpostConfig is what the environment of authentik's container becomes.
func outpostConfig(t *testing.T, f *authentiktest.Server) *config.Config {
	t.Helper()
	cfg, err := config.Load("", []string{"AUTHENTIK_HOST=" + f.URL, "AUTHENTIK_TOKEN=" + f.Token, "LDAPD_STATE_DIR=" + t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func set(row *authentiktest.User, of authtest.User) {
	row.Password, row.Inactive, row.SearchAll, row.Devices = of.Password, of.Inactive, of.Search, nil
	if of.Factor {
		row.Devices = []authentiktest.Device{{Class: authentiktest.ClassTOTP, Secret: authtest.TOTPSecret}}
	}
}

// load takes the users file over.
func (b *both) load() {
	b.t.Helper()
	content := []byte("users: [{username: somebody}]")
	if len(b.users) > 0 {
		content = authtest.UsersFile(b.t, b.users)
	}
	f, err := local.Parse("users.yaml", content, "")
	if err != nil {
		b.t.Fatal(err)
	}
	mine := make(map[string]bool)
	for _, u := range f.Users() {
		mine[u.UUID] = true
	}
	b.file = f
	b.auth.mine.Store(&mine)
	if u := b.auth.local; u.auth == nil {
		u.auth = local.NewAuthenticator(f, u.codes, u.hashes, u.now)
	} else {
		u.auth.Update(f)
	}
}

// inFile returns the place of a user in the users file, or -1.
func (b *both) inFile(name string) int {
	return slices.IndexFunc(b.users, func(u authtest.User) bool { return u.Name == name })
}

func (b *both) account(name string) (directory.Account, bool) {
	if b.inFile(name) >= 0 {
		for _, u := range b.file.Users() {
			if u.Username == name {
				return directory.Account{UUID: u.UUID, Username: name, Base: authentiktest.DefaultBaseDN, Active: u.Active}, true
			}
		}
	}
	if !b.known[name] {
		return directory.Account{Base: authentiktest.DefaultBaseDN}, false
	}
	u := b.User(name)
	return directory.Account{
		UUID: u.UUID, Username: name, Base: authentiktest.DefaultBaseDN, Active: !u.Inactive,
		Changed: u.PasswordChanged.Format(time.RFC3339),
	}, true
}

func (b *both) code(name string) auth.Secret {
	b.later()
	if b.inFile(name) < 0 {
		return auth.Secret(b.Code(name))
	}
	factor, err := mfa.NewTOTP(authtest.TOTPSecret, mfa.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	code, err := factor.Code(b.clock())
	if err != nil {
		b.t.Fatal(err)
	}
	return auth.Secret(code)
}

func (b *both) set(of authtest.User) {
	b.later()
	if i := b.inFile(of.Name); i >= 0 {
		b.users[i] = of
		b.load()
		return
	}
	b.EditUser(of.Name, func(u *authentiktest.User) { set(u, of) })
}

func (b *both) backend() authtest.Backend {
	return authtest.Backend{
		Auth: b.auth, Account: b.account, Code: b.code, Set: b.set,
		Break: func() {
			b.Stop()
			b.codes.broken.Store(true)
		},
		Hold: func() <-chan struct{} {
			if b.inFile("alice") >= 0 {
				return nil
			}
			held := make(chan struct{})
			b.Inject(authentiktest.Fault{
				Endpoint: authentiktest.Executor, Method: "POST", Times: 1, Do: func() { close(held) }, Hang: true,
			})
			return held
		},
		// Each attempt is one hash or one flow.
		Work: func() int {
			return int(b.auth.local.auth.Hashes()) + b.Counters().FlowsStarted[authentiktest.DefaultFlow]
		},
	}
}

// failingCodes are used codes in a store that can be made to fail.
type failingCodes struct {
	mfa.UsedCodes
	broken atomic.Bool
}

func (c *failingCodes) Claim(ctx context.Context, user string, counter int64, until time.Time) (bool, error) {
	if c.broken.Load() {
		return false, errors.New("the disk is full")
	}
	return c.UsedCodes.Claim(ctx, user, counter, until)
}
