package authentik

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"
)

// State is what a Controller knows of authentik and of its data.
type State struct {
	Outpost    Outpost
	Providers  []Provider // not to be modified
	Generation string     // Version2025_6, …; empty: not known yet

	Users, Groups int       // of authentik, as they are served
	LastSync      time.Time // when all was known the last time, though nothing changed; zero: never
	Stale         bool      // served from disk, authentik was not reached yet
	Connected     bool      // the websocket

	// Err is why the last attempt failed, nil if it did not; ErrSince is when
	// attempts began to fail.
	Err      error
	ErrSince time.Time
}

// State returns the present state.
func (c *Controller) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// note takes down what is served.
func (c *Controller) note(users, groups int) {
	c.o.Metrics.served(users, groups, c.synced)
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.state
	s.Users, s.Groups, s.LastSync, s.Stale = users, groups, c.synced, !c.live
	if s.Outpost.PK == "" {
		s.Outpost, s.Providers, s.Generation = c.settings.outpost, c.settings.providers, c.settings.generation
	}
}

// succeeded takes down that all was known at a time.
func (c *Controller) succeeded(kind string, at time.Time) {
	c.synced = at
	c.o.Metrics.syncs.WithLabelValues(kind, "ok").Inc()
	c.note(len(c.mirror.users), len(c.mirror.groups))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Err != nil {
		c.log.Info("authentik can be read again", zap.Duration("after", at.Sub(c.state.ErrSince)))
		c.state.Err, c.state.ErrSince = nil, time.Time{}
	}
}

// failed takes down why something could not be read. The log has it when it is
// not what it was before.
func (c *Controller) failed(kind string, err error) {
	c.o.Metrics.syncs.WithLabelValues(kind, "failed").Inc()
	c.o.Metrics.failed(errorKind(err))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Err == nil {
		c.state.ErrSince = c.o.Now()
	}
	if c.state.Err == nil || errorKind(c.state.Err) != errorKind(err) {
		c.log.Warn("authentik cannot be read, what was read before stays in use", zap.String("kind", errorKind(err)), zap.Error(err))
	} else {
		c.log.Debug("authentik still cannot be read", zap.Error(err))
	}
	c.state.Err = err
}

// errorKind returns the label of an error.
func errorKind(err error) string {
	var api *APIError
	var conn *connError
	switch {
	case TokenRefused(err):
		return "token"
	case Forbidden(err):
		return "forbidden"
	case errors.Is(err, ErrNoOutpost), errors.Is(err, ErrNoProvider):
		return "settings"
	case errors.Is(err, errDrift):
		return "drift"
	case errors.Is(err, errDoubted), errors.Is(err, errNoUsers):
		return "doubted"
	case errors.As(err, &api):
		return "status"
	case errors.As(err, &conn):
		return "unreachable"
	}
	return "other"
}

var errorKinds = []string{"token", "forbidden", "settings", "drift", "doubted", "status", "unreachable", "certificate", "disk", "other"}

// SyncMetrics are the metrics of a Controller.
type SyncMetrics struct {
	requests    *prometheus.CounterVec
	syncs       *prometheus.CounterVec
	errors      *prometheus.CounterVec
	users       prometheus.Gauge
	groups      prometheus.Gauge
	lastSync    prometheus.Gauge
	websocket   prometheus.Gauge
	sessionEnds prometheus.Counter
}

// NewSyncMetrics makes the metrics and registers them, if reg is not nil.
func NewSyncMetrics(reg prometheus.Registerer) *SyncMetrics {
	f := promauto.With(reg)
	m := &SyncMetrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "ldapd_authentik_sync_requests_total", Help: "Requests for settings, users, groups and certificates, by endpoint; without those that were tried again."}, []string{"endpoint"}),
		syncs: f.NewCounterVec(prometheus.CounterOpts{
			Name: "ldapd_authentik_syncs_total", Help: "Attempts to read authentik, by kind (full, changes) and result (ok, failed)."}, []string{"kind", "result"}),
		errors: f.NewCounterVec(prometheus.CounterOpts{
			Name: "ldapd_authentik_sync_errors_total", Help: "Errors of reading authentik, by kind."}, []string{"kind"}),
		users: f.NewGauge(prometheus.GaugeOpts{
			Name: "ldapd_authentik_users", Help: "Users of authentik that are known."}),
		groups: f.NewGauge(prometheus.GaugeOpts{
			Name: "ldapd_authentik_groups", Help: "Groups of authentik that are known."}),
		lastSync: f.NewGauge(prometheus.GaugeOpts{
			Name: "ldapd_authentik_last_sync_timestamp_seconds", Help: "When what is served was known to be what authentik has; its age is the time since. 0: never."}),
		websocket: f.NewGauge(prometheus.GaugeOpts{
			Name: "ldapd_authentik_websocket_connected", Help: "1 while the websocket is connected."}),
		sessionEnds: f.NewCounter(prometheus.CounterOpts{
			Name: "ldapd_authentik_session_ends_total", Help: "Ended sessions that authentik told of."}),
	}
	for _, kind := range errorKinds {
		m.errors.WithLabelValues(kind)
	}
	return m
}

func (m *SyncMetrics) request(endpoint string) { m.requests.WithLabelValues(endpoint).Inc() }

func (m *SyncMetrics) failed(kind string) { m.errors.WithLabelValues(kind).Inc() }

func (m *SyncMetrics) connected(yes bool) {
	m.websocket.Set(0)
	if yes {
		m.websocket.Set(1)
	}
}

func (m *SyncMetrics) served(users, groups int, at time.Time) {
	m.users.Set(float64(users))
	m.groups.Set(float64(groups))
	if !at.IsZero() {
		m.lastSync.Set(float64(at.UnixMilli()) / 1000)
	}
}
