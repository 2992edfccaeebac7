package backend

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"ldapd/internal/auth/guard"
	"ldapd/internal/authentik"
)

// logFlow has a line for each flow, with its stages and their times.
func logFlow(log *zap.Logger, f authentik.Flow) {
	fields := []zap.Field{
		zap.String("provider", f.Provider), zap.String("flow", f.Slug), zap.String("user", f.Username),
		zap.Stringer("client", f.Addr), zap.String("stages", f.Times()), zap.Duration("took", f.Took),
		zap.String("request", f.RequestID),
	}
	var refused *authentik.Refusal
	switch {
	case f.Err == nil:
		log.Info("flow granted", append(fields, zap.String("factor", string(f.Session.Factor)))...)
	case errors.As(f.Err, &refused):
		log.Info("flow denied", append(fields, zap.String("stage", refused.Stage), zap.String("reason", string(refused.Reason)), zap.String("detail", refused.Detail))...)
	default:
		log.Warn("flow failed, the bind cannot be determined", append(fields, zap.Error(f.Err))...)
	}
}

// flowMetrics measure the flows of authentik.
type flowMetrics struct {
	factory promauto.Factory
	flows   *prometheus.HistogramVec // by outcome
	stages  *prometheus.HistogramVec // by component
}

func newFlowMetrics(reg prometheus.Registerer) *flowMetrics {
	buckets := prometheus.ExponentialBuckets(0.01, 2, 14) // 10 ms to 80 s
	factory := promauto.With(reg)
	return &flowMetrics{
		factory: factory,
		flows: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ldapd_authentik_flow_duration_seconds", Help: "Time of a whole flow, by outcome: granted, denied, failed.", Buckets: buckets}, []string{"outcome"}),
		stages: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ldapd_authentik_stage_duration_seconds", Help: "Time of one stage of a flow, by component.", Buckets: buckets}, []string{"stage"}),
	}
}

func (m *flowMetrics) observe(f authentik.Flow) {
	var refused *authentik.Refusal
	outcome := "granted"
	switch {
	case errors.As(f.Err, &refused):
		outcome = "denied"
	case f.Err != nil:
		outcome = "failed"
	}
	m.flows.WithLabelValues(outcome).Observe(f.Took.Seconds())
	for _, s := range f.Stages {
		m.stages.WithLabelValues(s.Component).Observe(s.Took().Seconds())
	}
}

// watch reports what the binds before the flows do.
func (m *flowMetrics) watch(denials *guard.Denials, queue *guard.Queue) {
	gauge := func(name, help string, value func() float64) {
		m.factory.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	gauge("ldapd_authentik_flows_running", "Flows under way.", func() float64 { return float64(queue.Running()) })
	gauge("ldapd_authentik_flows_waiting", "Flows that wait for their turn.", func() float64 { return float64(queue.Waiting()) })
	m.factory.NewCounterFunc(prometheus.CounterOpts{
		Name: "ldapd_authentik_denials_remembered_total", Help: "Binds denied without a flow, since the same was denied a moment ago."},
		func() float64 { return float64(denials.Hits()) })
}
