package guard

import (
	"context"
	"fmt"
	"ldapd/internal/auth"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// Queue is an Authenticator that lets so many attempts at a time through to
// another one. The rest waits, in order, until its context ends.
type Queue struct {
	next    auth.Authenticator
	turns   *semaphore.Weighted
	waiting atomic.Int64
	running atomic.Int64
}

var _ auth.Authenticator = (*Queue)(nil)

// NewQueue returns a queue for n attempts at a time, before another
// authenticator.
func NewQueue(next auth.Authenticator, n int) *Queue {
	return &Queue{next: next, turns: semaphore.NewWeighted(int64(max(n, 1)))}
}

// Waiting returns how many attempts wait for their turn, for the metric.
func (q *Queue) Waiting() int64 { return q.waiting.Load() }

// Running returns how many attempts are under way, for the metric.
func (q *Queue) Running() int64 { return q.running.Load() }

// Authenticate implements auth.Authenticator.
func (q *Queue) Authenticate(ctx context.Context, a auth.Attempt) (auth.Granted, error) {
	q.waiting.Add(1)
	err := q.turns.Acquire(ctx, 1)
	q.waiting.Add(-1)
	if err != nil {
		return auth.Granted{}, fmt.Errorf("wait for a turn to authenticate: %w", err)
	}
	defer q.turns.Release(1)
	q.running.Add(1)
	defer q.running.Add(-1)
	return q.next.Authenticate(ctx, a)
}
