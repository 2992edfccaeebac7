package guard

import (
	"context"
	"fmt"

	"ldapd/internal/auth"
	"ldapd/internal/turns"
)

// Queue is an Authenticator that lets so many attempts at a time through to
// another one. The rest waits, until its context ends, and the addresses that
// they come from take turns: who floods waits for himself only, and holds three
// quarters of the turns at most.
type Queue struct {
	next  auth.Authenticator
	turns *turns.Queue
}

var _ auth.Authenticator = (*Queue)(nil)

// NewQueue returns a queue for n attempts at a time, before another
// authenticator.
func NewQueue(next auth.Authenticator, n int) *Queue {
	return &Queue{next: next, turns: turns.New(n, max(n-n/4, 1))}
}

// Waiting returns how many attempts wait for their turn, for the metric.
func (q *Queue) Waiting() int { return q.turns.Waiting() }

// Running returns how many attempts are under way, for the metric.
func (q *Queue) Running() int { return q.turns.Running() }

// Authenticate implements auth.Authenticator.
func (q *Queue) Authenticate(ctx context.Context, a auth.Attempt) (g auth.Granted, err error) {
	busy := q.turns.Do(ctx, Network(a.Addr), func() { g, err = q.next.Authenticate(ctx, a) })
	if busy != nil {
		return auth.Granted{}, fmt.Errorf("wait for a turn to authenticate: %w", busy)
	}
	return g, err
}
