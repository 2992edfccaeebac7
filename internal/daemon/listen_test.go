package daemon

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"ldapd/internal/await"
	"ldapd/internal/config"
)

func TestProxyProtocol(t *testing.T) {
	unbind := []byte{0x30, 0x05, 0x02, 0x01, 0x01, 0x42, 0x00} // the connection is logged and ends
	from := &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 4711}
	to := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 389}
	send := func(t *testing.T, r *running, header []byte) {
		t.Helper()
		c, err := net.Dial("tcp", r.LDAP().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(append(header, unbind...)); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(await.Patience))
		if _, err := io.ReadAll(c); err != nil {
			t.Logf("read: %v", err) // a reset is as good as an end
		}
	}
	network := func(s string) (n config.Network) {
		if err := n.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, version := range []byte{1, 2} {
		header, err := proxyproto.HeaderProxyFromAddrs(version, from, to).Format()
		if err != nil {
			t.Fatal(err)
		}
		cfg := testConfig(t)
		cfg.ProxyProtocol.Trusted = []config.Network{network("127.0.0.0/8")}
		r := start(t, cfg, demoUsers(t))
		send(t, r, header)
		send(t, r, nil) // optional
		r.stop()
		if text := r.log.String(); !strings.Contains(text, "203.0.113.7:4711") || strings.Contains(text, "protocol error") ||
			strings.Count(text, "connection opened") != 2 {
			t.Errorf("version %d from a trusted address:\n%s", version, text)
		}

		cfg = testConfig(t)
		cfg.ProxyProtocol.Trusted = []config.Network{network("192.0.2.1")}
		r = start(t, cfg, demoUsers(t))
		send(t, r, header)
		r.stop()
		if text := r.log.String(); strings.Contains(text, "203.0.113.7") ||
			strings.Count(text, "proxy_protocol.trusted does not name") != 1 || !strings.Contains(text, `"peer": "127.0.0.1"`) {
			t.Errorf("version %d from another address:\n%s", version, text)
		}
	}
}
