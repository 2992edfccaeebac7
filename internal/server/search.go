package server

import (
	"errors"
	"time"

	"ldapd/internal/ldap"
)

// ErrStopped is returned by SearchWriter.Commit when the search is not wanted
// any more: abandoned, cancelled, or the connection is gone.
var ErrStopped = errors.New("server: search stopped")

// SearchWriter takes the entries found by one search.
type SearchWriter struct {
	w     *worker
	m     ldap.Message
	start time.Time
	n     int
	mark  int // where the answers to this search begin in the buffer
}

// MessageID is the id that every answer must carry.
func (s *SearchWriter) MessageID() int32 { return s.m.ID }

// Buf returns the buffer to append one whole SearchResultEntry to.
func (s *SearchWriter) Buf() []byte { return s.w.out }

// Commit takes the buffer back with one more entry in it. Now and then it
// sends what there is, and waits for the client to take it.
func (s *SearchWriter) Commit(buf []byte) error {
	s.n++
	s.w.out = buf
	if len(buf) < writeBuffer {
		return nil
	}
	return s.send()
}

// Err returns ErrStopped once the search is not wanted any more. A search
// that examines much and finds little asks from time to time.
func (s *SearchWriter) Err() error {
	if op := s.w.detached; op != nil && op.stopped() || s.w.c.ctx.Err() != nil {
		return ErrStopped
	}
	return nil
}

// Slow says that the search will take long: the connection goes on reading
// meanwhile, so that the search can be abandoned.
func (s *SearchWriter) Slow() {
	if s.w.detached == nil {
		s.w.detach(s.m, s.start, false)
	}
}

func (s *SearchWriter) send() error {
	s.Slow()
	if err := s.Err(); err != nil {
		return err
	}
	s.mark = 0
	if err := s.w.flush(); err != nil {
		return ErrStopped
	}
	return nil
}

// serveSearch serves a SearchRequest (RFC 4511 section 4.5).
func (w *worker) serveSearch(m ldap.Message, start time.Time) {
	c := w.c
	req := &w.req
	identity := c.identity
	controls, err := []byte(nil), parseSearch(req, m, c.srv.limits.Filter)
	w.search = SearchWriter{w: w, m: m, start: start, mark: len(w.out)}
	if err == nil {
		controls, err = c.srv.cfg.Handler.Search(c, req, &w.search)
	}
	ev := event{identity: identity, search: req, entries: w.search.n}
	if op := w.detached; op != nil && !op.stop(finished) {
		w.stopped(op, ev)
		return
	}
	res := Result(err)
	w.out = ldap.AppendResult(w.out, m.ID, ldap.OpSearchResultDone, res, controls)
	c.finished(m.Op, m.ID, start, res, err, ev)
	if w.detached != nil || len(w.out) >= writeBuffer {
		w.flush()
	}
}

func parseSearch(req *ldap.SearchRequest, m ldap.Message, limits ldap.FilterLimits) error {
	req.Controls = req.Controls[:0]
	err := req.Parse(m.Body, limits)
	if errors.Is(err, ldap.ErrFilterLimit) {
		return ldap.Errorf(ldap.ResultAdminLimitExceeded, "%s", err)
	}
	if err == nil && len(m.Controls) > 0 {
		req.Controls, err = ldap.ParseControls(req.Controls, m.Controls)
	}
	if err != nil {
		return ldap.Errorf(ldap.ResultProtocolError, "%s", err)
	}
	return nil
}

// stopped ends a search that was abandoned, which has no answer, or
// cancelled, which has two (RFC 3909).
func (w *worker) stopped(op *operation, ev event) {
	w.out = w.out[:w.search.mark]
	var res *ldap.Error
	if id := op.state.Load(); id > 0 {
		res = errCanceled
		w.out = ldap.AppendResult(w.out, op.id, op.op.Response(), res, nil)
		w.out = ldap.AppendExtendedResponse(w.out, id, nil, "", nil)
	}
	w.flush()
	w.c.finished(op.op, op.id, op.start, res, ErrStopped, ev)
}

var errCanceled = ldap.Errorf(ldap.ResultCanceled, "canceled by the client")
