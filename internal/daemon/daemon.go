// Package daemon puts the parts together: it opens what the configuration
// names, serves until it is told to stop, and closes it all again.
package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"ldapd/internal/admin"
	"ldapd/internal/bind"
	"ldapd/internal/cache"
	"ldapd/internal/certs"
	"ldapd/internal/config"
	"ldapd/internal/ldap"
	"ldapd/internal/local"
	"ldapd/internal/schema"
	"ldapd/internal/search"
	"ldapd/internal/server"
)

// Options make a Daemon.
type Options struct {
	Config  *config.Config
	Log     *zap.Logger
	Version string
	Users   *local.File // in place of the file that Config names, if not nil
}

// Daemon is a server with everything around it.
type Daemon struct {
	cfg     *config.Config
	log     *zap.Logger
	certs   *certs.Store
	codes   *cache.Bolt
	served  *served
	backend backend
	server  *server.Server
	admin   *admin.Server

	ldap, ldaps, http listeners // empty: off
	stopping          atomic.Bool
}

// Open opens the state, loads certificate and users and listens on the
// addresses. It serves nothing yet; follow it by Run, or by Close.
func Open(o Options) (d *Daemon, err error) {
	d = &Daemon{cfg: o.Config, log: o.Log}
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
	if d.codes, err = openCodes(cfg, time.Now); err != nil {
		return err
	}
	key, err := cookieKey(cfg)
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
	file := usersFile{codes: d.codes, log: d.log, metrics: m}
	if cfg.Backend == config.BackendAuthentik {
		d.backend, err = openOutpost(cfg, o.Version, d.served, file, shown)
	} else {
		d.backend, err = openFile(cfg, o.Users, d.served, file)
	}
	if err != nil {
		return err
	}

	h := &handler{metrics: m, binds: d.pipeline()}
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
		CookieKey:  key,
		Entries:    cfg.Limits.Entries,
		Time:       cfg.Limits.SearchTime,
		Extensions: d.server.Extensions(),
		Version:    o.Version,
	})
	d.admin = admin.New(m.registry, d.ready, nil, d.log)
	return d.listen()
}

func (d *Daemon) pipeline() *bind.Pipeline {
	cfg := d.cfg
	o := bind.Options{
		Directory:     d.served.tree,
		Authenticator: d.backend.authenticator(),
		Separator:     cfg.MFA.Separator,
		Limits: bind.Limits{
			FailuresPerUser:    cfg.Limits.FailuresPerUser,
			FailuresPerAddress: cfg.Limits.FailuresPerAddress,
		},
	}
	for _, in := range cfg.MFA.CodeIn {
		switch in {
		case config.CodeInPassword:
			o.CodeInPassword = true
		case config.CodeInUsername:
			o.CodeInUsername = true
		}
	}
	return bind.New(o)
}

func serverLimits(l *config.Limits) server.Limits {
	return server.Limits{
		MessageUnbound:        int(l.MessageUnbound),
		Message:               int(l.Message),
		Filter:                ldap.FilterLimits{Depth: l.FilterDepth, Terms: l.FilterTerms},
		Connections:           l.Connections,
		ConnectionsPerAddress: l.ConnectionsPerAddress,
		Operations:            l.Operations,
		BindTime:              l.BindTime,
		Idle:                  l.Idle,
		Handshake:             l.Handshake,
		Read:                  l.Read,
		Write:                 l.Write,
	}
}

func (d *Daemon) listen() (err error) {
	l := &d.cfg.Listen
	if d.ldap, err = listen(d.cfg, "listen.ldap", l.LDAP); err != nil {
		return err
	}
	if d.ldaps, err = listen(d.cfg, "listen.ldaps", l.LDAPS); err != nil {
		return err
	}
	d.http, err = listen(d.cfg, "listen.admin", l.Admin)
	return err
}

// LDAP returns the first address that LDAP is served on, nil if there is none.
func (d *Daemon) LDAP() net.Addr { return d.ldap.first() }

// LDAPS is LDAP for LDAPS.
func (d *Daemon) LDAPS() net.Addr { return d.ldaps.first() }

// Admin is LDAP for the admin listener.
func (d *Daemon) Admin() net.Addr { return d.http.first() }

// ready returns why binds and searches cannot be answered.
func (d *Daemon) ready() error {
	switch {
	case d.stopping.Load():
		return errors.New("shutting down")
	case d.served.forest.Load() == nil:
		return bind.ErrNotLoaded
	}
	return nil
}

// Run serves until ctx ends, then stops accepting, lets what is running
// finish within the configured grace, and closes everything. A value from
// reload has the users and the certificate read again. The error is that of a
// listener which failed.
func (d *Daemon) Run(ctx context.Context, reload <-chan os.Signal) error {
	g, ctx := errgroup.WithContext(ctx)
	trusted, handshake := d.cfg.ProxyProtocol.Trusted, d.cfg.Limits.Handshake
	for _, ln := range d.ldap {
		g.Go(func() error { return closed(d.server.Serve(proxied(ln, trusted, handshake))) })
	}
	for _, ln := range d.ldaps {
		g.Go(func() error { return closed(d.server.ServeTLS(proxied(ln, trusted, handshake))) })
	}
	for _, ln := range d.http {
		g.Go(func() error { return d.admin.Serve(ln) })
	}
	g.Go(func() error { d.certs.Run(ctx); return nil })
	g.Go(func() error { d.backend.run(ctx); return nil })
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
	for name, list := range map[string]listeners{"ldap": d.ldap, "ldaps": d.ldaps, "admin": d.http} {
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
			d.backend.reload()
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
}

// Close releases what Open opened. Run does it by itself.
func (d *Daemon) Close() error {
	var errs []error
	for _, ln := range slices.Concat(d.ldap, d.ldaps, d.http) {
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if d.codes != nil {
		errs = append(errs, d.codes.Close())
	}
	return errors.Join(errs...)
}
