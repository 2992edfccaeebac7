package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"ldapd/internal/ldap"
)

// Metrics are the server's counters.
type Metrics struct {
	connections prometheus.Gauge
	refused     *prometheus.CounterVec
	operations  *prometheus.CounterVec
	panics      prometheus.Counter
	durations   map[ldap.Op]prometheus.Observer
	successes   map[ldap.Op]prometheus.Counter
}

// NewMetrics makes the metrics and registers them, if reg is not nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	m := &Metrics{
		connections: f.NewGauge(prometheus.GaugeOpts{
			Name: "ldapd_connections", Help: "Connections open now."}),
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "ldapd_connections_refused_total", Help: "Connections refused or ended by the server, by reason: connections, address, displaced (for a client with fewer), unbound, unfinished, tls, protocol."}, []string{"reason"}),
		operations: f.NewCounterVec(prometheus.CounterOpts{
			Name: "ldapd_operations_total", Help: "Operations by kind and result."}, []string{"operation", "result"}),
		panics: f.NewCounter(prometheus.CounterOpts{
			Name: "ldapd_panics_total", Help: "Connections cut because serving them panicked."}),
		durations: make(map[ldap.Op]prometheus.Observer),
		successes: make(map[ldap.Op]prometheus.Counter),
	}
	durations := f.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "ldapd_operation_duration_seconds",
		Help:    "Time from a request's arrival to its answer.",
		Buckets: prometheus.ExponentialBuckets(10e-6, 4, 11), // 10 µs to 10 s
	}, []string{"operation"})
	for _, op := range []ldap.Op{
		ldap.OpBindRequest, ldap.OpSearchRequest, ldap.OpCompareRequest, ldap.OpExtendedRequest,
		ldap.OpAddRequest, ldap.OpDeleteRequest, ldap.OpModifyRequest, ldap.OpModifyDNRequest,
	} {
		m.durations[op] = durations.WithLabelValues(op.String())
		m.successes[op] = m.operations.WithLabelValues(op.String(), ldap.ResultSuccess.String())
	}
	return m
}

func (m *Metrics) operation(op ldap.Op, code ldap.ResultCode, took time.Duration) {
	if code == ldap.ResultSuccess {
		m.successes[op].Inc()
	} else {
		m.operations.WithLabelValues(op.String(), code.String()).Inc()
	}
	m.durations[op].Observe(took.Seconds())
}
