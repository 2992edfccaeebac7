package proxy

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second // for what happens at once unless something is broken

// The peers of the tests. All are on this machine.
const (
	balancer = "127.0.0.9"
	stray    = "127.0.0.3"
)

// site accepts connections and reads them to their end.
type site struct {
	t       *testing.T
	ln      net.Listener
	refused prometheus.Counter
	logs    *observer.ObservedLogs
	now     atomic.Int64 // seconds
}

func open(t *testing.T) *site {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	s := &site{t: t, refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "n"}), logs: logs}
	trust := New(Options{
		Trusted: []netip.Prefix{netip.MustParsePrefix(balancer + "/32")}, Timeout: patience,
		Refused: s.refused, Log: zap.New(core), Now: func() time.Time { return time.Unix(s.now.Load(), 0) },
	})
	s.ln = trust.Listener(inner)
	t.Cleanup(func() { s.ln.Close() })
	return s
}

// outcome is what became of a connection.
type outcome struct {
	client string // "itself", or an address
	read   string
	err    error
}

// send has a peer send segments, and returns what the server saw.
func (s *site) send(peer string, segments ...string) (o outcome) {
	s.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(peer)}}
	c, err := d.DialContext(s.t.Context(), "tcp", s.ln.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	done := make(chan outcome, 1)
	accepted, err := s.ln.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	defer accepted.Close()
	if p := Peer(accepted).Addr(); p != netip.MustParseAddr(peer) {
		s.t.Errorf("Peer is %s, want %s", p, peer)
	}
	if p := Peer(tls.Server(accepted, nil)).Addr(); p != netip.MustParseAddr(peer) {
		s.t.Errorf("Peer behind TLS is %s, want %s", p, peer)
	}
	go func() {
		accepted.SetReadDeadline(time.Now().Add(patience))
		var o outcome
		o.client = accepted.RemoteAddr().String()
		if o.client == c.LocalAddr().String() {
			o.client = "itself"
		}
		var b []byte
		b, o.err = io.ReadAll(accepted)
		o.read = string(b)
		done <- o
	}()
	for _, segment := range segments {
		if _, err := io.WriteString(c, segment); err != nil {
			break // it was cut off
		}
	}
	c.(*net.TCPConn).CloseWrite()
	select {
	case o = <-done:
	case <-time.After(patience):
		s.t.Fatal("the connection does not end")
	}
	return o
}

func (s *site) count() float64 {
	var m dto.Metric
	if err := s.refused.Write(&m); err != nil {
		s.t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// v2 is a header of version 2.
func v2(command, family byte, block []byte) string {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x20|command, family)
	return string(append(binary.BigEndian.AppendUint16(b, uint16(len(block))), block...))
}

const (
	v1TCP4 = "PROXY TCP4 198.51.100.7 127.0.0.1 4711 389\r\n"
	data   = "\x30\x0c and so on"
)

var (
	block4 = []byte{198, 51, 100, 7, 127, 0, 0, 1, 0x12, 0x67, 1, 0x85}
	block6 = append(append(netip.MustParseAddr("2001:db8::7").AsSlice(), netip.IPv6Loopback().AsSlice()...), 0x12, 0x67, 1, 0x85)
	unix   = bytes.Repeat([]byte("/"), 216)
)

func TestHeaders(t *testing.T) {
	const refused = "refused"
	for _, tt := range []struct {
		name, header string
		named        string // who the client is, behind a peer that was named
		stranger     string // the same for any other peer
	}{
		{"none", "", "itself", "itself"},
		{"version 1", v1TCP4, "198.51.100.7:4711", refused},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::7 ::1 4711 389\r\n", "[2001:db8::7]:4711", refused},
		{"version 1, UNKNOWN", "PROXY UNKNOWN\r\n", "itself", refused},
		{"version 1, UNKNOWN with addresses", "PROXY UNKNOWN 198.51.100.7 127.0.0.1 4711 389\r\n", "itself", refused},
		{"version 1, nonsense", "PROXY TCP4 nonsense\r\n", refused, refused},
		{"version 1, a name", "PROXY TCP4 nextcloud 127.0.0.1 4711 389\r\n", refused, refused},
		{"version 1, no end", "PROXY TCP4 " + strings.Repeat("1", 200), refused, refused},
		{"version 2", v2(1, 0x11, block4), "198.51.100.7:4711", refused},
		{"version 2, IPv6", v2(1, 0x21, block6), "[2001:db8::7]:4711", refused},
		{"version 2, LOCAL", v2(0, 0, nil), "itself", refused},
		{"version 2, LOCAL with addresses", v2(0, 0x11, block4), "itself", refused},
		{"version 2, a Unix socket", v2(1, 0x31, unix), "itself", refused},
		{"version 2, UDP", v2(1, 0x12, block4), "itself", refused},
		{"version 2, unspecified", v2(1, 0, nil), refused, refused},
		{"version 2, too short", v2(1, 0x11, block4[:4]), refused, refused},
		{"version 2, unknown command", v2(7, 0x11, block4), refused, refused},
	} {
		for peer, want := range map[string]string{balancer: tt.named, stray: tt.stranger} {
			t.Run(tt.name+" from "+peer, func(t *testing.T) {
				s := open(t)
				o := s.send(peer, tt.header+data)
				if want == refused {
					if !errors.Is(o.err, ErrRefused) || o.read != "" || o.client != "itself" || s.count() != 1 {
						t.Errorf("%+v, %v counted", o, s.count())
					}
					warned := s.logs.FilterLevelExact(zap.WarnLevel).All()
					if len(warned) != 1 || s.logs.Len() != 1 || warned[0].ContextMap()["peer"] != peer ||
						strings.Contains(warned[0].Message, "proxy_protocol.trusted") != (peer == stray) {
						t.Errorf("the log has %v", s.logs.All())
					}
					return
				}
				if o.err != nil || o.client != want || o.read != data || s.count() != 0 || s.logs.Len() != 0 {
					t.Errorf("%+v, want %s; %v", o, want, s.logs.All())
				}
			})
		}
	}
}

// A header in pieces is one, and what only begins like one reaches who reads,
// whole.
func TestPieces(t *testing.T) {
	pieces := func(text string) []string { return strings.Split(text, "") }
	for _, header := range []string{v1TCP4, v2(1, 0x11, block4)} {
		s := open(t)
		c := &stranger{Conn: &segments{of: pieces(header + data)}, trust: New(Options{Refused: s.refused, Log: zap.NewNop()})}
		if b, err := io.ReadAll(c); !errors.Is(err, ErrRefused) || len(b) > 0 || s.count() != 1 {
			t.Errorf("%q: %q, %v", header, b, err)
		}
	}
	for _, text := range []string{"", "P", "PROX", "PROXIES", "\r\n\r\n", "\r\n\r\n\x00\r\nQUITE", "\rPROXY ", data, data + v1TCP4, "POST / HTTP/1.1\r\n"} {
		for _, size := range []int{1, 3, 512} {
			s := open(t)
			c := &stranger{Conn: &segments{of: pieces(text)}, trust: New(Options{Refused: s.refused, Log: zap.NewNop()})}
			var got []byte
			b := make([]byte, size)
			for {
				n, err := c.Read(b)
				got = append(got, b[:n]...)
				if err != nil {
					break
				}
			}
			if begun := strings.HasPrefix(v1TCP4, text) || text == "\r\n\r\n"; string(got) != text && !(begun && len(got) == 0) || s.count() != 0 {
				t.Errorf("%q by %d: %q", text, size, got)
			}
		}
	}
}

// segments is a connection on which texts come one at a time.
type segments struct {
	net.Conn
	of []string
}

func (s *segments) Close() error { return nil }

func (s *segments) Read(b []byte) (int, error) {
	if len(s.of) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.of[0])
	if s.of[0] = s.of[0][n:]; s.of[0] == "" {
		s.of = s.of[1:]
	}
	return n, nil
}

// Who goes on has a line a minute, which says how many there were.
func TestRefusalsAreSummed(t *testing.T) {
	s := open(t)
	for range 5 {
		s.send(stray, v1TCP4)
	}
	s.send("127.0.0.4", v1TCP4) // has a line of its own
	s.now.Add(60)
	s.send(stray, v1TCP4)
	var got []string
	for _, e := range s.logs.All() {
		got = append(got, fmt.Sprint(e.ContextMap()["peer"], " ", e.ContextMap()["not_logged_before"]))
	}
	if want := "[127.0.0.3 0 127.0.0.4 0 127.0.0.3 4]"; fmt.Sprint(got) != want || s.count() != 7 {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestToldIsBounded(t *testing.T) {
	now := time.Unix(0, 0)
	l := told{now: func() time.Time { return now }}
	logged := 0
	add := func(a netip.Addr) {
		if _, now := l.add(a); now {
			logged++
		}
		if len(l.last) > peers+1 {
			t.Fatalf("%d peers are remembered", len(l.last))
		}
	}
	for i := range 10 * peers {
		add(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	if logged != peers+1 {
		t.Errorf("%d lines in a minute", logged)
	}
	now = now.Add(quiet)
	logged = 0
	for i := range 4 { // of one network
		add(netip.AddrFrom16([16]byte{0x20, 1, 15: byte(i)}))
	}
	if logged != 1 || len(l.last) != 1 {
		t.Errorf("a minute later: %d lines, %d peers are remembered", logged, len(l.last))
	}
	now = time.Unix(0, 0)
	if add(netip.AddrFrom16([16]byte{0x20, 1})); logged != 2 {
		t.Error("a clock that was set back silences the log")
	}
}

// A trusted peer that sends nothing is itself, but not before its time is over.
func TestSilence(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	trust := New(Options{
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: time.Millisecond,
		Refused: prometheus.NewCounter(prometheus.CounterOpts{}), Log: zap.NewNop(),
	})
	ln := trust.Listener(inner)
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if got := accepted.RemoteAddr().String(); got != c.LocalAddr().String() {
		t.Errorf("RemoteAddr is %s", got)
	}
	if _, err := io.WriteString(c, data); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(data))
	if _, err := io.ReadFull(accepted, b); err != nil || string(b) != data {
		t.Errorf("%q, %v", b, err)
	}
}

func TestPeerWithoutAddress(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if got := Peer(a); got.IsValid() {
		t.Errorf("%s", got)
	}
}
