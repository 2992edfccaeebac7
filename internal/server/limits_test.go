package server_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"ldapd/internal/await"
	"ldapd/internal/ldap"
	"ldapd/internal/proxy"
	"ldapd/internal/server"
)

// accepted says whether the server serves a new connection.
func (f *fixture) accepted(octets ...string) (*client, bool) {
	f.t.Helper()
	c := f.dial()
	// A refused connection may be reset while this is written.
	var sent []byte
	for _, o := range append(octets, bindAlice) {
		sent = append(sent, lit(f.t, o)...)
	}
	if _, err := c.Write(sent); err != nil {
		return c, false
	}
	_, err := c.read()
	return c, err == nil
}

func TestConnectionLimits(t *testing.T) {
	for reason, limits := range map[string]server.Limits{
		"connections": {Connections: 2},
		"address":     {ConnectionsPerAddress: 2},
	} {
		t.Run(reason, func(t *testing.T) {
			f := start(t, server.Config{Limits: limits})
			first, second := f.dialBound(), f.dialBound()
			for range 3 {
				c, ok := f.accepted()
				if ok {
					t.Fatal("a third connection is served")
				}
				c.Close()
			}
			if n := f.metric("ldapd_connections_refused_total", reason); n != 3 {
				t.Errorf("%v refused connections counted", n)
			}
			first.expectWho("cn=alice")
			second.Close()
			await.That(t, "another connection is served", func() bool {
				c, ok := f.accepted()
				if !ok {
					c.Close()
				}
				return ok
			})
		})
	}
}

// startProxied serves behind a proxy at 127.0.0.1, trusted or not.
func startProxied(t testing.TB, cfg server.Config, trusted bool) *fixture {
	network := "127.0.0.0/8"
	if !trusted {
		network = "192.0.2.0/24"
	}
	trust := proxy.New(proxy.Options{
		Trusted: []netip.Prefix{netip.MustParsePrefix(network)}, Timeout: await.Patience,
		Refused: prometheus.NewCounter(prometheus.CounterOpts{}), Log: zap.NewNop(),
	})
	serve := (*server.Server).Serve
	if cfg.TLSConfig != nil {
		serve = (*server.Server).ServeTLS
	}
	return startOn(t, cfg, trust.Listener(listen(t)), serve)
}

func TestProxyProtocol(t *testing.T) {
	const (
		v1  = "'PROXY TCP4 198.51.100.7 127.0.0.1 1234 389' 0d 0a"
		v1b = "'PROXY TCP4 198.51.100.8 127.0.0.1 1234 389' 0d 0a"
		// 2001:db8::7, port 1234
		v2 = "0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a 21 21 00 24 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 07" +
			"20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 04 d2 01 85"
		v2local = "0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a 20 00 00 00"
		// ::ffff:198.51.100.7, port 1234
		v2mapped = "0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a 21 21 00 24 00 00 00 00 00 00 00 00 00 00 ff ff c6 33 64 07" +
			"00 00 00 00 00 00 00 00 00 00 ff ff 7f 00 00 01 04 d2 01 85"
	)
	addrs := make(chan netip.AddrPort, 1)
	peers := make(chan netip.Addr, 1)
	h := &handler{search: func(c *server.Conn, _ *ldap.SearchRequest, _ *server.SearchWriter) ([]byte, error) {
		addrs <- c.RemoteAddr()
		peers <- c.Peer()
		return nil, nil
	}}
	for _, tt := range []struct{ name, header, want string }{
		{"version 1", v1, "198.51.100.7:1234"},
		{"version 2", v2, "[2001:db8::7]:1234"},
		{"IPv4 in IPv6", v2mapped, "198.51.100.7:1234"},
		{"the proxy itself", v2local, ""},
		{"no header", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := startProxied(t, server.Config{Handler: h}, true).dial()
			if tt.want == "" {
				tt.want = c.LocalAddr().String()
			}
			c.send(tt.header, bindAlice, searchO)
			c.expect(okBind, searchDone)
			if got := await.Receive(t, "search", addrs); got.String() != tt.want {
				t.Errorf("RemoteAddr is %s, want %s", got, tt.want)
			}
			if got := await.Receive(t, "search", peers); got != netip.MustParseAddr("127.0.0.1") {
				t.Errorf("Peer is %s", got)
			}
		})
	}
	// Who refused the header has logged that.
	for name, tt := range map[string]struct {
		trusted bool
		header  string
	}{
		"untrusted":     {false, v1},
		"broken header": {true, "'PROXY TCP4 nonsense' 0d 0a"},
	} {
		for _, cfg := range []server.Config{{Handler: h}, {Handler: h, TLSConfig: serverTLS()}} {
			t.Run(fmt.Sprint(name, ", TLS ", cfg.TLSConfig != nil), func(t *testing.T) {
				f := startProxied(t, cfg, tt.trusted)
				if c, ok := f.accepted(tt.header); ok {
					t.Errorf("served as %s", c.LocalAddr())
				}
				await.That(t, "the connection is gone", func() bool { return f.watch.ended() == 1 && f.metric("ldapd_connections") == 0 })
				if told := f.logs.Filter(func(e observer.LoggedEntry) bool { return e.Level > zapcore.DebugLevel }).All(); len(told) > 0 {
					t.Errorf("the log has %v", told)
				}
				if n := f.metric("ldapd_connections_refused_total"); n != 0 {
					t.Errorf("%v refused connections counted", n)
				}
			})
		}
	}
	t.Run("connections per address", func(t *testing.T) {
		f := startProxied(t, server.Config{Handler: h, Limits: server.Limits{ConnectionsPerAddress: 1}}, true)
		if _, ok := f.accepted(v1); !ok {
			t.Error("the first connection is refused")
		}
		if _, ok := f.accepted(v1); ok {
			t.Error("a second connection of the same client is served")
		}
		if _, ok := f.accepted(v1b); !ok {
			t.Error("another client is refused")
		}
	})
}

// A proxy names whom it likes, so its connections are bounded as well.
func TestConnectionsPerProxy(t *testing.T) {
	claim := func(last int) string {
		return fmt.Sprintf("'PROXY TCP4 198.51.100.%d 127.0.0.1 1234 389' 0d 0a", last)
	}
	f := startProxied(t, server.Config{Limits: server.Limits{Connections: 10, ConnectionsPerAddress: 2}}, true)
	var first *client
	for i := range 8 { // four fifths
		c, ok := f.accepted(claim(i))
		if !ok {
			t.Fatalf("client %d is refused", i)
		}
		if i == 0 {
			first = c
		}
	}
	if _, ok := f.accepted(claim(8)); ok {
		t.Error("the proxy names one client too many")
	}
	if _, ok := f.accepted(claim(0)); ok {
		t.Error("the proxy names one client too many, again")
	}
	if n := f.metric("ldapd_connections_refused_total", "address"); n != 2 {
		t.Errorf("%v refused connections counted", n)
	}
	if _, ok := f.accepted(); !ok {
		t.Error("nobody else is served")
	}
	first.Close()
	await.That(t, "another client is served", func() bool {
		c, ok := f.accepted(claim(8))
		if !ok {
			c.Close()
		}
		return ok
	})
}

// Silent connections of a few clients behind a proxy, which fill all of its
// places, shut out nobody else behind it.
func TestSilentClientsOfAProxy(t *testing.T) {
	claim := func(last int) string {
		return fmt.Sprintf("'PROXY TCP4 198.51.100.%d 127.0.0.1 1234 389' 0d 0a", last)
	}
	f := startProxied(t, server.Config{Limits: server.Limits{Connections: 20, ConnectionsPerAddress: 4}}, true)
	first, ok := f.accepted(claim(1))
	if !ok {
		t.Fatal("the first client is refused")
	}
	for i := range 40 {
		f.dial().send(claim(2 + i%5))
	}
	for i := range 4 {
		if _, ok := f.accepted(claim(100 + i)); !ok {
			t.Errorf("newcomer %d is refused", i)
		}
	}
	first.expectWho("cn=alice")
}

// A connection over something without addresses has none, and works.
func TestNoAddress(t *testing.T) {
	theirs, ours := net.Pipe()
	ln := newPipeListener()
	f := startOn(t, server.Config{}, ln, (*server.Server).Serve)
	ln.conns <- theirs
	c := &client{t: t, Conn: ours}
	c.exchange(bindAlice, okBind)
	c.expectWho("cn=alice")
	c.Close()
	await.That(t, "the connection is gone", func() bool { return f.metric("ldapd_connections") == 0 })
}

// pipeListener accepts what is put in.
type pipeListener struct {
	conns  chan net.Conn
	errs   chan error
	closed chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{make(chan net.Conn), make(chan error), make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case err := <-l.errs:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }
