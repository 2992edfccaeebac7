// Package proxy believes what a PROXY header (PROXY protocol, version 1 or 2)
// says about who the client is, if the peer that sends it was named, and cuts
// off whoever else sends one: an address decides which client somebody is, and
// what he may try.
package proxy

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// ErrRefused ends a connection whose PROXY header is not to be believed or
// cannot be read. Trust has logged it.
var ErrRefused = errors.New("the PROXY header was refused")

// Options make a Trust.
type Options struct {
	// Trusted are the peers that may say whom they speak for. They need not:
	// without a header they speak for themselves, as they do where it names no
	// TCP address (LOCAL, UNKNOWN, a Unix socket).
	Trusted []netip.Prefix
	Timeout time.Duration      // for the header of a trusted peer
	Refused prometheus.Counter // of headers
	Log     *zap.Logger
	Now     func() time.Time // nil: time.Now
}

// Trust says whose headers are believed.
type Trust struct {
	trusted []netip.Prefix
	timeout time.Duration
	refused prometheus.Counter
	log     *zap.Logger
	told    told
}

// New returns a Trust.
func New(o Options) *Trust {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Trust{
		trusted: slices.Clone(o.Trusted), timeout: o.Timeout, refused: o.Refused,
		log: o.Log.Named("proxy"), told: told{now: o.Now},
	}
}

// Listener looks for headers on what ln accepts. The RemoteAddr of its
// connections is that of the client, and waits for the header of a trusted
// peer; Peer is who is at the other end.
func (t *Trust) Listener(ln net.Listener) net.Listener { return &listener{ln, t} }

type listener struct {
	net.Listener
	trust *Trust
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	peer := addrPort(c.RemoteAddr())
	if !l.trust.trusts(peer.Addr()) {
		return &stranger{Conn: c, trust: l.trust, peer: peer}, nil
	}
	header := proxyproto.NewConn(c, proxyproto.WithPolicy(proxyproto.USE), proxyproto.SetReadHeaderTimeout(l.trust.timeout))
	return &named{header, l.trust, c.RemoteAddr()}, nil
}

func (t *Trust) trusts(peer netip.Addr) bool {
	return slices.ContainsFunc(t.trusted, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// refuse makes one refusal known.
func (t *Trust) refuse(peer netip.Addr, what string, err error) {
	t.refused.Inc()
	if since, now := t.told.add(peer); now {
		t.log.Warn(what, zap.Stringer("peer", peer), zap.Int("not_logged_before", since), zap.Error(err))
	}
}

// Peer returns the address at the other end of a connection, whomever that end
// speaks for. It looks behind wrappers that have a NetConn, as tls.Conn has.
// For transports without addresses it is the zero value.
func Peer(c net.Conn) netip.AddrPort {
	for {
		switch v := c.(type) {
		case interface{ Peer() netip.AddrPort }:
			return v.Peer()
		case interface{ NetConn() net.Conn }:
			c = v.NetConn()
		default:
			return addrPort(c.RemoteAddr())
		}
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
