package daemon

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
)

// metrics are those of binds and the directory; the server has its own.
type metrics struct {
	registry *prometheus.Registry
	factory  promauto.Factory
	binds    *prometheus.CounterVec
	users    prometheus.Gauge
	groups   prometheus.Gauge
	entries  prometheus.Gauge
	loaded   prometheus.Gauge
	headers  prometheus.Counter
}

func newMetrics(version string) *metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f := promauto.With(registry)
	f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "ldapd_build_info", Help: "1, with the version."}, []string{"version"}).WithLabelValues(version).Set(1)
	return &metrics{
		registry: registry,
		factory:  f,
		binds: f.NewCounterVec(prometheus.CounterOpts{
			Name: "ldapd_binds_total",
			Help: "Binds with a name and a password, by outcome (granted, denied, limited, refused, unknown), the reason if it was not granted, the source it was granted from and the second factor."},
			[]string{"outcome", "reason", "source", "factor"}),
		users: f.NewGauge(prometheus.GaugeOpts{
			Name: "ldapd_directory_users", Help: "Users in the directory."}),
		groups: f.NewGauge(prometheus.GaugeOpts{
			Name: "ldapd_directory_groups", Help: "Groups in the directory."}),
		entries: f.NewGauge(prometheus.GaugeOpts{
			Name: "ldapd_directory_entries", Help: "Entries served."}),
		loaded: f.NewGauge(prometheus.GaugeOpts{
			Name: "ldapd_directory_loaded_timestamp_seconds", Help: "When the directory being served was loaded."}),
		headers: f.NewCounter(prometheus.CounterOpts{
			Name: "ldapd_proxy_headers_refused_total", Help: "Connections cut off because of a PROXY header, which the peer may not send or which cannot be read."}),
	}
}

func (m *metrics) bind(o bind.Outcome, r auth.Reason, s auth.Source, f auth.Factor) {
	m.binds.WithLabelValues(string(o), string(r), string(s), string(f)).Inc()
}

// waiting reports how many wait to compute a slow hash.
func (m *metrics) waiting(count func() int) {
	m.factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ldapd_password_hashes_waiting", Help: "Binds that wait for their turn to compute a slow password hash."},
		func() float64 { return float64(count()) })
}

// pipeline reports whom somebody guesses at, and what waits, at each scrape.
func (m *metrics) pipeline(p *bind.Pipeline) {
	gauge := func(name, help string, value func() int) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) }))
	}
	gauge("ldapd_guessed_users", "Users whose password somebody has who tried at least half of the codes that are compared in a day; /status names them.",
		func() int { return len(p.Guessed()) })
	gauge("ldapd_binds_waiting", "Binds that wait for memory on disk or the backend.", p.Waiting)
	gauge("ldapd_binds_strangers_waiting", "Those of them that wait for others from their address, as the user is not at home there.", p.Strangers)
}

// certificate reports when the certificate in use expires.
func (m *metrics) certificate(expires func() time.Time) {
	m.factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ldapd_certificate_expires_timestamp_seconds", Help: "When the certificate in use expires."},
		func() float64 { return float64(expires().Unix()) })
}
