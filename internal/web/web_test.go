package web_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ldapd/internal/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server until the end of the test, and returns its address.
func serve(t *testing.T, s *web.Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error("shutdown:", err)
		}
		if err := <-ended; err != nil {
			t.Error("serve:", err)
		}
	})
	return ln.Addr().String()
}

func TestServer(t *testing.T) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	model := httptest.NewTLSServer(hello) // for its certificate
	defer model.Close()
	client := model.Client()
	defer client.CloseIdleConnections()
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			s := web.New(hello, time.Minute, zap.NewNop())
			if scheme == "https" {
				s.HTTP.TLSConfig = &tls.Config{Certificates: model.TLS.Certificates, MinVersion: tls.VersionTLS12}
			}
			url := scheme + "://" + serve(t, s) + "/"
			get := func(header string) (int, string) {
				t.Helper()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("X-Long", header)
				res, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				return res.StatusCode, string(body)
			}
			if status, body := get("short"); status != http.StatusOK || body != "hello" {
				t.Errorf("%d %q", status, body)
			}
			if status, _ := get(strings.Repeat("x", 64<<10)); status != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("a header of 64 KiB: %d", status)
			}
		})
	}
}

// Anybody can have as many failed handshakes as he likes, so the log has them
// for who looks for them only.
func TestLogOfHandshakes(t *testing.T) {
	model := httptest.NewTLSServer(nil) // for its certificate
	defer model.Close()
	core, logs := observer.New(zap.DebugLevel)
	panics := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("planted") })
	s := web.New(panics, time.Minute, zap.New(core))
	s.HTTP.TLSConfig = &tls.Config{Certificates: model.TLS.Certificates, MinVersion: tls.VersionTLS12}
	addr := serve(t, s)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "no handshake at all, and long enough"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Logf("read: %v", err) // a reset is as good as an end
	}
	client := model.Client()
	defer client.CloseIdleConnections()
	if res, err := client.Get("https://" + addr); err == nil {
		res.Body.Close()
		t.Error("no panic")
	}
	var got []string
	for _, e := range logs.All() {
		what, _, _ := strings.Cut(e.Message, " from ")
		what, _, _ = strings.Cut(what, " serving ")
		got = append(got, e.Level.String()+" "+what)
	}
	if want := []string{"debug http: TLS handshake error", "warn http: panic"}; !slices.Equal(got, want) {
		t.Errorf("the log has %q", got)
	}
}
