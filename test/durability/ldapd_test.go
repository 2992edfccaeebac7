package durability

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"go.uber.org/goleak"

	"ldapd/internal/await"
	"ldapd/internal/control"
	"ldapd/test/build"
)

// binary is where TestMain builds ldapd.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ldapd-durability-")
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
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// process is an ldapd, which may be killed and started again.
type process struct {
	t           *testing.T
	dir         string // of configuration, users and state
	ldap, admin string // addresses

	cmd    *exec.Cmd // nil: it does not run
	exited chan struct{}
	log    *tail
}

// newProcess prepares an ldapd for the users; cache is its section of the
// configuration.
func newProcess(t *testing.T, users []*user, cache string) *process {
	t.Helper()
	p := &process{t: t, dir: t.TempDir(), ldap: freeAddr(t), admin: freeAddr(t), log: &tail{}}
	p.write("users.yaml", usersFile(users))
	p.write("ldapd.yaml", fmt.Sprintf(`
listen: {ldap: "%s", ldaps: "", admin: "%s"}
state_dir: state
file: {path: users.yaml}
cache: %s
log: {level: warn, format: json}
limits: {failures_per_user: 0, failures_per_address: 0}
`, p.ldap, p.admin, cache))
	t.Cleanup(p.kill)
	return p
}

func (p *process) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) state() string { return filepath.Join(p.dir, "state") }

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs it, and returns when it serves.
func (p *process) start() {
	p.t.Helper()
	cmd := exec.Command(binary, "serve", "--config", filepath.Join(p.dir, "ldapd.yaml"))
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.Env = []string{}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	p.cmd, p.exited = cmd, exited
	for deadline := time.Now().Add(await.Patience); ; time.Sleep(2 * time.Millisecond) {
		if c, err := control.Dial(p.state()); err == nil {
			if _, err := c.Status(p.t.Context()); err == nil && p.listens() {
				return
			}
		}
		select {
		case <-exited:
			p.t.Fatalf("ldapd ended: %v\n%s", cmd.ProcessState, p.log)
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("ldapd does not serve\n%s", p.log)
		}
	}
}

func (p *process) listens() bool {
	c, err := net.Dial("tcp", p.ldap)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// kill ends it without notice.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill()
	<-p.exited
	p.cmd = nil
}

// errCut says that no answer came.
var errCut = errors.New("no answer")

// bind binds on a connection of its own and returns the result code.
func (p *process) bind(l *login) (uint16, error) { return p.bindAs(l.credential()) }

func (p *process) bindAs(name, password string) (uint16, error) {
	c, err := ldap.DialURL("ldap://"+p.ldap, ldap.DialWithDialer(&net.Dialer{Timeout: await.Patience}))
	if err != nil {
		return 0, errors.Join(errCut, err)
	}
	defer c.Close()
	c.SetTimeout(await.Patience)
	err = c.Bind("cn="+name+",ou=users,dc=ldap,dc=goauthentik,dc=io", password)
	var e *ldap.Error
	switch {
	case err == nil:
		return ldap.LDAPResultSuccess, nil
	case errors.As(err, &e) && e.ResultCode < ldap.ErrorNetwork:
		return e.ResultCode, nil
	}
	return 0, errors.Join(errCut, err)
}

// revoke is "ldapd cache revoke USER".
func (p *process) revoke(ctx context.Context, name string) error {
	c, err := control.Dial(p.state())
	if err != nil {
		return err
	}
	_, err = c.Revoke(ctx, name)
	return err
}

// list is "ldapd cache list", by user: the number of proofs of a factor.
func (p *process) list() map[string]int {
	p.t.Helper()
	c, err := control.Dial(p.state())
	if err != nil {
		p.t.Fatal(err)
	}
	binds, err := c.List(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	proofs := make(map[string]int)
	for _, b := range binds {
		proofs[b.User] += len(b.Proofs)
	}
	return proofs
}

// metric returns the sum of a metric's series.
func (p *process) metric(name string) (sum float64, err error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: await.Patience}
	resp, err := client.Get("http://" + p.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+`(?:\{.*\})? (\S+)$`).FindAllSubmatch(body, -1)
	if len(found) == 0 {
		return 0, fmt.Errorf("no metric %s", name)
	}
	for _, m := range found {
		v, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}

// tail is the end of a log.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > 64<<10 {
		l.b.Reset()
	}
	return l.b.Write(b)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
