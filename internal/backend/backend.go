// Package backend is where users and groups come from, and who proves them:
// the users file, or an outpost of authentik with the users file beside it.
package backend

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/certs"
	"ldapd/internal/config"
	"ldapd/internal/directory"
	"ldapd/internal/local"
	"ldapd/internal/mfa"
	"ldapd/internal/password"
)

// Backend is where users and groups come from, and who proves them.
type Backend interface {
	Authenticator() auth.Authenticator
	Run(ctx context.Context) // keeps the directory up to date until ctx ends; to be called once
	Reload()                 // reads everything now
	Synced() time.Time       // when the directory was known to be what the source has
	Trouble() []string       // why that, or a bind, cannot be determined at the moment
}

// Options are what a backend needs.
type Options struct {
	Config  *config.Config
	Version string                // of ldapd, for authentik
	Users   *local.File           // in place of the file that Config names for the users file alone; nil: that file
	Codes   mfa.UsedCodes         // of the users file
	Hashes  *password.Queue       // of the users file
	Metrics prometheus.Registerer // nil: none
	Log     *zap.Logger
	Now     func() time.Time

	// Publish serves other trees from now on. Users and groups are those of
	// one tree: all have the same.
	Publish func(users, groups int, trees ...*directory.Snapshot)
	// Certificates gets the certificates that the backend wants to be shown,
	// whenever they change.
	Certificates func([]certs.Named)
	// SessionEnd gets the hash of a session that has ended, see
	// authentik.ControllerOptions.
	SessionEnd func(hash string)
}

// kinds are the backends there are, by what the configuration calls them.
var kinds = map[string]func(Options) (Backend, error){
	config.BackendFile:      openFile,
	config.BackendAuthentik: openOutpost,
}

// Open opens the backend that the configuration names. A backend that has users
// by then has published them.
func Open(o Options) (Backend, error) {
	open, ok := kinds[o.Config.Backend]
	if !ok {
		return nil, o.Config.Errorf("backend", "there is no %q", o.Config.Backend)
	}
	return open(o)
}

// Tree is how the configuration wants trees built.
func Tree(cfg *config.Config) directory.Tree {
	return directory.Tree{BaseDN: cfg.BaseDN, UIDStart: cfg.Directory.UIDStart, GIDStart: cfg.Directory.GIDStart}
}

// newLoads counts the loads of the directory, by result: ok, refused.
func newLoads(reg prometheus.Registerer) *prometheus.CounterVec {
	loads := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "ldapd_directory_loads_total", Help: "Attempts to load the directory, by result: ok, refused."}, []string{"result"})
	for _, result := range []string{"ok", "refused"} {
		loads.WithLabelValues(result)
	}
	return loads
}
