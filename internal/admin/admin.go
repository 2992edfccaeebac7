// Package admin is the HTTP listener for those who run the server: /metrics
// for Prometheus, /livez and /readyz, and /status for people. It only answers
// GET and HEAD, and has no authentication, so it belongs on a private address.
package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"ldapd/internal/control"
)

const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	headerBytes   = 8 << 10
	scrapes       = 4 // at the same time; a scrape walks every metric
)

// Server is the admin listener.
type Server struct {
	http http.Server
}

// New returns a server for the metrics. Ready returns why the server cannot
// answer its clients, nil when it can; it must return at once. The reason is
// shown to whoever asks. Stat tells how the server does; nil: nobody is told.
func New(metrics prometheus.Gatherer, ready func() error, stat func(context.Context) (control.Status, error), log *zap.Logger) *Server {
	log = log.Named("admin")
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{MaxRequestsInFlight: scrapes}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			answer(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		answer(w, http.StatusOK, "ok")
	})
	if stat != nil {
		mux.HandleFunc("GET /status", status(stat, log))
	}
	// What probes of authentik's own outpost ask, with any method.
	mux.HandleFunc("/outpost.goauthentik.io/ping", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	s := &Server{}
	s.http = http.Server{
		Handler:           http.MaxBytesHandler(mux, 0), // nothing here takes a body
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          zap.NewStdLog(log),
	}
	return s
}

func answer(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // the client has gone
}

// Serve answers on l until Shutdown, which makes it return nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown closes the listener and waits for running answers until ctx ends,
// when it cuts them off.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}
