package authentik

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/await"
	"ldapd/internal/bind"
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/policy"
)

const userBase = "dc=ldap,dc=goauthentik,dc=io"

// people is a directory of the users that were loaded, by name.
type people map[string]directory.Account

func (p people) LoginName(dn ldap.DN) (string, bool) {
	if !strings.HasSuffix(strings.ToLower(dn.String()), userBase) {
		return "", false
	}
	return dn[0][0].Value, true
}

func (p people) AccountByName(name string) (directory.Account, bool) {
	if a, ok := p[name]; ok {
		return a, true
	}
	return directory.Account{Base: authentiktest.DefaultBaseDN}, false
}

// binder is the pipeline of binds before a fake authentik.
type binder struct {
	*flows
	*bind.Pipeline
	auth     auth.Authenticator
	provider Provider

	mu       sync.Mutex
	observed []Flow
}

func newBinder(t *testing.T, o authentiktest.Options, loaded ...string) *binder {
	t.Helper()
	b := &binder{flows: newFlows(t, o)}
	p := people{}
	for _, name := range append(loaded, "alice") {
		p[name] = directory.Account{UUID: "uuid of " + name, Username: name, Base: authentiktest.DefaultBaseDN, Active: name != "carol"}
	}
	b.provider = Provider{
		PK: authentiktest.DefaultProvider, Name: "ldap", BindFlow: authentiktest.DefaultFlow,
		Application: authentiktest.DefaultApplication, MFASupport: true,
	}
	provider := func(base string) (Provider, bool) { return b.provider, base == authentiktest.DefaultBaseDN }
	auth := NewAuthenticator(b.c, provider, func(f Flow) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.observed = append(b.observed, f)
	})
	b.auth = guard.NewDenials(guard.NewQueue(auth, 8), 10*time.Second, nil)
	b.Pipeline = bind.New(bind.Options{
		Directory:      func(ldap.DN) (bind.Directory, error) { return p, nil },
		Authenticator:  b.auth,
		CodeInPassword: true,
		Rules:          policy.Rules{CodeInUsername: true},
		Separator:      ";",
	})
	return b
}

func userDN(name string) string { return "cn=" + name + ",ou=users," + userBase }

// bind puts the outcome of a bind as log and client see it.
func (b *binder) bind(ctx context.Context, dn, secret string) string {
	id, err := b.Bind(ctx, bind.Request{DN: dn, Password: []byte(secret), Addr: netip.MustParseAddr("192.0.2.17")})
	if err == nil {
		return fmt.Sprintf("granted %s %s search %v", id.Source, id.Factor, id.Search)
	}
	outcome, reason := bind.Classify(err)
	var e *ldap.Error
	if !errors.As(err, &e) {
		return "no result"
	}
	for _, planted := range []string{plantedPassword, plantedStatic, b.Token} {
		if strings.Contains(err.Error(), planted) {
			return "a secret is in " + err.Error()
		}
	}
	return fmt.Sprintf("%s %s %d", outcome, reason, e.Code)
}

func TestBindResults(t *testing.T) {
	user := func(f *flows, devices ...authentiktest.Device) {
		f.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword, Devices: devices})
	}
	tests := []struct {
		name       string
		set        func(*binder)
		dn, secret string
		want       string
		flows      int // begun at authentik
		failed     int // logins there
	}{
		{"passed, access ok, user info ok", func(b *binder) { user(b.flows) }, userDN("alice"), plantedPassword, "granted flow none search false", 1, 0},
		{"may search", func(b *binder) {
			user(b.flows)
			b.EditUser("alice", func(u *authentiktest.User) { u.SearchAll = true })
		}, userDN("alice"), plantedPassword, "granted flow none search true", 1, 0},
		{"wrong secret", func(b *binder) { user(b.flows) }, userDN("alice"), "wrong", "denied wrong_password 49", 1, 1},
		{"wrong secret that ends like a code", func(b *binder) { user(b.flows) }, userDN("alice"), "wrong;123456", "denied wrong_password 49", 2, 2},
		{"password that ends like a code", func(b *binder) {
			b.AddUser(authentiktest.User{Username: "alice", Password: "odd;123456"})
		}, userDN("alice"), "odd;123456", "granted flow none search false", 2, 1},
		{"code behind the password", func(b *binder) { user(b.flows, static) }, userDN("alice"), plantedPassword + ";" + plantedStatic, "granted flow static search false", 1, 0},
		{"code behind the name", func(b *binder) { user(b.flows, static) }, "cn=alice\\3b12345678,ou=users," + userBase, plantedPassword, "granted flow static search false", 1, 0},
		{"wrong code is one flow", func(b *binder) { user(b.flows, static) }, userDN("alice"), plantedPassword + ";000000", "denied wrong_code 49", 1, 1},
		{"no code", func(b *binder) { user(b.flows, static) }, userDN("alice"), plantedPassword, "denied code_missing 49", 1, 0},
		{"Duo", func(b *binder) { user(b.flows, duo(authentiktest.DuoAllow)) }, userDN("alice"), plantedPassword, "granted flow duo search false", 1, 0},
		{"Duo denied", func(b *binder) { user(b.flows, duo(authentiktest.DuoDeny)) }, userDN("alice"), plantedPassword, "denied factor_denied 49", 1, 1},
		{"denied", func(b *binder) {
			user(b.flows)
			b.stages(identify{}, password{}, authentiktest.Deny{})
		}, userDN("alice"), plantedPassword, "denied policy 49", 1, 0},
		{"second factor that cannot be asked for", func(b *binder) {
			user(b.flows, authentiktest.Device{Class: authentiktest.ClassWebAuthn})
		}, userDN("alice"), plantedPassword, "denied factor_unusable 49", 1, 0},
		{"unknown user", func(b *binder) {}, userDN("nobody"), "wrong", "denied unknown_user 49", 1, 1},
		{"inactive user", func(b *binder) {
			b.AddUser(authentiktest.User{Username: "carol", Password: plantedPassword, Inactive: true})
		}, userDN("carol"), plantedPassword, "denied inactive 49", 1, 1},
		{"access denied by application policy", func(b *binder) {
			user(b.flows)
			b.DenyAccess(authentiktest.DefaultApplication, "alice")
		}, userDN("alice"), plantedPassword, "denied no_access 50", 1, 0},
		{"access denied is one flow", func(b *binder) {
			user(b.flows)
			b.DenyAccess(authentiktest.DefaultApplication, "alice")
		}, userDN("alice"), plantedPassword + ";123456", "denied no_access 50", 1, 0},
		{"no provider for the DN", func(b *binder) { user(b.flows) }, "cn=alice,dc=example,dc=org", plantedPassword, "denied unknown_user 49", 0, 0},
		{"user info failed", func(b *binder) {
			user(b.flows)
			b.Inject(authentiktest.Fault{Endpoint: authentiktest.Me, Status: 500})
		}, userDN("alice"), plantedPassword, "unknown unavailable 52", 1, 0},
		{"access check failed", func(b *binder) {
			user(b.flows)
			b.Inject(authentiktest.Fault{Endpoint: authentiktest.CheckAccess, Status: 500})
		}, userDN("alice"), plantedPassword, "unknown unavailable 52", 1, 0},
		{"flow error", func(b *binder) {
			user(b.flows)
			b.stages(identify{}, authentiktest.Crash{})
		}, userDN("alice"), plantedPassword, "unknown unavailable 52", 1, 0},
		{"flow error is not tried as another reading", func(b *binder) {
			user(b.flows)
			b.stages(identify{}, authentiktest.Crash{})
		}, userDN("alice"), plantedPassword + ";123456", "unknown unavailable 52", 1, 0},
		{"unsupported stage", func(b *binder) {
			user(b.flows)
			b.stages(identify{}, authentiktest.Component{Name: "ak-stage-prompt"})
		}, userDN("alice"), plantedPassword, "unknown unavailable 52", 1, 0},
		{"no password asked for", func(b *binder) {
			user(b.flows)
			b.stages(identify{}, login{})
		}, userDN("alice"), "anything", "unknown unavailable 52", 1, 0},
		{"no password asked for is not tried as another reading", func(b *binder) {
			user(b.flows)
			b.stages(identify{}, login{})
		}, userDN("alice"), plantedPassword + ";123456", "unknown unavailable 52", 1, 0},
		{"code asked for, and no password", func(b *binder) {
			user(b.flows, static)
			b.stages(identify{}, validate{}, login{})
		}, userDN("alice"), "anything;" + plantedStatic, "unknown unavailable 52", 1, 0},
		{"end without login", func(b *binder) {
			user(b.flows)
			b.stages(identify{}, password{})
		}, userDN("alice"), plantedPassword, "unknown unavailable 52", 1, 0},
		{"user info refused", func(b *binder) {
			user(b.flows)
			b.Inject(authentiktest.Fault{Endpoint: authentiktest.Me, Status: 403})
		}, userDN("alice"), plantedPassword, "unknown unavailable 52", 1, 0},
		{"denied before anybody was identified", func(b *binder) {
			user(b.flows)
			b.stages(authentiktest.Deny{}, identify{}, password{}, login{})
		}, userDN("alice"), plantedPassword, "unknown unavailable 52", 1, 0},
		{"no such flow", func(b *binder) {
			user(b.flows)
			b.RemoveFlow(authentiktest.DefaultFlow)
		}, userDN("alice"), plantedPassword, "unknown unavailable 52", 0, 0},
		{"authentik unreachable, known DN", func(b *binder) { user(b.flows); b.Stop() }, userDN("alice"), plantedPassword, "unknown unavailable 52", 0, 0},
		{"authentik unreachable, unknown DN", func(b *binder) { b.Stop() }, userDN("nobody"), plantedPassword, "unknown unavailable 52", 0, 0},
		{"user who was created a moment ago", func(b *binder) {
			b.AddUser(authentiktest.User{Username: "new", Password: plantedPassword})
		}, userDN("new"), plantedPassword, "unknown unavailable 52", 1, 0},
		{"login by an address", func(b *binder) {
			b.AddUser(authentiktest.User{Username: "alice", Email: "y@example.org", Password: plantedPassword})
		}, userDN("y@example.org"), plantedPassword, "granted flow none search false", 1, 0},
		{"login of another user", func(b *binder) {
			b.AddUser(authentiktest.User{Username: "mallory", Email: "x@example.org", Password: plantedPassword})
		}, userDN("x@example.org"), plantedPassword, "unknown unavailable 52", 1, 0},
		{"mfa_support off: the password is whole", func(b *binder) {
			b.AddUser(authentiktest.User{Username: "alice", Password: "odd;123456"})
			b.noMFA()
		}, userDN("alice"), "odd;123456", "granted flow none search false", 1, 0},
		{"mfa_support off: no code is split off", func(b *binder) { user(b.flows, static); b.noMFA() }, userDN("alice"), plantedPassword + ";" + plantedStatic, "denied wrong_password 49", 1, 1},
		{"mfa_support off: flow of codes only", func(b *binder) {
			user(b.flows, static)
			b.noMFA()
			b.stages(identify{}, validate{}, login{})
		}, userDN("alice"), plantedStatic, "granted flow static search false", 1, 0},
		{"empty password", func(b *binder) { user(b.flows) }, userDN("alice"), "", "refused no_secret 53", 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, o authentiktest.Options) {
				b := newBinder(t, o, "carol", "x@example.org")
				tt.set(b)
				if got := b.bind(t.Context(), tt.dn, tt.secret); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
				c := b.Counters()
				if n := c.FlowsStarted[authentiktest.DefaultFlow]; n != tt.flows {
					t.Errorf("%d flows, want %d", n, tt.flows)
				}
				if c.LoginsFailed != tt.failed {
					t.Errorf("%d failed logins, want %d", c.LoginsFailed, tt.failed)
				}
				for _, f := range b.observed {
					b.words(t, f.Session, f.Err)
					if f.Provider != "ldap" || f.Slug != authentiktest.DefaultFlow || f.Username == "" || f.Took <= 0 {
						t.Errorf("observed %+v", f)
					}
				}
			})
		})
	}
}

// noMFA turns mfa_support off.
func (b *binder) noMFA() { b.provider.MFASupport = false }

// many binds n times at once, and lets authentik go on when all of them wait.
func (b *binder) many(t *testing.T, n int, secret string) map[string]int {
	t.Helper()
	release := make(chan struct{})
	b.Inject(authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "POST", Until: release})
	outcomes := make(map[string]int)
	var mu sync.Mutex
	var done sync.WaitGroup
	for range n {
		done.Go(func() {
			got := b.bind(t.Context(), userDN("alice"), secret)
			mu.Lock()
			defer mu.Unlock()
			outcomes[got]++
		})
	}
	await.That(t, "all wait", func() bool { return b.Waiting() >= n })
	close(release)
	done.Wait()
	return outcomes
}

// Must show 3.
func TestThousandIdenticalBindsAreOneFlow(t *testing.T) {
	b := newBinder(t, authentiktest.Options{})
	b.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword})
	if got := b.many(t, 1000, plantedPassword); got["granted flow none search false"] != 1000 {
		t.Errorf("%v", got)
	}
	if c := b.Counters(); c.FlowsStarted[authentiktest.DefaultFlow] != 1 || c.Logins != 1 {
		t.Errorf("%+v", c)
	}
}

// Must show 3.
func TestThousandWrongBindsAreOneFlow(t *testing.T) {
	b := newBinder(t, authentiktest.Options{})
	b.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword})
	if got := b.many(t, 1000, "wrong"); got["denied wrong_password 49"] != 1000 {
		t.Errorf("%v", got)
	}
	for range 10 {
		if got := b.bind(t.Context(), userDN("alice"), "wrong"); got != "denied wrong_password 49" {
			t.Error(got)
		}
	}
	if c := b.Counters(); c.FlowsStarted[authentiktest.DefaultFlow] != 1 || b.Reputation("alice", "192.0.2.17") != -1 {
		t.Errorf("%+v, reputation %d", c, b.Reputation("alice", "192.0.2.17"))
	}
}

// A client that hangs up stops its flow.
func TestHangUpStopsTheFlow(t *testing.T) {
	b := newBinder(t, authentiktest.Options{})
	b.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword})
	hang := b.Inject(authentiktest.Fault{Endpoint: authentiktest.Executor, Method: "POST", Skip: 1, Hang: true})
	ctx, hangUp := context.WithCancel(t.Context())
	outcome := make(chan string)
	go func() { outcome <- b.bind(ctx, userDN("alice"), plantedPassword) }()
	if err := b.Wait(t.Context(), func() bool { return hang.Hits() == 1 }); err != nil {
		t.Fatal(err)
	}
	hangUp()
	if got := <-outcome; got != "unknown unavailable 52" {
		t.Error(got)
	}
	// The server waits for its handlers, so this ends only if the flow does.
	b.Stop()
	b.Start()
	b.ClearFaults()
	if got := b.bind(t.Context(), userDN("alice"), plantedPassword); got != "granted flow none search false" {
		t.Error(got)
	}
}

// Must show 2, for binds: while authentik is down none of them is denied, and
// they pass as soon as it is back.
func TestFiftyClientsBindWhileAuthentikIsDown(t *testing.T) {
	b := newBinder(t, authentiktest.Options{})
	for i := range 50 {
		b.AddUser(authentiktest.User{Username: fmt.Sprintf("x%d@example.org", i), Password: plantedPassword})
	}
	b.AddUser(authentiktest.User{Username: "alice", Password: plantedPassword})
	b.Stop()
	var done sync.WaitGroup
	for i := range 50 {
		done.Go(func() {
			if got := b.bind(t.Context(), userDN("alice"), fmt.Sprintf("%s %d", plantedPassword, i)); got != "unknown unavailable 52" {
				t.Error(got)
			}
		})
	}
	done.Wait()
	b.Start()
	if got := b.bind(t.Context(), userDN("alice"), plantedPassword); got != "granted flow none search false" {
		t.Error(got)
	}
}
