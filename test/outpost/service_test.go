package outpost

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"go.uber.org/goleak"

	"ldapd/internal/await"
	"ldapd/internal/config"
	"ldapd/internal/control"
	"ldapd/internal/daemon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a running ldapd.
type service struct {
	*daemon.Daemon
	log    *buffer
	state  string // directory
	reload chan os.Signal
	stop   func() // waits until it has ended; may be called again
}

// buffer is a log to look at while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start serves with an environment, as one has it in authentik's container,
// until the test ends. The options change what follows from it.
func start(t *testing.T, env []string, options ...func(*config.Config)) *service {
	t.Helper()
	return startAt(t, nil, env, options...)
}

// startAt is start with a clock, nil for that of the machine.
func startAt(t *testing.T, now func() time.Time, env []string, options ...func(*config.Config)) *service {
	t.Helper()
	s := &service{log: &buffer{}, state: filepath.Join(t.TempDir(), "state"), reload: make(chan os.Signal)}
	cfg, err := config.Load("", append([]string{
		"AUTHENTIK_LISTEN__LDAP=127.0.0.1:0",
		"AUTHENTIK_LISTEN__LDAPS=127.0.0.1:0",
		"AUTHENTIK_LISTEN__METRICS=127.0.0.1:0",
		"AUTHENTIK_LOG_LEVEL=debug",
		"AUTHENTIK_DEBUG=true", // a log that is not buffered
		"LDAPD_STATE_DIR=" + s.state,
	}, env...))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range options {
		o(cfg)
	}
	s.state = cfg.StateDir
	log, flush, err := daemon.NewLogger(cfg.Log, s.log)
	if err != nil {
		t.Fatal(err)
	}
	if s.Daemon, err = daemon.Open(daemon.Options{Config: cfg, Log: log, Version: "0.0.0", Now: now}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, s.reload) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, flush()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("log:\n%s", s.log)
		}
	})
	return s
}

// quick looks for changes many times a second.
func quick(cfg *config.Config) { cfg.Authentik.Sync = 50 * time.Millisecond }

// at sets the state directory.
func at(dir string) func(*config.Config) {
	return func(cfg *config.Config) { cfg.StateDir = dir }
}

// loaded waits until everything was read from authentik n times.
func (s *service) loaded(t *testing.T, n int) {
	t.Helper()
	await.That(t, "authentik is read", func() bool { return strings.Count(s.log.String(), " authentik read ") >= n })
}

// control returns what commands ask.
func (s *service) control(t *testing.T) *control.Client {
	t.Helper()
	c, err := control.Dial(s.state)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// verified returns the users that have verified binds.
func (s *service) verified(t *testing.T) []string {
	t.Helper()
	binds, err := s.control(t).List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range binds {
		names = append(names, b.User)
	}
	return names
}

// forget ends all verified binds, so that the next bind of each user runs a
// flow, and the sessions that they left.
func (s *service) forget(t *testing.T) {
	t.Helper()
	if _, err := s.control(t).RevokeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.settled(t)
}

// forgetOne is forget for one user, who has some.
func (s *service) forgetOne(t *testing.T, user string) {
	t.Helper()
	if n, err := s.control(t).Revoke(t.Context(), user); n == 0 || err != nil {
		t.Fatalf("revoke: %d, %v", n, err)
	}
	s.settled(t)
}

// settled waits until nothing runs that a bind began.
func (s *service) settled(t *testing.T) {
	t.Helper()
	await.That(t, "nothing runs in the background", s.Settled)
}

// scrape returns the metrics.
func (s *service) scrape(t *testing.T) string { return s.admin(t, "/metrics") }

// admin returns a page of the admin listener.
func (s *service) admin(t *testing.T, path string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: await.Patience}
	resp, err := client.Get("http://" + s.Admin().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// metric returns the value of a series, 0 if there is none yet.
func (s *service) metric(t *testing.T, series string) float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(s.scrape(t))
	if m == nil {
		return 0
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// dial connects, and closes the connection at the end of the test.
func (s *service) dial(t *testing.T) *ldap.Conn {
	t.Helper()
	c, err := ldap.DialURL("ldap://" + s.LDAP().String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetTimeout(await.Patience)
	t.Cleanup(func() { c.Close() })
	return c
}

// as returns a connection that is bound.
func (s *service) as(t *testing.T, dn, password string) *ldap.Conn {
	t.Helper()
	c := s.dial(t)
	if err := c.Bind(dn, password); err != nil {
		t.Fatalf("bind as %s: %v", dn, err)
	}
	return c
}

// bind returns the result code of a bind on a connection of its own. After
// unavailable the connection must be closed.
func (s *service) bind(t *testing.T, dn, password string) uint16 {
	t.Helper()
	c := s.dial(t)
	defer c.Close()
	got := code(t, c.Bind(dn, password))
	if got == ldap.LDAPResultUnavailable {
		_, err := c.Search(whole(rootDN, "(objectClass=*)"))
		if e := (*ldap.Error)(nil); err == nil || errors.As(err, &e) && e.ResultCode < ldap.ErrorNetwork {
			t.Errorf("bind as %s: the connection is open after result 52: %v", dn, err)
		}
	}
	return got
}

// code returns the result code in an error of go-ldap.
func code(t *testing.T, err error) uint16 {
	t.Helper()
	if err == nil {
		return ldap.LDAPResultSuccess
	}
	var e *ldap.Error
	if !errors.As(err, &e) || e.ResultCode >= ldap.ErrorNetwork {
		t.Errorf("no answer: %v", err)
		return ldap.ErrorNetwork
	}
	return e.ResultCode
}

// whole is a search of everything below a DN.
func whole(base, filter string, attrs ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, attrs, nil)
}

// find returns the entries below a DN.
func find(t *testing.T, c *ldap.Conn, base, filter string, attrs ...string) []*ldap.Entry {
	t.Helper()
	r, err := c.Search(whole(base, filter, attrs...))
	if err != nil {
		t.Fatalf("search %s: %v", filter, err)
	}
	return r.Entries
}

// users is the filter for users.
const users = "(objectClass=inetOrgPerson)"

// names returns one value of each entry.
func names(entries []*ldap.Entry, attr string) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.GetEqualFoldAttributeValue(attr))
	}
	return out
}

// has reports that a value of an entry is there, whatever its case.
func has(e *ldap.Entry, attr, value string) bool {
	for _, v := range e.GetEqualFoldAttributeValues(attr) {
		if strings.EqualFold(v, value) {
			return true
		}
	}
	return false
}
