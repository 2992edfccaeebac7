package daemon

import (
	"context"

	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
	"ldapd/internal/ldap"
	"ldapd/internal/login"
	"ldapd/internal/search"
	"ldapd/internal/server"
)

// handler answers the operations of the server by the pipeline and the
// engine.
type handler struct {
	binds   *bind.Pipeline
	engine  *search.Engine
	logins  *login.Tracker
	metrics *metrics
}

var (
	_ server.Handler = (*handler)(nil)
	_ server.Closer  = (*handler)(nil)
)

// boundAs is who a connection is bound as, with what it may see.
type boundAs struct {
	*bind.Identity
	all, own *search.Viewer // what the right to search shows, and what is seen without
}

// LogFields says how the bind was granted.
func (b *boundAs) LogFields() []zap.Field {
	return []zap.Field{zap.String("source", string(b.Source)), zap.String("factor", string(b.Factor))}
}

// Bind implements server.Handler.
func (h *handler) Bind(ctx context.Context, c *server.Conn, req *ldap.BindRequest) (server.Identity, error) {
	id, err := h.binds.Bind(ctx, bind.Request{DN: string(req.Name), Password: req.Password, Addr: c.RemoteAddr().Addr(), Peer: c.Peer()})
	h.logins.Rebound(c.ID()) // after the bind, to which the search may have belonged
	outcome, reason := bind.Classify(err)
	if err != nil {
		h.metrics.bind(outcome, reason, "", "")
		return nil, &explained{err, reason}
	}
	h.metrics.bind(outcome, "", id.Source, id.Factor)
	return &boundAs{id, search.NewViewer(id.Base, id.UUID, true), search.NewViewer(id.Base, id.UUID, false)}, nil
}

// Search implements server.Handler.
func (h *handler) Search(c *server.Conn, req *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
	who, bound := c.Identity().(*boundAs)
	if !bound {
		res, err := h.engine.Search(nil, req, w)
		return res.Controls, err
	}
	if !h.binds.MaySearch(who.Identity) {
		res, err := h.engine.Search(who.own, req, w)
		return res.Controls, err
	}
	res, err := h.engine.Search(who.all, req, w)
	h.logins.Searched(c.ID(), c.RemoteAddr().Addr(), who.UUID, res.Login, res.Read)
	return res.Controls, err
}

// Closed implements server.Closer.
func (h *handler) Closed(c *server.Conn) { h.logins.Closed(c.ID()) }

// Compare implements server.Handler.
func (h *handler) Compare(c *server.Conn, req *ldap.CompareRequest) (bool, error) {
	who, bound := c.Identity().(*boundAs)
	switch {
	case !bound:
		return h.engine.Compare(nil, req)
	case h.binds.MaySearch(who.Identity):
		return h.engine.Compare(who.all, req)
	}
	return h.engine.Compare(who.own, req)
}

// explained is an error of a bind with the word for why, for the log.
type explained struct {
	err    error
	reason auth.Reason
}

func (e *explained) Error() string  { return e.err.Error() }
func (e *explained) Unwrap() error  { return e.err }
func (e *explained) Reason() string { return string(e.reason) }
