package daemon

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"ldapd/internal/await"
	"ldapd/internal/config"
	"ldapd/internal/local"
	"ldapd/internal/mfa"
	"ldapd/internal/password"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	base       = "dc=ldap,dc=goauthentik,dc=io"
	totpSecret = "JBSWY3DPEHPK3PXP"
)

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

// testConfig listens on free ports and keeps its state in a new directory.
func testConfig(t *testing.T) *config.Config {
	t.Helper()
	cfg := config.Default()
	cfg.Listen = config.Listen{LDAP: "127.0.0.1:0", LDAPS: "127.0.0.1:0", Admin: "127.0.0.1:0"}
	cfg.StateDir = filepath.Join(t.TempDir(), "state")
	cfg.ShutdownGrace = await.Patience
	cfg.Log = config.Log{Level: "debug", Format: "console"} // not buffered
	return cfg
}

func demoUsers(t *testing.T) *local.File {
	t.Helper()
	f, err := local.Demo(local.UIDUsername)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// running is a daemon in the background.
type running struct {
	*Daemon
	log    *buffer
	reload chan os.Signal
	stop   func() // waits until it has ended; may be called again
}

// start runs a daemon until the end of the test; users may be nil for the
// configured file.
func start(t *testing.T, cfg *config.Config, users *local.File) *running {
	t.Helper()
	r := &running{log: &buffer{}, reload: make(chan os.Signal)}
	log, flush, err := NewLogger(cfg.Log, r.log)
	if err != nil {
		t.Fatal(err)
	}
	r.Daemon, err = Open(Options{Config: cfg, Log: log, Version: "test", Users: users})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, r.reload) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := flush(); err != nil {
			t.Errorf("flush: %v", err)
		}
	})
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("log:\n%s", r.log)
		}
	})
	return r
}

func (r *running) dial(t *testing.T) *goldap.Conn {
	t.Helper()
	c, err := goldap.DialURL("ldap://" + r.LDAP().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetTimeout(await.Patience)
	return c
}

// get asks for a page of the admin listener.
func (r *running) get(t *testing.T, path, accept string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.Admin().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// bind returns the result code of a bind on a connection of its own.
func (r *running) bind(t *testing.T, name, password string) uint16 {
	t.Helper()
	return code(t, r.dial(t).Bind("cn="+name+",ou=users,"+base, password))
}

func code(t *testing.T, err error) uint16 {
	t.Helper()
	if err == nil {
		return 0
	}
	e, ok := err.(*goldap.Error)
	if !ok {
		t.Fatal(err)
	}
	return e.ResultCode
}

func currentCode(t *testing.T) string {
	t.Helper()
	f, err := mfa.NewTOTP(totpSecret, mfa.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Code(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBindsAndSearches(t *testing.T) {
	r := start(t, testConfig(t), demoUsers(t))
	for _, tt := range []struct {
		name, password string
		code           uint16
	}{
		{"alice", "demo-alice", 0}, {"alice", "wrong", 49}, {"carol", "demo-carol", 49}, {"nobody", "x", 49},
		{"bob", "demo-bob", 49}, {"bob", "demo-bob;000000000", 49},
	} {
		if got := r.bind(t, tt.name, tt.password); got != tt.code {
			t.Errorf("bind of %s with %s: %d, want %d", tt.name, tt.password, got, tt.code)
		}
	}
	c := r.dial(t)
	search := func(filter string) (*goldap.SearchResult, error) {
		return c.Search(goldap.NewSearchRequest("ou=users,"+base, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, filter, nil, nil))
	}
	if _, err := search("(objectClass=person)"); code(t, err) != 1 {
		t.Errorf("unbound search: %v", err)
	}
	for _, tt := range []struct {
		name string
		want int
	}{{"ldapservice", 4}, {"alice", 1}} {
		if err := c.Bind("cn="+tt.name+",ou=users,"+base, "demo-"+tt.name); err != nil {
			t.Fatal(err)
		}
		if res, err := search("(objectClass=person)"); err != nil || len(res.Entries) != tt.want {
			t.Errorf("%s sees %v, %v; want %d users", tt.name, res, err, tt.want)
		}
	}
	dn := "cn=alice,ou=users," + base
	if ok, err := c.Compare(dn, "mail", "ALICE@example.org"); err != nil || !ok {
		t.Errorf("compare: %v, %v", ok, err)
	}
	if who, err := c.WhoAmI(nil); err != nil || who.AuthzID != "dn:"+dn {
		t.Errorf("whoami: %v, %v", who, err)
	}
}

// A code serves one login, also across a restart. That login, by the same
// strings again, is a verified bind.
func TestCodeServesOnce(t *testing.T) {
	cfg := testConfig(t)
	r := start(t, cfg, demoUsers(t))
	code := currentCode(t)
	if got := r.bind(t, "bob", "demo-bob;"+code); got != 0 {
		t.Fatalf("bind with a code: %d", got)
	}
	for range 2 {
		if got := r.bind(t, "bob", "demo-bob;"+code); got != 0 {
			t.Errorf("the same login: %d", got)
		}
		if got := r.bind(t, "bob;"+code, "demo-bob"); got != 49 {
			t.Errorf("another login with the code: %d", got)
		}
		r.stop()
		r = start(t, cfg, demoUsers(t))
	}
}

func TestReload(t *testing.T) {
	cfg := testConfig(t)
	cfg.File.Path = filepath.Join(t.TempDir(), "users.yaml")
	hash, err := password.New("secret")
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		tmp := cfg.File.Path + ".new"
		if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, cfg.File.Path); err != nil {
			t.Fatal(err)
		}
	}
	write("users:\n- {username: one, password: '" + hash + "'}\n")
	r := start(t, cfg, nil)
	if got := r.bind(t, "one", "secret"); got != 0 {
		t.Fatalf("bind of one: %d", got)
	}
	if got := r.bind(t, "two", "secret"); got != 49 {
		t.Fatalf("bind of two: %d", got)
	}

	write("users:\n- {username: two, password: '" + hash + "'}\n")
	r.reload <- os.Interrupt
	await.That(t, "two can bind", func() bool { return r.bind(t, "two", "secret") == 0 })
	if got := r.bind(t, "one", "secret"); got != 49 {
		t.Errorf("bind of one, who was removed: %d", got)
	}

	write("users:\n- {username: three, pasword: x}\n")
	r.reload <- os.Interrupt
	await.That(t, "the edit is refused", func() bool {
		return strings.Contains(r.log.String(), cfg.File.Path+":2: users[0].pasword: unknown key")
	})
	if got := r.bind(t, "two", "secret"); got != 0 {
		t.Errorf("after a broken edit: %d", got)
	}

	// Without a signal, it is seen by itself.
	write("users:\n- {username: four, password: '" + hash + "'}\n")
	await.That(t, "four can bind", func() bool { return r.bind(t, "four", "secret") == 0 })
}

func TestAdmin(t *testing.T) {
	r := start(t, testConfig(t), demoUsers(t))
	r.bind(t, "alice", "demo-alice")
	r.bind(t, "alice", "wrong")
	defer http.DefaultClient.CloseIdleConnections()
	for _, path := range []string{"/livez", "/readyz"} {
		if status, body := r.get(t, path, ""); status != 200 || body != "ok\n" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	_, text := r.get(t, "/metrics", "")
	for _, want := range []string{
		`ldapd_binds_total{factor="none",outcome="granted",reason="",source="hash"} 1`,
		`ldapd_binds_total{factor="",outcome="denied",reason="wrong_password",source=""} 1`,
		`ldapd_build_info{version="test"} 1`,
		`ldapd_directory_users 4`, `ldapd_directory_groups 3`,
		`ldapd_directory_loads_total{result="ok"} 1`, `ldapd_directory_loads_total{result="refused"} 0`,
		`ldapd_operations_total{operation="bind",result="invalidCredentials"} 1`,
		`ldapd_password_hashes_total 2`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	for _, name := range []string{"ldapd_certificate_expires_timestamp_seconds", "ldapd_directory_entries", "ldapd_directory_loaded_timestamp_seconds", "go_goroutines", "process_open_fds"} {
		if !strings.Contains(text, "\n"+name+" ") {
			t.Errorf("/metrics lacks %s", name)
		}
	}
	r.stopping.Store(true)
	if status, body := r.get(t, "/readyz", ""); status != 503 || body != "shutting down\n" {
		t.Errorf("/readyz while shutting down: %d %q", status, body)
	}
}

func TestLogHoldsNoCredential(t *testing.T) {
	r := start(t, testConfig(t), demoUsers(t))
	otp := currentCode(t)
	r.bind(t, "bob", "demo-bob;"+otp)
	r.bind(t, "bob", "demo-bob;"+otp)
	r.bind(t, "bob;"+otp, "demo-bob")
	r.bind(t, `bob\;`+otp, "demo-bob")
	r.bind(t, `bob\3b`+otp, "demo-bob")
	r.bind(t, `bob;`+otp+`,=`, "demo-bob") // no DN
	c := r.dial(t)
	if err := c.Bind("cn=ldapservice,ou=users,"+base, "demo-ldapservice"); err != nil {
		t.Fatal(err)
	}
	for _, filter := range []string{"(userPassword=hunter2)", "(cn=bob;" + otp + ")", "(cn=*;" + otp + ")"} {
		if _, err := c.Search(goldap.NewSearchRequest(base, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, filter, nil, nil)); err != nil {
			t.Errorf("%s: %v", filter, err)
		}
	}
	if _, err := c.Compare("cn=bob;"+otp+",ou=users,"+base, "userPassword", "hunter2"); err == nil {
		t.Error("userPassword can be compared")
	}
	r.stop()
	text := r.log.String()
	for _, secret := range []string{"demo-bob", "demo-ldapservice", "hunter2", otp} {
		if strings.Contains(text, secret) {
			t.Errorf("the log holds %s:\n%s", secret, text)
		}
	}
	for _, want := range []string{"(cn=bob;[hidden])", "(userPassword=[hidden])", "cn=ldapservice,ou=users," + base, "code_used", `"reason"`, `"source": "hash", "factor": "totp"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
}

func TestShutdown(t *testing.T) {
	// systemd is told
	dir := t.TempDir()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", socket.LocalAddr().String())
	told := func() string {
		t.Helper()
		b := make([]byte, 100)
		socket.SetReadDeadline(time.Now().Add(await.Patience))
		n, err := socket.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}

	r := start(t, testConfig(t), demoUsers(t))
	if got := told(); got != "READY=1" {
		t.Errorf("systemd was told %q", got)
	}
	c := r.dial(t)
	if err := c.Bind("cn=alice,ou=users,"+base, "demo-alice"); err != nil {
		t.Fatal(err)
	}
	addr := r.LDAP().String()
	r.stop()
	if got := told(); got != "STOPPING=1" {
		t.Errorf("systemd was told %q", got)
	}
	await.That(t, "the connection ends", c.IsClosing)
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("still listening")
	}
	if strings.Contains(r.log.String(), "cut off") {
		t.Error("an idle connection was cut off")
	}
}

// One listener that fails ends the daemon, with its error.
func TestListenerFailure(t *testing.T) {
	d, err := Open(Options{Config: testConfig(t), Log: zap.NewNop(), Users: demoUsers(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.onLDAPS[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "use of closed network connection") {
		t.Errorf("Run: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, err := os.ReadFile("../local/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	users, bad, junk := write("users.yaml", string(good)), write("bad.yaml", "users: [{username: a, x: y}]"), write("junk", "junk")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct{ name, change, want string }{
		{"address in use", "listen: {ldap: '" + taken.Addr().String() + "'}", ":2: listen.ldap: listen tcp " + taken.Addr().String() + ": bind: address already in use"},
		{"no certificate", "tls: {cert: none, key: none}", ":2: tls: open " + dir + "/none: no such file or directory"},
		{"no users", "file: {path: none.yaml}", ":2: file.path: stat " + dir + "/none.yaml: no such file or directory"},
		{"bad users", "file: {path: bad.yaml}", bad + ":1: users[0].x: unknown key, allowed: "},
		{"state is a file", "state_dir: junk", ":2: state_dir: mkdir " + junk + ": not a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defaults := []string{"state_dir: " + t.TempDir(), "file: {path: '" + users + "'}", "listen: {ldap: '127.0.0.1:0', ldaps: '127.0.0.1:0', admin: ''}"}
			text := "base_dn: dc=x\n" + tt.change + "\n"
			for _, line := range defaults {
				if key, _, _ := strings.Cut(line, ":"); !strings.HasPrefix(tt.change, key+":") {
					text += line + "\n"
				} else if key == "listen" {
					text = strings.Replace(text, "}\n", ", ldaps: '127.0.0.1:0', admin: ''}\n", 1)
				}
			}
			path := write("ldapd.yaml", text)
			cfg, err := config.Load(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if strings.HasPrefix(want, ":") {
				want = path + want
			}
			if _, err := Open(Options{Config: cfg, Log: zap.NewNop()}); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got\n %v, want\n %s", err, want)
			}
		})
	}
}

func TestPagingSurvivesRestart(t *testing.T) {
	cfg := testConfig(t)
	page := func(cookie []byte) (int, []byte) {
		t.Helper()
		r := start(t, cfg, demoUsers(t))
		defer r.stop()
		c := r.dial(t)
		if err := c.Bind("cn=ldapservice,ou=users,"+base, "demo-ldapservice"); err != nil {
			t.Fatal(err)
		}
		paging := goldap.NewControlPaging(3)
		paging.SetCookie(cookie)
		res, err := c.Search(goldap.NewSearchRequest("ou=users,"+base, goldap.ScopeSingleLevel, goldap.NeverDerefAliases, 0, 0, false,
			"(cn=*)", nil, []goldap.Control{paging}))
		if err != nil {
			t.Fatal(err)
		}
		next, ok := goldap.FindControl(res.Controls, goldap.ControlTypePaging).(*goldap.ControlPaging)
		if !ok {
			t.Fatal("no paging control")
		}
		return len(res.Entries), next.Cookie
	}
	n, cookie := page(nil)
	if n != 3 || len(cookie) == 0 {
		t.Fatalf("first page: %d entries, cookie %x", n, cookie)
	}
	if n, cookie = page(cookie); n != 1 || len(cookie) != 0 {
		t.Errorf("second page: %d entries, cookie %x", n, cookie)
	}
}
