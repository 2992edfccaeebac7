package fair

import (
	"context"
	"net/netip"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Turns lets so many of a network at a time do what takes processor time.
type Turns struct {
	each int64

	mu     sync.Mutex
	queues map[netip.Prefix]*Queue
}

// NewTurns returns Turns of which a network has so many at a time.
func NewTurns(each int) *Turns {
	return &Turns{each: int64(each), queues: make(map[netip.Prefix]*Queue)}
}

// Queue is where those of a network wait for their turns, in order.
type Queue struct {
	turns   *Turns
	network netip.Prefix
	members int // guarded by turns.mu
	running *semaphore.Weighted
}

// Join returns the queue of a network, which must be left.
func (t *Turns) Join(network netip.Prefix) *Queue {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.queues[network]
	if q == nil {
		q = &Queue{turns: t, network: network, running: semaphore.NewWeighted(t.each)}
		t.queues[network] = q
	}
	q.members++
	return q
}

// Leave is the end of what Join began.
func (q *Queue) Leave() {
	q.turns.mu.Lock()
	defer q.turns.mu.Unlock()
	if q.members--; q.members == 0 {
		delete(q.turns.queues, q.network)
	}
}

// Begin waits for a turn, at most until ctx ends, which is the error.
func (q *Queue) Begin(ctx context.Context) error { return q.running.Acquire(ctx, 1) }

// End is the end of a turn that began.
func (q *Queue) End() { q.running.Release(1) }
