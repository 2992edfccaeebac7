package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/bind"
	"ldapd/internal/config"
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/local"
	"ldapd/internal/mfa"
	"ldapd/internal/yamlfile"
)

// watchEvery is how often the users file is looked at; a change is loaded
// when it has rested for that long.
const watchEvery = time.Second

// backend is the users file: it keeps what is served from it up to date.
type backend struct {
	cfg     *config.Config
	codes   mfa.UsedCodes
	log     *zap.Logger
	metrics *metrics

	forest  atomic.Pointer[directory.Forest]
	auth    *local.Authenticator
	watcher *local.Watcher // nil: the users are built in
}

// openBackend loads the users, from the file of the configuration unless
// builtin is given.
func openBackend(cfg *config.Config, builtin *local.File, codes mfa.UsedCodes, log *zap.Logger, m *metrics) (*backend, error) {
	b := &backend{cfg: cfg, codes: codes, log: log, metrics: m}
	if builtin != nil {
		if err := b.take(builtin); err != nil {
			return nil, err
		}
	} else {
		b.watcher = local.NewWatcher(cfg.File.Path, local.UIDFrom(cfg.Directory.UID), b.take, b.refuse)
		if err := b.watcher.Load(); err != nil {
			return nil, place(cfg, err)
		}
	}
	m.hashes(b.auth.Hashes)
	return b, nil
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

func tree(cfg *config.Config) directory.Tree {
	return directory.Tree{BaseDN: cfg.BaseDN, UIDStart: cfg.Directory.UIDStart, GIDStart: cfg.Directory.GIDStart}
}

// take serves the content of the file from now on.
func (b *backend) take(f *local.File) error {
	start := time.Now()
	snap, problems := tree(b.cfg).Build(f.Users(), f.Groups())
	if snap.Len() == 0 {
		return fmt.Errorf("the directory is empty: %v", problems)
	}
	for _, p := range problems {
		b.log.Warn("not served as it is in the users file", zap.Stringer("problem", p))
	}
	if b.auth == nil {
		b.auth = local.NewAuthenticator(f, b.codes, time.Now)
	} else {
		b.auth.Update(f)
	}
	b.forest.Store(directory.NewForest(snap))

	m := b.metrics
	m.users.Set(float64(len(f.Users())))
	m.groups.Set(float64(len(f.Groups())))
	m.entries.Set(float64(snap.Len()))
	m.loaded.SetToCurrentTime()
	m.loads.WithLabelValues("ok").Inc()
	b.log.Info("directory loaded", zap.Int("users", len(f.Users())), zap.Int("groups", len(f.Groups())),
		zap.Int("entries", snap.Len()), zap.Duration("took", time.Since(start)))
	return nil
}

// refuse reports a file that cannot be used.
func (b *backend) refuse(err error) {
	b.metrics.loads.WithLabelValues("refused").Inc()
	b.log.Error("users file refused, the data before it stays in use", zap.Error(err))
}

// run follows the file until ctx ends.
func (b *backend) run(ctx context.Context) {
	if b.watcher == nil {
		return
	}
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	b.watcher.Run(ctx, t.C)
}

// reload has the file read now.
func (b *backend) reload() {
	if b.watcher != nil {
		b.watcher.Reload()
	}
}

// directory is what binds look names up in.
func (b *backend) directory(dn ldap.DN) (bind.Directory, error) {
	forest := b.forest.Load()
	if forest == nil {
		return nil, bind.ErrNotLoaded
	}
	if tree, ok := forest.TreeOf(dn); ok {
		return tree, nil
	}
	return nil, nil
}
