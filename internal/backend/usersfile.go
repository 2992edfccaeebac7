package backend

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"ldapd/internal/config"
	"ldapd/internal/local"
	"ldapd/internal/mfa"
	"ldapd/internal/password"
	"ldapd/internal/yamlfile"
)

// watchEvery is how often the users file is looked at; a change is loaded
// when it has rested for that long.
const watchEvery = time.Second

// usersFile follows a users file, and authenticates those who are in it.
type usersFile struct {
	codes  mfa.UsedCodes
	hashes *password.Queue
	log    *zap.Logger
	loads  *prometheus.CounterVec // by result
	now    func() time.Time
	serve  func(*local.File) error // takes the content over, or refuses it

	auth    *local.Authenticator
	file    *local.File    // as it is served
	watcher *local.Watcher // nil: the users are built in
}

// openUsersFile loads the users from the file of the configuration, unless
// builtin is given.
func openUsersFile(o Options, builtin *local.File, serve func(*local.File) error) (*usersFile, error) {
	u := newUsersFile(o, serve)
	if builtin != nil {
		if err := u.take(builtin); err != nil {
			return nil, err
		}
	} else {
		u.watcher = local.NewWatcher(o.Config.File.Path, uidFrom(o.Config), u.take, u.refuse)
		if err := u.watcher.Load(); err != nil {
			return nil, place(o.Config, err)
		}
	}
	promauto.With(o.Metrics).NewCounterFunc(prometheus.CounterOpts{
		Name: "ldapd_password_hashes_total", Help: "Slow password hashes computed."},
		func() float64 { return float64(u.auth.Hashes()) })
	return u, nil
}

func newUsersFile(o Options, serve func(*local.File) error) *usersFile {
	return &usersFile{codes: o.Codes, hashes: o.Hashes, log: o.Log, loads: newLoads(o.Metrics), now: o.Now, serve: serve}
}

// LoadUsersFile reads the users file that the configuration names.
func LoadUsersFile(cfg *config.Config) (*local.File, error) {
	f, err := local.Load(cfg.File.Path, uidFrom(cfg))
	if err != nil {
		return nil, place(cfg, err)
	}
	return f, nil
}

func uidFrom(cfg *config.Config) local.UIDFrom {
	if cfg.Directory.UID == config.UIDUUID {
		return local.UIDUUID
	}
	return local.UIDUsername
}

// place gives an error of the users file the key that named the file, unless
// it names a line of the file itself.
func place(cfg *config.Config, err error) error {
	var e *yamlfile.Error
	if errors.As(err, &e) {
		return err
	}
	return cfg.Errorf("file.path", "%v", err)
}

// take serves the content of the file from now on. Passwords go before entries:
// whoever sees an entry must be able to bind with what is in the file.
func (u *usersFile) take(f *local.File) error {
	if u.auth == nil {
		u.auth = local.NewAuthenticator(f, u.codes, u.hashes, u.now)
	} else {
		u.auth.Update(f)
	}
	if err := u.serve(f); err != nil {
		if u.file != nil {
			u.auth.Update(u.file)
		}
		return err
	}
	u.file = f
	u.loads.WithLabelValues("ok").Inc()
	return nil
}

// refuse reports a file that cannot be used.
func (u *usersFile) refuse(err error) {
	u.loads.WithLabelValues("refused").Inc()
	u.log.Error("users file refused, the data before it stays in use", zap.Error(err))
}

// Run follows the file until ctx ends.
func (u *usersFile) Run(ctx context.Context) {
	if u.watcher == nil {
		return
	}
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	u.watcher.Run(ctx, t.C)
}

// Reload has the file read now.
func (u *usersFile) Reload() {
	if u.watcher != nil {
		u.watcher.Reload()
	}
}
