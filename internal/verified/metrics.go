package verified

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are the metrics of a Book.
type Metrics struct {
	users   prometheus.Gauge
	hashes  prometheus.Counter
	errors  *prometheus.CounterVec
	unsaved prometheus.Gauge
	reloads *prometheus.CounterVec
	down    *prometheus.GaugeVec
}

// operation is what was asked of the store, in log and metric.
type operation string

const (
	opLoad   operation = "load"
	opUpdate operation = "update"
	opRevoke operation = "revoke"
	opEach   operation = "each"
	opWatch  operation = "watch"
	opDecode operation = "decode" // of what it holds
)

// NewMetrics makes the metrics and registers them, if reg is not nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	m := &Metrics{
		users: f.NewGauge(prometheus.GaugeOpts{
			Name: "ldapd_verified_users", Help: "Users who have verified binds."}),
		hashes: f.NewCounter(prometheus.CounterOpts{
			Name: "ldapd_verified_hashes_total", Help: "Slow hashes of passwords computed for verified binds."}),
		errors: f.NewCounterVec(prometheus.CounterOpts{
			Name: "ldapd_verified_store_errors_total", Help: "Errors of the store of verified binds, by operation (load, update, revoke, each, watch); decode counts values that could not be read."}, []string{"operation"}),
		unsaved: f.NewGauge(prometheus.GaugeOpts{
			Name: "ldapd_verified_unsaved_users", Help: "Users whose verified binds were changed or revoked and whom the store has not been told of yet."}),
		reloads: f.NewCounterVec(prometheus.CounterOpts{
			Name: "ldapd_verified_reloads_total", Help: "Times that verified binds were read again because another process may have changed them, by kind (user, all)."}, []string{"kind"}),
		down: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ldapd_verified_store_down", Help: "1 while the store of verified binds cannot be read, written or followed, by what; followed says that changes of other processes are not heard and take effect late."}, []string{"what"}),
	}
	for _, o := range []operation{opLoad, opUpdate, opRevoke, opEach, opWatch, opDecode} {
		m.errors.WithLabelValues(string(o))
	}
	for _, kind := range []string{"user", "all"} {
		m.reloads.WithLabelValues(kind)
	}
	return m
}

func (m *Metrics) failed(o operation) { m.errors.WithLabelValues(string(o)).Inc() }
