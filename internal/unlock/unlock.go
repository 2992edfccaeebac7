// Package unlock is the web page on which users prove their second factor, so
// that for a while their plain name and password suffice at chosen clients. It
// works without scripts and cookies, and keeps nothing between two requests.
package unlock

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/fair"
	"ldapd/internal/web"
)

const (
	writeTimeout = 15 * time.Second
	proveTimeout = 150 * time.Second // a user may take a minute to confirm a push

	formBytes = 8 << 10
	attempts  = 32 // at the same time, the last of which is kept free
)

// Options make a Server.
type Options struct {
	Service Service
	// Clients are the names that windows can be opened for. Without any there
	// is no form.
	Clients []string
	TLS     *tls.Config
	// Trusted are the reverse proxies whose X-Forwarded-For is believed. Any
	// other peer speaks for itself.
	Trusted []netip.Prefix
	Log     *zap.Logger
	Now     func() time.Time // nil: time.Now
}

// Server shows the page.
type Server struct {
	service Service
	clients []string
	trusted []netip.Prefix
	log     *zap.Logger
	now     func() time.Time
	limiter *limiter
	running *fair.Budget // of attempts
	http    *web.Server
}

// New returns a server of the page at /unlock.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{
		service: o.Service,
		clients: slices.Clone(o.Clients),
		trusted: slices.Clone(o.Trusted),
		log:     o.Log.Named("unlock"),
		now:     o.Now,
		limiter: newLimiter(),
		running: fair.NewBudget(attempts),
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/unlock", http.StatusSeeOther))
	mux.HandleFunc("GET /unlock", s.show)
	mux.HandleFunc("POST /unlock", s.submit)
	// Nobody else's page may send the form. There is no session that it could
	// abuse, but a user who types into a strange page should fail early.
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(s.foreign))

	var protocols http.Protocols
	protocols.SetHTTP1(true) // HTTP/2 has more to attack, and nothing to speed up here
	s.http = web.New(secured(origin.Handler(mux)), writeTimeout, s.log)
	s.http.HTTP.TLSConfig, s.http.HTTP.Protocols = o.TLS, &protocols
	return s
}

// secured adds the headers that every answer has.
func secured(next http.Handler) http.Handler {
	policy := "default-src 'none'; style-src '" + styleHash + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// Not no-referrer, with which browsers send "Origin: null" along with
		// the form. Nothing here links elsewhere.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Strict-Transport-Security", "max-age=31536000")
		next.ServeHTTP(w, r)
	})
}

// Serve answers on l by TLS until Shutdown, which makes it return nil.
func (s *Server) Serve(l net.Listener) error {
	return s.http.Serve(l)
}

// Shutdown closes the listeners and waits for running answers until ctx ends,
// when it cuts them off.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }
