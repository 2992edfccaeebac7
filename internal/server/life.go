package server

import (
	"errors"
	"time"
)

var (
	// errUnbound ends a connection on which nobody has bound in time.
	errUnbound = errors.New("no bind was granted in time")
	// errDisplaced is logged for a connection that Places asked for.
	errDisplaced = errors.New("its place went to a client that has fewer")
)

// now is the time on the server's own clock, which nobody sets.
func (s *Server) now() time.Duration { return time.Since(s.started) }

// yield cuts the connection, whose place is wanted, unless somebody is bound on
// it, or about to be, and uses it.
func (c *Conn) yield() bool {
	if c.until.Load() == 0 && (c.busy() || c.srv.now()-time.Duration(c.active.Load()) < c.srv.limits.Unbound) {
		return false
	}
	c.displaced.Store(true)
	c.srv.cfg.Metrics.refused.WithLabelValues("displaced").Inc()
	c.cut()
	return true
}

// binding says that a bind is in flight, which is waited for. It returns what
// endUnbound wants to know when it is over.
func (c *Conn) binding() (until time.Duration) {
	until = time.Duration(c.until.Swap(0))
	if until != 0 {
		c.hold()
	}
	return until
}

// endUnbound gives a connection on which nobody is bound, after a bind or what else
// makes it anonymous, its end: the one that it had, or a new one if somebody was
// bound before.
func (c *Conn) endUnbound(until time.Duration) {
	if c.identity != nil {
		return
	}
	if until == 0 {
		until = c.srv.now() + c.srv.limits.Unbound
	}
	c.loosen()
	// The reading goroutine may wait already. It sets a deadline first and looks
	// at the end after, here it is the other way round: one sees the other.
	c.until.Store(int64(until))
	c.raw.SetReadDeadline(c.srv.started.Add(until))
	if c.srv.closing.Load() {
		c.wake()
	}
}

// overdue says whether the connection is at its end for want of a bind.
func (c *Conn) overdue() bool {
	until := time.Duration(c.until.Load())
	return until != 0 && c.srv.now() >= until
}

// setReadDeadline is that of the socket, or the connection's end if that is
// earlier.
func (c *Conn) setReadDeadline(deadline time.Time) {
	for {
		until := c.until.Load()
		if end := c.srv.started.Add(time.Duration(until)); until != 0 && end.Before(deadline) {
			c.raw.SetReadDeadline(end)
		} else {
			c.raw.SetReadDeadline(deadline)
		}
		if c.until.Load() == until {
			return
		}
	}
}
