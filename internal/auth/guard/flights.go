package guard

import (
	"context"
	"fmt"
	"ldapd/internal/auth"
	"runtime/debug"
	"sync"
)

// Flights is an Authenticator that has attempts which are the same, and under
// way at the same time, answered by one. That one goes on as long as somebody
// waits for it.
type Flights struct {
	next auth.Authenticator
	key  Key

	mu      sync.Mutex
	flights map[Digest]*flight
}

var _ auth.Authenticator = (*Flights)(nil)

// NewFlights returns Flights before another authenticator.
func NewFlights(next auth.Authenticator) *Flights {
	return &Flights{next: next, key: NewKey(), flights: make(map[Digest]*flight)}
}

// flight is an attempt under way.
type flight struct {
	waiting int // callers
	cancel  context.CancelFunc
	done    chan struct{} // closed when what follows is set

	granted auth.Granted
	err     error
	panic   any
}

// Waiting returns how many callers wait, for the metric.
func (s *Flights) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, f := range s.flights {
		n += f.waiting
	}
	return n
}

// Authenticate implements auth.Authenticator.
func (s *Flights) Authenticate(ctx context.Context, a auth.Attempt) (auth.Granted, error) {
	if err := ctx.Err(); err != nil {
		return auth.Granted{}, fmt.Errorf("authenticate: %w", err)
	}
	f, leave := s.join(ctx, a)
	defer leave()
	select {
	case <-f.done:
	case <-ctx.Done():
		return auth.Granted{}, fmt.Errorf("wait for an identical bind: %w", ctx.Err())
	}
	if f.panic != nil {
		panic(f.panic) // each connection reports it as its own
	}
	return f.granted, f.err
}

// join gets a caller aboard; leave must be called when it is done waiting.
func (s *Flights) join(ctx context.Context, a auth.Attempt) (f *flight, leave func()) {
	id := s.key.Attempt(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	f = s.flights[id]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
		s.flights[id] = f
		go s.fly(ctx, id, f, a)
	}
	f.waiting++
	return f, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if f.waiting--; f.waiting == 0 {
			f.cancel()
			s.remove(id, f)
		}
	}
}

// fly ends when the authenticator does, which the last caller to leave sees to.
func (s *Flights) fly(ctx context.Context, id Digest, f *flight, a auth.Attempt) {
	defer func() {
		if p := recover(); p != nil {
			f.panic = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
		s.mu.Lock()
		s.remove(id, f)
		s.mu.Unlock()
		close(f.done)
	}()
	f.granted, f.err = s.next.Authenticate(ctx, a)
}

// remove keeps further callers from getting aboard.
func (s *Flights) remove(id Digest, f *flight) {
	if s.flights[id] == f {
		delete(s.flights, id)
	}
}
