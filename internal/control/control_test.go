package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ldapd/internal/secret"
	"ldapd/internal/unlock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var at = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

var (
	bind = Bind{
		User: "alice", UUID: "e4b2", Base: "dc=example,dc=org", Factored: true, Doubt: true,
		Proofs: []Proof{{Way: "name", Factor: "totp", Client: "nextcloud", At: at, Until: at.Add(time.Hour)}, {Way: "push", At: at}},
		First:  at, Proved: at, Told: at, Until: at.Add(720 * time.Hour),
	}
	status = Status{
		Version: "1.2", Since: at, Directory: "31 users", Store: "bolt", StoreError: "disk full", VerifiedUsers: 3, GoodAnywhere: 2,
		Undecided: []Undecided{{Client: "nextcloud", Count: 7, Last: at, Remedy: "set ldapCacheTTL to 0"}}, Warnings: []string{"w"},
	}
	win = unlock.Window{Username: "alice", Clients: []string{"nextcloud"}, Until: at}
)

// fake keeps what it was asked.
type fake struct {
	err     error
	block   chan struct{} // waited for by Status, if not nil
	entered chan struct{}
	user    string
	all     bool
	asked   unlock.Request
}

func (f *fake) List(context.Context) ([]Bind, error) { return []Bind{bind}, f.err }

func (f *fake) Revoke(_ context.Context, user string) (int, error) {
	f.user = user
	return 2, f.err
}

func (f *fake) RevokeAll(context.Context) (int, error) {
	f.all = true
	return 9, f.err
}

func (f *fake) Forgive(_ context.Context, user string) (int, error) {
	f.user = user
	return 10, f.err
}

func (f *fake) Unlock(_ context.Context, r unlock.Request) (unlock.Window, error) {
	f.asked = r
	return win, f.err
}

func (f *fake) Status(ctx context.Context) (Status, error) {
	if f.block != nil {
		close(f.entered)
		select {
		case <-f.block:
		case <-ctx.Done():
			return Status{}, ctx.Err()
		}
	}
	return status, f.err
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve answers in a directory until the end of the test.
func serve(t *testing.T, dir string, f *fake) (*Server, *lines) {
	t.Helper()
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	log := &lines{}
	s := New(f, zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(log), zap.DebugLevel)))
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s, log
}

func client(t *testing.T, dir string) *Client {
	t.Helper()
	c, err := Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestService(t *testing.T) {
	dir, f := t.TempDir(), &fake{}
	_, log := serve(t, dir, f)
	c := client(t, dir)
	ctx := t.Context()
	if got, err := c.List(ctx); err != nil || !reflect.DeepEqual(got, []Bind{bind}) {
		t.Errorf("List: %+v, %v", got, err)
	}
	if n, err := c.Revoke(ctx, "Älice"); n != 2 || err != nil || f.user != "Älice" {
		t.Errorf("Revoke: %d of %q, %v", n, f.user, err)
	}
	if n, err := c.RevokeAll(ctx); n != 9 || err != nil || !f.all {
		t.Errorf("RevokeAll: %d, %v", n, err)
	}
	if n, err := c.Forgive(ctx, "Bøb"); n != 10 || err != nil || f.user != "Bøb" {
		t.Errorf("Forgive: %d of %q, %v", n, f.user, err)
	}
	if got, err := c.Status(ctx); err != nil || !reflect.DeepEqual(got, status) {
		t.Errorf("Status: %+v, %v", got, err)
	}
	for _, req := range []unlock.Request{
		{User: "alice", Password: "planted\xff", Code: "654321", Clients: []string{"nextcloud", "wiki"}, Client: netip.MustParseAddr("::1")},
		{User: "alice", Password: secret.String(strings.Repeat("p", 64<<10))},
	} {
		if got, err := c.Unlock(ctx, req); err != nil || !reflect.DeepEqual(got, win) || !reflect.DeepEqual(f.asked, req) {
			t.Errorf("Unlock: %+v, %v, asked for %+v", got, err, f.asked)
		}
	}
	if text := log.String(); strings.Contains(text, "planted") || strings.Contains(text, "654321") || !strings.Contains(text, "Älice") || !strings.Contains(text, "Bøb") {
		t.Errorf("logged: %s", text)
	}
}

func TestErrors(t *testing.T) {
	dir, f := t.TempDir(), &fake{}
	serve(t, dir, f)
	c := client(t, dir)
	for _, tt := range []struct{ err, want error }{
		{unlock.ErrRefused, unlock.ErrRefused},
		{fmt.Errorf("unlock: %w", unlock.ErrRefused), unlock.ErrRefused},
		{unlock.ErrBusy, unlock.ErrBusy},
	} {
		f.err = tt.err
		if _, err := c.Unlock(t.Context(), unlock.Request{}); err != tt.want {
			t.Errorf("%v: %v", tt.err, err)
		}
	}
	f.err = errors.New("the disk is full")
	_, list := c.List(t.Context())
	_, one := c.Revoke(t.Context(), "x")
	_, all := c.RevokeAll(t.Context())
	_, forgive := c.Forgive(t.Context(), "x")
	_, state := c.Status(t.Context())
	for _, err := range []error{list, one, all, forgive, state} {
		if err == nil || err.Error() != "the disk is full" {
			t.Errorf("%v", err)
		}
	}
}

func TestBadRequests(t *testing.T) {
	dir, f := t.TempDir(), &fake{}
	serve(t, dir, f)
	c := client(t, dir)
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/unlock", `{"password":"planted!"}`, 400},
		{"POST", "/revoke", ``, 400},
		{"POST", "/forgive", ``, 400},
		{"POST", "/revoke", `{"user":"` + strings.Repeat("x", requestBytes) + `"}`, 400},
		{"GET", "/revoke", ``, 405},
		{"GET", "/", ``, 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://ldapd"+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(res.Body); err != nil {
			t.Error(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.status || strings.Contains(b.String(), "planted") {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, res.StatusCode, b.String())
		}
	}
	if f.user != "" || f.asked.User != "" {
		t.Error("the service was asked")
	}
}

// A server of another version may answer anything.
func TestStrangeAnswers(t *testing.T) {
	dir := t.TempDir()
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	var say atomic.Pointer[func(w http.ResponseWriter)]
	s := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { (*say.Load())(w) })}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	defer func() {
		s.Close()
		<-served
	}()
	c := client(t, dir)
	for want, f := range map[string]func(w http.ResponseWriter){
		"control socket: /status answered 404":    func(w http.ResponseWriter) { http.NotFound(w, nil) },
		"control socket: the answer of /status: ": func(w http.ResponseWriter) { fmt.Fprint(w, `[]`) },
		"/status answered 500":                    func(w http.ResponseWriter) { w.WriteHeader(500); fmt.Fprint(w, `{}`) },
		"control socket: Get ":                    func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		say.Store(&f)
		if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, Socket)
	if _, err := Dial(dir); !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), dir) {
		t.Errorf("nothing there: %v", err)
	}
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", st, err)
	}
	if _, err := Listen(dir); !errors.Is(err, ErrRunning) || !strings.HasPrefix(err.Error(), path+": ") {
		t.Errorf("twice: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	// A second close must not take away what another one made.
	next, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed again: %v", err)
	}
	if _, err := Dial(dir); err != nil {
		t.Error(err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// What a process that was killed left behind is replaced.
func TestStaleSocket(t *testing.T) {
	dir := t.TempDir()
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, Socket), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if _, err := Dial(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("nobody listens: %v", err)
	}
	serve(t, dir, &fake{})
	if _, err := client(t, dir).Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 200))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("nothing there: %v", err)
	}
	serve(t, dir, &fake{})
	if _, err := client(t, dir).Status(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := Listen(dir); !errors.Is(err, ErrRunning) {
		t.Errorf("twice: %v", err)
	}
}

func TestListenErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, Socket)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(dir); err == nil || err.Error() != path+": not a socket" {
		t.Errorf("%v", err)
	}
	none := filepath.Join(dir, "none")
	if _, err := Listen(none); err == nil || err.Error() != filepath.Join(none, Socket)+": no such file or directory" {
		t.Errorf("%v", err)
	}
}

func TestShutdownCutsOff(t *testing.T) {
	dir, f := t.TempDir(), &fake{block: make(chan struct{}), entered: make(chan struct{})}
	s, _ := serve(t, dir, f)
	c := client(t, dir)
	answered := make(chan error, 1)
	go func() {
		_, err := c.Status(context.Background())
		answered <- err
	}()
	<-f.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-answered; err == nil {
		t.Error("the answer was not cut off")
	}
	if _, err := Dial(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestServeError(t *testing.T) {
	l, err := Listen(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := New(&fake{}, zap.NewNop()).Serve(l); err == nil {
		t.Error("a closed listener: no error")
	}
}
