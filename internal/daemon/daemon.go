// Package daemon puts the parts together: it opens what the configuration
// names, serves until it is told to stop, and closes it all again.
package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"ldapd/internal/admin"
	"ldapd/internal/auth/guard"
	"ldapd/internal/backend"
	"ldapd/internal/bind"
	"ldapd/internal/cache"
	"ldapd/internal/certs"
	"ldapd/internal/config"
	"ldapd/internal/control"
	"ldapd/internal/ldap"
	"ldapd/internal/local"
	"ldapd/internal/login"
	"ldapd/internal/password"
	"ldapd/internal/policy"
	"ldapd/internal/proxy"
	"ldapd/internal/schema"
	"ldapd/internal/search"
	"ldapd/internal/server"
	"ldapd/internal/state"
	"ldapd/internal/unlock"
	"ldapd/internal/verified"
	"ldapd/internal/web"
)

// Options make a Daemon.
type Options struct {
	Config  *config.Config
	Log     *zap.Logger
	Version string
	Users   *local.File      // in place of the file that Config names, if not nil
	Now     func() time.Time // of binds, sessions and codes; nil: time.Now
}

// Daemon is a server with everything around it.
type Daemon struct {
	cfg     *config.Config
	log     *zap.Logger
	now     func() time.Time
	version string
	since   time.Time
	certs   *certs.Store
	store   cache.Store
	book    *verified.Book
	served  *served
	backend backend.Backend
	binding *bind.Metrics
	binds   *bind.Pipeline
	trust   *proxy.Trust
	server  *server.Server
	admin   *web.Server
	control *control.Server
	unlock  *unlock.Server // nil: off

	unlockCerts              *certs.Store // nil: those of LDAP
	commands                 net.Listener
	ldap, ldaps, http, https listeners // empty: off
	stopping                 atomic.Bool
}

// Open opens the state, loads certificate and users and listens on the
// addresses. It serves nothing yet; follow it by Run, or by Close.
func Open(o Options) (d *Daemon, err error) {
	d = &Daemon{cfg: o.Config, log: o.Log, now: o.Now, version: o.Version}
	if d.now == nil {
		d.now = time.Now
	}
	d.since = d.now()
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if err := d.open(o); err != nil {
		return d, err
	}
	return d, nil
}

func (d *Daemon) open(o Options) (err error) {
	cfg := o.Config
	m := newMetrics(o.Version)
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	if d.store, err = state.OpenStore(ctx, cfg, d.now, d.log.Named("store")); err != nil {
		return err
	}
	keys, err := state.Keys(cfg)
	if err != nil {
		return err
	}
	paging, err := keys.Derive("paging")
	if err != nil {
		return err
	}
	limits, err := keys.Derive("limits")
	if err != nil {
		return err
	}
	hashes := password.NewQueue()
	m.waiting(hashes.Waiting)
	d.book, err = state.OpenBook(ctx, cfg, d.store, verified.Options{
		Keys: keys, Hashes: hashes, Now: d.now, Log: d.log.Named("verified"), Metrics: verified.NewMetrics(m.registry),
	})
	if err != nil {
		return err
	}
	d.certs, err = certs.Open(certs.Options{
		Cert: cfg.TLS.Cert, Key: cfg.TLS.Key, Dir: cfg.StateDir, Names: cfg.TLS.Names, Log: d.log.Named("tls"),
	})
	if err != nil {
		return cfg.Errorf("tls", "%v", err)
	}
	m.certificate(d.certs.Expires)
	shown := certs.NewSet(d.certs)
	d.served = &served{metrics: m}
	d.backend, err = backend.Open(backend.Options{
		Config: cfg, Version: o.Version, Users: o.Users, Codes: d.store, Hashes: hashes, Metrics: m.registry, Log: d.log, Now: d.now,
		Publish: d.served.publish, Certificates: shown.Update, SessionEnd: func(hash string) { d.binds.SessionEnded(hash) },
	})
	if err != nil {
		return err
	}

	d.binding = bind.NewMetrics(m.registry)
	logins := login.New(d.now)
	d.binds = d.pipeline(logins, limits)
	m.pipeline(d.binds)
	h := &handler{metrics: m, binds: d.binds, logins: logins}
	d.trust = proxy.New(proxy.Options{
		Trusted: proxies(cfg), Timeout: cfg.Limits.Handshake, Refused: m.headers, Log: d.log, Now: d.now,
	})
	d.server = server.New(server.Config{
		Handler:   h,
		TLSConfig: shown.TLSConfig(),
		Limits:    serverLimits(&cfg.Limits),
		Log:       d.log,
		Metrics:   server.NewMetrics(m.registry),
		Redact:    (&redactor{separator: cfg.MFA.Separator, schema: schema.Builtin()}).redact,
	})
	h.engine = search.New(search.Config{
		Forest:     d.served.forest.Load,
		CookieKey:  paging,
		Entries:    cfg.Limits.Entries,
		Time:       cfg.Limits.SearchTime,
		Extensions: d.server.Extensions(),
		Version:    o.Version,
		Login:      loginSearches(cfg),
	})
	d.admin = admin.New(m.registry, d.ready, service{d}.Status, d.log)
	d.control = control.New(service{d}, d.log)
	return d.listen(shown.TLSConfig())
}

// openTime bounds asking the store at start.
const openTime = 20 * time.Second

// loginSearches says what searches for a login name look like. Without codes on
// login names they are recognised all the same, for login.
func loginSearches(cfg *config.Config) login.Config {
	l := login.Config{Attributes: cfg.MFA.LoginAttributes}
	if slices.Contains(cfg.MFA.CodeIn, config.CodeInUsername) {
		l.Separator = cfg.MFA.Separator
	}
	return l
}

func (d *Daemon) pipeline(logins *login.Tracker, key []byte) *bind.Pipeline {
	cfg := d.cfg
	o := bind.Options{
		Directory:      d.served.tree,
		Authenticator:  d.backend.Authenticator(),
		CodeInPassword: slices.Contains(cfg.MFA.CodeIn, config.CodeInPassword),
		Separator:      cfg.MFA.Separator,
		Book:           d.book,
		Rules:          rules(cfg),
		Guesses:        d.store,
		Logins:         logins,
		Client:         d.client,
		Synced:         d.backend.Synced,
		Limits: guard.Limits{
			FailuresPerUser:    cfg.Limits.FailuresPerUser,
			FailuresPerAddress: cfg.Limits.FailuresPerAddress,
		},
		Key:     key,
		Log:     d.log,
		Metrics: d.binding,
		Now:     d.now,
	}
	if d.store.Shared() {
		o.Tallies = d.store
	}
	return bind.New(o)
}

// rules are when verified binds answer.
func rules(cfg *config.Config) policy.Rules {
	c, r := &cfg.Cache, &cfg.MFA.Remember
	return policy.Rules{
		Reprove: c.Reprove, Access: c.Access, StaleFor: c.StaleFor, MaxAge: c.MaxAge,
		Scope: policy.Scope(r.Scope), Remember: r.For,
		CodeInUsername: slices.Contains(cfg.MFA.CodeIn, config.CodeInUsername),
	}
}

// client says which of the clients that are named an address belongs to.
func (d *Daemon) client(a netip.Addr) bind.Client {
	c, _ := d.cfg.ClientOf(a) // else the zero value
	return bind.Client{Name: c.Name, PerUserKeys: c.Encryption == config.EncryptionPerUser}
}

func serverLimits(l *config.Limits) server.Limits {
	return server.Limits{
		MessageUnbound:        int(l.MessageUnbound),
		Message:               int(l.Message),
		Filter:                ldap.FilterLimits{Depth: l.FilterDepth, Terms: l.FilterTerms},
		Unfinished:            int(l.Unfinished),
		Connections:           l.Connections,
		ConnectionsPerAddress: l.ConnectionsPerAddress,
		HandshakesPerAddress:  l.HandshakesPerAddress,
		Operations:            l.Operations,
		LogLines:              l.LogLines,
		Unbound:               l.Unbound,
		BindTime:              l.BindTime,
		Idle:                  l.Idle,
		Handshake:             l.Handshake,
		Read:                  l.Read,
		Write:                 l.Write,
	}
}

func (d *Daemon) listen(shown *tls.Config) (err error) {
	l := &d.cfg.Listen
	if d.ldap, err = listen(d.cfg, "listen.ldap", l.LDAP); err != nil {
		return err
	}
	if d.ldaps, err = listen(d.cfg, "listen.ldaps", l.LDAPS); err != nil {
		return err
	}
	if d.http, err = listen(d.cfg, "listen.admin", l.Admin); err != nil {
		return err
	}
	if d.commands, err = control.Listen(d.cfg.StateDir); err != nil {
		return d.cfg.Errorf("state_dir", "%v", err)
	}
	return d.openUnlock(shown)
}

// LDAP returns the first address that LDAP is served on, nil if there is none.
func (d *Daemon) LDAP() net.Addr { return d.ldap.first() }

// LDAPS is LDAP for LDAPS.
func (d *Daemon) LDAPS() net.Addr { return d.ldaps.first() }

// Admin is LDAP for the admin listener.
func (d *Daemon) Admin() net.Addr { return d.http.first() }

// Settled reports that nothing runs in the background that a bind began, for
// tests.
func (d *Daemon) Settled() bool { return d.binds.Settled() }

// ready returns why binds and searches cannot be answered. Trouble with the
// store is no reason: memory answers without it.
func (d *Daemon) ready() (degraded string, err error) {
	switch {
	case d.stopping.Load():
		return "", errors.New("shutting down")
	case d.served.forest.Load() == nil:
		return "", bind.ErrNotLoaded
	case d.book.Down() != nil:
		return "the store of verified binds does not work as it should, see /status", nil
	}
	return "", nil
}

// Run serves until ctx ends, then stops accepting, lets what is running
// finish within the configured grace, and closes everything. A value from
// reload has the users and the certificate read again. The error is that of a
// listener which failed.
func (d *Daemon) Run(ctx context.Context, reload <-chan os.Signal) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, ln := range d.ldap {
		g.Go(func() error { return closed(d.server.Serve(d.trust.Listener(ln))) })
	}
	for _, ln := range d.ldaps {
		g.Go(func() error { return closed(d.server.ServeTLS(d.trust.Listener(ln))) })
	}
	for _, ln := range d.http {
		g.Go(func() error { return d.admin.Serve(ln) })
	}
	for _, ln := range d.https {
		g.Go(func() error { return d.unlock.Serve(d.trust.Listener(ln)) })
	}
	g.Go(func() error { return d.control.Serve(d.commands) })
	g.Go(func() error { d.book.Run(ctx); return nil })
	g.Go(func() error { d.binds.Run(ctx); return nil })
	g.Go(func() error { d.certs.Run(ctx); return nil })
	if d.unlockCerts != nil {
		g.Go(func() error { d.unlockCerts.Run(ctx); return nil })
	}
	g.Go(func() error { d.backend.Run(ctx); return nil })
	g.Go(func() error { d.follow(ctx, reload); return nil })
	g.Go(func() error { <-ctx.Done(); d.shutdown(); return nil })

	d.announce()
	d.notify(systemd.SdNotifyReady)
	err := g.Wait()
	return errors.Join(err, d.Close())
}

func closed(err error) error {
	if errors.Is(err, server.ErrServerClosed) {
		return nil
	}
	return err
}

// announce logs what is served where.
func (d *Daemon) announce() {
	for name, list := range map[string]listeners{"ldap": d.ldap, "ldaps": d.ldaps, "admin": d.http, "unlock": d.https} {
		for _, ln := range list {
			d.log.Info("listening", zap.String("for", name), zap.Stringer("address", ln.Addr()))
		}
	}
	d.log.Info("serving", zap.String("certificate", d.certs.File()),
		zap.String("sha256", d.certs.Fingerprint()), zap.Time("certificate_until", d.certs.Expires()))
}

// notify tells systemd, if it is there.
func (d *Daemon) notify(state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		d.log.Warn("systemd was not told", zap.String("state", state), zap.Error(err))
	}
}

// follow reloads when it is asked to.
func (d *Daemon) follow(ctx context.Context, reload <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-reload:
			d.log.Info("reloading")
			d.backend.Reload()
			if err := d.certs.Reload(); err != nil {
				d.log.Error("new certificate refused, the old one stays in use", zap.Error(err))
			}
		}
	}
}

func (d *Daemon) shutdown() {
	d.stopping.Store(true)
	d.notify(systemd.SdNotifyStopping)
	d.log.Info("shutting down", zap.Duration("grace", d.cfg.ShutdownGrace))
	ctx, cancel := context.WithTimeout(context.Background(), d.cfg.ShutdownGrace)
	defer cancel()
	if err := d.server.Shutdown(ctx); err != nil {
		d.log.Warn("connections were cut off", zap.Error(err))
	}
	if err := d.admin.Shutdown(ctx); err != nil {
		d.log.Warn("admin connections were cut off", zap.Error(err))
	}
	if err := d.control.Shutdown(ctx); err != nil {
		d.log.Warn("commands were cut off", zap.Error(err))
	}
	if d.unlock != nil {
		if err := d.unlock.Shutdown(ctx); err != nil {
			d.log.Warn("unlock connections were cut off", zap.Error(err))
		}
	}
}

// Close releases what Open opened. Run does it by itself.
func (d *Daemon) Close() error {
	var errs []error
	if d.binds != nil {
		d.binds.Close()
	}
	for _, ln := range slices.Concat(d.ldap, d.ldaps, d.http, d.https) {
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if d.commands != nil {
		if err := d.commands.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	return errors.Join(errs...)
}
