package web

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"ldapd/internal/fair"
	"ldapd/internal/proxy"
)

// Connections of a listener at once, so that it leaves file descriptors to
// others.
const (
	connections = 1024
	perAddress  = 128 // a proxy may speak for many; for IPv6 those of a /64
)

// bounded is a listener whose connections have places.
type bounded struct {
	net.Listener
	places *fair.Places
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		nc, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: nc}
		c.place, err = b.places.Enter(fair.Network(proxy.Peer(nc).Addr()), c.yield)
		if err == nil {
			return c, nil
		}
		_ = nc.Close() // nothing was written
	}
}

// conn has a place until it is closed.
type conn struct {
	net.Conn
	place *fair.Place
	known sync.Once   // whose it is
	held  atomic.Bool // not closed for the sake of others
}

// RemoteAddr may wait for a PROXY header, and counts the connection for whom
// that names.
func (c *conn) RemoteAddr() net.Addr {
	a := c.Conn.RemoteAddr()
	c.known.Do(func() {
		if c.place.Move(fair.NetworkOf(a)) != nil {
			_ = c.Conn.Close()
		}
	})
	return a
}

func (c *conn) Close() error {
	defer c.place.Leave()
	return c.Conn.Close()
}

// CloseWrite is asked for by net/http: whoever is refused before his request has
// come whole must get the answer, and no reset.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *conn) yield() bool {
	if c.held.Load() {
		return false
	}
	_ = c.Conn.Close()
	return true
}

// connKey is that of a request's conn in its context.
type connKey struct{}

func withConn(ctx context.Context, nc net.Conn) context.Context {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	return context.WithValue(ctx, connKey{}, nc)
}

// Peer is who is at the other end of a request's connection, whomever he speaks
// for. The context is that of the request.
func Peer(ctx context.Context) netip.Addr {
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return netip.Addr{}
	}
	return proxy.Peer(c.Conn).Addr()
}

// Hold keeps the connection of a request, whose context is ctx, from being
// closed for the sake of others until end is called. It is for what takes long
// and must not be lost.
func Hold(ctx context.Context) (end func()) {
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return func() {}
	}
	c.held.Store(true)
	c.place.Hold()
	return func() {
		c.place.Loosen()
		c.held.Store(false)
	}
}
