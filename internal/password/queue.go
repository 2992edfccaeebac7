package password

import (
	"context"
	"net/netip"
	"runtime"
	"time"

	"ldapd/internal/fair"
	"ldapd/internal/turns"
)

// maxWait is how long a password waits for its turn to be hashed.
const maxWait = 10 * time.Second

// Queue gives turns to compute slow hashes: as many at a time as there are
// processors, and fairly among those that ask (see package turns), who are
// told apart by fair.Network. A process has one for all that compute hashes.
type Queue struct{ turns *turns.Queue }

// NewQueue returns a queue in which nobody waits.
func NewQueue() *Queue {
	n := runtime.GOMAXPROCS(0)
	return &Queue{turns.New(n, n)}
}

// Do waits for a turn for who asks from an address, the zero one among them,
// then calls f in it. It is turns.Queue.Do, but the wait ends after 10 s with
// context.DeadlineExceeded.
func (q *Queue) Do(ctx context.Context, from netip.Addr, f func()) error {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	return q.turns.Do(ctx, fair.Network(from).String(), f)
}

// Waiting returns how many wait, for the metric.
func (q *Queue) Waiting() int { return q.turns.Waiting() }
