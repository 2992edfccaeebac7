// Package postgrestest runs a private PostgreSQL for tests and benchmarks.
package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// binGlob is where Debian has the server's programs.
const binGlob = "/usr/lib/postgresql/*/bin"

// The superuser.
const (
	User     = "postgres"
	Password = "correct horse"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 20 * time.Second
	startTries   = 5
)

// Server is a PostgreSQL on a loopback port of its own. It does not sync to
// disk: its data survive it, but not the machine.
type Server struct {
	Addr string // host:port

	bin, dir string
	as       *syscall.Credential // nil: who runs the tests

	mu     sync.Mutex
	cmd    *exec.Cmd // nil: stopped
	exited chan struct{}
	stderr bytes.Buffer
	dbs    int
}

// Run starts a server for a test and stops it at its end.
func Run(t testing.TB) *Server {
	t.Helper()
	s, err := New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// New makes the data of a server in a temporary directory, and starts it.
func New(ctx context.Context) (*Server, error) {
	bin, err := binDir()
	if err != nil {
		return nil, fmt.Errorf("postgrestest: %w", err)
	}
	dir, err := os.MkdirTemp("", "postgrestest-")
	if err != nil {
		return nil, fmt.Errorf("postgrestest: %w", err)
	}
	s := &Server{bin: bin, dir: dir}
	if err := s.launch(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("postgrestest: %w", err), os.RemoveAll(dir))
	}
	return s, nil
}

func (s *Server) launch(ctx context.Context) (err error) {
	if err := s.drop(); err != nil {
		return err
	}
	if err := s.initdb(ctx); err != nil {
		return err
	}
	// Another process may take the port that was free.
	for range startTries {
		if s.Addr, err = freeAddr(); err != nil {
			return err
		}
		if err = s.start(ctx); err == nil {
			return nil
		}
	}
	return err
}

// binDir returns the programs of the newest version that is installed.
func binDir() (string, error) {
	dirs, err := filepath.Glob(binGlob)
	if err != nil {
		return "", err
	}
	version := func(dir string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir))) // 0: not one of Debian's
		return n
	}
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no %s/initdb; scripts/test-deps.sh installs it", binGlob)
}

// drop finds somebody to run the server as: it refuses to run as root.
func (s *Server) drop() error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(s.dir, int(uid), int(gid))
}

func (s *Server) initdb(ctx context.Context) error {
	pw := filepath.Join(s.dir, "password")
	if err := os.WriteFile(pw, []byte(Password+"\n"), 0o600); err != nil {
		return err
	}
	if s.as != nil {
		if err := os.Chown(pw, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "--pgdata", s.data(), "--username", User,
		"--auth", "scram-sha-256", "--pwfile", pw, "--encoding", "UTF8", "--locale", "C", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: s.as}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Start starts the server again. It returns when the server answers.
func (s *Server) Start(ctx context.Context) error {
	if err := s.start(ctx); err != nil {
		return fmt.Errorf("postgrestest: %w", err)
	}
	return nil
}

func (s *Server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return errors.New("it runs already")
	}
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.data(), "-h", host, "-p", port, "-k", s.dir, "-F",
		"-c", "max_connections=50")
	cmd.Dir, cmd.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: s.as}
	s.stderr.Reset()
	cmd.Stderr = &s.stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	if err := s.wait(ctx, exited); err != nil {
		cmd.Process.Signal(syscall.SIGQUIT)
		<-exited
		return fmt.Errorf("%w\n%s", err, s.stderr.String())
	}
	s.cmd, s.exited = cmd, exited
	return nil
}

// wait returns when the server answers.
func (s *Server) wait(ctx context.Context, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, s.DSN(User))
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-exited:
			return errors.New("postgres ended before it served")
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop ends the server, and with it whatever is under way, as a crash does:
// it is killed, and recovers at the next start.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return nil
	}
	// An immediate shutdown; SIGKILL would leave its children.
	if err := s.cmd.Process.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("postgrestest: %w", err)
	}
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("postgrestest: postgres still ran %v after SIGQUIT", stopTimeout)
	}
	s.cmd = nil
	return nil
}

// Close ends the server and removes its data.
func (s *Server) Close() error {
	return errors.Join(s.Stop(), os.RemoveAll(s.dir))
}

// DSN returns the connection string of the superuser for a database.
func (s *Server) DSN(database string) string { return s.DSNOf(User, Password, database) }

// DSNOf returns the connection string of a user for a database.
func (s *Server) DSNOf(name, password, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(name, password), Host: s.Addr, Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Database makes a new, empty database and returns the connection string of
// the superuser for it.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name, err := s.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.DSN(name)
}

// NewDatabase makes a new, empty database and returns its name.
func (s *Server) NewDatabase(ctx context.Context) (name string, err error) {
	s.mu.Lock()
	s.dbs++
	name = fmt.Sprint("test", s.dbs)
	s.mu.Unlock()
	return name, s.Exec(ctx, User, "CREATE DATABASE "+name)
}

// Exec runs statements in a database as the superuser.
func (s *Server) Exec(ctx context.Context, database, sql string) error {
	c, err := pgx.Connect(ctx, s.DSN(database))
	if err != nil {
		return fmt.Errorf("postgrestest: %w", err)
	}
	_, err = c.PgConn().Exec(ctx, sql).ReadAll()
	if err := errors.Join(err, c.Close(ctx)); err != nil {
		return fmt.Errorf("postgrestest: %w", err)
	}
	return nil
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
