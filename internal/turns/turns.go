// Package turns has many wait for few turns, and lets nobody wait for another
// one's crowd.
package turns

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// So many may wait for a turn.
const (
	MaxWaiting       = 4096 // in all
	MaxWaitingPerKey = 256
)

// ErrBusy says that too many wait already.
var ErrBusy = errors.New("too many wait for a turn already")

// Queue gives turns, so many at a time. Who asks does so under a key, such as
// the network that a request comes from. The next turn goes to the keys one
// after the other, and within a key to who asked first: so one that floods
// waits for itself only, and one that asks for the first time waits for at
// most one turn of each other key.
type Queue struct {
	turns int
	share int

	mu      sync.Mutex
	running int
	waiting int
	lines   map[string]*line // those where somebody waits or has a turn
	next    []*line          // those that may be given a turn, in order
}

// line is those who ask under one key.
type line struct {
	key     string
	running int
	waiting []*waiter // in the order that they came
}

// waiter is one that waits.
type waiter struct {
	line *line
	call chan error // holds one: nil when it is its turn, or why it gets none
}

// New returns a queue that gives so many turns at a time, of which one key has
// at most a share. Both are at least 1; a share as large as turns bounds
// nothing.
func New(turns, share int) *Queue {
	return &Queue{turns: max(turns, 1), share: max(share, 1), lines: make(map[string]*line)}
}

// Do waits for a turn under the key, then calls f in it. If too many wait
// already, it fails at once with ErrBusy; so it does later if it has to make
// room, which who is the last in the longest line has for one of a shorter
// line. If the context ends before it is its turn, Do fails with the error of
// the context. When it fails, f was not called.
//
// Much may have changed until f is called. It is for f to look again whether
// there is still something to do.
func (q *Queue) Do(ctx context.Context, key string, f func()) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wait for a turn: %w", err)
	}
	w := q.enter(key)
	select {
	case err := <-w.call:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		if q.leave(w) {
			return fmt.Errorf("wait for a turn: %w", ctx.Err())
		}
		if err := <-w.call; err != nil { // it was called just now
			return err
		}
	}
	defer q.end(w.line)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wait for a turn: %w", err)
	}
	f()
	return nil
}

// Waiting returns how many wait, for the metric.
func (q *Queue) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting
}

// Running returns how many turns are given, for the metric.
func (q *Queue) Running() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running
}

// enter puts one more at the end of a line.
func (q *Queue) enter(key string) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[key]
	if l == nil {
		l = &line{key: key}
	}
	w := &waiter{line: l, call: make(chan error, 1)}
	if len(l.waiting) >= MaxWaitingPerKey || q.waiting >= MaxWaiting && !q.makeRoom(l) {
		w.call <- ErrBusy
		return w
	}
	q.lines[key] = l
	l.waiting = append(l.waiting, w)
	q.waiting++
	q.update(l)
	q.give()
	return w
}

// makeRoom sends away the last of the longest line, unless the one that asks
// would then be in a line as long.
func (q *Queue) makeRoom(asks *line) bool {
	longest := asks
	for _, l := range q.lines {
		if len(l.waiting) > len(longest.waiting) {
			longest = l
		}
	}
	if len(longest.waiting) <= len(asks.waiting)+1 {
		return false
	}
	last := longest.waiting[len(longest.waiting)-1]
	q.remove(last)
	last.call <- ErrBusy
	return true
}

// leave takes one out that no longer waits, and reports false if it was called
// already.
func (q *Queue) leave(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.remove(w)
}

func (q *Queue) remove(w *waiter) bool {
	l := w.line
	i := slices.Index(l.waiting, w)
	if i < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	q.waiting--
	q.update(l)
	return true
}

// end takes a turn back.
func (q *Queue) end(l *line) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	l.running--
	q.update(l)
	q.give()
}

// give calls whose turn it is, if there is one free. No more than one is, after
// somebody came or left.
func (q *Queue) give() {
	if q.running >= q.turns || len(q.next) == 0 {
		return
	}
	l := q.next[0]
	q.next = slices.Delete(q.next, 0, 1)
	w := l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	q.waiting--
	q.running++
	l.running++
	q.update(l) // to the end of next
	w.call <- nil
}

// update has a line be among the next if, and only if, somebody waits there
// who may be given a turn, and forgets it when nobody is there.
func (q *Queue) update(l *line) {
	at := slices.Index(q.next, l)
	switch may := len(l.waiting) > 0 && l.running < q.share; {
	case may && at < 0:
		q.next = append(q.next, l)
	case !may && at >= 0:
		q.next = slices.Delete(q.next, at, at+1)
	}
	if len(l.waiting) == 0 && l.running == 0 {
		delete(q.lines, l.key)
	}
}
