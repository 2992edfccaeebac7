package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/authentik"
	"ldapd/internal/certs"
	"ldapd/internal/config"
	"ldapd/internal/directory"
	"ldapd/internal/local"
)

// outpost is the backend authentik: it serves the providers of an outpost, and
// the accounts of a users file beside them if there is one.
type outpost struct {
	client     *authentik.Client
	controller *authentik.Controller
	providers  atomic.Pointer[map[string]authentik.Provider] // by base DN
	local      *usersFile                                    // nil: none
	mine       atomic.Pointer[map[string]bool]               // UUIDs of local users
	authentik  *authentik.Authenticator
	flows      auth.Authenticator // authentik, and what a bind goes through on its way there
	troubles   *flowTroubles
}

// openOutpost opens the backend. It reads what is on disk, so that there is
// something to serve before authentik answers, and asks authentik for nothing
// yet.
func openOutpost(cfg *config.Config, version string, s *served, u usersFile, shown *certs.Set, sessionEnd func(hash string)) (*outpost, error) {
	client, err := newClient(cfg, version, u.now)
	if err != nil {
		return nil, err
	}
	o := &outpost{client: client, troubles: newFlowTroubles(u.now, u.log)}
	o.providers.Store(&map[string]authentik.Provider{})
	o.mine.Store(&map[string]bool{})
	certificates := shown.Update
	if cfg.TLS.Cert != "" {
		certificates = nil // the one that was configured here is meant
	}
	o.controller = authentik.NewController(authentik.ControllerOptions{
		Client:       client,
		Version:      version,
		StateDir:     cfg.StateDir,
		Interval:     cfg.Authentik.Sync,
		UID:          cfg.Directory.UID,
		PageSize:     cfg.Authentik.PageSize,
		Log:          u.log.Named("authentik"),
		Metrics:      authentik.NewSyncMetrics(u.metrics.registry),
		Publish:      func(list []authentik.Published) { o.publish(s, list) },
		Certificates: certificates,
		SessionEnd:   sessionEnd,
		Now:          u.now,
	})
	if cfg.Given("file.path") {
		u.serve = o.serveLocal
		if o.local, err = openUsersFile(cfg, nil, u); err != nil {
			return nil, err
		}
	}
	o.flows = o.chain(cfg, u)
	o.controller.Restore()
	return o, nil
}

func newClient(cfg *config.Config, version string, now func() time.Time) (*authentik.Client, error) {
	a := &cfg.Authentik
	token := authentik.StaticToken(string(a.Token))
	if a.TokenFile != "" {
		token = authentik.FileToken(a.TokenFile)
	}
	client, err := authentik.New(authentik.Config{
		Host: a.Host, Token: token, Insecure: a.Insecure, CAFile: a.CAFile, Version: version, Now: now,
	})
	if err != nil {
		return nil, cfg.Errorf("authentik", "%v", err)
	}
	return client, nil
}

// chain is what a bind goes through on its way to a flow: what was denied a
// moment ago is denied again, and the rest is held to a pace and waits its turn.
func (o *outpost) chain(cfg *config.Config, u usersFile) auth.Authenticator {
	a := &cfg.Authentik
	flows := newFlowMetrics(u.metrics.registry)
	o.authentik = authentik.NewAuthenticator(o.client, o.provider, func(f authentik.Flow) {
		flows.observe(f)
		logFlow(u.log, f)
		o.troubles.observe(f)
	})
	queue := guard.NewQueue(o.authentik, a.Flows)
	denials := guard.NewDenials(guard.NewPace(queue, a.UserBinds, a.AddressBinds, u.now), a.DenialMemory, u.now)
	flows.chain(denials, queue)
	return denials
}

// publish serves what the controller read.
func (o *outpost) publish(s *served, list []authentik.Published) {
	providers := make(map[string]authentik.Provider, len(list))
	trees := make([]*directory.Snapshot, 0, len(list))
	for _, p := range list {
		// Of two providers with one base DN authentik takes the first.
		if _, ok := providers[p.Snapshot.BaseDN]; !ok {
			providers[p.Snapshot.BaseDN] = p.Provider
			trees = append(trees, p.Snapshot)
		}
	}
	o.providers.Store(&providers)
	state := o.controller.State()
	limitMemory(state.Users, len(trees))
	s.replace(state.Users, state.Groups, trees...)
}

// limitMemory tells the collector from where on to work harder: a new snapshot
// is built beside the one in use, and garbage would take as much again. A user
// takes about 1 KiB and 2 KiB more in each tree, so there is always room for
// what is in use. The environment may say otherwise.
func limitMemory(users, trees int) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(64<<20 + int64(users)*int64(1+3*trees)<<10)
	}
}

func (o *outpost) provider(base string) (authentik.Provider, bool) {
	p, ok := (*o.providers.Load())[base]
	return p, ok
}

// serveLocal adds the accounts of the users file.
func (o *outpost) serveLocal(f *local.File) error {
	mine := make(map[string]bool)
	for _, u := range f.Users() {
		mine[u.UUID] = true
	}
	o.mine.Store(&mine)
	o.controller.SetLocal(f.Users(), f.Groups())
	return nil
}

func (o *outpost) run(ctx context.Context) {
	var wg sync.WaitGroup
	if o.local != nil {
		wg.Go(func() { o.local.run(ctx) })
	}
	o.controller.Run(ctx)
	wg.Wait()
	o.client.Close()
}

func (o *outpost) reload() {
	o.controller.Refresh()
	if o.local != nil {
		o.local.reload()
	}
}

func (o *outpost) authenticator() auth.Authenticator { return outpostAuth{o} }

// synced implements backend.
func (o *outpost) synced() time.Time { return o.controller.State().LastSync }

// trouble implements backend.
func (o *outpost) trouble() []string {
	list := o.troubles.warnings(*o.providers.Load())
	if s := o.controller.State(); s.Err != nil {
		list = append(list, fmt.Sprintf("authentik cannot be read since %s: %v", s.ErrSince.UTC().Format(time.RFC3339), s.Err))
	}
	return list
}

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
	registry *prometheus.Registry
	flows    *prometheus.HistogramVec
	stages   *prometheus.HistogramVec
}

func newFlowMetrics(reg *prometheus.Registry) *flowMetrics {
	buckets := prometheus.ExponentialBuckets(0.01, 2, 14) // 10 ms to 80 s
	m := &flowMetrics{
		registry: reg,
		flows: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ldapd_authentik_flow_duration_seconds", Help: "Time of a whole flow, by outcome: granted, denied, failed.", Buckets: buckets}, []string{"outcome"}),
		stages: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ldapd_authentik_stage_duration_seconds", Help: "Time of one stage of a flow, by component.", Buckets: buckets}, []string{"stage"}),
	}
	reg.MustRegister(m.flows, m.stages)
	return m
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

// chain reports what the binds before the flows do.
func (m *flowMetrics) chain(denials *guard.Denials, queue *guard.Queue) {
	gauge := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("ldapd_authentik_flows_running", "Flows under way.", func() float64 { return float64(queue.Running()) })
	gauge("ldapd_authentik_flows_waiting", "Flows that wait for their turn.", func() float64 { return float64(queue.Waiting()) })
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "ldapd_authentik_denials_remembered_total", Help: "Binds denied without a flow, since the same was denied a moment ago."},
		func() float64 { return float64(denials.Hits()) }))
}
