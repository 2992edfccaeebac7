package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"ldapd/internal/bind"
	"ldapd/internal/server"
)

// Run serves until ctx ends, then stops accepting, lets what is running
// finish within the configured grace, and closes everything. A value from
// reload has the users and the certificate read again. The error is that of a
// listener which failed.
func (d *Daemon) Run(ctx context.Context, reload <-chan os.Signal) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, ln := range d.onLDAP {
		g.Go(func() error { return closed(d.server.Serve(d.trust.Listener(ln))) })
	}
	for _, ln := range d.onLDAPS {
		g.Go(func() error { return closed(d.server.ServeTLS(d.trust.Listener(ln))) })
	}
	for _, ln := range d.onAdmin {
		g.Go(func() error { return d.admin.Serve(ln) })
	}
	for _, ln := range d.onUnlock {
		g.Go(func() error { return d.unlock.Serve(d.trust.Listener(ln)) })
	}
	g.Go(func() error { return d.control.Serve(d.onSocket) })
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
	for name, list := range map[string]listeners{"ldap": d.onLDAP, "ldaps": d.onLDAPS, "admin": d.onAdmin, "unlock": d.onUnlock} {
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

// Close releases what Open opened. Run does it by itself.
func (d *Daemon) Close() error {
	var errs []error
	if d.binds != nil {
		d.binds.Close()
	}
	for _, ln := range slices.Concat(d.onLDAP, d.onLDAPS, d.onAdmin, d.onUnlock) {
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if d.onSocket != nil {
		if err := d.onSocket.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	return errors.Join(errs...)
}
