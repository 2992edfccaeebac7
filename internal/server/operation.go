package server

import (
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/ldap"
)

// operation is a request in flight beside the reading goroutine. Only such
// ones can be abandoned or cancelled: a short one is over before the next
// request is read.
type operation struct {
	id    int32
	state atomic.Int32 // running, finished, abandoned, or the message id of a Cancel
}

const (
	running   = 0
	finished  = -1
	abandoned = -2
)

// stop asks the operation to end, once; it reports false when it is too late.
func (o *operation) stop(state int32) bool { return o.state.CompareAndSwap(running, state) }

func (o *operation) stopped() bool { return o.state.Load() != running }

// awaited says whether the client has an answer to expect that has not been
// made yet.
func (o *operation) awaited() bool { return o.state.Load() >= running }

// serve handles one request. An error ends the connection.
func (w *worker) serve(m ldap.Message) error {
	if m.ID == 0 && m.Op != ldap.OpUnbindRequest {
		return &protocolError{errMessageID}
	}
	start := time.Now()
	switch m.Op {
	case ldap.OpBindRequest:
		return w.bind(m, start)
	case ldap.OpSearchRequest:
		w.serveSearch(m, start)
	case ldap.OpCompareRequest:
		w.compare(m, start)
	case ldap.OpExtendedRequest:
		return w.extended(m, start)
	case ldap.OpAbandonRequest:
		id, err := ldap.AbandonID(m.Body)
		if err != nil {
			return &protocolError{err}
		}
		w.c.abandon(id)
	case ldap.OpUnbindRequest:
		return errUnbind
	case ldap.OpAddRequest, ldap.OpDeleteRequest, ldap.OpModifyRequest, ldap.OpModifyDNRequest:
		err := critical(m)
		if err == nil {
			err = errReadOnly
		}
		w.done(m, start, err, event{identity: w.c.identity})
	default:
		return &protocolError{errUnknownOp}
	}
	return nil
}

var (
	errMessageID = errors.New("messageID 0 in a request")
	errUnknownOp = errors.New("unknown operation")
	errReadOnly  = ldap.Errorf(ldap.ResultUnwillingToPerform, "read-only: entries are changed where they come from, not over LDAP")
)

// done answers a request that has one response, and logs it.
func (w *worker) done(m ldap.Message, start time.Time, err error, ev event) {
	res := Result(err)
	w.out = ldap.AppendResult(w.out, m.ID, m.Op.Response(), res, nil)
	w.c.finished(m.Op, m.ID, start, res, err, ev)
}

// detach turns the request being served into an operation of its own: this
// goroutine stays with it, and a new one goes on reading. It reports false,
// and nothing changes, when enough operations are in flight: then reading
// waits for this one.
func (w *worker) detach(id int32) bool {
	c := w.c
	op := &operation{id: id}
	c.mu.Lock()
	if len(c.ops) >= c.srv.limits.Operations || c.ops[id] != nil {
		c.mu.Unlock()
		return false
	}
	if c.ops == nil {
		c.ops = make(map[int32]*operation)
	}
	c.ops[op.id] = op
	c.refs++
	c.mu.Unlock()

	next := newWorker(c)
	next.inherit(w.in[w.r:])
	w.detached = op
	go func() {
		defer next.recover()
		next.run()
	}()
	return true
}

// remove ends a detached operation. A second time it does nothing, also when
// the id belongs to another operation by now.
func (c *Conn) remove(op *operation) {
	c.mu.Lock()
	if c.ops[op.id] == op {
		delete(c.ops, op.id)
		c.free.Broadcast()
	}
	c.mu.Unlock()
}

func (c *Conn) operation(id int32) *operation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ops[id]
}

// abandon is RFC 4511 section 4.11. A bind cannot be abandoned: whatever comes
// behind it is read when it is over.
func (c *Conn) abandon(id int32) {
	if op := c.operation(id); op != nil {
		op.stop(abandoned)
	}
	c.srv.cfg.Log.Debug("abandon", zap.Uint64("conn", c.id), zap.Int32("abandoned", id))
}
