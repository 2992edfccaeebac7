package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"ldapd/internal/await"
	"ldapd/internal/ber"
	"ldapd/internal/ldap"
	"ldapd/internal/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// user is the Identity of the tests.
type user string

func (u user) DN() string { return string(u) }

// handler is the Handler of the tests: a user per name with the password
// "secret", an entry for every base. Each method can be replaced.
type handler struct {
	bind    func(ctx context.Context, c *server.Conn, req *ldap.BindRequest) (server.Identity, error)
	search  func(c *server.Conn, req *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error)
	compare func(c *server.Conn, req *ldap.CompareRequest) (bool, error)
}

func (h *handler) Bind(ctx context.Context, c *server.Conn, req *ldap.BindRequest) (server.Identity, error) {
	if h.bind != nil {
		return h.bind(ctx, c, req)
	}
	if string(req.Password) != "secret" {
		return nil, ldap.Errorf(ldap.ResultInvalidCredentials, "no")
	}
	return user(req.Name), nil
}

func (h *handler) Search(c *server.Conn, req *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
	if h.search != nil {
		return h.search(c, req, w)
	}
	if c.Identity() == nil {
		return nil, ldap.Errorf(ldap.ResultOperationsError, "bind first")
	}
	return nil, sendEntry(w, string(req.Base))
}

func (h *handler) Compare(c *server.Conn, req *ldap.CompareRequest) (bool, error) {
	if h.compare != nil {
		return h.compare(c, req)
	}
	return string(req.Value) == "yes", nil
}

// sendEntry sends an entry without attributes.
func sendEntry(w *server.SearchWriter, dn string) error {
	element := ber.AppendString(nil, ber.OctetString, dn)
	return w.Commit(ldap.AppendEntryHeader(w.Buf(), w.MessageID(), element, 0))
}

// fixture is a server that listens.
type fixture struct {
	t    testing.TB
	srv  *server.Server
	addr string
	reg  *prometheus.Registry
	logs *observer.ObservedLogs // for counting: octets in it are gone by now
	text *logText

	watch *watched // nil for benchmarks
}

// logText is the log as it is written.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// lines are those of the log, without the fields that change.
func (l *logText) lines(t testing.TB) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for line := range strings.Lines(l.b.String()) {
		fields := make(map[string]any)
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		msg := fields["msg"]
		delete(fields, "msg")
		delete(fields, "took")
		delete(fields, "client")
		lines = append(lines, fmt.Sprintf("%s %v", msg, fields))
	}
	return lines
}

// start serves plain LDAP on a loopback port until the test ends.
func start(t testing.TB, cfg server.Config) *fixture {
	return startOn(t, cfg, listen(t), (*server.Server).Serve)
}

// startTLS is start for LDAPS.
func startTLS(t testing.TB, cfg server.Config) *fixture {
	cfg.TLSConfig = serverTLS()
	return startOn(t, cfg, listen(t), (*server.Server).ServeTLS)
}

func listen(t testing.TB) net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func startOn(t testing.TB, cfg server.Config, ln net.Listener, serve func(*server.Server, net.Listener) error) *fixture {
	f := &fixture{t: t, addr: ln.Addr().String(), reg: prometheus.NewRegistry()}
	if cfg.Handler == nil {
		cfg.Handler = &handler{}
	}
	if _, ok := t.(*testing.B); !ok {
		f.watch = watch(t, cfg.Handler)
		cfg.Handler = f.watch
	}
	if cfg.Log == nil {
		var core zapcore.Core
		core, f.logs = observer.New(zap.DebugLevel)
		f.text = new(logText)
		encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"})
		cfg.Log = zap.New(zapcore.NewTee(core, zapcore.NewCore(encoder, zapcore.AddSync(f.text), zap.DebugLevel)))
	}
	cfg.Metrics = server.NewMetrics(f.reg)
	f.srv = server.New(cfg)
	served := make(chan error, 1)
	go func() { served <- serve(f.srv, ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), await.Patience)
		defer cancel()
		if err := f.srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; !errors.Is(err, server.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
		if n := f.metric("ldapd_connections"); n != 0 {
			t.Errorf("%v connections are still counted", n)
		}
		if f.watch != nil {
			f.watch.check()
		}
	})
	return f
}

// metric returns the sum of a counter or gauge over those of its series that
// carry the label value, if one is given.
func (f *fixture) metric(name string, label ...string) float64 {
	families, err := f.reg.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	var sum float64
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.Metric {
			if len(label) == 0 || hasLabel(m, label[0]) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func hasLabel(m *dto.Metric, value string) bool {
	for _, l := range m.Label {
		if l.GetValue() == value {
			return true
		}
	}
	return false
}

// client is one connection, seen as bytes.
type client struct {
	t testing.TB
	net.Conn
	in []byte
}

func (f *fixture) dial() *client {
	f.t.Helper()
	nc, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	c := &client{t: f.t, Conn: nc}
	c.SetDeadline(time.Now().Add(await.Patience))
	f.t.Cleanup(func() { nc.Close() })
	return c
}

// dialBound is dial with a bind as cn=alice.
func (f *fixture) dialBound() *client {
	f.t.Helper()
	c := f.dial()
	c.exchange(bindAlice, okBind)
	return c
}

// send sends literal messages, see lit, in one write.
func (c *client) send(messages ...string) {
	c.t.Helper()
	c.sendBytes(lit(c.t, strings.Join(messages, " ")))
}

func (c *client) sendBytes(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// read returns the next whole message.
func (c *client) read() ([]byte, error) {
	for {
		size, err := ber.Frame(c.in, 64<<20)
		if err != nil {
			return nil, err
		}
		if size > 0 && size <= len(c.in) {
			m := c.in[:size:size]
			c.in = c.in[size:]
			return m, nil
		}
		buf := make([]byte, 32<<10)
		n, err := c.Conn.Read(buf)
		if c.in = append(c.in, buf[:n]...); n == 0 && err != nil {
			if err == io.EOF && len(c.in) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// recv returns the next message.
func (c *client) recv() []byte {
	c.t.Helper()
	m, err := c.read()
	if err != nil {
		c.t.Fatalf("receive: %v", err)
	}
	return m
}

// expect receives the literal messages.
func (c *client) expect(messages ...string) {
	c.t.Helper()
	for _, want := range messages {
		if got := c.recv(); !bytes.Equal(got, lit(c.t, want)) {
			c.t.Fatalf("received\n  %s\nwant\n  %s", show(got), show(lit(c.t, want)))
		}
	}
}

func (c *client) exchange(request string, answers ...string) {
	c.t.Helper()
	c.send(request)
	c.expect(answers...)
}

// expectEnd wants the connection to be closed without another message.
func (c *client) expectEnd() {
	c.t.Helper()
	m, err := c.read()
	var timeout net.Error
	switch {
	case err == nil:
		c.t.Fatalf("received %s where the connection should end", show(m))
	case errors.As(err, &timeout) && timeout.Timeout():
		c.t.Fatalf("the connection goes on")
	case errors.Is(err, io.ErrUnexpectedEOF):
		c.t.Fatalf("half a message before the end: %s", show(c.in))
	}
}

// expectWho wants the connection to work, nothing else to have been sent, and
// to be bound as who.
func (c *client) expectWho(who string) {
	c.t.Helper()
	want := whoAmINobody
	if who != "" {
		n := len("dn:" + who)
		want = fmt.Sprintf("30 %02x 02 01 02 78 %02x 0a 01 00 04 00 04 00 8b %02x 'dn:%s'", n+14, n+9, n, who)
	}
	c.exchange(whoAmI, want)
}

// Messages that many tests send and receive.
const (
	bindAnonymous = "30 0c 02 01 01 60 07 02 01 03 04 00 80 00"
	bindAlice     = "30 1a 02 01 01 60 15 02 01 03 04 08 'cn=alice' 80 06 'secret'"
	okBind        = "30 0c 02 01 01 61 07 0a 01 00 04 00 04 00"

	whoAmI       = "30 1e 02 01 02 77 19 80 17 '1.3.6.1.4.1.4203.1.11.3'"
	whoAmINobody = "30 0e 02 01 02 78 09 0a 01 00 04 00 04 00 8b 00"
	whoAmIAlice  = "30 19 02 01 02 78 14 0a 01 00 04 00 04 00 8b 0b 'dn:cn=alice'"

	startTLSRequest = "30 1d 02 01 03 77 18 80 16 '1.3.6.1.4.1.1466.20037'"
	startTLSAnswer  = "30 24 02 01 03 78 1f 0a 01 00 04 00 04 00 8a 16 '1.3.6.1.4.1.1466.20037'"

	// base "o", scope base, (objectClass=*), no attributes
	searchO     = "30 26 02 01 04 63 21 04 01 'o' 0a 01 00 0a 01 00 02 01 00 02 01 00 01 01 00 87 0b 'objectClass' 30 00"
	searchEntry = "30 0a 02 01 04 64 05 04 01 'o' 30 00"
	searchDone  = "30 0c 02 01 04 65 07 0a 01 00 04 00 04 00"

	abandon4 = "30 06 02 01 05 50 01 04"
	cancel4  = "30 19 02 01 06 77 14 80 0b '1.3.6.1.1.8' 81 05 30 03 02 01 04"

	unbind = "30 05 02 01 7f 42 00"
)

// result is a response in which nothing but the code and the message is set.
// id and op are octets.
func result(id, op byte, code int, message string) string {
	m := ber.AppendInt(nil, ber.Integer, int64(id))
	body := append(ber.AppendInt(nil, ber.Enumerated, int64(code)), 4, 0)
	body = ber.AppendString(body, ber.OctetString, message)
	m = ber.AppendTLV(m, op, body)
	return hex.EncodeToString(ber.AppendTLV(nil, ber.Sequence, m))
}

// notice is a notice of disconnection.
func notice(code byte, message string) string {
	n := len(message)
	return fmt.Sprintf("30 %02x 02 01 00 78 %02x 0a 01 %02x 04 00 04 %02x '%s' 8a 16 '1.3.6.1.4.1.1466.20036'",
		n+36, n+31, code, n, message)
}

// searchFor is searchO with another message id (below 128) and base.
func searchFor(id byte, base string) string {
	body := ber.AppendString(nil, ber.OctetString, base)
	body = append(body, 0x0a, 1, 0, 0x0a, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0)
	body = ber.AppendString(body, byte(ldap.FilterPresent), "objectClass")
	return message(id, byte(ldap.OpSearchRequest), append(body, 0x30, 0))
}

func message(id, op byte, body []byte) string {
	return hex.EncodeToString(ber.AppendTLV(nil, ber.Sequence, ber.AppendTLV([]byte{2, 1, id}, op, body)))
}

// lit reads a message written as hexadecimal octets and 'text'.
func lit(t testing.TB, s string) []byte {
	t.Helper()
	var b []byte
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			b = append(b, part...)
			continue
		}
		octets, err := hex.DecodeString(strings.Join(strings.Fields(part), ""))
		if err != nil {
			t.Fatalf("bad literal %q: %v", s, err)
		}
		b = append(b, octets...)
	}
	return b
}

// show is the reverse of lit.
func show(b []byte) string {
	var s strings.Builder
	text := false
	for i, c := range b {
		printable := c >= ' ' && c < 0x7f && c != '\''
		// A lone printable octet is a tag or a length more often than text.
		if run := printable && (text || i+3 < len(b) && isText(b[i:i+4])); run != text {
			s.WriteString(map[bool]string{true: " '", false: "'"}[run])
			text = run
		}
		if text {
			s.WriteByte(c)
		} else {
			fmt.Fprintf(&s, " %02x", c)
		}
	}
	if text {
		s.WriteByte('\'')
	}
	return strings.TrimSpace(s.String())
}

func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c >= 0x7f || c == '\'' {
			return false
		}
	}
	return true
}

// serverTLS returns a configuration with a throw-away certificate.
var serverTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})
