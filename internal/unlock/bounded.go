package unlock

import (
	"net"
	"sync"
	"sync/atomic"
)

// bounded is a listener that closes connections beyond so many at once, so
// that the page leaves file descriptors to others.
type bounded struct {
	net.Listener
	most int64
	open atomic.Int64
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if b.open.Add(1) <= b.most {
			return &counted{Conn: c, done: sync.OnceFunc(func() { b.open.Add(-1) })}, nil
		}
		b.open.Add(-1)
		_ = c.Close() // nothing was written
	}
}

type counted struct {
	net.Conn
	done func()
}

// NetConn is the connection that is counted.
func (c *counted) NetConn() net.Conn { return c.Conn }

func (c *counted) Close() error {
	defer c.done()
	return c.Conn.Close()
}
