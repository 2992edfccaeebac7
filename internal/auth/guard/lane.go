package guard

import (
	"context"
	"fmt"
	"sync"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/recent"
)

// Times of a lane.
const (
	pauseLeast = time.Second
	pauseMost  = 15 * time.Second
	pauseEach  = 50 * time.Millisecond // for each bind that waits as well
	turnEach   = time.Second           // between two binds that the backend is asked about
	turnMost   = 10 * time.Second      // that one waits for its turn
)

// Lane is where the binds of a user go who is at home at a place from which too
// many wrong passwords for him came. All of them wait, right or wrong, so that
// memory is asked slowly; and those that memory does not know get the backend in
// turn, so that who comes by is let in at last.
type Lane struct {
	now   func() time.Time
	sleep func(ctx context.Context, d time.Duration) error

	mu      sync.Mutex
	waiting map[Digest]int
	turns   recent.Map[Digest, time.Time] // the next one
}

// NewLane returns a lane. sleep waits; nil: it does.
func NewLane(now func() time.Time, sleep func(context.Context, time.Duration) error) *Lane {
	if sleep == nil {
		sleep = Sleep
	}
	return &Lane{now: now, sleep: sleep, waiting: make(map[Digest]int), turns: recent.NewMap[Digest, time.Time](maxCounted)}
}

// Pause waits before memory is asked.
func (l *Lane) Pause(ctx context.Context, at Digest) error {
	l.mu.Lock()
	l.waiting[at]++
	d := min(max(time.Duration(l.waiting[at])*pauseEach, pauseLeast), pauseMost)
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.waiting[at]--; l.waiting[at] == 0 {
			delete(l.waiting, at)
		}
	}()
	return l.sleep(ctx, d)
}

// Turn waits until the backend may be asked. Who would have to wait too long is
// told so at once.
func (l *Lane) Turn(ctx context.Context, at Digest) error {
	l.mu.Lock()
	now := l.now()
	next, ok := l.turns.Get(at)
	if !ok || next.Before(now) || next.Sub(now) > 2*turnMost {
		next = now
	}
	wait := next.Sub(now)
	if wait > turnMost {
		l.mu.Unlock()
		return &auth.Limited{Reason: auth.LimitUser}
	}
	l.turns.Put(at, next.Add(turnEach))
	l.mu.Unlock()
	return l.sleep(ctx, wait)
}

// Sleep waits for a time, or until ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", ctx.Err())
	}
}
