package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/secret"
	"ldapd/internal/unlock"
	"ldapd/internal/web"
)

const (
	serveTimeout = 150 * time.Second // the user may take a minute to confirm a push
	writeTimeout = serveTimeout + 30*time.Second
	requestBytes = 256 << 10 // passwords of commands have up to 64 KiB
)

// Server answers commands.
type Server struct {
	*web.Server
	service Service
	log     *zap.Logger
}

// New returns a server of what a service does.
func New(service Service, log *zap.Logger) *Server {
	s := &Server{service: service, log: log.Named("control")}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", s.status)
	mux.HandleFunc("GET /binds", s.list)
	mux.HandleFunc("POST /revoke", s.revoke)
	mux.HandleFunc("POST /revoke-all", s.revokeAll)
	mux.HandleFunc("POST /forgive", s.forgive)
	mux.HandleFunc("POST /unlock", s.unlock)
	s.Server = web.New(http.MaxBytesHandler(timed(mux), requestBytes), writeTimeout, s.log)
	return s
}

// timed gives every command an end.
func timed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), serveTimeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// What goes over the socket.
type (
	whom struct {
		User string `json:"user"`
	}
	count struct {
		N int `json:"n"`
	}
	// attempt is an unlock.Request whose credentials can be written. They are
	// bytes because they may be no UTF-8.
	attempt struct {
		User     string     `json:"user"`
		Password []byte     `json:"password"`
		Code     []byte     `json:"code"`
		Clients  []string   `json:"clients"`
		Client   netip.Addr `json:"client"`
	}
	failure struct {
		Error string `json:"error"`
	}
)

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	st, err := s.service.Status(r.Context())
	s.answer(w, st, err)
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	binds, err := s.service.List(r.Context())
	s.answer(w, binds, err)
}

func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	var req whom
	if !read(w, r, &req) {
		return
	}
	n, err := s.service.Revoke(r.Context(), req.User)
	if err == nil {
		s.log.Info("verified binds revoked", zap.String("user", req.User), zap.Int("binds", n))
	}
	s.answer(w, count{n}, err)
}

func (s *Server) revokeAll(w http.ResponseWriter, r *http.Request) {
	n, err := s.service.RevokeAll(r.Context())
	if err == nil {
		s.log.Info("all verified binds revoked", zap.Int("binds", n))
	}
	s.answer(w, count{n}, err)
}

func (s *Server) forgive(w http.ResponseWriter, r *http.Request) {
	var req whom
	if !read(w, r, &req) {
		return
	}
	n, err := s.service.Forgive(r.Context(), req.User)
	if err == nil {
		s.log.Info("wrong codes forgiven", zap.String("user", req.User), zap.Int("codes", n))
	}
	s.answer(w, count{n}, err)
}

func (s *Server) unlock(w http.ResponseWriter, r *http.Request) {
	var req attempt
	if !read(w, r, &req) {
		return
	}
	win, err := s.service.Unlock(r.Context(), unlock.Request{
		User: req.User, Password: secret.String(req.Password), Code: secret.String(req.Code),
		Clients: req.Clients, Client: req.Client,
	})
	if err == nil {
		s.log.Info("unlocked", zap.String("user", win.Username), zap.Strings("clients", win.Clients), zap.Time("until", win.Until))
	}
	s.answer(w, win, err)
}

// read decodes what a command sent, or answers that it cannot.
func read(w http.ResponseWriter, r *http.Request, v any) bool {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		// Not the error, which may quote a password.
		write(w, http.StatusBadRequest, failure{"the request cannot be read; is the command of another version than the server?"})
		return false
	}
	return true
}

func (s *Server) answer(w http.ResponseWriter, v any, err error) {
	switch {
	case err == nil:
		write(w, http.StatusOK, v)
	case errors.Is(err, unlock.ErrRefused):
		write(w, http.StatusForbidden, failure{err.Error()})
	case errors.Is(err, unlock.ErrBusy):
		write(w, http.StatusTooManyRequests, failure{err.Error()})
	default:
		s.log.Error("command failed", zap.Error(err))
		write(w, http.StatusServiceUnavailable, failure{err.Error()})
	}
}

func write(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil { // no type here can cause that
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, string(text)+"\n") // the command has gone
}
