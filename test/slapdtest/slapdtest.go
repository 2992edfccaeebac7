// Package slapdtest runs OpenLDAP's slapd over the entries of a directory
// snapshot, for tests and benchmarks that set ldapd beside it.
package slapdtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/directory"
)

// Where Debian has them.
const (
	slapdPath  = "/usr/sbin/slapd"
	modulePath = "/usr/lib/ldap"
)

// The administrator, whom no access rule or limit holds.
const (
	RootDN       = "cn=slapd,cn=config"
	RootPassword = "slapd"
)

// Indexes suit the searches of ldapd's clients. Substrings have three letters
// there, so that they help a search for three.
var Indexes = []string{
	"objectClass,uid,sAMAccountName,memberOf,member,entryUUID,uidNumber,gidNumber eq",
	"cn,displayName,mail,sn,givenName pres,eq,sub",
}

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 10 * time.Second
	startTries   = 5
)

// Config says what slapd serves.
type Config struct {
	Snapshot *directory.Snapshot
	// Extra, if not nil, returns what slapd is given of an entry besides its
	// attributes, and Types defines the types of that, where slapd and the
	// snapshot's schema do not.
	Extra func(directory.Entry) []directory.Values
	Types []string
}

// Server is a running slapd.
type Server struct {
	Addr string // host:port

	dir    string
	cmd    *exec.Cmd
	stderr bytes.Buffer
	exited chan struct{} // closed when it has
}

// Run starts slapd for a test and stops it at its end.
func Run(t testing.TB, cfg Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Start loads the entries and starts slapd on a free loopback port. It
// returns when slapd answers.
func Start(ctx context.Context, cfg Config) (s *Server, err error) {
	dir, err := os.MkdirTemp("", "slapdtest-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("slapdtest: %w", err), os.RemoveAll(dir))
		}
	}()
	known, err := builtin(ctx, dir)
	if err != nil {
		return nil, err
	}
	conf, err := writeConfig(dir, cfg, known)
	if err != nil {
		return nil, err
	}
	if err := load(ctx, conf, filepath.Join(dir, "data.ldif"), cfg); err != nil {
		return nil, err
	}
	return launch(ctx, dir, conf)
}

// Stop ends slapd and removes its files.
func (s *Server) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("slapdtest: %w", err)
	}
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		s.cmd.Process.Kill()
		<-s.exited
		return errors.Join(fmt.Errorf("slapdtest: slapd still ran %v after SIGTERM", stopTimeout), os.RemoveAll(s.dir))
	}
	return os.RemoveAll(s.dir)
}

// PID returns the process, for CPU.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// launch starts slapd with a configuration file. Another process may take the
// port that was free, so it tries again.
func launch(ctx context.Context, dir, conf string) (*Server, error) {
	var err error
	for range startTries {
		s := &Server{dir: dir, exited: make(chan struct{})}
		if s.Addr, err = freeAddr(); err != nil {
			return nil, err
		}
		// -d keeps it in the foreground.
		s.cmd = exec.Command(slapdPath, "-d", "0", "-h", "ldap://"+s.Addr, "-f", conf)
		s.cmd.Stderr = &s.stderr
		if err = s.cmd.Start(); err != nil {
			return nil, err
		}
		go func() {
			s.cmd.Wait()
			close(s.exited)
		}()
		if err = s.wait(ctx); err == nil {
			return s, nil
		}
		s.cmd.Process.Kill()
		<-s.exited
		err = fmt.Errorf("%w\n%s", err, s.stderr.String())
	}
	return nil, err
}

// wait returns when slapd accepts connections.
func (s *Server) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		c, err := net.Dial("tcp", s.Addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-s.exited:
			return errors.New("slapd ended before it served")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// prologue begins every configuration. The modules bring a database, sorting,
// and the type of pwdChangedTime, which only a module may define.
const prologue = `modulepath ` + modulePath + `
moduleload back_mdb
moduleload sssvlv
moduleload ppolicy
loglevel 0
index_substr_any_len 3
sizelimit unlimited
timelimit unlimited
threads 4
`

// builtin returns the OIDs of the schema that slapd has without any
// configuration: it may not be given those again.
func builtin(ctx context.Context, dir string) (map[string]bool, error) {
	conf := filepath.Join(dir, "empty.conf")
	if err := os.WriteFile(conf, []byte(prologue), 0o600); err != nil {
		return nil, err
	}
	s, err := launch(ctx, dir, conf)
	if err != nil {
		return nil, err
	}
	defer func() {
		s.cmd.Process.Kill()
		<-s.exited
	}()
	c, err := ldap.DialURL("ldap://" + s.Addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	res, err := c.Search(ldap.NewSearchRequest("cn=subschema", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"attributeTypes", "objectClasses"}, nil))
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, e := range res.Entries {
		for _, a := range e.Attributes {
			for _, def := range a.Values {
				known[oidOf(def)] = true
			}
		}
	}
	return known, nil
}

// oidOf returns the OID of a definition.
func oidOf(def string) string {
	if f := strings.Fields(def); len(f) > 1 {
		return f[1]
	}
	return ""
}

func writeConfig(dir string, cfg Config, known map[string]bool) (string, error) {
	var b strings.Builder
	b.WriteString(prologue)
	sub := cfg.Snapshot.Schema.Subschema()
	for _, def := range append(sub.AttributeTypes, cfg.Types...) {
		if !known[oidOf(def)] && !strings.Contains(def, "USAGE directoryOperation") {
			fmt.Fprintf(&b, "attributetype %s\n", legal(def))
		}
	}
	for _, def := range sub.ObjectClasses {
		if !known[oidOf(def)] {
			fmt.Fprintf(&b, "objectclass %s\n", legal(def))
		}
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return "", err
	}
	// Timestamps are the snapshot's; those that it lacks are not made up.
	fmt.Fprintf(&b, `database config
rootdn %q
rootpw %s
database mdb
suffix %q
rootdn %q
directory %s
maxsize %d
dbnosync
lastmod off
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
`, RootDN, RootPassword, cfg.Snapshot.BaseDN, RootDN, data, 4<<30)
	for _, index := range Indexes {
		fmt.Fprintf(&b, "index %s\n", index)
	}
	b.WriteString("overlay sssvlv\nsssvlv-max 1000\nsssvlv-maxperconn 1000\n")
	conf := filepath.Join(dir, "slapd.conf")
	return conf, os.WriteFile(conf, []byte(b.String()), 0o600)
}

// legal makes a definition one that slapd takes: it knows no '_' in names.
func legal(def string) string { return strings.ReplaceAll(def, "_", "-") }

// load gives slapd the entries before it starts.
func load(ctx context.Context, conf, ldif string, cfg Config) error {
	f, err := os.Create(ldif)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<16)
	for e := range entries(cfg.Snapshot) {
		writeEntry(w, e, cfg.Extra)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, slapdPath, "-T", "add", "-q", "-f", conf, "-l", ldif, "-b", cfg.Snapshot.BaseDN)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("slapadd: %w\n%s", err, out)
	}
	return nil
}

func entries(s *directory.Snapshot) iter.Seq[directory.Entry] {
	return func(yield func(directory.Entry) bool) {
		for id := range s.Len() {
			if !yield(s.Entry(directory.ID(id))) {
				return
			}
		}
	}
}
