package cache

import (
	"context"
	"net"
	"sync"
	"time"
)

// How soon it is noticed that a server is gone without a word, by TCP.
const (
	keepAliveIdle     = 15 * time.Second
	keepAliveInterval = 5 * time.Second
	keepAliveCount    = 3
)

// sockets are all that are open, so that they can be closed under pgx, which
// takes long to part with a server that does not answer.
type sockets struct {
	mu     sync.Mutex
	open   map[*socket]struct{}
	closed bool
}

type socket struct {
	net.Conn
	of *sockets
}

func (s *sockets) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount,
	}}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return nil, ErrClosed
	}
	k := &socket{c, s}
	s.open[k] = struct{}{}
	return k, nil
}

// Close implements net.Conn.
func (k *socket) Close() error {
	k.of.mu.Lock()
	delete(k.of.open, k)
	k.of.mu.Unlock()
	return k.Conn.Close()
}

// close closes all sockets, and lets none be opened.
func (s *sockets) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for k := range s.open {
		k.Conn.Close()
	}
}
