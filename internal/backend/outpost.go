package backend

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/authentik"
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
	serve      func(users, groups int, trees ...*directory.Snapshot)
}

var _ Backend = (*outpost)(nil)

// openOutpost opens the backend. It reads what is on disk, so that there is
// something to serve before authentik answers, and asks authentik for nothing
// yet.
func openOutpost(opts Options) (Backend, error) {
	cfg := opts.Config
	client, err := NewClient(cfg, opts.Version, opts.Now)
	if err != nil {
		return nil, err
	}
	o := newOutpost(opts, client)
	certificates := opts.Certificates
	if cfg.TLS.Cert != "" {
		certificates = nil // the one that was configured here is meant
	}
	o.controller = authentik.NewController(authentik.ControllerOptions{
		Client:       client,
		Version:      opts.Version,
		StateDir:     cfg.StateDir,
		Interval:     cfg.Authentik.Sync,
		UID:          cfg.Directory.UID,
		PageSize:     cfg.Authentik.PageSize,
		Log:          opts.Log.Named("authentik"),
		Metrics:      authentik.NewSyncMetrics(opts.Metrics),
		Publish:      o.publish,
		Certificates: certificates,
		SessionEnd:   opts.SessionEnd,
		Now:          opts.Now,
	})
	if cfg.Given("file.path") {
		if o.local, err = openUsersFile(opts, nil, o.serveLocal); err != nil {
			return nil, err
		}
	} else {
		newLoads(opts.Metrics)
	}
	o.controller.Restore()
	return o, nil
}

// newOutpost returns an outpost that has read nothing.
func newOutpost(opts Options, client *authentik.Client) *outpost {
	o := &outpost{client: client, serve: opts.Publish, troubles: newFlowTroubles(opts.Now, opts.Log)}
	o.providers.Store(&map[string]authentik.Provider{})
	o.mine.Store(&map[string]bool{})
	o.flows = o.chain(opts)
	return o
}

// NewClient returns a client for the authentik that the configuration names. It
// asks for nothing yet.
func NewClient(cfg *config.Config, version string, now func() time.Time) (*authentik.Client, error) {
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
func (o *outpost) chain(opts Options) auth.Authenticator {
	a := &opts.Config.Authentik
	flows := newFlowMetrics(opts.Metrics)
	o.authentik = authentik.NewAuthenticator(o.client, o.provider, func(f authentik.Flow) {
		flows.observe(f)
		logFlow(opts.Log, f)
		o.troubles.observe(f)
	})
	queue := guard.NewQueue(o.authentik, a.Flows)
	denials := guard.NewDenials(guard.NewPace(queue, a.UserBinds, a.AddressBinds, opts.Now), a.DenialMemory, opts.Now)
	flows.watch(denials, queue)
	return denials
}

// publish serves what the controller read.
func (o *outpost) publish(list []authentik.Published) {
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
	o.serve(state.Users, state.Groups, trees...)
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

// Run implements Backend.
func (o *outpost) Run(ctx context.Context) {
	var wg sync.WaitGroup
	if o.local != nil {
		wg.Go(func() { o.local.Run(ctx) })
	}
	o.controller.Run(ctx)
	wg.Wait()
	o.client.Close()
}

// Reload implements Backend.
func (o *outpost) Reload() {
	o.controller.Refresh()
	if o.local != nil {
		o.local.Reload()
	}
}

// Authenticator implements Backend.
func (o *outpost) Authenticator() auth.Authenticator { return outpostAuth{o} }

// Synced implements Backend.
func (o *outpost) Synced() time.Time { return o.controller.State().LastSync }

// Trouble implements Backend.
func (o *outpost) Trouble() []string {
	list := o.troubles.warnings(*o.providers.Load())
	if s := o.controller.State(); s.Err != nil {
		list = append(list, fmt.Sprintf("authentik cannot be read since %s: %v", s.ErrSince.UTC().Format(time.RFC3339), s.Err))
	}
	return list
}
