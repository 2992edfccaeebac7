package server

import (
	"errors"

	"ldapd/internal/fair"
)

// errUnfinished ends a connection for which there is no room.
var errUnfinished = errors.New("too much of unfinished requests, try again later")

// unfinished is the room that all connections share for their input, beyond
// readBuffer for each. Those on which nobody is bound have a quarter of it, so
// that they cannot take the rest from others, wherever they come from.
type unfinished struct {
	bound, unbound *fair.Budget
}

func newUnfinished(octets int) unfinished {
	quarter := octets / 4
	return unfinished{bound: fair.NewBudget(octets - quarter), unbound: fair.NewBudget(quarter)}
}

// room is the input's share of what connections share.
type room struct {
	from  *fair.Budget
	taken int
}

// budget is where the worker takes room from. As long as it has some, it goes
// on with the same one.
func (w *worker) budget() *fair.Budget {
	if w.room.taken == 0 {
		w.room.from = w.c.srv.unfinished.unbound
		if w.c.gate == nil && w.c.identity != nil {
			w.room.from = w.c.srv.unfinished.bound
		}
	}
	return w.room.from
}

// grow makes room for size octets of input, which is kept until the worker
// needs none.
func (w *worker) grow(size int) error {
	more := size - cap(w.in)
	if !w.budget().Take(w.c.network, more) {
		return errUnfinished
	}
	w.room.taken += more
	w.in = append(make([]byte, 0, size), w.in...)
	return nil
}

// inherit makes the input what another worker of the connection has read and
// not served. That room was asked for; this is no more than the other has, so
// that it cannot be refused.
func (w *worker) inherit(rest []byte) {
	w.in = append(w.in, rest...)
	if more := cap(w.in) - readBuffer; more > 0 {
		w.budget().Overdraw(w.c.network, more)
		w.room.taken += more
	}
}

// repay gives the room back, when the input is small or gone.
func (w *worker) repay() {
	if w.room.taken > 0 {
		w.room.from.Give(w.c.network, w.room.taken)
		w.room = room{}
	}
}
