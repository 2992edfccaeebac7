package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"ldapd/internal/await"
	"ldapd/internal/mfa"
	"ldapd/internal/password"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// execute runs a command line to its end.
func execute(t *testing.T, in string, args ...string) (status int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(t.Context(), args, strings.NewReader(in), &o, &e)
	return status, o.String(), e.String()
}

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	root := command()
	root.InitDefaultHelpCmd()
	for _, name := range []string{"serve", "demo", "check", "hash", "totp enroll", "healthcheck", "version", "certs", "status", "cache list", "cache revoke", "unlock"} {
		cmd, _, err := root.Find(strings.Fields(name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		status, out, _ := execute(t, "", append(strings.Fields(name), "--help")...)
		if status != 0 || cmd.Example == "" || !strings.Contains(out, cmd.Example) || !strings.Contains(out, "Usage:\n  ldapd "+name) {
			t.Errorf("%s --help: status %d\n%s", name, status, out)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s is not explained", name, f.Name)
			}
		})
	}
}

func TestUsageErrors(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"bogus"}, `unknown command "bogus" for "ldapd"`},
		{[]string{"totp", "bogus"}, `unknown command "bogus" for "ldapd totp"`},
		{[]string{"totp", "enroll"}, "accepts 1 arg(s), received 0"},
		{[]string{"totp", "enroll", "a:b"}, "a colon is not allowed"},
		{[]string{"totp", "enroll", ""}, "issuer and account must not be empty"},
		{[]string{"cache", "bogus"}, `unknown command "bogus" for "ldapd cache"`},
		{[]string{"cache", "revoke"}, "name a user, or say --all"},
		{[]string{"cache", "revoke", ""}, "name a user, or say --all"},
		{[]string{"cache", "revoke", "alice", "--all"}, "name a user, or say --all"},
		{[]string{"cache", "list", "--config", "/nonexistent"}, "open /nonexistent: no such file or directory"},
		{[]string{"status", "--config", "/nonexistent"}, "open /nonexistent: no such file or directory"},
		{[]string{"unlock", "alice", "--config", "/nonexistent"}, "open /nonexistent: no such file or directory"},
		{[]string{"unlock"}, "accepts 1 arg(s), received 0"},
		{[]string{"certs"}, "requires at least 1 arg(s)"},
		{[]string{"serve", "--bogus"}, "unknown flag: --bogus"},
		{[]string{"serve", "x"}, `unknown command "x" for "ldapd serve"`},
		{[]string{"serve", "--config", "/nonexistent"}, "open /nonexistent: no such file or directory"},
		{[]string{"check", "--config", "/nonexistent"}, "open /nonexistent: no such file or directory"},
		{[]string{"demo", "--ldap", ""}, "--ldap and --ldaps must be host:port"},
		{[]string{"demo", "--ldap", "x"}, "listen.ldap: must be host:port"},
		{[]string{"demo", "--state", ""}, "state_dir: must not be empty"},
	} {
		status, _, errOut := execute(t, "", tt.args...)
		if status != 1 || !strings.HasPrefix(errOut, "ldapd: ") || !strings.Contains(errOut, tt.want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%q: status %d, %s", tt.args, status, errOut)
		}
	}
	if status, out, _ := execute(t, ""); status != 0 || !strings.Contains(out, "ldapd demo") {
		t.Errorf("no arguments: status %d\n%s", status, out)
	}
}

func TestVersion(t *testing.T) {
	if status, out, _ := execute(t, "", "version"); status != 0 || !strings.HasPrefix(out, "ldapd dev ("+runtime.Version()+", ") {
		t.Errorf("status %d, %q", status, out)
	}
}

func TestHash(t *testing.T) {
	for _, in := range []string{"pass word\n", "pass word", "pass word\r\n", "pass word\nmore\n"} {
		status, out, errOut := execute(t, in, "hash")
		h, err := password.Parse(strings.TrimSuffix(out, "\n"))
		if status != 0 || err != nil || !h.Matches("pass word") {
			t.Errorf("%q: status %d, %v, %s", in, status, err, errOut)
		}
	}
	for in, want := range map[string]string{
		"": "the password is empty", "\n": "the password is empty", strings.Repeat("x", maxPassword+1): "longer than 65536 bytes",
	} {
		if status, _, errOut := execute(t, in, "hash"); status != 1 || !strings.Contains(errOut, want) {
			t.Errorf("%.10q: status %d, %s", in, status, errOut)
		}
	}
}

func TestHashReadError(t *testing.T) {
	var errOut bytes.Buffer
	if status := run(t.Context(), []string{"hash"}, broken{}, &errOut, &errOut); status != 1 || !strings.Contains(errOut.String(), "reading the password: broken") {
		t.Errorf("status %d, %s", status, errOut.String())
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestEnroll(t *testing.T) {
	status, out, _ := execute(t, "", "totp", "enroll", "bob", "--issuer", "Example Cloud")
	m := regexp.MustCompile(`(?m)^secret +([A-Z2-7]{32})\nURL +(otpauth://totp/Example%20Cloud:bob\?\S+)\nusers.yaml +totp: \{secret: ([A-Z2-7]{32})\}$`).FindStringSubmatch(out)
	if status != 0 || m == nil || m[1] != m[3] || !strings.Contains(m[2], "secret="+m[1]) || !strings.Contains(out, "▀") {
		t.Fatalf("status %d\n%s", status, out)
	}
	if _, err := mfa.NewTOTP(m[1], mfa.Options{}); err != nil {
		t.Error(err)
	}
	if status, out, _ := execute(t, "", "totp", "enroll", "bob", "--no-qr"); status != 0 || strings.Count(out, "\n") != 3 {
		t.Errorf("without QR: status %d\n%s", status, out)
	}
}

func TestCerts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	status, out, errOut := execute(t, "", "certs", dir, "ldap.example.org")
	if status != 0 {
		t.Fatal(errOut)
	}
	for _, name := range []string{"ca.crt", "server.crt", "server.key"} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil || !strings.Contains(out, path) {
			t.Errorf("%v, printed %s", err, out)
		}
	}
}

func TestHealthcheck(t *testing.T) {
	ready := true
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || !ready {
			http.Error(w, "no directory was loaded yet", http.StatusServiceUnavailable)
		}
	}))
	defer s.Close()
	t.Setenv("http_proxy", "http://192.0.2.1:1") // is not asked
	t.Setenv("LDAPD_LISTEN_ADMIN", s.Listener.Addr().String())
	if status, out, errOut := execute(t, "", "healthcheck"); status != 0 || out != "ready\n" {
		t.Errorf("ready: status %d, %s", status, errOut)
	}
	ready = false
	if status, _, errOut := execute(t, "", "healthcheck"); status != 1 || errOut != "ldapd: not ready: no directory was loaded yet\n" {
		t.Errorf("not ready: status %d, %s", status, errOut)
	}
	s.Close()
	if status, _, errOut := execute(t, "", "healthcheck"); status != 1 || !strings.HasPrefix(errOut, "ldapd: not running? ") {
		t.Errorf("not running: status %d, %s", status, errOut)
	}
	t.Setenv("LDAPD_LISTEN_ADMIN", "")
	if status, _, errOut := execute(t, "", "healthcheck"); status != 1 || errOut != "ldapd: LDAPD_LISTEN_ADMIN: is off, so there is nothing to ask\n" {
		t.Errorf("off: status %d, %s", status, errOut)
	}
}

func TestReachable(t *testing.T) {
	for addr, want := range map[string]string{
		":9300": "127.0.0.1:9300", "0.0.0.0:9300": "127.0.0.1:9300", "[::]:9300": "127.0.0.1:9300",
		"10.0.0.1:9300": "10.0.0.1:9300", "localhost:9300": "localhost:9300", "[fe80::1%eth0]:1": "[fe80::1%eth0]:1",
	} {
		if got := reachable(addr); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	users, err := os.ReadFile("../../internal/local/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ldapd.yaml")
	for name, text := range map[string]string{
		"ldapd.yaml": "listen: {ldap: '127.0.0.1:0', ldaps: '', admin: ''}\nstate_dir: state\n", "users.yaml": string(users),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if status, out, errOut := execute(t, "", "check", "-c", path); status != 0 || !strings.HasSuffix(out, "\nok\n") || errOut != "" {
		t.Errorf("status %d\n%s%s", status, out, errOut)
	}
	t.Setenv("LDAPD_FILE_PATH", filepath.Join(dir, "none"))
	status, _, errOut := execute(t, "", "check", "-c", path)
	if want := "LDAPD_FILE_PATH: stat " + dir + "/none: no such file or directory\nldapd: check: 1 problem\n"; status != 1 || errOut != want {
		t.Errorf("status %d\n%s", status, errOut)
	}
	t.Setenv("LDAPD_TLS_CERT", "none")
	t.Setenv("LDAPD_TLS_KEY", "none")
	if status, _, errOut := execute(t, "", "check", "-c", path); status != 1 || !strings.HasSuffix(errOut, "\nldapd: check: 2 problems\n") {
		t.Errorf("status %d\n%s", status, errOut)
	}
}

// output can be read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// background runs a command until the returned function is called, which
// returns the exit status.
func background(t *testing.T, out, errOut *output, args ...string) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	status := make(chan int, 1)
	go func() { status <- run(ctx, args, strings.NewReader(""), out, errOut) }()
	stop = sync.OnceValue(func() int {
		cancel()
		return <-status
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("standard error:\n%s", errOut)
		}
	})
	return stop
}

func TestDemo(t *testing.T) {
	var out, errOut output
	state := filepath.Join(t.TempDir(), "state")
	stop := background(t, &out, &errOut, "demo", "--ldap", "127.0.0.1:0", "--ldaps", "127.0.0.1:0", "--state", state)
	await.That(t, "the demo says what to try", func() bool { return strings.Contains(out.String(), "The log:") })
	text := out.String()
	m := regexp.MustCompile(`ldap://(127\.0\.0\.1:\d+) and ldaps://(127\.0\.0\.1:\d+)`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal(text)
	}
	code := regexp.MustCompile(`'demo-bob;(\d{6})'`).FindStringSubmatch(text)
	for _, want := range []string{
		"\n  ldapsearch -x -H ldap://" + m[1] + " -D cn=ldapservice,ou=users,dc=ldap,dc=goauthentik,dc=io -w demo-ldapservice -b dc=ldap,dc=goauthentik,dc=io '(uid=alice)'\n",
		"LDAPTLS_CACERT=" + state + "/tls.crt ldapwhoami -x -H ldaps://" + m[2],
		"demo-alice", "demo-carol", "JBSWY3DPEHPK3PXP",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	for _, account := range [][2]string{{"alice", "demo-alice"}, {"ldapservice", "demo-ldapservice"}, {"bob", "demo-bob;" + code[1]}} {
		c, err := goldap.DialURL("ldap://" + m[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Bind("cn="+account[0]+",ou=users,dc=ldap,dc=goauthentik,dc=io", account[1]); err != nil {
			t.Errorf("%s: %v", account[0], err)
		}
		c.Close()
	}
	if status := stop(); status != 0 {
		t.Errorf("status %d", status)
	}
}

func TestDemoWithUsersFile(t *testing.T) {
	state := t.TempDir()
	path := filepath.Join(state, "users.yaml")
	if err := os.WriteFile(path, []byte("users: [{username: eve}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errOut output
	stop := background(t, &out, &errOut, "demo", "--ldap", "127.0.0.1:0", "--ldaps", "127.0.0.1:0", "--state", state)
	await.That(t, "the demo says what it serves", func() bool { return strings.Contains(out.String(), "ldapd demo serves "+path) })
	if status := stop(); status != 0 || strings.Contains(out.String(), "demo-alice") {
		t.Errorf("status %d\n%s", status, out.String())
	}
}

func TestServe(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users.yaml")
	if err := os.WriteFile(users, []byte("users: [{username: eve}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"LISTEN_LDAP": "127.0.0.1:0", "LISTEN_LDAPS": "", "LISTEN_ADMIN": "", "STATE_DIR": filepath.Join(dir, "state"),
		"FILE_PATH": users, "LOG_FORMAT": "console",
	} {
		t.Setenv("LDAPD_"+name, value)
	}
	var out, errOut output
	stop := background(t, &out, &errOut, "serve")
	await.That(t, "the log says that it serves", func() bool { return strings.Contains(errOut.String(), " serving ") })
	if status := stop(); status != 0 {
		t.Errorf("status %d", status)
	}

	// What is wrong at start is one line.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	t.Setenv("LDAPD_LISTEN_LDAP", ln.Addr().String())
	t.Setenv("LDAPD_LOG_FORMAT", "json")
	t.Setenv("LDAPD_LOG_LEVEL", "warn")
	status, _, text := execute(t, "", "serve")
	if want := "ldapd: LDAPD_LISTEN_LDAP: listen tcp " + ln.Addr().String() + ": bind: address already in use\n"; status != 1 || text != want {
		t.Errorf("status %d, %s", status, text)
	}
}
