package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"ldapd/internal/directory"
	"ldapd/internal/schema"
	"ldapd/test/slapdtest"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 20 * time.Second
)

// target is a running server.
type target struct {
	name string
	addr string
	pid  int
	stop func() error
	// again starts it over the same state, at another address.
	again func(ctx context.Context) (*target, error)
}

// restart stops the server, and puts the one that takes its place there.
func (t *target) restart(ctx context.Context, at **target) error {
	if err := t.stop(); err != nil {
		return err
	}
	*at = nil
	next, err := t.again(ctx)
	if err == nil {
		*at = next
	}
	return err
}

func startSlapd(ctx context.Context, d *dir) (*target, error) {
	secret := []directory.Values{{Name: "userPassword", Values: []string{ssha()}}}
	s, err := slapdtest.Start(ctx, slapdtest.Config{
		Snapshot: d.snapshot,
		Extra: func(e directory.Entry) []directory.Values {
			if e.Has(schema.UIDNumber) {
				return secret
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return &target{name: "slapd", addr: s.Addr, pid: s.PID(), stop: s.Stop}, nil
}

func startLdapd(ctx context.Context, name, binary, dir string, d *dir, level string) (*target, error) {
	return serveLdapd(ctx, name, binary, dir, level, "LDAPD_BASE_DN="+baseDN, "LDAPD_FILE_PATH="+d.file)
}

// serveLdapd starts ldapd with a state of its own.
func serveLdapd(ctx context.Context, name, binary, dir, level string, env ...string) (*target, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, binary, "serve")
	cmd.Env = append([]string{
		"LDAPD_STATE_DIR=" + filepath.Join(dir, name),
		"LDAPD_LISTEN_LDAP=" + addr, "LDAPD_LISTEN_LDAPS=", "LDAPD_LISTEN_ADMIN=", "LDAPD_LOG_LEVEL=" + level,
	}, env...)
	t, err := start(ctx, name, addr, filepath.Join(dir, name+".log"), cmd)
	if err != nil {
		return nil, err
	}
	t.again = func(ctx context.Context) (*target, error) { return serveLdapd(ctx, name, binary, dir, level, env...) }
	return t, nil
}

func startBaseline(ctx context.Context, binary, dir string, d *dir) (*target, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return start(ctx, "nmcclain", addr, filepath.Join(dir, "nmcclain.log"),
		exec.CommandContext(ctx, binary, "-addr", addr, "-base", baseDN, "-users", d.file, "-password", ssha()))
}

// start starts a process and waits until it accepts connections.
func start(ctx context.Context, name, addr, log string, cmd *exec.Cmd) (*target, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the process has its own
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	stop := func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		select {
		case <-exited:
			return nil
		case <-time.After(stopTimeout):
			cmd.Process.Kill()
			<-exited
			return fmt.Errorf("%s still ran %v after SIGTERM", name, stopTimeout)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return &target{name: name, addr: addr, pid: cmd.Process.Pid, stop: stop}, nil
		}
		select {
		case <-exited:
			text, _ := os.ReadFile(log)
			return nil, fmt.Errorf("%s ended before it served:\n%s", name, bytes.TrimSpace(text))
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%s does not serve: %w", name, ctx.Err()), stop())
		case <-time.After(20 * time.Millisecond):
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
