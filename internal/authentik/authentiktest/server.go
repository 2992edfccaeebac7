// Package authentiktest is an authentik to test against: the part of its HTTP
// API and websocket that an LDAP outpost sees, in one process.
//
//	s := authentiktest.New(t, authentiktest.Options{})
//	s.AddUser(authentiktest.User{Username: "alice", Password: "secret"})
//	// AUTHENTIK_HOST is s.URL, AUTHENTIK_TOKEN is s.Token.
//
// A new server has one outpost with one provider (DefaultProvider), its bind
// and unbind flow (DefaultFlow, DefaultInvalidation), and the outpost's service
// account as its only user. State is changed by methods that may be called at
// any time; misuse, such as an unknown name, fails the test.
//
// What authentik tolerates but a careful client must not do is collected by
// [Server.Complaints]; faults are injected with [Server.Inject].
package authentiktest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The API generations that the server can speak.
const (
	V2025_10 = "2025.10"
	V2026_5  = "2026.5"
)

// The names of what a new server has.
const (
	DefaultProvider     = 7
	DefaultBaseDN       = "DC=ldap,DC=goauthentik,DC=io"
	DefaultFlow         = "default-authentication-flow"
	DefaultInvalidation = "default-invalidation-flow"
	DefaultApplication  = "ldap"
	DefaultOutpost      = "99999999-9999-4999-8999-999999999999"
)

// TB is the part of testing.TB that the server needs. A program that is not a
// test may bring its own.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Options say which authentik to be. The zero value is a 2026.5 over plain
// HTTP on the loopback address.
type Options struct {
	// Version is V2025_10 or V2026_5, the default.
	Version string
	// Now is the server's clock, time.Now if nil.
	Now func() time.Time
	// TLS serves HTTPS and HTTP/2 with a self-signed certificate (CertPEM).
	TLS bool
	// Address is where to listen, 127.0.0.1:0 if empty.
	Address string
	// Socket is the path of a unix socket to listen on instead; URL is then
	// unix://<path>.
	Socket string
	// BasePath is the path under which authentik is served, such as
	// /auth/; "/" if empty.
	BasePath string
	// CookieDomain is AUTHENTIK_COOKIE_DOMAIN.
	CookieDomain string
	// Admin makes Token an administrator's: it sees every outpost, but is not
	// trusted with client addresses.
	Admin bool
	// NoAutocomplete leaves out the paging envelope's autocomplete, as builds
	// without enterprise code do.
	NoAutocomplete bool
	// PageSize and MaxPageSize are the tenant's paging settings; zero means
	// the version's: 20 capped at 100 in 2026.5, 100 without a cap in 2025.10.
	PageSize, MaxPageSize int
	// CleanUp is how often expired sessions are removed, by Now and with the
	// first request that is due; zero: only by ExpireSessions.
	CleanUp time.Duration
}

// Server is a running fake authentik.
type Server struct {
	// URL is the value for AUTHENTIK_HOST. It ends in a slash only if
	// BasePath is set.
	URL string
	// Token is the outpost's first token; RotateToken replaces it.
	Token string
	// CertPEM is the server's certificate if Options.TLS is set.
	CertPEM []byte

	tb        TB
	o         Options
	base      string // "/" or "/path/"
	tls       *tls.Config
	network   string
	address   string
	installID string
	signKey   []byte

	runMu sync.Mutex
	run   *run // nil while stopped

	mu        sync.RWMutex // guards what follows, and everything it points to
	users     userTable
	groups    groupTable
	providers []Provider
	outposts  []Outpost
	keyPairs  map[string]KeyPairData
	denied    map[access]bool
	flows     map[string]*Flow
	token     string
	sessions  map[string]*session // by sid
	cleaned   time.Time           // when expired ones were removed
	mayReset  bool
	noSearch  bool // leave has_search_permission out

	hub
	recorder
	faults faults
	pushes chan *Push
}

// New starts a server; it is closed when the test ends.
func New(tb TB, o Options) *Server {
	tb.Helper()
	if o.Version == "" {
		o.Version = V2026_5
	}
	if o.Version != V2025_10 && o.Version != V2026_5 {
		tb.Fatalf("authentiktest: unknown version %q", o.Version)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{
		tb:        tb,
		o:         o,
		base:      "/" + strings.Trim(o.BasePath, "/"),
		network:   "tcp",
		address:   "127.0.0.1:0",
		installID: randomHex(16),
		signKey:   []byte(randomHex(32)),
		Token:     randomHex(30),
		keyPairs:  make(map[string]KeyPairData),
		denied:    make(map[access]bool),
		flows:     make(map[string]*Flow),
		sessions:  make(map[string]*session),
		pushes:    make(chan *Push),
	}
	s.token, s.cleaned = s.Token, s.now()
	if s.base != "/" {
		s.base += "/"
	}
	if o.Address != "" {
		s.address = o.Address
	}
	if o.Socket != "" {
		s.network, s.address = "unix", o.Socket
	}
	if o.TLS {
		c := NewCertificate(tb, "authentik.test", "127.0.0.1", "localhost")
		pair, err := tls.X509KeyPair([]byte(c.CertPEM), []byte(c.KeyPEM))
		if err != nil {
			tb.Fatalf("authentiktest: certificate: %v", err)
		}
		s.tls = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
		s.CertPEM = []byte(c.CertPEM)
	}
	s.users.init()
	s.groups.init()
	s.hub.init()
	s.recorder.init()
	s.defaults()
	s.Start()
	s.URL = s.url()
	tb.Cleanup(s.Close)
	return s
}

func (s *Server) url() string {
	if s.network == "unix" {
		return "unix://" + s.address
	}
	scheme := "http"
	if s.tls != nil {
		scheme = "https"
	}
	return scheme + "://" + s.address + strings.TrimSuffix(s.base, "/") + strings.Repeat("/", min(1, len(s.base)-1))
}

func (s *Server) now() time.Time { return s.o.Now().UTC() }

// Version returns the API generation that the server speaks.
func (s *Server) Version() string { return s.o.Version }

func (s *Server) is2026() bool { return s.o.Version == V2026_5 }

// run is one period between Start and Stop.
type run struct {
	http   *http.Server
	ctx    context.Context // ends hijacked connections and waiting handlers
	cancel context.CancelFunc
	served chan struct{} // closed when Serve returned
	mu     sync.Mutex
	active int
	closed bool
	idle   chan struct{} // closed when the last handler of a closed run is done
}

func (r *run) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.active++
	return true
}

func (r *run) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.active--; r.active == 0 && r.closed {
		close(r.idle)
	}
}

func (r *run) stop() {
	r.mu.Lock()
	r.closed = true
	if r.active == 0 {
		close(r.idle)
	}
	r.mu.Unlock()
	r.http.Close() // first, so that nothing half done is answered
	r.cancel()
	<-r.served
	<-r.idle
}

// Start listens again, after Stop, on the same address; the state is what it
// was. It does nothing if the server runs.
func (s *Server) Start() {
	s.tb.Helper()
	s.runMu.Lock()
	defer s.runMu.Unlock()
	if s.run != nil {
		return
	}
	l, err := net.Listen(s.network, s.address)
	if err != nil {
		s.tb.Fatalf("authentiktest: %v", err)
		return
	}
	if s.network == "tcp" {
		s.address = l.Addr().String()
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &run{ctx: ctx, cancel: cancel, served: make(chan struct{}), idle: make(chan struct{})}
	r.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if !r.enter() {
				abort()
			}
			defer r.leave()
			s.serve(r.ctx, w, q)
		}),
		ErrorLog:  log.New(discard{}, "", 0),
		TLSConfig: s.tls,
	}
	go func() {
		defer close(r.served)
		serve := r.http.Serve
		if s.tls != nil {
			serve = func(l net.Listener) error { return r.http.ServeTLS(l, "", "") }
		}
		err := serve(l)
		if !errors.Is(err, http.ErrServerClosed) {
			s.complain("server ended: %v", err)
		}
	}()
	s.run = r
}

// Stop is authentik going down: the listener and every connection are closed,
// so that connections are refused until Start.
func (s *Server) Stop() {
	s.runMu.Lock()
	defer s.runMu.Unlock()
	if s.run != nil {
		s.run.stop()
		s.run = nil
	}
}

// Close ends the server. It waits for every request to end.
func (s *Server) Close() { s.Stop() }

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
