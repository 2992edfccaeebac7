package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
)

// Socket is the name of the socket in the state directory.
const Socket = "control.sock"

// maxPath is the longest path of a Unix socket that every system takes, in
// bytes: Linux has 108 with the zero at the end, others 104.
const maxPath = 103

var (
	// ErrNotRunning says that nobody listens on the socket.
	ErrNotRunning = errors.New("not running")
	// ErrRunning says that somebody does already.
	ErrRunning = errors.New("another ldapd runs with this state directory")
)

// Listen opens the socket in a state directory, for its owner only. One that
// a dead process left is replaced; one that somebody listens on is ErrRunning.
func Listen(stateDir string) (net.Listener, error) {
	path := filepath.Join(stateDir, Socket)
	l, err := listen(stateDir, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

func listen(stateDir, path string) (net.Listener, error) {
	switch st, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, cause(err)
	case st.Mode().Type() != fs.ModeSocket:
		return nil, errors.New("not a socket")
	default:
		switch c, err := dial(context.Background(), stateDir); {
		case err == nil:
			return nil, errors.Join(ErrRunning, c.Close())
		case !errors.Is(err, ErrNotRunning):
			return nil, cause(err)
		}
	}
	// It is made in a directory of its own, and moved when its mode is right.
	dir, err := os.MkdirTemp(stateDir, ".control-") // 0700
	if err != nil {
		return nil, cause(err)
	}
	defer os.RemoveAll(dir)
	var l *net.UnixListener
	err = reach(dir, func(addr string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: addr, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, cause(err)
	}
	l.SetUnlinkOnClose(false)
	made := filepath.Join(dir, Socket)
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		return nil, errors.Join(cause(err), l.Close())
	}
	return &listener{UnixListener: l, path: path}, nil
}

// listener removes the socket when it is closed.
type listener struct {
	*net.UnixListener
	path string
	once sync.Once
}

func (l *listener) Close() (err error) {
	// Before somebody else can find that nobody listens, and make his own.
	l.once.Do(func() {
		if err = os.Remove(l.path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	})
	if closeErr := l.UnixListener.Close(); closeErr != nil {
		return closeErr
	}
	return err
}

// dial connects to the socket in a state directory.
func dial(ctx context.Context, stateDir string) (c net.Conn, err error) {
	err = reach(stateDir, func(addr string) (err error) {
		var d net.Dialer
		c, err = d.DialContext(ctx, "unix", addr)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNotRunning
	}
	return c, err
}

// reach calls f with the path of the socket in a directory, or with a shorter
// one that leads there.
func reach(dir string, f func(addr string) error) error {
	path := filepath.Join(dir, Socket)
	if len(path) <= maxPath {
		return f(path)
	}
	if runtime.GOOS != "linux" {
		return fmt.Errorf("the path is longer than %d bytes, which sockets cannot have here: choose another state_dir", maxPath)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return f("/proc/self/fd/" + strconv.Itoa(int(d.Fd())) + "/" + Socket)
}

// cause takes away what an error says of paths, which may be the short one.
func cause(err error) error {
	var path *fs.PathError
	var op *net.OpError
	var call *os.SyscallError
	switch {
	case errors.As(err, &call):
		return call.Err
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &op):
		return op.Err
	}
	return err
}
