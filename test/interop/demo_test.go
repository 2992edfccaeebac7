package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"ldapd/test/build"
)

// The demo directory's fixed facts.
const (
	base       = "dc=ldap,dc=goauthentik,dc=io"
	users      = "ou=users," + base
	groups     = "ou=groups," + base
	totpSecret = "JBSWY3DPEHPK3PXP"
)

const (
	startTimeout  = 30 * time.Second
	stopTimeout   = 15 * time.Second
	clientTimeout = 2 * time.Minute
)

// serves is the line by which the demo says that it listens.
var serves = regexp.MustCompile(`(?m)^ldapd demo serves ldap://(\S+) and ldaps://(\S+)$`)

// cookie is one that ldapsearch shows, folded as in LDIF.
var cookie = regexp.MustCompile(`cookie=\S+(\n \S+)*`)

// binary is the ldapd that TestMain built.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ldapd-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "ldapd")
	if err := build.Ldapd(context.Background(), binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// demo is a running `ldapd demo` with a state directory of its own, so that
// codes used by one client are fresh to the next.
type demo struct {
	ldap, ldaps string // host:port
	ca          string // PEM file of the self-signed certificate
	out         *output
}

func startDemo(t *testing.T) *demo {
	t.Helper()
	state := t.TempDir()
	d := &demo{ca: filepath.Join(state, "tls.crt"), out: &output{}}
	cmd := exec.Command(binary, "demo", "--ldap", "127.0.0.1:0", "--ldaps", "127.0.0.1:0", "--state", state)
	cmd.Stdout, cmd.Stderr = d.out, d.out
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting ldapd demo: %v", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("ldapd demo printed:\n%s", d.out)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("stopping ldapd demo: %v", err)
		}
		select {
		case err := <-exited:
			if err != nil {
				t.Errorf("ldapd demo did not end with status 0 on SIGTERM: %v", err)
			}
		case <-time.After(stopTimeout):
			t.Errorf("ldapd demo still runs %v after SIGTERM", stopTimeout)
			cmd.Process.Kill()
			<-exited
		}
	})

	deadline := time.After(startTimeout)
	for {
		// it says where once it listens
		if m := serves.FindStringSubmatch(d.out.String()); m != nil {
			d.ldap, d.ldaps = m[1], m[2]
			return d
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("ldapd demo ended before it served: %v", err)
		case <-deadline:
			t.Fatalf("ldapd demo does not serve after %v", startTimeout)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// codes returns bob's code of this time step and of the next. Each works once,
// and the server takes a step of skew, so both stay good for 30 seconds or
// more if they are used in this order.
func codes(t *testing.T) [2]string {
	t.Helper()
	now := time.Now()
	var c [2]string
	for i := range c {
		code, err := totp.GenerateCode(totpSecret, now.Add(time.Duration(i)*30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		c[i] = code
	}
	return c
}

// script runs a client's command with the server's particulars in its
// environment and returns what it printed, made independent of this run.
func (d *demo) script(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing; scripts/test-deps.sh installs it: %v", name, err)
	}
	code := codes(t)
	host, port, err := net.SplitHostPort(d.ldap)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(),
		"LC_ALL=C.UTF-8",
		"LDAP_URL=ldap://"+d.ldap, "LDAPS_URL=ldaps://"+d.ldaps,
		"LDAP_HOST="+host, "LDAP_PORT="+port, "LDAP_CA="+d.ca,
		"BASE="+base, "CODE1="+code[0], "CODE2="+code[1],
		// libldap: neither the system's ldap.conf nor the caller's .ldaprc
		"LDAPCONF=/dev/null", "HOME="+t.TempDir(),
	)
	out, err := cmd.CombinedOutput()
	text := strings.NewReplacer(
		"ldap://"+d.ldap, "$LDAP_URL", "ldaps://"+d.ldaps, "$LDAPS_URL",
		code[0], "CODE1", code[1], "CODE2",
	).Replace(string(out))
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, text)
	}
	return cookie.ReplaceAllString(text, "cookie=COOKIE")
}

// output collects what a process prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
