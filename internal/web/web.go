// Package web is what the HTTP listeners have in common: bounds on what a peer
// may take, and an orderly end.
package web

import (
	"bytes"
	"context"
	"errors"
	stdlog "log"
	"net"
	"net/http"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/fair"
)

// Bounds of every listener.
const (
	headerTimeout = 5 * time.Second // the handshake of TLS, too
	readTimeout   = 10 * time.Second
	idleTimeout   = 30 * time.Second
	headerBytes   = 8 << 10
)

// lines are those of a kind that the log has for an address in a minute.
const lines = 100

// Server answers HTTP, or HTTPS if HTTP.TLSConfig is set.
type Server struct {
	HTTP  http.Server
	Lines *fair.Lines // for what anybody can cause

	places *fair.Places
}

// New returns a server of a handler, whose answers may take the given time
// from the end of the request's header on.
func New(h http.Handler, answer time.Duration, log *zap.Logger) *Server {
	s := &Server{Lines: fair.NewLines(log, lines), places: fair.NewPlaces(connections, perAddress)}
	s.HTTP = http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      answer,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          stdlog.New(&errorLog{log, s.Lines}, "", 0),
		ConnContext:       withConn,
	}
	return s
}

// Serve answers on l until Shutdown, which makes it return nil.
func (s *Server) Serve(l net.Listener) error {
	serve := s.HTTP.Serve
	if s.HTTP.TLSConfig != nil {
		serve = func(l net.Listener) error { return s.HTTP.ServeTLS(l, "", "") }
	}
	if err := serve(&bounded{l, s.places}); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown closes the listeners and waits for running answers until ctx ends,
// when it cuts them off.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.Lines.Sum()
	if err := s.HTTP.Shutdown(ctx); err != nil {
		return errors.Join(err, s.HTTP.Close())
	}
	return nil
}

// errorLog takes the complaints of net/http, which name the address in the
// text only: all are one kind, of everybody. A failed handshake is for who
// looks for it: anybody can have one as often as he likes.
type errorLog struct {
	log   *zap.Logger
	lines *fair.Lines
}

func (l *errorLog) Write(text []byte) (int, error) {
	level := zap.WarnLevel
	if bytes.HasPrefix(text, []byte("http: TLS handshake error")) {
		level = zap.DebugLevel
	}
	if level == zap.DebugLevel || l.lines.Admit(netip.Prefix{}, "http") {
		l.log.Log(level, string(bytes.TrimSpace(text)))
	}
	return len(text), nil
}
