package outpost

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ldapd/internal/authentik/authentiktest"
)

const (
	rootDN   = "dc=ldap,dc=goauthentik,dc=io"
	usersDN  = "ou=users," + rootDN
	groupsDN = "ou=groups," + rootDN
)

// userDN is the DN of a user of the fake, whose name needs no escapes.
func userDN(name string) string { return "cn=" + name + "," + usersDN }

// The users of the suite; see the package documentation.
const (
	alice   = "ldapd-alice"
	bob     = "ldapd-bob"
	carol   = "ldapd-carol"
	erin    = "ldapd-erin"
	agent   = "ldapd-service"
	staff   = "ldapd-staff"
	nobody  = "ldapd-nobody"
	secret  = "Tr0ub4dor & 3"
	totpKey = "JBSWY3DPEHPK3PXP"
)

// fake is a fake authentik with the users of the suite.
type fake struct {
	*authentiktest.Server

	ago    atomic.Int64 // what its clock is behind, in nanoseconds
	mu     sync.Mutex
	unused []string // static tokens of bob
}

// versions are those that ldapd works with.
var versions = []string{authentiktest.V2025_10, authentiktest.V2026_5}

// eachVersion runs a test in parallel against each of them.
func eachVersion(t *testing.T, test func(t *testing.T, f *fake)) {
	t.Helper()
	for _, v := range versions {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			test(t, newFake(t, authentiktest.Options{Version: v}))
		})
	}
}

func newFake(t *testing.T, o authentiktest.Options) *fake {
	t.Helper()
	f := &fake{}
	o.Now = func() time.Time { return time.Now().Add(-time.Duration(f.ago.Load())) }
	f.Server = authentiktest.New(t, o)
	for i := range 20 {
		f.unused = append(f.unused, fmt.Sprintf("static%06d", i)) // 12, authentik's length
	}
	f.AddGroup(authentiktest.Group{Name: staff})
	f.AddUser(authentiktest.User{Username: alice, Name: "Alice A", Email: "alice@example.org", Password: secret, Groups: []string{staff},
		PasswordChanged: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)})
	f.AddUser(authentiktest.User{Username: bob, Name: "Bob B", Password: secret, Devices: []authentiktest.Device{
		{Class: authentiktest.ClassTOTP, Secret: totpKey},
		{Class: authentiktest.ClassStatic, Tokens: append(slices.Clone(f.unused), "static08")},
	}})
	f.AddUser(authentiktest.User{Username: carol, Name: "Carol C", Password: secret, Inactive: true})
	f.AddUser(authentiktest.User{Username: erin, Name: "Erin E", Password: secret})
	f.AddUser(authentiktest.User{Username: agent, Name: "Nextcloud", Password: secret, SearchProviders: []int{authentiktest.DefaultProvider}})
	f.DenyAccess(authentiktest.DefaultApplication, erin)
	t.Cleanup(func() {
		for _, c := range f.Complaints() {
			t.Errorf("authentik complains: %s", c)
		}
	})
	return f
}

// env is how ldapd is told of the fake: as authentik tells its own outpost.
func (f *fake) env() []string {
	return []string{"AUTHENTIK_HOST=" + f.URL, "AUTHENTIK_TOKEN=" + f.Token, "AUTHENTIK_INSECURE=false", "AUTHENTIK_HOST_BROWSER="}
}

// serve runs ldapd for the fake.
func (f *fake) serve(t *testing.T) *service {
	t.Helper()
	s := start(t, f.env(), quick)
	s.loaded(t, 1)
	return s
}

func (f *fake) password() string { return secret }

// code returns a code of bob that was not used yet.
func (f *fake) code(*testing.T) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.unused[0]
	f.unused = f.unused[1:]
	return c
}

// stages replaces the flow of binds.
func (f *fake) stages(stages ...authentiktest.Stage) {
	f.flow(authentiktest.Flow{Stages: stages})
}

func (f *fake) flow(flow authentiktest.Flow) {
	flow.Slug = authentiktest.DefaultFlow
	if flow.Stages == nil {
		flow.Stages = []authentiktest.Stage{authentiktest.Identification{}, authentiktest.Password{}, authentiktest.Validate{}, authentiktest.Login{}}
	}
	f.SetFlow(flow)
}

// restore undoes what was done to flows, faults and alice.
func (f *fake) restore() {
	f.Start()
	f.ClearFaults()
	f.flow(authentiktest.Flow{})
	f.AllowAccess(authentiktest.DefaultApplication, alice)
	f.OmitSearchPermission(false)
	f.EditUser(alice, func(u *authentiktest.User) { u.Password, u.AppPasswords, u.Devices = secret, nil, nil })
}

// provider replaces the settings of the provider.
func (f *fake) provider(change func(*authentiktest.Provider)) {
	p := authentiktest.Provider{
		PK: authentiktest.DefaultProvider, Name: "ldap", BindFlow: authentiktest.DefaultFlow,
		UnbindFlow: authentiktest.DefaultInvalidation, Application: authentiktest.DefaultApplication,
	}
	change(&p)
	f.SetProvider(p)
}

// flows returns how many binds reached the flow.
func (f *fake) flows() int { return f.Counters().FlowsStarted[authentiktest.DefaultFlow] }
