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
	w    *worker
	id   int32
	n    int
	mark int // where the answers to this search begin in the buffer
}

// MessageID is the id that every answer must carry.
func (s *SearchWriter) MessageID() int32 { return s.id }

// Buf returns the buffer to append one whole SearchResultEntry to. It is good
// until Commit or Slow.
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
		s.w.detach(s.id)
		s.flush() // answers to earlier requests do not wait for a slow one
	}
}

func (s *SearchWriter) send() error {
	s.Slow()
	if err := s.Err(); err != nil {
		return err
	}
	s.flush()
	return s.Err()
}

// flush sends what there is. An error ends the connection, and so the search.
func (s *SearchWriter) flush() {
	s.mark = 0
	s.w.flush()
}

// serveSearch serves a SearchRequest (RFC 4511 section 4.5).
func (w *worker) serveSearch(m ldap.Message, start time.Time) {
	c := w.c
	req := &w.req
	identity := c.identity
	controls, err := []byte(nil), parseSearch(req, m, c.srv.limits.Filter)
	w.search = SearchWriter{w: w, id: m.ID, mark: len(w.out)}
	if err == nil {
		controls, err = c.srv.cfg.Handler.Search(c, req, &w.search)
	}
	ev := event{identity: identity, search: req, entries: w.search.n}
	if op := w.detached; op != nil && !op.stop(finished) || c.ctx.Err() != nil {
		w.stopped(m, start, ev)
		return
	}
	res := Result(err)
	w.out = ldap.AppendResult(w.out, m.ID, ldap.OpSearchResultDone, res, controls)
	c.finished(m.Op, m.ID, start, res, err, ev)
	if w.detached != nil {
		w.flush()
	}
}

func parseSearch(req *ldap.SearchRequest, m ldap.Message, limits ldap.FilterLimits) error {
	// Nothing of the last request may be left in what the log says of one that
	// does not parse: its slices point to octets that are other things now.
	*req = ldap.SearchRequest{Filter: req.Filter[:0], Attributes: req.Attributes[:0], Controls: req.Controls[:0]}
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

// stopped ends a search that was abandoned or whose client is gone, which has
// no answer, or cancelled, which has two (RFC 3909).
func (w *worker) stopped(m ldap.Message, start time.Time, ev event) {
	w.out = w.out[:w.search.mark]
	if w.detached != nil {
		if id := w.detached.state.Load(); id > 0 {
			w.out = ldap.AppendResult(w.out, m.ID, ldap.OpSearchResultDone, errCanceled, nil)
			w.out = ldap.AppendExtendedResponse(w.out, id, nil, "", nil)
		}
	}
	w.c.finished(m.Op, m.ID, start, errCanceled, ErrStopped, ev)
	w.flush()
}

var errCanceled = ldap.Errorf(ldap.ResultCanceled, "canceled by the client")
