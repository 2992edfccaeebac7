package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"ldapd/internal/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves until the end of the test and returns the base URL.
func start(t *testing.T, metrics prometheus.Gatherer, ready func() (string, error), stat func(context.Context) (control.Status, error)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(metrics, ready, stat, zap.NewNop())
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

func TestAnswers(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "ldapd_test_total", Help: "A test."})
	reg.MustRegister(c)
	c.Add(3)
	var reason atomic.Pointer[string]
	down, degraded := "no directory yet", "the store"
	url := start(t, reg, func() (string, error) {
		switch s := reason.Load(); s {
		case &down:
			return "", errors.New(*s)
		case &degraded:
			return *s, nil
		}
		return "", nil
	}, nil)
	for _, tt := range []struct {
		method, path string
		reason       *string
		status       int
		body         string
	}{
		{"GET", "/livez", nil, 200, "ok\n"},
		{"GET", "/livez", &down, 200, "ok\n"},
		{"GET", "/outpost.goauthentik.io/ping", &down, 204, ""},
		{"HEAD", "/outpost.goauthentik.io/ping", &down, 204, ""},
		{"GET", "/readyz", nil, 200, "ok\n"},
		{"GET", "/readyz", &degraded, 200, "ok, degraded: the store\n"},
		{"GET", "/readyz", &down, 503, "no directory yet\n"},
		{"HEAD", "/readyz", &down, 503, ""},
		{"GET", "/metrics", nil, 200, "\nldapd_test_total 3\n"},
		{"GET", "/", nil, 404, "404 page not found\n"},
		{"GET", "/status", nil, 404, "404 page not found\n"}, // nobody tells it
		{"GET", "/debug/pprof/", nil, 404, "404 page not found\n"},
		{"POST", "/readyz", nil, 405, "Method Not Allowed\n"},
		{"POST", "/metrics", nil, 405, "Method Not Allowed\n"},
	} {
		reason.Store(tt.reason)
		req, err := http.NewRequestWithContext(t.Context(), tt.method, url+tt.path, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != tt.status || !strings.HasSuffix(string(body), tt.body) {
			t.Errorf("%s %s: %d %q, %v; want %d %q", tt.method, tt.path, res.StatusCode, body, err, tt.status, tt.body)
		}
	}
}

func TestShutdownIsBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan struct{})
	release := make(chan struct{})
	s := New(prometheus.NewRegistry(), func() (string, error) { close(entered); <-release; return "", nil }, nil, zap.NewNop())
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	answered := make(chan error, 1)
	go func() {
		res, err := http.Get("http://" + l.Addr().String() + "/readyz")
		if err == nil {
			res.Body.Close()
		}
		answered <- err
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-answered; err == nil {
		t.Error("the answer was not cut off")
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	close(release)
}

func TestServeError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := New(prometheus.NewRegistry(), nil, nil, zap.NewNop()).Serve(l); err == nil {
		t.Error("a closed listener: no error")
	}
}
