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
	"time"

	"go.uber.org/zap"
)

// Bounds of every listener.
const (
	headerTimeout = 5 * time.Second // the handshake of TLS, too
	readTimeout   = 10 * time.Second
	idleTimeout   = 30 * time.Second
	headerBytes   = 8 << 10
)

// Server answers HTTP, or HTTPS if HTTP.TLSConfig is set.
type Server struct{ HTTP http.Server }

// New returns a server of a handler, whose answers may take the given time
// from the end of the request's header on.
func New(h http.Handler, answer time.Duration, log *zap.Logger) *Server {
	return &Server{http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      answer,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          stdlog.New(errorLog{log}, "", 0),
	}}
}

// Serve answers on l until Shutdown, which makes it return nil.
func (s *Server) Serve(l net.Listener) error {
	serve := s.HTTP.Serve
	if s.HTTP.TLSConfig != nil {
		serve = func(l net.Listener) error { return s.HTTP.ServeTLS(l, "", "") }
	}
	if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown closes the listeners and waits for running answers until ctx ends,
// when it cuts them off.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.HTTP.Shutdown(ctx); err != nil {
		return errors.Join(err, s.HTTP.Close())
	}
	return nil
}

// errorLog takes what net/http has to say. A failed handshake is for who looks
// for it: anybody can have one as often as he likes.
type errorLog struct{ log *zap.Logger }

func (l errorLog) Write(p []byte) (int, error) {
	level := zap.WarnLevel
	if bytes.HasPrefix(p, []byte("http: TLS handshake error")) {
		level = zap.DebugLevel
	}
	l.log.Log(level, string(bytes.TrimSpace(p)))
	return len(p), nil
}
