package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ldapd/internal/ber"
	"ldapd/internal/fair"
	"ldapd/internal/ldap"
	"ldapd/internal/proxy"
)

// Conn is one LDAP session.
type Conn struct {
	srv    *Server
	id     uint64
	raw    net.Conn // the socket, good for Close and deadlines from anywhere
	ctx    context.Context
	cancel context.CancelFunc

	// Set before the first request and by the reading goroutine while
	// nothing else runs.
	addr    netip.AddrPort
	peer    netip.Addr
	network netip.Prefix // for which the connection counts
	place   *fair.Place
	behind  *crossing // nil: the peer speaks for itself
	stream  net.Conn  // raw, or TLS over it
	tls     bool

	// Written by a bind, which runs alone: the reading goroutine waits for
	// gate before it looks at anything that came behind the bind.
	identity Identity
	gate     chan struct{}

	// On the server's clock, in nanoseconds.
	until     atomic.Int64 // end unless somebody binds; 0: bound, or a bind is in flight
	active    atomic.Int64 // when it last began to wait for input
	displaced atomic.Bool  // cut for the sake of another client

	wmu sync.Mutex // one writer at a time

	mu     sync.Mutex
	ops    map[int32]*operation // detached, by message id
	free   sync.Cond            // signalled when an operation ends
	refs   int                  // goroutines of this connection
	closed atomic.Bool
}

func newConn(s *Server, nc net.Conn) *Conn {
	c := &Conn{srv: s, id: s.nextID.Add(1), raw: nc, stream: nc, refs: 1}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.free.L = &c.mu
	c.until.Store(int64(s.now() + s.limits.Unbound))
	return c
}

// ID numbers the connections of a process, from 1.
func (c *Conn) ID() uint64 { return c.id }

// RemoteAddr is the client's address, that of the PROXY header if there is
// one. It is invalid for transports without addresses.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.addr }

// Peer is the address at the other end of the connection: that of RemoteAddr,
// or of the proxy that speaks for it.
func (c *Conn) Peer() netip.Addr { return c.peer }

// TLS says whether the connection is encrypted.
func (c *Conn) TLS() bool { return c.tls }

// Identity is who the connection is bound as, nil for nobody.
func (c *Conn) Identity() Identity { return c.identity }

// errShutdown ends reading when the server shuts down.
var errShutdown = errors.New("server shutting down")

// serve is the life of a connection from accept on. With overTLS it begins
// with a handshake (LDAPS).
func (c *Conn) serve(overTLS bool) {
	w := newWorker(c)
	defer w.recover()
	if err := c.prepare(overTLS); err != nil {
		level := zapcore.InfoLevel
		switch {
		case c.displaced.Load():
			err = errDisplaced
		case errors.Is(err, proxy.ErrRefused):
			level = zapcore.DebugLevel // it was logged
		}
		c.log(level, "connection refused", zap.Error(err))
		c.cut()
		w.release()
		return
	}
	c.log(zapcore.DebugLevel, "connection opened", zap.Bool("tls", c.tls))
	w.run()
}

// prepare finds out who the client is and does the handshake of LDAPS.
func (c *Conn) prepare(overTLS bool) error {
	if err := c.identify(); err != nil {
		c.srv.cfg.Metrics.refused.WithLabelValues("address").Inc()
		return err
	}
	if overTLS {
		return c.handshake()
	}
	return nil
}

// handshake puts TLS on the connection.
func (c *Conn) handshake() error {
	left := time.Duration(c.until.Load()) - c.srv.now()
	ctx, cancel := context.WithTimeout(c.ctx, min(left, c.srv.limits.Handshake))
	defer cancel()
	socket := &handshaking{Conn: c.raw, ctx: ctx, queue: c.srv.handshakes.Join(c.network)}
	defer socket.end()
	tc := tls.Server(socket, c.srv.cfg.TLSConfig)
	err := socket.begin()
	if err == nil {
		err = tc.HandshakeContext(ctx)
	}
	switch {
	case errors.Is(err, proxy.ErrRefused):
		return err
	case err != nil:
		c.srv.cfg.Metrics.refused.WithLabelValues("tls").Inc()
		// Not wrapped: a timeout in here is no reason for a notice in the clear.
		return fmt.Errorf("TLS handshake: %v", err)
	}
	c.stream, c.tls = tc, true
	c.spareDeadline()
	return nil
}

// spareDeadline is for what TLS writes on its own while reading (key updates).
// The deadline of our last write would have passed, none at all would let a
// client that does not read hold the reading goroutine.
func (c *Conn) spareDeadline() {
	c.raw.SetWriteDeadline(time.Now().Add(c.srv.limits.Idle + c.srv.limits.Write))
}

// wake makes a goroutine that waits for a request look around.
func (c *Conn) wake() { c.raw.SetReadDeadline(time.Unix(1, 0)) }

// cut ends the connection at once: reads and writes fail, operations are
// cancelled.
func (c *Conn) cut() {
	c.closed.Store(true)
	c.cancel()
	c.raw.Close()
}

// hangUp is cut with a goodbye in TLS, unless someone is stuck writing.
func (c *Conn) hangUp() {
	if c.tls && c.wmu.TryLock() {
		c.stream.Close()
		c.wmu.Unlock()
	}
	c.cut()
}

// drain waits until no operation of the connection is in flight. They all
// end: by themselves, by their limits, or because the connection is cut.
func (c *Conn) drain() {
	c.mu.Lock()
	for len(c.ops) > 0 {
		c.free.Wait()
	}
	c.mu.Unlock()
}

// busy says whether an operation is in flight beside the reading goroutine.
func (c *Conn) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ops) > 0
}

// awaited says whether the client has an answer to expect to an operation in
// flight.
func (c *Conn) awaited() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, op := range c.ops {
		if op.awaited() {
			return true
		}
	}
	return false
}

// write sends whole messages. An error ends the connection.
func (c *Conn) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if c.closed.Load() {
		return net.ErrClosed
	}
	c.raw.SetWriteDeadline(time.Now().Add(c.srv.limits.Write))
	if _, err := c.stream.Write(b); err != nil {
		c.cut()
		return err
	}
	if c.tls {
		c.spareDeadline()
	}
	return nil
}

// worker is one goroutine of a connection together with its buffers. It reads
// and serves until the connection ends or until it is detached.
type worker struct {
	c        *Conn
	in       []byte // in[r:] has been read and not served
	r        int
	room     room      // for in, beyond readBuffer
	since    time.Time // when the first octet of an incomplete message came
	out      []byte    // answers not sent yet
	detached *operation
	req      ldap.SearchRequest
	search   SearchWriter
}

const (
	readBuffer    = 4 << 10
	writeBuffer   = 64 << 10 // answers are sent when there is this much of them
	unboundBuffer = 4 << 10  // the same where nobody is bound
	idleBuffer    = 16 << 10 // room for answers that a waiting connection keeps
)

var workers = sync.Pool{New: func() any { return &worker{in: make([]byte, 0, readBuffer)} }}

func newWorker(c *Conn) *worker {
	w := workers.Get().(*worker)
	w.c = c
	return w
}

// release gives up the goroutine's share of the connection, and its buffers.
func (w *worker) release() {
	c := w.c
	w.repay()
	c.mu.Lock()
	c.refs--
	last := c.refs == 0
	c.mu.Unlock()
	if last {
		c.srv.forget(c)
	}
	if cap(w.in) > readBuffer || cap(w.out) > 2*writeBuffer {
		return // an uncommon size: not worth keeping
	}
	clear(w.in[:cap(w.in)]) // held passwords
	*w = worker{in: w.in[:0], out: w.out[:0], req: w.req}
	workers.Put(w)
}

// recover is the boundary that a panic in one connection does not cross.
func (w *worker) recover() {
	v := recover()
	if v == nil {
		return
	}
	w.c.srv.panicked(w.c, v)
	w.c.cut()
	w.end()
}

// end finishes what the worker holds: its operation if it was detached, or
// the connection.
func (w *worker) end() {
	if op := w.detached; op != nil {
		w.c.remove(op)
	}
	w.release()
}

// run reads and serves requests.
func (w *worker) run() {
	for {
		m, err := w.next()
		if err == nil {
			err = w.serve(m)
		}
		if err == nil && w.detached == nil && len(w.out) >= unboundBuffer && (w.c.identity == nil || len(w.out) >= writeBuffer) {
			err = w.flush()
		}
		if w.detached != nil {
			w.end()
			return
		}
		if err != nil {
			w.close(err)
			w.end()
			return
		}
	}
}

// errNoTLS ends a connection whose client did not like what it was shown.
var errNoTLS = errors.New("the client went on without TLS: it probably rejects the certificate")

// errUnbind ends a connection as the client wished.
var errUnbind = errors.New("unbind")

// protocolError is a violation that ends the session (RFC 4511 section 4.1.1).
type protocolError struct{ err error }

func (e *protocolError) Error() string { return "protocol error: " + e.err.Error() }
func (e *protocolError) Unwrap() error { return e.err }

// close ends the connection for a reason, which the client is told if it
// still listens.
func (w *worker) close(err error) {
	c := w.c
	var violation *protocolError
	switch {
	case errors.As(err, &violation):
		c.srv.cfg.Metrics.refused.WithLabelValues("protocol").Inc()
		w.notice(ldap.Errorf(ldap.ResultProtocolError, "%s", violation.err))
	case errors.Is(err, errShutdown):
		c.drain()
		w.notice(ldap.Errorf(ldap.ResultUnavailable, "server shutting down"))
	case errors.Is(err, errUnbound):
		c.srv.cfg.Metrics.refused.WithLabelValues("unbound").Inc()
		w.notice(ldap.Errorf(ldap.ResultUnavailable, "%s", err))
	case errors.Is(err, errUnfinished):
		c.srv.cfg.Metrics.refused.WithLabelValues("unfinished").Inc()
		w.notice(ldap.Errorf(ldap.ResultUnavailable, "%s", err))
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.notice(ldap.Errorf(ldap.ResultUnavailable, "timed out waiting for a request"))
	case errors.Is(err, io.EOF), errors.Is(err, errUnbind):
		err = w.flush()
	}
	c.hangUp()
	if c.displaced.Load() {
		err = errDisplaced
	}
	level := zapcore.DebugLevel
	if violation != nil || !ordinary(err) {
		level = zapcore.InfoLevel
	}
	// With TLS 1.3 a client learns of the certificate when the handshake is
	// over for us. libldap then says goodbye in the clear.
	if clear := (tls.RecordHeaderError{}); errors.As(err, &clear) && clear.RecordHeader[0] == ber.Sequence {
		level, err = zapcore.InfoLevel, errNoTLS
	}
	c.log(level, "connection closed", zap.NamedError("reason", err))
}

// ordinary says whether a connection ended in a way that connections end, or in
// one that was logged. A failed handshake is for the admin to see.
func ordinary(err error) bool {
	var network *net.OpError
	if err == nil || errors.As(err, &network) {
		return true
	}
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrDeadlineExceeded, errUnbind, errUnbound, errShutdown, proxy.ErrRefused} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// notice sends what is pending and a notice of disconnection.
func (w *worker) notice(res *ldap.Error) {
	w.out = ldap.AppendNoticeOfDisconnection(w.out, res)
	w.flush()
}

// flush sends the answers collected so far.
func (w *worker) flush() error {
	err := w.c.write(w.out)
	w.out = w.out[:0]
	return err
}

// next returns the next request. It refers to w.in until the following call.
func (w *worker) next() (ldap.Message, error) {
	c := w.c
	for {
		if c.gate != nil && len(w.in) > w.r {
			select {
			case <-c.gate:
			case <-c.ctx.Done():
			}
			if c.ctx.Err() != nil {
				return ldap.Message{}, net.ErrClosed
			}
			c.gate = nil
		}
		max := c.srv.limits.MessageUnbound
		if c.gate == nil && c.identity != nil {
			max = c.srv.limits.Message
		}
		have := w.in[w.r:]
		if len(have) > 0 && have[0] != ber.Sequence {
			return ldap.Message{}, &protocolError{notLDAP(have)}
		}
		size, err := ber.Frame(have, max)
		if err != nil {
			return ldap.Message{}, &protocolError{err}
		}
		if size > 0 && size <= len(have) {
			w.r += size
			w.since = time.Time{}
			m, err := ldap.ParseMessage(have[:size])
			if err != nil {
				return m, &protocolError{err}
			}
			return m, nil
		}
		if err := w.flush(); err != nil {
			return ldap.Message{}, err
		}
		if err := w.fill(size); err != nil {
			return ldap.Message{}, err
		}
	}
}

// notLDAP names what is spoken instead, for the admin's sake.
func notLDAP(b []byte) error {
	if b[0] == 0x16 {
		return errors.New("a TLS handshake on a port for plain LDAP and StartTLS")
	}
	return fmt.Errorf("not an LDAP message (first octet %#02x)", b[0])
}

// fill waits for more input. size is that of the message begun, 0 if unknown.
func (w *worker) fill(size int) error {
	w.in = append(w.in[:0], w.in[w.r:]...)
	w.r = 0
	// A connection that waits keeps little: not the large message it sent
	// last, nor what refers to it.
	if len(w.in) == 0 && cap(w.in) > readBuffer {
		w.in = make([]byte, 0, readBuffer)
		w.repay()
		w.req, w.search = ldap.SearchRequest{}, SearchWriter{}
	}
	if cap(w.out) > idleBuffer {
		w.out = nil
	}
	// Room grows with what has come, not with what a header promises.
	if free := cap(w.in) - len(w.in); free == 0 {
		if err := w.grow(min(2*cap(w.in), max(size, 2*readBuffer))); err != nil {
			return err
		}
	}
	for {
		if err := w.setDeadline(); err != nil {
			return err
		}
		n, err := w.c.stream.Read(w.in[len(w.in):cap(w.in)])
		w.in = w.in[:len(w.in)+n]
		if n > 0 {
			return nil
		}
		if err == nil {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if w.c.srv.closing.Load() {
				return errShutdown
			}
			if w.c.overdue() {
				return errUnbound
			}
			if len(w.in) == 0 && w.c.busy() {
				continue // a client that waits for an answer is not idle
			}
		}
		return err
	}
}

// setDeadline allows an idle connection its time, and a message begun its
// time from the first octet on, however it dribbles; neither goes beyond the
// end of a connection on which nobody is bound.
func (w *worker) setDeadline() error {
	now := time.Now()
	w.c.active.Store(int64(now.Sub(w.c.srv.started)))
	deadline := now.Add(w.c.srv.limits.Idle)
	if len(w.in) > 0 {
		if w.since.IsZero() {
			w.since = now
		}
		deadline = w.since.Add(w.c.srv.limits.Read)
	}
	w.c.setReadDeadline(deadline)
	// Shutdown sets closing first and the deadline after: one of us sees the
	// other. A message begun is not waited for.
	if w.c.srv.closing.Load() {
		return errShutdown
	}
	return nil
}
