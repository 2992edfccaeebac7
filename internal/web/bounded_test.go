package web

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ldapd/internal/fair"
	"ldapd/internal/proxy"
)

// patience bounds waits that end at once unless something is broken.
const patience = 30 * time.Second

// site serves on a loopback port until the end of the test.
type site struct {
	*testing.T
	server *Server
	addr   string
}

func open(t *testing.T, h http.Handler, proxied bool, most, each int) *site {
	t.Helper()
	return openTLS(t, h, nil, proxied, most, each)
}

// openTLS is open by TLS, unless config is nil.
func openTLS(t *testing.T, h http.Handler, config *tls.Config, proxied bool, most, each int) *site {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t, New(h, time.Minute, zap.NewNop()), ln.Addr().String()}
	s.server.places = fair.NewPlaces(most, each)
	s.server.HTTP.TLSConfig = config
	if proxied {
		ln = proxy.New(proxy.Options{
			Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Timeout: patience,
			Refused: prometheus.NewCounter(prometheus.CounterOpts{}), Log: zap.NewNop(),
		}).Listener(ln)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // silent connections are not waited for
		_ = s.server.Shutdown(ctx)
		if err := <-ended; err != nil {
			t.Error("serve:", err)
		}
	})
	return s
}

// dial connects from 127.0.0.n.
func (s *site) dial(n byte) net.Conn {
	s.Helper()
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, n)}}
	c, err := from.Dial("tcp", s.addr)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		s.Fatal(err)
	}
	return c
}

const get = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

// answer sends a request and returns what comes.
func answer(c net.Conn, request string) string {
	_, _ = io.WriteString(c, request)
	b, _ := io.ReadAll(c)
	return string(b)
}

var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })

// 1 150 silent connections of one address do not shut the page, and those of
// many do not, either.
func TestSilentConnectionsShutNobodyOut(t *testing.T) {
	t.Run("one address", func(t *testing.T) {
		s := open(t, ok, false, connections, perAddress)
		for range 1150 {
			s.dial(2)
		}
		for _, n := range []byte{1, 2} {
			if got := answer(s.dial(n), get); !strings.HasSuffix(got, "hello") {
				t.Errorf("from 127.0.0.%d: %q", n, got)
			}
		}
	})
	t.Run("many addresses", func(t *testing.T) {
		s := open(t, ok, false, 20, 5)
		for n := range byte(40) {
			s.dial(n + 2)
		}
		if got := answer(s.dial(1), get); !strings.HasSuffix(got, "hello") {
			t.Errorf("%q", got)
		}
	})
}

// A request that is held is answered, whoever else comes.
func TestHeldRequestsKeepTheirPlaces(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	s := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer Hold(r.Context())()
		began <- struct{}{}
		<-release
		_, _ = io.WriteString(w, "hello")
	}), false, 20, 3)
	held := s.dial(2)
	if _, err := io.WriteString(held, get); err != nil {
		t.Fatal(err)
	}
	<-began
	for n := range byte(10) {
		for range 4 {
			s.dial(n + 2)
		}
	}
	close(release)
	if got := answer(held, ""); !strings.HasSuffix(got, "hello") {
		t.Errorf("%q", got)
	}
}

// Behind PROXY protocol the client counts, and who sends no header holds up
// nobody.
func TestProxied(t *testing.T) {
	s := open(t, ok, true, 20, 2)
	header := func(addr string) string { return "PROXY TCP6 " + addr + " 2001:db8::1 1234 443\r\n" }
	open := func(addr string) net.Conn {
		c := s.dial(1)
		if _, err := io.WriteString(c, header(addr)+strings.Replace(get, "close", "keep-alive", 1)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1024)
		if n, err := c.Read(b); err != nil || !strings.HasSuffix(string(b[:n]), "hello") {
			t.Fatalf("%s: %q, %v", addr, b[:n], err)
		}
		return c
	}
	s.dial(1) // silent
	first := open("2001:db8:0:7::1")
	open("2001:db8:0:8::1")
	open("2001:db8:0:7::2")
	open("2001:db8:0:7::3")
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the oldest of three connections of a /64 is open: %v", err)
	}
}

// A handler learns who is at the other end, and who that speaks for, whatever is
// between.
func TestPeer(t *testing.T) {
	model := httptest.NewTLSServer(nil) // for its certificate
	defer model.Close()
	for _, config := range []*tls.Config{nil, {Certificates: model.TLS.Certificates, MinVersion: tls.VersionTLS12}} {
		for _, tt := range []struct {
			from         byte
			header, want string
		}{
			{1, "PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\r\n", "192.0.2.7 by 127.0.0.1"},
			{1, "PROXY UNKNOWN\r\n", "127.0.0.1 by 127.0.0.1"},
			{1, "", "127.0.0.1 by 127.0.0.1"},
			{2, "", "127.0.0.2 by 127.0.0.2"},
		} {
			s := openTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				host, _, _ := net.SplitHostPort(r.RemoteAddr)
				_, _ = io.WriteString(w, host+" by "+Peer(r.Context()).String())
			}), config, true, 20, 5)
			c := s.dial(tt.from)
			if _, err := io.WriteString(c, tt.header); err != nil {
				t.Fatal(err)
			}
			if config != nil {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			}
			if got := answer(c, get); !strings.HasSuffix(got, "\r\n\r\n"+tt.want) {
				t.Errorf("TLS %v, header %q: %q, want %s", config != nil, tt.header, got, tt.want)
			}
		}
	}
}

func TestPlacesComeBack(t *testing.T) {
	s := open(t, ok, false, 2, 2)
	for range 50 {
		if got := answer(s.dial(1), get); !strings.HasSuffix(got, "hello") {
			t.Fatalf("%q", got)
		}
	}
}

// Broken requests have few lines in the log.
func TestComplaintsAreSummedUp(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	s := New(ok, time.Minute, zap.New(core))
	for range 10 * lines {
		s.HTTP.ErrorLog.Printf("http: URL query contains semicolon, which is no longer a supported separator")
	}
	if n := logs.Len(); n != lines {
		t.Errorf("%d lines", n)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := logs.All()
	if last := all[len(all)-1].ContextMap(); last["http"] != int64(9*lines) {
		t.Errorf("summed up as %v", last)
	}
}
