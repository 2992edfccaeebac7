package backend

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/cache"
	"ldapd/internal/config"
	"ldapd/internal/directory"
	"ldapd/internal/password"
)

// served is what a backend published last.
type served struct {
	mu    sync.Mutex
	trees []*directory.Snapshot
	news  chan struct{}
}

func (s *served) publish(_, _ int, trees ...*directory.Snapshot) {
	s.mu.Lock()
	s.trees = trees
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// openServed opens the backend of a configuration and has it run until the test
// ends.
func openServed(t *testing.T, cfg *config.Config, reg *prometheus.Registry) (Backend, *served) {
	t.Helper()
	s := &served{news: make(chan struct{}, 1)}
	b, err := Open(Options{
		Config: cfg, Version: "test", Codes: cache.NewMemory(time.Now), Hashes: password.NewQueue(), Metrics: reg,
		Log: zap.NewNop(), Now: time.Now, Publish: s.publish,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return b, s
}

// usersPath writes a users file.
func usersPath(t *testing.T, names ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.yaml")
	writeUsers(t, path, names...)
	return path
}

func writeUsers(t *testing.T, path string, names ...string) {
	t.Helper()
	text := "users:\n"
	for _, n := range names {
		hash, err := password.New("of " + n)
		if err != nil {
			t.Fatal(err)
		}
		text += "  - {username: " + n + ", password: '" + hash + "'}\n"
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// loads returns the metric of loads by result, -1 if it is not there.
func loads(t *testing.T, reg *prometheus.Registry, result string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			if f.GetName() == "ldapd_directory_loads_total" && m.GetLabel()[0].GetValue() == result {
				return m.GetCounter().GetValue()
			}
		}
	}
	return -1
}

// The users file alone is served when it is opened and when it changes; what
// cannot be used is counted, and changes nothing.
func TestFile(t *testing.T) {
	path := usersPath(t, "alice")
	cfg, err := config.Load("", []string{"LDAPD_BACKEND=file", "LDAPD_FILE_PATH=" + path, "LDAPD_STATE_DIR=" + t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	b, s := openServed(t, cfg, reg)
	bind := func(tree *directory.Snapshot, name string) error {
		t.Helper()
		a, ok := tree.AccountByName(name)
		_, err := b.Authenticator().Authenticate(t.Context(), auth.Attempt{Account: a, Known: ok, Name: name, Password: auth.Secret("of " + name)})
		return err
	}
	if err := bind(waitFor(t, s, "alice"), "alice"); err != nil {
		t.Errorf("alice: %v", err)
	}
	writeUsers(t, path, "alice", "bob")
	b.Reload()
	if err := bind(waitFor(t, s, "bob"), "bob"); err != nil {
		t.Errorf("bob: %v", err)
	}
	if ok, refused := loads(t, reg, "ok"), loads(t, reg, "refused"); ok != 2 || refused != 0 {
		t.Errorf("%v loads, %v refused", ok, refused)
	}
	if list := b.Trouble(); list != nil || time.Since(b.Synced()) > time.Minute {
		t.Errorf("trouble %q, synced %v", list, b.Synced())
	}
}

// A users file that cannot be read is an error of the key that names it, and
// one that cannot be understood of its own line.
func TestFileCannotBeOpened(t *testing.T) {
	bad := usersPath(t, "alice")
	if err := os.WriteFile(bad, []byte("users:\n  - {username: alice, nonsense: 1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{filepath.Join(t.TempDir(), "none.yaml"): "LDAPD_FILE_PATH: ", bad: bad + ":2"} {
		cfg, err := config.Load("", []string{"LDAPD_BACKEND=file", "LDAPD_FILE_PATH=" + path, "LDAPD_STATE_DIR=" + t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{Config: cfg, Log: zap.NewNop(), Now: time.Now}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("opened: %v, want %s", err, want)
		}
		if _, err := LoadUsersFile(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("loaded: %v, want %s", err, want)
		}
	}
}

// An outpost serves the users of authentik, and those of a users file beside
// them if there is one. That authentik cannot be read is trouble.
func TestOutpost(t *testing.T) {
	for _, beside := range []bool{false, true} {
		server := authentiktest.New(t, authentiktest.Options{Version: authentiktest.V2026_5})
		server.AddUser(authentiktest.User{Username: "carol", Password: "of carol"})
		env := []string{"AUTHENTIK_HOST=" + server.URL, "AUTHENTIK_TOKEN=" + server.Token, "LDAPD_STATE_DIR=" + t.TempDir()}
		path := usersPath(t, "alice")
		if beside {
			env = append(env, "LDAPD_FILE_PATH="+path)
		}
		cfg, err := config.Load("", env)
		if err != nil {
			t.Fatal(err)
		}
		reg := prometheus.NewRegistry()
		b, s := openServed(t, cfg, reg)
		tree := waitFor(t, s, "carol")
		if list := b.Trouble(); len(list) != 0 || b.Synced().IsZero() {
			t.Errorf("trouble %q, synced %v", list, b.Synced())
		}
		if a, ok := tree.AccountByName("alice"); ok != beside {
			t.Errorf("alice is %v", a)
		} else if _, err := b.Authenticator().Authenticate(t.Context(), auth.Attempt{Account: a, Known: ok, Name: "alice", Password: "of alice"}); beside && err != nil {
			t.Errorf("alice: %v", err)
		}
		if n := loads(t, reg, "ok"); n < 0 || (n > 0) != beside {
			t.Errorf("%v loads of the file", n)
		}

		server.AddUser(authentiktest.User{Username: "dave"})
		if beside {
			writeUsers(t, path, "alice", "bob")
		}
		b.Reload()
		waitFor(t, s, "dave")
		if beside {
			waitFor(t, s, "bob")
		}
	}
}

// waitFor waits until somebody is served, and returns the tree.
func waitFor(t *testing.T, s *served, name string) *directory.Snapshot {
	t.Helper()
	for {
		s.mu.Lock()
		trees := s.trees
		s.mu.Unlock()
		for _, tree := range trees {
			if _, ok := tree.AccountByName(name); ok {
				return tree
			}
		}
		select {
		case <-s.news:
		case <-time.After(20 * time.Second): // it takes milliseconds
			t.Fatalf("%s is not served", name)
		}
	}
}
