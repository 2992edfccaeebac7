package unlock

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ldapd/internal/fair"
	"ldapd/internal/secret"
	"ldapd/internal/web"
)

// What is said to users. Refused is the one answer for everything that may be
// wrong.
const (
	refused   = "That was refused. The user name, the password or the code is wrong, or the request on your phone was not confirmed. A code works only once: wait for the next one."
	busy      = "There were too many attempts. Try again in a minute."
	trouble   = "This cannot be determined at the moment. Nothing was changed. Try again later, with a new code."
	stillOpen = "This cannot be determined at the moment, so what you unlocked may still be open. Try again later, with a new code."
	missing   = "Type your user name and your password."
	noChoice  = "Choose at least one place to unlock."
	tooLarge  = "What was sent is too large."
	broken    = "What was sent cannot be read. Fill in the form once more."
	foreign   = "This form was sent from another web site. Fill it in here."
)

// maxName bounds a user name, in bytes.
const maxName = 256

func (s *Server) show(w http.ResponseWriter, _ *http.Request) {
	s.write(w, http.StatusOK, page{Clients: s.choices(nil)})
}

// foreign answers a form of another site.
func (s *Server) foreign(w http.ResponseWriter, r *http.Request) {
	s.note(zapcore.InfoLevel, "a form of another site was refused", s.from(r))
	s.fail(w, http.StatusForbidden, foreign, nil)
}

// fail shows the form again, with what may be repeated of the last one.
func (s *Server) fail(w http.ResponseWriter, status int, problem string, form url.Values) {
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "60")
	}
	p := page{Problem: problem, Clients: s.choices(set(form["client"]))}
	if name := form.Get("user"); len(name) <= maxName {
		p.User = name
	}
	s.write(w, status, p)
}

func set(names []string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// submit runs the action of a form.
func (s *Server) submit(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, formBytes)
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			s.fail(w, http.StatusRequestEntityTooLarge, tooLarge, nil)
			return
		}
		s.fail(w, http.StatusBadRequest, broken, nil)
		return
	}
	form := r.PostForm // not what the URL says
	req := Request{
		User:     strings.TrimSpace(form.Get("user")),
		Password: secret.String(form.Get("password")),
		Code:     secret.String(strings.Join(strings.Fields(form.Get("code")), "")), // 123 456
		Client:   s.from(r),
		Peer:     web.Peer(r.Context()),
	}
	chosen := set(form["client"])
	for _, name := range s.clients {
		if chosen[name] {
			req.Clients = append(req.Clients, name)
		}
	}
	run := s.unlock
	switch action := form.Get("action"); {
	case len(s.clients) == 0:
		s.fail(w, http.StatusNotFound, "", nil)
		return
	case !slices.Contains([]string{"unlock", "end"}, action):
		s.fail(w, http.StatusBadRequest, broken, form)
		return
	case req.User == "" || len(req.User) > maxName || req.Password == "":
		s.fail(w, http.StatusBadRequest, missing, form)
		return
	case action == "end":
		run = s.end
	case len(req.Clients) == 0:
		s.fail(w, http.StatusBadRequest, noChoice, form)
		return
	}

	if !s.limiter.admit(req.Client, req.Peer, s.now()) {
		s.note(zapcore.WarnLevel, "too many attempts", req.Client, zap.Stringer("peer", req.Peer))
		s.fail(w, http.StatusTooManyRequests, busy, form)
		return
	}
	network := fair.Network(req.Client)
	if !s.running.Take(network, 1) {
		s.note(zapcore.WarnLevel, "too many attempts at the same time", req.Client)
		s.fail(w, http.StatusServiceUnavailable, busy, form)
		return
	}
	defer s.running.Give(network, 1)
	defer web.Hold(r.Context())()
	// Deadlines are of the machine, whatever the clock in use says.
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(proveTimeout + writeTimeout)); err != nil {
		s.log.Error("page: " + err.Error())
	}
	ctx, cancel := context.WithTimeout(r.Context(), proveTimeout)
	defer cancel()
	run(ctx, w, req, form)
}

// note logs a request that was refused unseen, of which anybody can send any
// number.
func (s *Server) note(level zapcore.Level, what string, from netip.Addr, fields ...zap.Field) {
	if s.http.Lines.Admit(fair.Network(from), what) {
		s.log.Log(level, what, append([]zap.Field{zap.Stringer("address", from)}, fields...)...)
	}
}

// unlock opens a window.
func (s *Server) unlock(ctx context.Context, w http.ResponseWriter, req Request, form url.Values) {
	win, err := s.service.Unlock(ctx, req)
	if err != nil {
		s.refuse(w, err, trouble, req, form)
		return
	}
	s.log.Info("unlocked", zap.String("user", win.Username), zap.Strings("clients", win.Clients),
		zap.Time("until", win.Until), zap.Stringer("address", req.Client))
	s.write(w, http.StatusOK, page{User: req.User, Clients: s.choices(nil), Opened: &opened{win, spell(win.Until.Sub(s.now()))}})
}

// end ends the windows of a user.
func (s *Server) end(ctx context.Context, w http.ResponseWriter, req Request, form url.Values) {
	n, err := s.service.Lock(ctx, req)
	if err != nil {
		s.refuse(w, err, stillOpen, req, form)
		return
	}
	s.log.Info("windows ended", zap.Int("windows", n), zap.Stringer("address", req.Client))
	s.write(w, http.StatusOK, page{User: req.User, Clients: s.choices(nil), Ended: true, Count: n})
}

// refuse tells what the service said. The log does not name the user: people
// type passwords into that field, too.
func (s *Server) refuse(w http.ResponseWriter, err error, otherwise string, req Request, form url.Values) {
	address := zap.Stringer("address", req.Client)
	switch {
	case errors.Is(err, ErrRefused):
		s.log.Info("refused", address)
		s.fail(w, http.StatusForbidden, refused, form)
	case errors.Is(err, ErrBusy):
		s.log.Warn("too many attempts, says the service", address)
		s.fail(w, http.StatusTooManyRequests, busy, form)
	default:
		s.log.Error("cannot be determined", address, zap.Error(err))
		s.fail(w, http.StatusServiceUnavailable, otherwise, form)
	}
}
