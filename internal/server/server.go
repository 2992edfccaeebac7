// Package server speaks LDAP on connections: framing, TLS, the state of a
// session, dispatch, limits and shutdown. What is served is the Handler's
// business.
//
// Every connection has one goroutine that reads and, as long as operations
// are short, also serves them in turn and sends their answers in one write.
// An operation that turns out long (a bind, a search with much to say) keeps
// the goroutine and a new one takes over reading; see worker.detach.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ldapd/internal/backoff"
	"ldapd/internal/fair"
	"ldapd/internal/ldap"
)

// ErrServerClosed is returned by Serve after Shutdown.
var ErrServerClosed = errors.New("server: closed")

// Identity is who a connection is bound as. It belongs to the connection and
// ends with the next bind.
type Identity interface {
	DN() string // for WhoAmI and the log
}

// Handler serves the operations. Its methods are called concurrently, and
// what they are given refers to the connection's buffers: it must not be kept
// after they return. Errors become results by the rules of Result.
type Handler interface {
	// Bind answers a simple bind with a name and a password, neither empty.
	Bind(ctx context.Context, c *Conn, req *ldap.BindRequest) (Identity, error)
	// Search sends entries through w and returns the response controls.
	// c.Identity is nil for a connection that is not bound.
	Search(c *Conn, req *ldap.SearchRequest, w *SearchWriter) (controls []byte, err error)
	// Compare says whether the assertion holds.
	Compare(c *Conn, req *ldap.CompareRequest) (bool, error)
}

// Closer is a Handler that wants to know when connections end. Closed is called
// once for each, after its last operation, however it ended and whether or not
// it had any; but not for those that got no place, which never began.
type Closer interface {
	Closed(c *Conn)
}

// Limits bound what a client may take. Zero values mean the defaults. An IPv6
// address stands for its /64.
type Limits struct {
	MessageUnbound int // octets of a message before bind; default 64 KiB
	Message        int // octets of a message; default 1 MiB
	Filter         ldap.FilterLimits
	// Octets of requests that have not come whole, or are still served, beyond
	// 4 KiB for each connection; a quarter of it is for those on which nobody is
	// bound. An address gets at most half, the less the more others have; see
	// fair.Budget. Default 64 MiB.
	Unfinished            int
	Connections           int           // in all; default 10 000
	ConnectionsPerAddress int           // default 2 000: one Nextcloud is one address
	HandshakesPerAddress  int           // of TLS, computed at a time; default 4
	Operations            int           // long ones in flight per connection; default 16
	LogLines              int           // a minute of an address and a kind, of what anybody can cause; default 100
	Unbound               time.Duration // without a bind that was granted; default 30 s
	BindTime              time.Duration // for one bind; default 60 s
	Idle                  time.Duration // without a request; default 10 min
	Handshake             time.Duration // PROXY header and TLS; default 10 s
	Read                  time.Duration // from a message's first octet to its last; default 30 s
	Write                 time.Duration // for one write to be taken; default 30 s
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.MessageUnbound, 64<<10)
	setDefault(&l.Message, 1<<20)
	setDefault(&l.Unfinished, 64<<20)
	setDefault(&l.Connections, 10_000)
	setDefault(&l.ConnectionsPerAddress, 2_000)
	setDefault(&l.HandshakesPerAddress, 4)
	setDefault(&l.Operations, 16)
	setDefault(&l.LogLines, 100)
	setDefault(&l.Unbound, 30*time.Second)
	setDefault(&l.BindTime, 60*time.Second)
	setDefault(&l.Idle, 10*time.Minute)
	setDefault(&l.Handshake, 10*time.Second)
	setDefault(&l.Read, 30*time.Second)
	setDefault(&l.Write, 30*time.Second)
	return l
}

func setDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// Config is what a Server needs. Only Handler is required.
type Config struct {
	Handler   Handler
	TLSConfig *tls.Config // for StartTLS and ServeTLS; nil: neither
	Limits    Limits
	Log       *zap.Logger
	Metrics   *Metrics
	// Redact returns what the log may show of an assertion value or, with a
	// nil attribute, of a DN.
	Redact func(attr, value []byte) []byte
}

// Server serves LDAP connections.
type Server struct {
	cfg     Config
	limits  Limits
	closer  Closer // nil: the handler is none
	started time.Time
	closing atomic.Bool
	nextID  atomic.Uint64

	places     *fair.Places
	proxies    *proxies
	unfinished unfinished
	handshakes *fair.Turns
	lines      *fair.Lines

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*Conn]struct{}
	wg        sync.WaitGroup // connections
}

// New returns a Server that serves nothing yet.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	if cfg.Redact == nil {
		cfg.Redact = func(_, value []byte) []byte { return value }
	}
	closer, _ := cfg.Handler.(Closer)
	limits := cfg.Limits.withDefaults()
	return &Server{
		cfg:        cfg,
		limits:     limits,
		closer:     closer,
		started:    time.Now(),
		places:     fair.NewPlaces(limits.Connections, limits.ConnectionsPerAddress),
		proxies:    newProxies(limits),
		unfinished: newUnfinished(limits.Unfinished),
		handshakes: fair.NewTurns(limits.HandshakesPerAddress),
		lines:      fair.NewLines(cfg.Log, limits.LogLines),
		listeners:  make(map[net.Listener]struct{}),
		conns:      make(map[*Conn]struct{}),
	}
}

// Extensions lists the extended operations that the server answers.
func (s *Server) Extensions() []string {
	oids := []string{ldap.OIDWhoAmI, ldap.OIDCancel}
	if s.cfg.TLSConfig != nil {
		oids = append(oids, ldap.OIDStartTLS)
	}
	return oids
}

// Serve accepts connections until Shutdown, then returns ErrServerClosed.
func (s *Server) Serve(ln net.Listener) error { return s.serve(ln, false) }

// ServeTLS is Serve for connections that begin with a TLS handshake.
func (s *Server) ServeTLS(ln net.Listener) error {
	if s.cfg.TLSConfig == nil {
		return errors.New("server: ServeTLS without a TLS configuration")
	}
	return s.serve(ln, true)
}

// Accept errors are mostly a lack of descriptors, which passes.
const (
	acceptRetryMin = 5 * time.Millisecond
	acceptRetryMax = time.Second
)

func (s *Server) serve(ln net.Listener, tls bool) error {
	s.mu.Lock()
	if s.closing.Load() {
		s.mu.Unlock()
		ln.Close()
		return ErrServerClosed
	}
	s.listeners[ln] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, ln)
		s.mu.Unlock()
		ln.Close()
	}()
	retry := backoff.Backoff{First: acceptRetryMin, Last: acceptRetryMax}
	for {
		nc, err := ln.Accept()
		switch {
		case s.closing.Load():
			if err == nil {
				nc.Close()
			}
			return ErrServerClosed
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			wait := retry.Next()
			s.cfg.Log.Warn("accept failed", zap.Error(err), zap.Duration("retry_in", wait))
			time.Sleep(wait)
			continue
		}
		retry.Reset()
		s.start(nc, tls)
	}
}

// start gives an accepted connection its goroutine, or refuses it.
func (s *Server) start(nc net.Conn, tls bool) {
	c := newConn(s, nc)
	if err := c.enter(); err != nil {
		s.refuse(c, err)
		nc.Close()
		c.cancel()
		return
	}
	s.mu.Lock()
	closing := s.closing.Load()
	if !closing {
		s.conns[c] = struct{}{}
		s.wg.Add(1)
	}
	s.mu.Unlock()
	if closing {
		c.cut()
		c.leave()
		return
	}
	s.cfg.Metrics.connections.Inc()
	go c.serve(tls)
}

// refuse counts and logs a connection that gets no place.
func (s *Server) refuse(c *Conn, err error) {
	reason := "connections"
	if errors.Is(err, fair.ErrNetwork) {
		reason = "address"
	}
	s.cfg.Metrics.refused.WithLabelValues(reason).Inc()
	c.log(zapcore.InfoLevel, "connection refused", zap.Error(err))
}

// forget is the end of a connection.
func (s *Server) forget(c *Conn) {
	if s.closer != nil {
		s.tellClosed(c)
	}
	c.leave()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.cfg.Metrics.connections.Dec()
	s.wg.Done()
}

// tellClosed calls the Closer. A panic in it must not keep the connection
// from being forgotten.
func (s *Server) tellClosed(c *Conn) {
	defer func() {
		if v := recover(); v != nil {
			s.panicked(c, v)
		}
	}()
	s.closer.Closed(c)
}

func (s *Server) panicked(c *Conn, v any) {
	s.cfg.Metrics.panics.Inc()
	s.cfg.Log.Error("panic while serving a connection", zap.Uint64("conn", c.id), zap.Any("panic", v), zap.Stack("stack"))
}

// cutGrace is how long Shutdown waits for handlers of connections that it cut.
const cutGrace = time.Second

// Shutdown stops accepting, lets running operations finish, sends each client
// a notice of disconnection and closes. When ctx ends first, what is left is
// cut off and its error returned; a handler that does not notice is left behind.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.lines.Sum()
	s.mu.Lock()
	s.closing.Store(true)
	for ln := range s.listeners {
		ln.Close()
	}
	for c := range s.conns {
		c.wake()
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.conns {
		c.cut()
	}
	s.mu.Unlock()
	select {
	case <-done:
	case <-time.After(cutGrace):
	}
	return ctx.Err()
}
