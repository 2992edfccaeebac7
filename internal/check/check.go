// Package check looks at what a configuration names, as `ldapd check` does.
package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ldapd/internal/backend"
	"ldapd/internal/cache"
	"ldapd/internal/certs"
	"ldapd/internal/config"
	"ldapd/internal/state"
)

// expirySoon is when a certificate's end becomes worth a note.
const expirySoon = 14 * 24 * time.Hour

// Report is what Run found.
type Report struct {
	Notes    []string // what is as it should be, or worth knowing
	Problems []error  // what would keep the server from doing its work
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

func (r *Report) problem(err error) { r.Problems = append(r.Problems, err) }

// backends look at what the backends need, by what the configuration calls them.
var backends = map[string]func(*Report, *config.Config){
	config.BackendFile:      (*Report).users,
	config.BackendAuthentik: (*Report).authentik,
}

// Run tests what a configuration names: addresses, certificate, state
// directory, and the users file or authentik; and what it means for clients.
// It changes nothing but that authentik has a session more. A server may be
// running, and is asked how it does.
func Run(cfg *config.Config) Report {
	var r Report
	r.addresses(cfg)
	r.certificate(cfg)
	r.unlock(cfg)
	r.proxies(cfg)
	r.state(cfg)
	r.store(cfg)
	r.clients(cfg)
	r.running(cfg)
	if look, ok := backends[cfg.Backend]; ok {
		look(&r, cfg)
	}
	return r
}

func (r *Report) addresses(cfg *config.Config) {
	for _, l := range []struct{ key, addr string }{
		{"listen.ldap", cfg.Listen.LDAP}, {"listen.ldaps", cfg.Listen.LDAPS}, {"listen.admin", cfg.Listen.Admin},
		{"listen.unlock", cfg.Listen.Unlock},
	} {
		if l.addr == "" {
			r.note("%s: off", l.key)
			continue
		}
		for _, addr := range config.Addresses(l.addr) {
			ln, err := net.Listen("tcp", addr)
			switch {
			case errors.Is(err, syscall.EADDRINUSE):
				r.note("%s: %s is in use, by a running ldapd?", l.key, addr)
			case err != nil:
				r.problem(cfg.Errorf(l.key, "%v", err))
			default:
				ln.Close()
				r.note("%s: %s is free", l.key, addr)
			}
		}
	}
}

func (r *Report) certificate(cfg *config.Config) {
	if cfg.TLS.Cert == "" {
		path := filepath.Join(cfg.StateDir, certs.SelfSigned)
		if _, err := os.Stat(path); err != nil {
			r.note("tls: a self-signed certificate will be made on first start")
			return
		}
		r.pair(cfg, "tls", path, path)
		return
	}
	r.pair(cfg, "tls.cert", cfg.TLS.Cert, cfg.TLS.Key)
}

func (r *Report) unlock(cfg *config.Config) {
	switch {
	case cfg.Unlock.Cert != "":
		r.pair(cfg, "unlock.cert", cfg.Unlock.Cert, cfg.Unlock.Key)
	case cfg.Listen.Unlock != "" && cfg.TLS.Cert == "" && cfg.Backend != config.BackendAuthentik:
		r.warn("unlock.cert: is empty, and browsers do not trust the self-signed certificate: set one, or tls.cert")
	}
}

func (r *Report) pair(cfg *config.Config, key, cert, private string) {
	s, err := certs.Open(certs.Options{Cert: cert, Key: private})
	if err != nil {
		r.problem(cfg.Errorf(key, "%v", err))
		return
	}
	until := s.Expires().UTC().Format(time.DateOnly)
	switch left := time.Until(s.Expires()); {
	case left < 0:
		r.problem(cfg.Errorf(key, "%s expired on %s", cert, until))
	case left < expirySoon:
		r.note("%s: %s expires soon, on %s", key, cert, until)
	default:
		r.note("%s: %s is valid until %s, SHA-256 %s", key, cert, until, s.Fingerprint())
	}
}

func (r *Report) state(cfg *config.Config) {
	// What exists of the path decides whether the rest can be made.
	dir := cfg.StateDir
	st, err := os.Stat(dir)
	for errors.Is(err, os.ErrNotExist) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		st, err = os.Stat(dir)
	}
	switch {
	case err == nil && !st.IsDir():
		err = fmt.Errorf("%s is not a directory", dir)
	case err == nil:
		if err = unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
			err = fmt.Errorf("%s is not writable for this user: %w", dir, err)
		}
	}
	switch {
	case err != nil:
		r.problem(cfg.Errorf("state_dir", "%v", err))
	case dir != cfg.StateDir:
		r.note("state_dir: %s will be made", cfg.StateDir)
	default:
		r.note("state_dir: %s is writable", cfg.StateDir)
		p := state.Private(cfg, false)
		for _, loose := range p.Loose {
			r.warn(loose)
		}
		for _, err := range p.Refused {
			r.problem(err)
		}
	}
}

// store asks the database, if there is one.
func (r *Report) store(cfg *config.Config) {
	if cfg.Cache.Store != config.CachePostgres {
		return
	}
	if err := cache.CheckPostgres(context.Background(), string(cfg.Cache.DSN)); err != nil {
		r.problem(cfg.Errorf("cache.dsn", "%v", err))
		return
	}
	r.note("cache.dsn: the database can be reached, and tells of changes")
}

func (r *Report) users(cfg *config.Config) {
	f, err := backend.LoadUsersFile(cfg)
	if err != nil {
		r.problem(err)
		return
	}
	snap, problems := backend.Tree(cfg).Build(f.Users(), f.Groups())
	for _, p := range problems {
		r.problem(fmt.Errorf("%s: %s", cfg.File.Path, p))
	}
	r.note("file.path: %s has %d users and %d groups, which make %d entries below %s",
		cfg.File.Path, len(f.Users()), len(f.Groups()), snap.Len(), cfg.BaseDN)
}
