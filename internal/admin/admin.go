// Package admin is the HTTP listener for those who run the server: /metrics
// for Prometheus, /livez and /readyz, and /status for people. It only answers
// GET and HEAD, and has no authentication, so it belongs on a private address.
package admin

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"ldapd/internal/control"
	"ldapd/internal/web"
)

const (
	writeTimeout = 30 * time.Second
	scrapes      = 4 // at the same time; a scrape walks every metric
)

// New returns a server for the metrics. Ready returns why the server cannot
// answer its clients, nil when it can, and then what works less well than it
// should, if anything; it must return at once. What it returns is shown to
// whoever asks. Stat tells how the server does; nil: nobody is told.
func New(metrics prometheus.Gatherer, ready func() (degraded string, err error), stat func(context.Context) (control.Status, error), log *zap.Logger) *web.Server {
	log = log.Named("admin")
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{MaxRequestsInFlight: scrapes}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		switch degraded, err := ready(); {
		case err != nil:
			answer(w, http.StatusServiceUnavailable, err.Error())
		case degraded != "":
			answer(w, http.StatusOK, "ok, degraded: "+degraded)
		default:
			answer(w, http.StatusOK, "ok")
		}
	})
	if stat != nil {
		mux.HandleFunc("GET /status", status(stat, log))
	}
	// What probes of authentik's own outpost ask, with any method.
	mux.HandleFunc("/outpost.goauthentik.io/ping", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	return web.New(http.MaxBytesHandler(mux, 0), writeTimeout, log) // nothing here takes a body
}

func answer(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // the client has gone
}
