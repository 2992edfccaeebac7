package nextcloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ldapd/internal/await"
	"ldapd/internal/config"
	"ldapd/internal/daemon"
)

// The base as it was configured for the traces.
const (
	base       = "DC=ldap,DC=goauthentik,DC=io"
	userBase   = "ou=users," + base
	groupBase  = "ou=groups," + base
	agent      = "cn=ldapservice," + userBase
	agentPass  = "Passw0rd-ldapservice"
	userFilter = "(&(objectclass=user)(memberof=cn=nextcloud-users," + groupBase + "))"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a running ldapd.
type service struct {
	addr   string
	cert   string // PEM file of its certificate
	users  string // its users file
	reload chan os.Signal
	loaded chan struct{} // one value for each directory that was loaded
}

// recorded returns the users file of the traces.
func recorded(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("testdata/users.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// start serves the content of a users file until the test ends. The options
// change the configuration.
func start(t *testing.T, users string, options ...func(*config.Config)) *service {
	t.Helper()
	dir := t.TempDir()
	s := &service{
		cert:   filepath.Join(dir, "state", "tls.crt"),
		users:  filepath.Join(dir, "users.yaml"),
		reload: make(chan os.Signal),
		loaded: make(chan struct{}, 16),
	}
	if err := os.WriteFile(s.users, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.BaseDN = base
	cfg.Listen = config.Listen{LDAP: "127.0.0.1:0"}
	cfg.StateDir = filepath.Join(dir, "state")
	cfg.File.Path = s.users
	for _, o := range options {
		o(cfg)
	}
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(io.Discard), zap.InfoLevel),
		zap.Hooks(func(e zapcore.Entry) error {
			if e.Message == "directory loaded" {
				s.loaded <- struct{}{}
			}
			return nil
		}))
	d, err := daemon.Open(daemon.Options{Config: cfg, Log: log, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	<-s.loaded
	s.addr = d.LDAP().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, s.reload) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// change replaces the users file and waits until it is served.
func (s *service) change(t *testing.T, users string) {
	t.Helper()
	if err := os.WriteFile(s.users, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	timeout := time.After(await.Patience)
	// The entries are loaded before the passwords, and both before the file is
	// read again.
	for range 2 {
		select {
		case s.reload <- syscall.SIGHUP:
		case <-timeout:
			t.Fatal("ldapd takes no signal")
		}
		select {
		case <-s.loaded:
		case <-timeout:
			t.Fatal("the new users file is not loaded")
		}
	}
}

// dial connects, and closes the connection at the end of the test.
func (s *service) dial(t *testing.T) *ldap.Conn {
	t.Helper()
	c, err := ldap.DialURL("ldap://" + s.addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetTimeout(await.Patience)
	t.Cleanup(func() { c.Close() })
	return c
}

// asAgent returns a connection that is bound as Nextcloud's service account.
func (s *service) asAgent(t *testing.T) *ldap.Conn {
	t.Helper()
	c := s.dial(t)
	if err := c.Bind(agent, agentPass); err != nil {
		t.Fatal(err)
	}
	return c
}

// query is a search as Nextcloud sends it: no aliases, no time limit, and a
// paging control that is not critical if size is not 0.
type query struct {
	base   string
	scope  int
	filter string
	attrs  []string

	limit  int
	types  bool
	size   uint32
	cookie []byte
}

// answer is what a search got.
type answer struct {
	code    uint16
	matched string
	entries []*ldap.Entry
	paged   bool // the response had the control
	cookie  []byte
}

// do sends a search. Only a broken connection is an error to it.
func do(t *testing.T, c *ldap.Conn, q query) answer {
	t.Helper()
	req := ldap.NewSearchRequest(q.base, q.scope, ldap.NeverDerefAliases, q.limit, 0, q.types, q.filter, q.attrs, nil)
	if q.size > 0 {
		paging := ldap.NewControlPaging(q.size)
		paging.SetCookie(q.cookie)
		req.Controls = []ldap.Control{paging}
	}
	r, err := c.Search(req)
	var a answer
	if r != nil {
		a.entries = r.Entries
		if p, ok := ldap.FindControl(r.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging); ok {
			a.paged, a.cookie = true, p.Cookie
		}
	}
	a.code = code(t, err)
	if e := (*ldap.Error)(nil); errors.As(err, &e) {
		a.matched = e.MatchedDN
	}
	return a
}

// find is do for a search that must succeed.
func find(t *testing.T, c *ldap.Conn, q query) []*ldap.Entry {
	t.Helper()
	a := do(t, c, q)
	if a.code != ldap.LDAPResultSuccess {
		t.Fatalf("%+v: result %d", q, a.code)
	}
	return a.entries
}

// names returns the values of the first RDNs, in their order.
func names(entries []*ldap.Entry) []string {
	out := make([]string, len(entries))
	for i, e := range entries {
		rdn, _, _ := strings.Cut(e.DN, ",")
		_, out[i], _ = strings.Cut(rdn, "=")
	}
	return out
}

// wantNames fails unless the entries are those with the names, in any order.
func wantNames(t *testing.T, what string, entries []*ldap.Entry, want ...string) {
	t.Helper()
	got := names(entries)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// code returns the result code in an error of go-ldap.
func code(t *testing.T, err error) uint16 {
	t.Helper()
	if err == nil {
		return ldap.LDAPResultSuccess
	}
	e := (*ldap.Error)(nil)
	if !errors.As(err, &e) || e.ResultCode >= ldap.ErrorNetwork {
		t.Fatalf("no answer: %v", err)
	}
	return e.ResultCode
}

// wantCode fails unless err has the result code.
func wantCode(t *testing.T, what string, err error, want uint16) {
	t.Helper()
	if got := code(t, err); got != want {
		t.Errorf("%s: result %d, want %d (%s)", what, got, want, ldap.LDAPResultCodeMap[want])
	}
}

// with returns a users file with more users.
func with(users string, more ...string) string {
	return strings.Replace(users, "\ngroups:\n", "\n"+strings.Join(more, "")+"groups:\n", 1)
}

// user returns the line of a users file for a user, who has the password pw.
func user(name, display string, groups ...string) string {
	for i, g := range groups {
		groups[i] = strconv.Quote(g)
	}
	return fmt.Sprintf("  - {username: %q, name: %q, email: \"%x@example.org\", groups: [%s], password: %q}\n",
		name, display, name, strings.Join(groups, ", "), pwHash)
}

const pwHash = "$2a$04$r0EmzLUxGfIlFAek2BofpukJxWgUzJs4lEnI8UmACvrblH/KO.lRu" // of pw

// without returns a users file that lacks a user made by [user].
func without(t *testing.T, users, name string) string {
	t.Helper()
	i := strings.Index(users, fmt.Sprintf("  - {username: %q,", name))
	if i < 0 {
		t.Fatalf("no line for %s", name)
	}
	return users[:i] + users[i+strings.IndexByte(users[i:], '\n')+1:]
}
