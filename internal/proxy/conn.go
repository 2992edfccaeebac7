package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
)

// named is a connection of a trusted peer.
type named struct {
	net.Conn // reads the header
	trust    *Trust
	own      net.Addr // of the peer
}

// Peer is the proxy.
func (c *named) Peer() netip.AddrPort { return addrPort(c.own) }

// RemoteAddr waits for the header, at most Options.Timeout.
func (c *named) RemoteAddr() net.Addr {
	if a, ok := c.Conn.RemoteAddr().(*net.TCPAddr); ok {
		return a
	}
	return c.own
}

func (c *named) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil {
		return n, nil
	}
	// All else that can fail is the header.
	var network *net.OpError
	if errors.Is(err, io.EOF) || errors.As(err, &network) {
		return n, err
	}
	c.trust.refuse(c.Peer().Addr(), "a PROXY header cannot be read: the connection is cut off", err)
	c.Close()
	return 0, ErrRefused
}

// stranger is a connection of a peer that was not named. Whether it begins
// with a header shows in what is read anyhow: nobody waits for one.
type stranger struct {
	net.Conn
	trust *Trust
	peer  netip.AddrPort

	decided bool   // that there is no header
	held    []byte // was read while it could become one, and is handed on if not
}

// Peer is the client.
func (c *stranger) Peer() netip.AddrPort { return c.peer }

func (c *stranger) Read(b []byte) (int, error) {
	for !c.decided {
		n, err := c.Conn.Read(b)
		if n == 0 {
			return 0, err
		}
		seen := b[:n]
		if c.held != nil {
			seen = append(c.held, seen...)
		}
		whole, begun := header(seen)
		switch {
		case whole:
			c.trust.refuse(c.peer.Addr(), "a PROXY header was sent by a peer that proxy_protocol.trusted does not name: the connection is cut off; name it there if it is your proxy", nil)
			c.Close()
			return 0, ErrRefused
		case begun:
			c.held = bytes.Clone(seen)
			continue // an error comes again
		}
		c.decided = true
		if c.held == nil {
			return n, err // as nearly always
		}
		c.held = seen
	}
	if len(c.held) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.held)
	c.held = c.held[n:]
	return n, nil
}

// What headers begin with, and neither LDAP (0x30) nor TLS (0x16).
var (
	version1 = []byte("PROXY ")
	version2 = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// header says whether b begins with the whole signature of a header, or is
// what one begins with.
func header(b []byte) (whole, begun bool) {
	for _, signature := range [][]byte{version1, version2} {
		whole = whole || bytes.HasPrefix(b, signature)
		begun = begun || bytes.HasPrefix(signature, b)
	}
	return whole, begun
}
