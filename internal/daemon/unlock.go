package daemon

import (
	"crypto/tls"

	"ldapd/internal/certs"
	"ldapd/internal/unlock"
)

// openUnlock makes the page on which users unlock, if it has an address. Its
// certificate is that of LDAP unless it has one of its own.
func (d *Daemon) openUnlock(shown *tls.Config) (err error) {
	cfg := d.cfg
	if d.onUnlock, err = listenOn(cfg, "listen.unlock", cfg.Listen.Unlock); err != nil || len(d.onUnlock) == 0 {
		return err
	}
	if cfg.Unlock.Cert != "" {
		d.unlockCerts, err = certs.Open(certs.Options{Cert: cfg.Unlock.Cert, Key: cfg.Unlock.Key, Log: d.log.Named("unlock")})
		if err != nil {
			return cfg.Errorf("unlock", "%v", err)
		}
		shown = d.unlockCerts.TLSConfig()
	}
	o := unlock.Options{Service: service{d}, TLS: shown, Trusted: proxies(cfg), Log: d.log, Now: d.now}
	for _, c := range cfg.Clients {
		o.Clients = append(o.Clients, c.Name)
	}
	d.unlock = unlock.New(o)
	return nil
}
