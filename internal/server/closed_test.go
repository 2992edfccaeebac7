package server_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"ldapd/internal/await"
	"ldapd/internal/ldap"
	"ldapd/internal/server"
)

// watched is a handler that is told of the end of connections. All tests run
// with one: whatever they do to connections, each of them ends once, and after
// its last operation.
type watched struct {
	server.Handler
	t testing.TB

	mu      sync.Mutex
	running map[uint64]int // operations, by connection
	seen    map[uint64]bool
	closed  map[uint64]bool
	panics  bool // Closed panics
}

func watch(t testing.TB, h server.Handler) *watched {
	return &watched{Handler: h, t: t, running: map[uint64]int{}, seen: map[uint64]bool{}, closed: map[uint64]bool{}}
}

func (w *watched) Bind(ctx context.Context, c *server.Conn, req *ldap.BindRequest) (server.Identity, error) {
	defer w.operation(c)()
	return w.Handler.Bind(ctx, c, req)
}

func (w *watched) Search(c *server.Conn, req *ldap.SearchRequest, sw *server.SearchWriter) ([]byte, error) {
	defer w.operation(c)()
	return w.Handler.Search(c, req, sw)
}

func (w *watched) Compare(c *server.Conn, req *ldap.CompareRequest) (bool, error) {
	defer w.operation(c)()
	return w.Handler.Compare(c, req)
}

func (w *watched) operation(c *server.Conn) (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed[c.ID()] {
		w.t.Errorf("an operation after the end of connection %d", c.ID())
	}
	w.seen[c.ID()] = true
	w.running[c.ID()]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running[c.ID()]--
	}
}

// Closed implements server.Closer.
func (w *watched) Closed(c *server.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed[c.ID()] {
		w.t.Errorf("connection %d ends twice", c.ID())
	}
	if n := w.running[c.ID()]; n > 0 {
		w.t.Errorf("connection %d ends with %d operations running", c.ID(), n)
	}
	w.closed[c.ID()] = true
	if w.panics {
		panic("closed")
	}
}

func (w *watched) ended() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.closed)
}

// check is for when there are no more connections.
func (w *watched) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.seen {
		if !w.closed[id] {
			w.t.Errorf("connection %d never ends", id)
		}
	}
}

func TestClosed(t *testing.T) {
	panicking := &handler{
		bind: func(_ context.Context, _ *server.Conn, req *ldap.BindRequest) (server.Identity, error) {
			if string(req.Name) == "cn=bob" {
				panic("bind")
			}
			return user(req.Name), nil
		},
		search: func(_ *server.Conn, req *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
			if string(req.Base) == "slow" {
				w.Slow()
			}
			panic("search")
		},
		compare: func(*server.Conn, *ldap.CompareRequest) (bool, error) { panic("compare") },
	}
	unavailable := &handler{bind: func(context.Context, *server.Conn, *ldap.BindRequest) (server.Identity, error) {
		return nil, ldap.Errorf(ldap.ResultUnavailable, "later")
	}}
	const bindBob = "30 18 02 01 01 60 13 02 01 03 04 06 'cn=bob' 80 06 'secret'"
	proxied := func(t testing.TB, cfg server.Config) *fixture { return startProxied(t, cfg, true) }
	for _, tt := range []struct {
		name  string
		start func(testing.TB, server.Config) *fixture
		cfg   server.Config
		end   func(f *fixture, c *client)
	}{
		{"unbind", start, server.Config{}, func(_ *fixture, c *client) { c.send(bindAlice, unbind) }},
		{"hang up", start, server.Config{}, func(_ *fixture, c *client) { c.exchange(bindAlice, okBind); c.Close() }},
		{"hang up without a word", start, server.Config{}, func(_ *fixture, c *client) { c.Close() }},
		{"hang up within a message", start, server.Config{}, func(_ *fixture, c *client) { c.send("30 0c 02"); c.Close() }},
		{"cut", start, server.Config{}, func(_ *fixture, c *client) {
			c.exchange(bindAlice, okBind)
			c.Conn.(*net.TCPConn).SetLinger(0) // reset
			c.Close()
		}},
		{"idle", start, server.Config{Limits: server.Limits{Idle: time.Millisecond}}, func(*fixture, *client) {}},
		{"dribble", start, server.Config{Limits: server.Limits{Read: time.Millisecond}}, func(_ *fixture, c *client) { c.send("30 0c 02") }},
		{"no LDAP", start, server.Config{}, func(_ *fixture, c *client) { c.send("'GET / HTTP/1.0'") }},
		{"bind during trouble", start, server.Config{Handler: unavailable}, func(_ *fixture, c *client) { c.send(bindAlice) }},
		{"shutdown", start, server.Config{}, func(f *fixture, c *client) {
			c.exchange(bindAlice, okBind)
			f.shutdown(context.Background())
		}},
		{"panic in a bind", start, server.Config{Handler: panicking}, func(_ *fixture, c *client) { c.send(bindBob) }},
		{"panic in a search", start, server.Config{Handler: panicking}, func(_ *fixture, c *client) { c.send(bindAlice, searchO) }},
		{"panic in a slow search", start, server.Config{Handler: panicking}, func(_ *fixture, c *client) { c.send(bindAlice, searchFor(4, "slow")) }},
		{"panic in a compare", start, server.Config{Handler: panicking}, func(_ *fixture, c *client) {
			c.send("30 10 02 01 08 6e 0b 04 01 'o' 30 06 04 01 'a' 04 01 'b'")
		}},
		{"broken handshake", startTLS, server.Config{}, func(_ *fixture, c *client) { c.send(bindAlice) }},
		{"no handshake", startTLS, server.Config{}, func(_ *fixture, c *client) { c.Close() }},
		{"handshake that takes too long", startTLS, server.Config{Limits: server.Limits{Handshake: time.Millisecond}}, func(*fixture, *client) {}},
		{"broken StartTLS", start, server.Config{TLSConfig: serverTLS()}, func(_ *fixture, c *client) {
			c.exchange(startTLSRequest, startTLSAnswer)
			c.send(bindAlice)
		}},
		{"broken PROXY header", proxied, server.Config{}, func(_ *fixture, c *client) {
			c.send("'PROXY TCP4 nonsense' 0d 0a")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.start(t, tt.cfg)
			tt.end(f, f.dial())
			await.That(t, "the connection ends", func() bool { return f.watch.ended() == 1 && f.metric("ldapd_connections") == 0 })
		})
	}
}

// Shutdown that lost patience cuts what is left, whose end comes when the
// handler notices.
func TestClosedAfterTheLastOperation(t *testing.T) {
	h := newHeld()
	f := start(t, server.Config{Handler: &handler{search: h.search}})
	c := f.dialBound()
	c.exchange(searchO, searchEntry)
	await.Receive(t, "search", h.began)
	c.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	await.Receive(t, "Shutdown", f.shutdown(ctx))
	if f.watch.ended() > 0 {
		t.Error("the connection ended while a search was running")
	}
	close(h.release)
	await.Receive(t, "the end of the search", h.ended)
	await.That(t, "the connection ends", func() bool { return f.watch.ended() == 1 })
}

// A connection that gets no place has not begun.
func TestClosedWhenRefused(t *testing.T) {
	const want = 1
	for name, limits := range map[string]server.Limits{
		"connections": {Connections: 1},
		"address":     {ConnectionsPerAddress: 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, server.Config{Limits: limits})
			first := f.dialBound()
			for range 3 {
				if c, ok := f.accepted(); ok {
					t.Errorf("%v is served", c.LocalAddr())
				}
			}
			first.Close()
			await.That(t, "the connections end", func() bool { return f.watch.ended() == want && f.metric("ldapd_connections") == 0 })
		})
	}
}

// What the handler does about the end of a connection cannot keep the server
// from forgetting it.
func TestPanicInClosed(t *testing.T) {
	f := start(t, server.Config{})
	f.watch.mu.Lock()
	f.watch.panics = true
	f.watch.mu.Unlock()
	other := f.dialBound()
	f.dialBound().Close()
	await.That(t, "the connection is gone", func() bool { return f.metric("ldapd_connections") == 1 })
	other.expectWho("cn=alice")
	if n := f.metric("ldapd_panics_total"); n != 1 {
		t.Errorf("%v panics counted", n)
	}
}
