// Package daemon puts the parts together: it opens what the configuration
// names, serves until it is told to stop, and closes it all again.
package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/admin"
	"ldapd/internal/backend"
	"ldapd/internal/bind"
	"ldapd/internal/cache"
	"ldapd/internal/certs"
	"ldapd/internal/config"
	"ldapd/internal/control"
	"ldapd/internal/local"
	"ldapd/internal/login"
	"ldapd/internal/password"
	"ldapd/internal/proxy"
	"ldapd/internal/schema"
	"ldapd/internal/search"
	"ldapd/internal/server"
	"ldapd/internal/state"
	"ldapd/internal/unlock"
	"ldapd/internal/verified"
	"ldapd/internal/verified/keyring"
	"ldapd/internal/web"
)

// Options make a Daemon.
type Options struct {
	Config  *config.Config
	Log     *zap.Logger
	Version string
	Users   *local.File      // in place of the file that Config names, if not nil
	Now     func() time.Time // of binds, sessions and codes; nil: time.Now
	// Sleep has binds wait for a time, or until ctx ends; nil: it does.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Daemon is a server with everything around it.
type Daemon struct {
	cfg     *config.Config
	log     *zap.Logger
	sleep   func(context.Context, time.Duration) error // nil: guard.Sleep
	now     func() time.Time
	version string
	since   time.Time
	certs   *certs.Store
	store   cache.Store
	book    *verified.Book
	served  *served
	backend backend.Backend
	binds   *bind.Pipeline
	trust   *proxy.Trust
	server  *server.Server
	admin   *web.Server
	control *control.Server
	unlock  *unlock.Server // nil: off

	bindMetrics *bind.Metrics
	unlockCerts *certs.Store // nil: those of LDAP
	stopping    atomic.Bool  // Run has begun to stop

	onLDAP, onLDAPS, onAdmin, onUnlock listeners    // empty: off
	onSocket                           net.Listener // of commands
}

// Open opens the state, loads certificate and users and listens on the
// addresses. It serves nothing yet; follow it by Run, or by Close.
func Open(o Options) (d *Daemon, err error) {
	d = &Daemon{cfg: o.Config, log: o.Log, now: o.Now, sleep: o.Sleep, version: o.Version}
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

// openTime bounds asking the store at start.
const openTime = 20 * time.Second

func (d *Daemon) open(o Options) error {
	m := newMetrics(o.Version)
	hashes := password.NewQueue()
	m.waiting(hashes.Waiting)
	keys, err := d.openStore(m, hashes)
	if err != nil {
		return err
	}
	shown, err := d.openCertificates(m)
	if err != nil {
		return err
	}
	d.served = &served{metrics: m}
	d.backend, err = backend.Open(backend.Options{
		Config: d.cfg, Version: o.Version, Users: o.Users, Codes: d.store, Hashes: hashes, Metrics: m.registry, Log: d.log, Now: d.now,
		Publish: d.served.publish, Certificates: shown.Update, SessionEnd: func(hash string) { d.binds.SessionEnded(hash) },
	})
	if err != nil {
		return err
	}
	if err := d.openServer(m, keys, shown.TLSConfig()); err != nil {
		return err
	}
	d.admin = admin.New(m.registry, d.ready, service{d}.Status, d.log)
	d.control = control.New(service{d}, d.log)
	if err := d.listen(); err != nil {
		return err
	}
	return d.openUnlock(shown.TLSConfig())
}

// openStore opens the store, and the verified binds in it.
func (d *Daemon) openStore(m *metrics, hashes *password.Queue) (keys keyring.Ring, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	if d.store, err = state.OpenStore(ctx, d.cfg, d.now, d.log.Named("store")); err != nil {
		return keys, err
	}
	if keys, err = state.Keys(d.cfg); err != nil {
		return keys, err
	}
	d.book, err = state.OpenBook(ctx, d.cfg, d.store, verified.Options{
		Keys: keys, Hashes: hashes, Now: d.now, Log: d.log.Named("verified"), Metrics: verified.NewMetrics(m.registry),
	})
	return keys, err
}

// openCertificates loads the certificate, which is shown until the backend has
// others.
func (d *Daemon) openCertificates(m *metrics) (shown *certs.Set, err error) {
	cfg := d.cfg
	d.certs, err = certs.Open(certs.Options{
		Cert: cfg.TLS.Cert, Key: cfg.TLS.Key, Dir: cfg.StateDir, Names: cfg.TLS.Names, Log: d.log.Named("tls"),
	})
	if err != nil {
		return nil, cfg.Errorf("tls", "%v", err)
	}
	m.certificate(d.certs.Expires)
	return certs.NewSet(d.certs), nil
}

// openServer puts together what answers LDAP.
func (d *Daemon) openServer(m *metrics, keys keyring.Ring, shown *tls.Config) error {
	cfg := d.cfg
	limits, err := keys.Derive("limits")
	if err != nil {
		return err
	}
	paging, err := keys.Derive("paging")
	if err != nil {
		return err
	}
	d.bindMetrics = bind.NewMetrics(m.registry)
	logins := login.New(d.now)
	d.binds = d.pipeline(logins, limits)
	m.pipeline(d.binds)
	h := &handler{metrics: m, binds: d.binds, logins: logins}
	d.trust = proxy.New(proxy.Options{
		Trusted: proxies(cfg), Timeout: cfg.Limits.Handshake, Refused: m.headers, Log: d.log, Now: d.now,
	})
	d.server = server.New(server.Config{
		Handler:   h,
		TLSConfig: shown,
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
		Version:    d.version,
		Login:      loginSearches(cfg),
	})
	return nil
}

// pipeline puts together what answers binds.
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
		Client:         func(a netip.Addr) bind.Client { return clientOf(cfg, a) },
		Synced:         d.backend.Synced,
		Limits:         failureLimits(&cfg.Limits),
		Key:            key,
		Log:            d.log,
		Metrics:        d.bindMetrics,
		Now:            d.now,
		Sleep:          d.sleep,
	}
	if d.store.Shared() {
		o.Tallies = d.store
	}
	return bind.New(o)
}

// listen opens the addresses for all but the unlock page.
func (d *Daemon) listen() (err error) {
	l := &d.cfg.Listen
	if d.onLDAP, err = listenOn(d.cfg, "listen.ldap", l.LDAP); err != nil {
		return err
	}
	if d.onLDAPS, err = listenOn(d.cfg, "listen.ldaps", l.LDAPS); err != nil {
		return err
	}
	if d.onAdmin, err = listenOn(d.cfg, "listen.admin", l.Admin); err != nil {
		return err
	}
	if d.onSocket, err = control.Listen(d.cfg.StateDir); err != nil {
		return d.cfg.Errorf("state_dir", "%v", err)
	}
	return nil
}

// LDAP returns the first address that LDAP is served on, nil if there is none.
func (d *Daemon) LDAP() net.Addr { return d.onLDAP.first() }

// LDAPS is LDAP for LDAPS.
func (d *Daemon) LDAPS() net.Addr { return d.onLDAPS.first() }

// Admin is LDAP for the admin listener.
func (d *Daemon) Admin() net.Addr { return d.onAdmin.first() }

// Settled reports that nothing runs in the background that a bind began, for
// tests.
func (d *Daemon) Settled() bool { return d.binds.Settled() }
