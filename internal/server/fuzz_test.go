package server_test

import (
	"io"
	"net"
	"testing"
	"time"

	"ldapd/internal/await"
	"ldapd/internal/ldap"
	"ldapd/internal/server"
)

// FuzzConn sends anything to a server over a socket. Whatever it is, nothing
// panics, answers are whole messages, and the connection ends with its client.
func FuzzConn(f *testing.F) {
	for _, s := range []string{
		bindAnonymous, bindAlice + whoAmI + searchO + unbind,
		bindAlice + searchFor(4, "slow") + cancel4 + abandon4 + whoAmI,
		searchFor(4, "slow") + searchFor(4, "slow") + bindAlice + searchFor(5, "slow") + bindAnonymous,
		startTLSRequest, startTLSRequest + bindAlice, "16 03 01 00 c8 01",
		"30 84 7f ff ff ff", "30 80", "30 05 02 01 00 42 00", "30 05 02 01 05 66 00",
		"30 10 02 01 08 6e 0b 04 01 'o' 30 06 04 01 'a' 04 01 'b'",
		"30 1a 02 01 01 60 07 02 01 03 04 00 80 00 a0 0c 30 0a 04 05 '1.2.3' 01 01 ff",
	} {
		f.Add(lit(f, s))
	}
	h := &handler{search: func(_ *server.Conn, req *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
		if string(req.Base) == "slow" {
			w.Slow()
		}
		for range min(req.SizeLimit, 200) {
			if err := sendEntry(w, string(req.Base)+"entry"); err != nil {
				return nil, err
			}
		}
		return nil, sendEntry(w, string(req.Base))
	}}
	fix := start(f, server.Config{
		Handler:   h,
		TLSConfig: serverTLS(),
		Limits:    server.Limits{Operations: 2, Read: time.Second, Write: time.Second, Handshake: time.Second},
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		nc, err := net.Dial("tcp", fix.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(await.Patience))
		c := &client{t: t, Conn: nc}
		// The server may end the connection before all is written.
		go func() {
			nc.Write(b)
			nc.(*net.TCPConn).CloseWrite()
		}()
		for tls := false; !tls; {
			m, err := c.read()
			if err != nil {
				if err == io.ErrUnexpectedEOF && c.in[0] != 0x15 {
					t.Errorf("half a message: %s", show(c.in))
				}
				break
			}
			msg, err := ldap.ParseMessage(m)
			if err != nil {
				t.Fatalf("%v in %s", err, show(m))
			}
			// Behind StartTLS comes TLS: an alert at most.
			tls = msg.Op == ldap.OpExtendedResponse && len(msg.Body) == 31
		}
		nc.Close()
		await.That(t, "the connection is gone", func() bool { return fix.metric("ldapd_connections") == 0 })
		if fix.metric("ldapd_panics_total") != 0 {
			t.Fatal("panic")
		}
	})
}
