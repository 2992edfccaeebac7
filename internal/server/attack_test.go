package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"ldapd/internal/await"
	"ldapd/internal/ber"
	"ldapd/internal/ldap"
	"ldapd/internal/server"
)

// What those can make the server spend who have no account, or one without
// rights, over real sockets.

// dialFrom is dial from another address of this machine, 127.0.0.n.
func (f *fixture) dialFrom(n byte) *client {
	f.t.Helper()
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, n)}}
	nc, err := from.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	c := &client{t: f.t, Conn: nc}
	c.SetDeadline(time.Now().Add(await.Patience))
	f.t.Cleanup(func() { nc.Close() })
	return c
}

// open says whether the server has left the connection open.
func (c *client) open() bool {
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.Conn.Read(make([]byte, 1))
	c.SetReadDeadline(time.Now().Add(await.Patience))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func TestSilentConnectionsShutNobodyOut(t *testing.T) {
	const total, each = 50, 10
	f := start(t, server.Config{Limits: server.Limits{Connections: total, ConnectionsPerAddress: each}})
	before := f.dialBound()
	var silent []*client
	for n := range byte(5) {
		for range each {
			silent = append(silent, f.dialFrom(n+2))
		}
	}
	await.That(t, "all places are taken", func() bool { return f.metric("ldapd_connections") == total })
	for range 3 {
		f.dialBound().Close()
		f.dialFrom(9).exchange(bindAlice, okBind)
	}
	before.expectWho("cn=alice")
	if n := f.metric("ldapd_connections_refused_total", "displaced"); n < 3 {
		t.Errorf("%v connections lost their places", n)
	}
	if f.metric("ldapd_connections_refused_total", "connections") != 0 {
		t.Error("a newcomer was refused")
	}
	open := 0
	for _, c := range silent {
		if c.open() {
			open++
		}
	}
	if open < total-10 {
		t.Errorf("only %d of %d silent connections are left: more than it took were cut", open, len(silent))
	}
}

// Those who are bound and busy keep their places, however many others come.
func TestBoundConnectionsKeepTheirPlaces(t *testing.T) {
	h := newHeld()
	f := start(t, server.Config{Limits: server.Limits{Connections: 4}, Handler: &handler{search: h.search}})
	searching, idle := f.dialBound(), f.dialBound()
	searching.exchange(searchO, searchEntry)
	await.Receive(t, "search", h.began)
	idle.expectWho("cn=alice")
	for range 20 {
		f.dialFrom(2)
	}
	f.dialFrom(3).exchange(bindAlice, okBind)
	f.dialFrom(4).exchange(bindAlice, okBind)
	if _, err := f.dialFrom(5).read(); err == nil {
		t.Error("a fifth connection is served where all are bound")
	}
	close(h.release)
	searching.expect(searchEntry, searchDone)
	idle.expectWho("cn=alice")
}

// A bound connection that does nothing is the last to go, and to somebody whose
// address has far fewer.
func TestIdleBoundConnectionsMakeRoom(t *testing.T) {
	f := start(t, server.Config{Limits: server.Limits{Connections: 4, Unbound: 250 * time.Millisecond}})
	for range 4 {
		f.dialBound()
	}
	await.That(t, "another address gets in", func() bool {
		c := f.dialFrom(2)
		defer c.Close()
		_, _ = c.Write(lit(t, bindAlice))
		m, err := c.read()
		return err == nil && bytes.Equal(m, lit(t, okBind))
	})
}

// Who owes a PROXY header counts, too, and makes room.
func TestSilentConnectionsBehindAProxy(t *testing.T) {
	f := startProxied(t, server.Config{Limits: server.Limits{Connections: 5}}, true)
	for range 20 {
		f.dial()
	}
	if _, ok := f.accepted("'PROXY TCP4 198.51.100.7 127.0.0.1 1234 389' 0d 0a"); !ok {
		t.Error("a client is refused")
	}
}

// An address at its limit can still bind: silent ones make room there, too.
func TestSilentConnectionsOfTheSameAddress(t *testing.T) {
	f := start(t, server.Config{Limits: server.Limits{ConnectionsPerAddress: 5}})
	bound := f.dialBound()
	for range 20 {
		f.dial()
	}
	f.dial().exchange(bindAlice, okBind)
	bound.expectWho("cn=alice")
}

// IPv6 addresses of one network are one client.
func TestLimitsCountNetworks(t *testing.T) {
	f := startProxied(t, server.Config{Limits: server.Limits{ConnectionsPerAddress: 3}}, true)
	header := func(addr string) string { return "'PROXY TCP6 " + addr + " 2001:db8::1 1234 389' 0d 0a" }
	for n := range 3 {
		if _, ok := f.accepted(header(fmt.Sprintf("2001:db8:0:7::%d", n+1))); !ok {
			t.Fatalf("connection %d is refused", n)
		}
	}
	if _, ok := f.accepted(header("2001:db8:0:7:ffff::9")); ok {
		t.Error("a fourth connection of a /64 is served")
	}
	if _, ok := f.accepted(header("2001:db8:0:8::1")); !ok {
		t.Error("another /64 is refused")
	}
}

func TestUnbound(t *testing.T) {
	limits := server.Limits{Unbound: 250 * time.Millisecond}
	over := notice(52, "no bind was granted in time")
	const wrong = "30 17 02 01 01 60 12 02 01 03 04 08 'cn=alice' 80 03 'xxx'"
	for name, begin := range map[string]func(*fixture, *client){
		"silent":                func(*fixture, *client) {},
		"anonymous":             func(_ *fixture, c *client) { c.exchange(bindAnonymous, okBind); c.expectWho("") },
		"refused":               func(_ *fixture, c *client) { c.exchange(wrong, result(1, 0x61, 49, "no")) },
		"half a request":        func(_ *fixture, c *client) { c.send("30 0c 02") },
		"bound, then anonymous": func(_ *fixture, c *client) { c.exchange(bindAlice, okBind); c.exchange(bindAnonymous, okBind) },
		"bound, then refused": func(_ *fixture, c *client) {
			c.exchange(bindAlice, okBind)
			c.exchange(wrong, result(1, 0x61, 49, "no"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, server.Config{Limits: limits})
			c := f.dial()
			begin(f, c)
			c.expect(over)
			c.expectEnd()
			if n := f.metric("ldapd_connections_refused_total", "unbound"); n != 1 {
				t.Errorf("%v connections counted", n)
			}
		})
	}
	t.Run("requests for ever", func(t *testing.T) {
		for _, request := range []string{wrong, whoAmI, bindAnonymous} {
			c := start(t, server.Config{Limits: limits}).dial()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				b := lit(t, request)
				for {
					if _, err := c.Write(b); err != nil {
						return
					}
					if m, err := c.read(); err != nil || bytes.Equal(m, lit(t, over)) {
						return
					}
				}
			}()
			await.Receive(t, "the end", ended)
		}
	})
	t.Run("a handshake", func(t *testing.T) {
		c := startTLS(t, server.Config{Limits: limits}).dial()
		c.expectEnd()
	})
	t.Run("bound", func(t *testing.T) {
		f := start(t, server.Config{Limits: limits, TLSConfig: serverTLS()})
		c := f.dialBound()
		f.dial().expect(over)
		c.expectWho("cn=alice")
		c.exchange(bindAlice, okBind)
		f.dial().expect(over)
		c.expectWho("cn=alice")
		c.exchange(startTLSRequest, startTLSAnswer) // ends the bind
		c.upgrade()
		c.expect(over)
	})
}

// A bind that was right is granted however long it took.
func TestUnboundWaitsForABind(t *testing.T) {
	began, release := make(chan string), make(chan struct{})
	f := start(t, server.Config{
		Limits: server.Limits{Unbound: 250 * time.Millisecond, Connections: 3},
		Handler: &handler{bind: func(_ context.Context, _ *server.Conn, req *ldap.BindRequest) (server.Identity, error) {
			began <- string(req.Name)
			<-release
			if string(req.Password) != "secret" {
				return nil, ldap.Errorf(ldap.ResultInvalidCredentials, "no")
			}
			return user(req.Name), nil
		}}})
	right, wrong := f.dial(), f.dial()
	right.send(bindAlice)
	await.Receive(t, "bind", began)
	wrong.send("30 17 02 01 01 60 12 02 01 03 04 08 'cn=alice' 80 03 'xxx'")
	await.Receive(t, "bind", began)
	over := notice(52, "no bind was granted in time")
	for range 2 { // connected later, and at an end sooner
		f.dialFrom(2).expect(over)
	}
	for n := range byte(5) { // and nobody is cut to make room
		f.dialFrom(n + 3)
	}
	close(release)
	right.expect(okBind)
	right.expectWho("cn=alice")
	wrong.expect(result(1, 0x61, 49, "no"), over)
}

// Of an address so many handshakes compute at a time, and those that wait for
// the client do not count.
func TestHandshakesTakeTurns(t *testing.T) {
	var mu sync.Mutex
	computing, most := map[string]int{}, map[string]int{}
	began, release := make(chan string, 100), make(chan struct{})
	certificate := serverTLS().Certificates[0]
	cfg := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		from, _, _ := net.SplitHostPort(hello.Conn.RemoteAddr().String())
		mu.Lock()
		computing[from]++
		most[from] = max(most[from], computing[from])
		mu.Unlock()
		began <- from
		<-release
		mu.Lock()
		computing[from]--
		mu.Unlock()
		return &certificate, nil
	}}
	f := startOn(t, server.Config{TLSConfig: cfg, Limits: server.Limits{HandshakesPerAddress: 2}}, listen(t), (*server.Server).ServeTLS)
	for range 10 {
		f.dialFrom(2) // silent
		f.dialFrom(2).send("16 03 01 00 c8 01")
	}
	var shaken sync.WaitGroup
	shake := func(from byte) {
		c := f.dialFrom(from)
		shaken.Go(func() {
			tc := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true})
			if err := tc.Handshake(); err != nil {
				t.Errorf("handshake: %v", err)
				return
			}
			c.Conn = tc
			c.exchange(bindAlice, okBind)
		})
	}
	for range 8 {
		shake(2)
	}
	for range 2 {
		await.Receive(t, "a handshake", began)
	}
	shake(3)
	if from := await.Receive(t, "another address", began); from != "127.0.0.3" {
		t.Errorf("a third handshake of %s", from)
	}
	close(release)
	shaken.Wait()
	if most["127.0.0.2"] != 2 {
		t.Errorf("handshakes at a time: %v", most)
	}
}

// Unfinished requests share what there is for them, by address.
func TestUnfinishedRequests(t *testing.T) {
	const room = 16 << 20 // 12 of it for those who are bound, 6 for one address
	f := start(t, server.Config{Limits: server.Limits{Unfinished: room}})
	whole := lit(t, searchFor(4, strings.Repeat("x", 1<<20-1<<10)))
	begun := whole[:900<<10]
	busy := lit(t, notice(52, "too much of unfinished requests, try again later"))
	ends := make(chan bool, 40)
	var hogs []*client
	for range 40 {
		c := f.dialFrom(2)
		c.exchange(bindAlice, okBind)
		hogs = append(hogs, c)
		go func() {
			_, _ = c.Write(begun)
			m, err := c.read()
			ends <- bytes.Equal(m, busy) || err != nil && !errors.Is(err, net.ErrClosed)
		}()
	}
	for range 34 {
		if !await.Receive(t, "a connection is cut", ends) {
			t.Fatal("a connection has ended for no reason")
		}
	}
	if n := f.metric("ldapd_connections_refused_total", "unfinished"); n < 34 {
		t.Errorf("%v connections counted", n)
	}
	// There is room for others.
	c := f.dialBound()
	c.sendBytes(whole)
	if m := c.recv(); len(m) < 1<<20-2<<10 {
		t.Errorf("received %s", show(m[:min(len(m), 30)]))
	}
	c.expect(searchDone)
	for _, h := range hogs {
		h.Close()
	}
	// And all of it comes back.
	await.That(t, "the others are gone", func() bool { return f.metric("ldapd_connections") == 1 })
	for range 10 {
		c := f.dialFrom(2)
		c.exchange(bindAlice, okBind)
		c.sendBytes(whole)
		c.recv()
		c.expect(searchDone)
	}
}

// Whoever has not bound takes no room from those who have, from however many
// addresses.
func TestUnfinishedRequestsBeforeABind(t *testing.T) {
	f := start(t, server.Config{Limits: server.Limits{Unfinished: 4 << 20}})
	begun := lit(t, searchFor(4, strings.Repeat("x", 60<<10)))[:60<<10]
	for n := range byte(90) {
		_, _ = f.dialFrom(n + 2).Write(begun) // may be cut meanwhile
	}
	await.That(t, "there is no more room", func() bool { return f.metric("ldapd_connections_refused_total", "unfinished") > 60 })
	c := f.dialBound()
	c.sendBytes(lit(t, searchFor(4, strings.Repeat("x", 1<<20-1<<10))))
	if m := c.recv(); len(m) < 1<<20-2<<10 {
		t.Errorf("received %s", show(m))
	}
	c.expect(searchDone)
}

// Requests that are served keep their room, those behind them too.
func TestUnfinishedRequestsBehindSlowOnes(t *testing.T) {
	h := newHeld()
	f := start(t, server.Config{Handler: &handler{search: h.search}, Limits: server.Limits{Unfinished: 1 << 20}})
	c := f.dialBound()
	long := strings.Repeat("x", 300<<10)
	c.send(searchFor(4, long))
	c.recv()
	await.Receive(t, "search", h.began)
	_, _ = c.Write(lit(t, searchFor(5, long))) // may be cut meanwhile
	m, err := c.read()
	if err == nil && !bytes.Contains(m, []byte("unfinished")) {
		t.Errorf("received %s", show(m[:min(len(m), 30)]))
	}
	close(h.release)
}

// What anybody can cause has few lines, and a sum.
func TestLogOfAFlood(t *testing.T) {
	const times = 3000
	f := start(t, server.Config{Limits: server.Limits{LogLines: 20}})
	bound := f.dialBound()
	flood := f.dialFrom(2)
	go func() {
		b := bytes.Repeat(lit(t, searchO), times)
		_, _ = flood.Write(append(b, bytes.Repeat(lit(t, "30 17 02 01 01 60 12 02 01 03 04 08 'cn=alice' 80 03 'xxx'"), times)...))
	}()
	for range 2 * times {
		flood.recv()
	}
	for range times {
		bound.exchange(searchO, searchEntry, searchDone)
	}
	for range 100 {
		f.dialFrom(3).send("'GET / HTTP/1.1' 0d 0a")
	}
	await.That(t, "all are gone", func() bool { return f.metric("ldapd_connections_refused_total", "protocol") == 100 })
	await.Receive(t, "Shutdown", f.shutdown(t.Context()))
	count := map[string]int{}
	var sums []map[string]any
	for _, e := range f.logs.All() {
		m := e.ContextMap()
		from, _, _ := strings.Cut(fmt.Sprint(m["client"]), ":")
		count[from+" "+e.Message]++
		if m["count"] != nil {
			sums = append(sums, m)
		}
	}
	for what, want := range map[string]int{
		"127.0.0.2 search": 20, "127.0.0.2 bind": 20, "127.0.0.1 search": times, "127.0.0.1 bind": 1,
	} {
		if count[what] != want {
			t.Errorf("%d lines of %s, want %d", count[what], what, want)
		}
	}
	if len(sums) != 2 {
		t.Fatalf("sums: %v", sums)
	}
	for _, m := range sums {
		switch m["client"] {
		case "127.0.0.2":
			if m["search"] != int64(times-20) || m["bind"] != int64(times-20) || m["count"] != int64(2*times-40) {
				t.Errorf("summed up as %v", m)
			}
		case "127.0.0.3":
			if m["connection closed"] != int64(80) {
				t.Errorf("summed up as %v", m)
			}
		default:
			t.Errorf("summed up: %v", m)
		}
	}
}

// Answers to somebody who is not bound are not collected.
func TestAnswersToNobodyGoOutEarly(t *testing.T) {
	n, release := 0, make(chan struct{})
	c := start(t, server.Config{Handler: &handler{search: func(_ *server.Conn, _ *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
		if n++; n == 3 {
			<-release
		}
		return nil, sendEntry(w, strings.Repeat("x", 3<<10))
	}}}).dial()
	c.sendBytes(bytes.Repeat(lit(t, searchO), 3))
	for n := range 3 {
		if m := c.recv(); m[0] != ber.Sequence || len(m) < 3<<10 {
			t.Fatalf("received %s", show(m))
		}
		c.expect(searchDone)
		if n == 1 {
			close(release)
		}
	}
}
