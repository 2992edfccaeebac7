package server_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"ldapd/internal/await"
	"ldapd/internal/ldap"
	"ldapd/internal/server"
)

// upgrade makes the client go on over TLS.
func (c *client) upgrade() {
	c.t.Helper()
	tc := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true})
	if err := tc.Handshake(); err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	c.Conn = tc
}

// noBind is a handler that must not be reached.
func noBind(t *testing.T) *handler {
	return &handler{bind: func(context.Context, *server.Conn, *ldap.BindRequest) (server.Identity, error) {
		t.Error("a bind was served that came in the clear behind StartTLS")
		return nil, nil
	}}
}

func TestStartTLS(t *testing.T) {
	encrypted := make(chan bool, 1)
	f := start(t, server.Config{TLSConfig: serverTLS(), Handler: &handler{
		compare: func(c *server.Conn, _ *ldap.CompareRequest) (bool, error) {
			encrypted <- c.TLS()
			return true, nil
		}}})
	const (
		compare     = "30 10 02 01 08 6e 0b 04 01 'o' 30 06 04 01 'a' 04 01 'b'"
		compareTrue = "30 0c 02 01 08 6f 07 0a 01 06 04 00 04 00"
	)
	c := f.dialBound()
	c.exchange(compare, compareTrue)
	if await.Receive(t, "compare", encrypted) {
		t.Error("encrypted before StartTLS")
	}
	c.exchange(startTLSRequest, startTLSAnswer)
	c.upgrade()
	c.expectWho("") // who bound in the clear does so again
	c.exchange(compare, compareTrue)
	if !await.Receive(t, "compare", encrypted) {
		t.Error("not encrypted after StartTLS")
	}
	c.exchange(bindAlice, okBind)
	c.exchange(startTLSRequest, result(3, 0x78, 1, "TLS is already in use"))
	c.expectWho("cn=alice")
	c.send(unbind)
	if _, err := c.read(); err != io.EOF { // not ErrUnexpectedEOF: TLS has ended too
		t.Errorf("unbind ends by %v", err)
	}
}

func TestStartTLSUnavailable(t *testing.T) {
	f := start(t, server.Config{})
	c := f.dialBound()
	c.exchange(startTLSRequest, result(3, 0x78, 2, "StartTLS is not available here"))
	c.expectWho("cn=alice")
	for _, oid := range f.srv.Extensions() {
		if oid == ldap.OIDStartTLS {
			t.Error("StartTLS is advertised")
		}
	}
}

// RFC 4511 section 4.14.1: not while operations are outstanding.
func TestStartTLSWhileSearching(t *testing.T) {
	h := newHeld()
	f := start(t, server.Config{TLSConfig: serverTLS(), Handler: &handler{search: h.search}})
	c := f.dialBound()
	c.exchange(searchO, searchEntry)
	await.Receive(t, "search", h.began)
	c.exchange(startTLSRequest, result(3, 0x78, 1, "operations are in flight"))
	c.expectWho("cn=alice")
	h.release <- struct{}{}
	c.expect(searchEntry, searchDone)
	c.exchange(startTLSRequest, startTLSAnswer)
	c.upgrade()
	c.expectWho("")

	// An abandoned search is over for the client.
	c = f.dialBound()
	c.exchange(searchO, searchEntry)
	await.Receive(t, "search", h.began)
	c.send(abandon4)
	c.expectWho("cn=alice") // the abandon has been read
	c.send(startTLSRequest)
	h.release <- struct{}{}
	c.expect(startTLSAnswer)
	c.upgrade()
	c.expectWho("")
}

// Whoever has the answer may go on at once.
func TestStartTLSBehindAnswer(t *testing.T) {
	f := start(t, server.Config{TLSConfig: serverTLS(), Handler: &handler{
		search: func(_ *server.Conn, _ *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
			w.Slow()
			return nil, nil
		}}})
	for range 100 {
		c := f.dialBound()
		c.exchange(startTLSRequest, startTLSAnswer)
		c.Close()
		c = f.dial()
		c.exchange(searchO, searchDone)
		c.exchange(startTLSRequest, startTLSAnswer)
		c.Close()
	}
}

// Requests that someone slipped in behind StartTLS must not be served as if
// they had come encrypted.
func TestStartTLSInjection(t *testing.T) {
	t.Run("same segment", func(t *testing.T) {
		c := start(t, server.Config{TLSConfig: serverTLS(), Handler: noBind(t)}).dial()
		c.send(startTLSRequest, bindAlice)
		c.expect(notice(2, "data behind the StartTLS request"))
		c.expectEnd()
	})
	t.Run("one octet", func(t *testing.T) {
		c := start(t, server.Config{TLSConfig: serverTLS(), Handler: noBind(t)}).dial()
		c.send(startTLSRequest, "30")
		c.expect(notice(2, "data behind the StartTLS request"))
		c.expectEnd()
	})
	t.Run("behind the answer", func(t *testing.T) {
		f := start(t, server.Config{TLSConfig: serverTLS(), Handler: noBind(t)})
		c := f.dial()
		c.exchange(startTLSRequest, startTLSAnswer)
		c.send(bindAlice)
		expectAlert(t, c)
		if n := f.metric("ldapd_connections_refused_total", "tls"); n != 1 {
			t.Errorf("%v handshakes counted as failed", n)
		}
	})
	t.Run("before the client hello", func(t *testing.T) {
		f := start(t, server.Config{TLSConfig: serverTLS(), Handler: noBind(t)})
		c := f.dial()
		c.exchange(startTLSRequest, startTLSAnswer)
		inject := &injector{Conn: c.Conn, first: lit(t, bindAlice)}
		if err := tls.Client(inject, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
			t.Error("the handshake works")
		}
	})
	t.Run("not available", func(t *testing.T) {
		// Without TLS nothing is mistaken for encrypted: plain service goes on.
		c := start(t, server.Config{}).dial()
		c.send(startTLSRequest, bindAlice)
		c.expect(result(3, 0x78, 2, "StartTLS is not available here"), okBind)
	})
}

// injector sends something in front of the first write.
type injector struct {
	net.Conn
	first []byte
}

func (i *injector) Write(b []byte) (int, error) {
	first := i.first
	i.first = nil
	n, err := i.Conn.Write(append(first, b...))
	return max(0, n-len(first)), err
}

// expectAlert wants the end of the connection, with at most a TLS alert
// before it and nothing in LDAP.
func expectAlert(t *testing.T, c *client) {
	t.Helper()
	b, err := io.ReadAll(c.Conn)
	if len(c.in) > 0 || len(b) > 0 && b[0] != 0x15 {
		t.Errorf("received %s %s", show(c.in), show(b))
	}
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Error("the connection goes on")
	}
}

func TestHandshakeFails(t *testing.T) {
	limits := server.Limits{Handshake: 20 * time.Millisecond}
	begin := map[string]func(t *testing.T) *client{
		"StartTLS": func(t *testing.T) *client {
			c := start(t, server.Config{TLSConfig: serverTLS(), Limits: limits}).dial()
			c.exchange(startTLSRequest, startTLSAnswer)
			return c
		},
		"LDAPS": func(t *testing.T) *client { return startTLS(t, server.Config{Limits: limits}).dial() },
	}
	for name, begin := range begin {
		t.Run(name, func(t *testing.T) {
			for name, octets := range map[string]string{
				"silence":        "",
				"half a record":  "16 03 01 00 c8 01",
				"not TLS":        bindAnonymous,
				"TLS 1.1":        "16 03 02 00 2f 01 00 00 2b 03 02" + zeros(32) + "00 00 04 c0 13 00 2f 01 00",
				"record too big": "16 03 01 ff ff 01 00",
			} {
				t.Run(name, func(t *testing.T) {
					c := begin(t)
					c.send(octets)
					expectAlert(t, c)
				})
			}
			t.Run("hang-up", func(t *testing.T) { begin(t).Close() })
		})
	}
}

func zeros(n int) string {
	s := ""
	for range n {
		s += "00"
	}
	return s
}

func TestLDAPS(t *testing.T) {
	f := startTLS(t, server.Config{})
	c := f.dial()
	c.upgrade()
	c.exchange(bindAlice, okBind)
	c.expectWho("cn=alice")
	c.exchange(searchO, searchEntry, searchDone)
	c.exchange(startTLSRequest, result(3, 0x78, 1, "TLS is already in use"))
	c.send(unbind)
	if _, err := c.read(); err != io.EOF {
		t.Errorf("unbind ends by %v", err)
	}
}

func TestServeTLSWithoutConfiguration(t *testing.T) {
	ln := listen(t)
	defer ln.Close()
	if err := server.New(server.Config{Handler: &handler{}}).ServeTLS(ln); err == nil || err == server.ErrServerClosed {
		t.Errorf("ServeTLS returned %v", err)
	}
}

// libldap, when it does not like the certificate that it saw in a handshake
// of TLS 1.3.
func TestClientThatRejectsTheCertificate(t *testing.T) {
	f := start(t, server.Config{TLSConfig: serverTLS()})
	c := f.dial()
	c.exchange(startTLSRequest, startTLSAnswer)
	clear := c.Conn
	c.upgrade()
	c.Conn = clear
	c.send("30 05 02 01 02 42 00")
	await.That(t, "the log says why", func() bool {
		for _, e := range f.logs.FilterMessage("connection closed").All() {
			if reason, _ := e.ContextMap()["reason"].(string); strings.Contains(reason, "rejects the certificate") {
				return e.Level == zapcore.InfoLevel
			}
		}
		return false
	})
}
