package server

import "errors"

// errUnfinished ends a connection for which there is no room.
var errUnfinished = errors.New("too much of unfinished requests, try again later")

// grow makes room for size octets of input. Room beyond readBuffer is taken
// from what all connections share, and kept until the worker needs none.
func (w *worker) grow(size int) error {
	more := size - max(cap(w.in), readBuffer)
	if more > 0 && !w.c.srv.unfinished.Take(w.c.network, more) {
		return errUnfinished
	}
	w.taken += max(more, 0)
	w.in = append(make([]byte, 0, size), w.in...)
	return nil
}

// inherit makes the input what another worker of the connection has read and
// not served. That room was asked for, for this is no more than the other has,
// so that it cannot be refused.
func (w *worker) inherit(rest []byte) {
	w.in = append(w.in, rest...)
	if more := cap(w.in) - readBuffer; more > 0 {
		w.c.srv.unfinished.Overdraw(w.c.network, more)
		w.taken += more
	}
}

// repay gives back what was taken, when the input is small or gone.
func (w *worker) repay() {
	if w.taken > 0 {
		w.c.srv.unfinished.Give(w.c.network, w.taken)
		w.taken = 0
	}
}
