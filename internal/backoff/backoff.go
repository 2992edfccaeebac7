// Package backoff spaces the tries of what fails: ever wider, and each time by
// another length, so that replicas which lost something at one moment do not
// all come back for it at one moment.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the waits between tries. It is not safe for concurrent use.
type Backoff struct {
	First  time.Duration  // the longest that the first wait may be
	Last   time.Duration  // the longest that any wait may be
	Factor int            // how many times as long the next one may be; 0: 2
	Rand   func() float64 // of [0, 1), for what is taken off of a wait, up to half of it; nil: rand.Float64

	next time.Duration // the longest that the next wait may be; 0: First
}

// Next returns how long to wait before the next try.
func (b *Backoff) Next() time.Duration {
	random, factor := b.Rand, b.Factor
	if random == nil {
		random = rand.Float64
	}
	if factor == 0 {
		factor = 2
	}
	wait := min(max(b.First, b.next), b.Last)
	b.next = wait * time.Duration(factor)
	return wait - time.Duration(random()*float64(wait)/2)
}

// Reset has the next wait be the first again, since a try succeeded.
func (b *Backoff) Reset() { b.next = 0 }

// Wait waits as Next says, and reports that ctx did not end.
func (b *Backoff) Wait(ctx context.Context) bool {
	t := time.NewTimer(b.Next())
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}
