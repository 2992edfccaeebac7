package guard

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// Flights have what is the same, and under way at the same time, done once. It
// goes on as long as somebody waits for it.
type Flights[V any] struct {
	mu  sync.Mutex
	all map[Digest]*flight[V]
}

// flight is something under way.
type flight[V any] struct {
	waiting int // callers
	cancel  context.CancelFunc
	done    chan struct{} // closed when what follows is set

	value V
	err   error
	panic any
}

// NewFlights returns Flights.
func NewFlights[V any]() *Flights[V] { return &Flights[V]{all: make(map[Digest]*flight[V])} }

// Waiting returns how many callers wait, for the metric.
func (s *Flights[V]) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, f := range s.all {
		n += f.waiting
	}
	return n
}

// Do returns what do returns, which is called unless a call for the same id is
// under way; first says that it was called for this caller. Its context ends
// when nobody waits any more.
func (s *Flights[V]) Do(ctx context.Context, id Digest, do func(context.Context) (V, error)) (v V, first bool, err error) {
	if err := ctx.Err(); err != nil {
		return v, false, fmt.Errorf("authenticate: %w", err)
	}
	f, first, leave := s.join(ctx, id, do)
	defer leave()
	select {
	case <-f.done:
	case <-ctx.Done():
		return v, first, fmt.Errorf("wait for an identical bind: %w", ctx.Err())
	}
	if f.panic != nil {
		panic(f.panic) // in each caller, whose connection reports it as its own
	}
	return f.value, first, f.err
}

// join gets a caller aboard; leave must be called when it is done waiting.
func (s *Flights[V]) join(ctx context.Context, id Digest, do func(context.Context) (V, error)) (f *flight[V], first bool, leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f = s.all[id]
	if f == nil {
		first = true
		f = &flight[V]{done: make(chan struct{})}
		ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
		s.all[id] = f
		go s.fly(ctx, id, f, do)
	}
	f.waiting++
	return f, first, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if f.waiting--; f.waiting == 0 {
			f.cancel()
			s.remove(id, f)
		}
	}
}

// fly ends when do does, which the last caller to leave sees to.
func (s *Flights[V]) fly(ctx context.Context, id Digest, f *flight[V], do func(context.Context) (V, error)) {
	defer func() {
		if p := recover(); p != nil {
			f.panic = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
		s.mu.Lock()
		s.remove(id, f)
		s.mu.Unlock()
		close(f.done)
	}()
	f.value, f.err = do(ctx)
}

// remove keeps further callers from getting aboard.
func (s *Flights[V]) remove(id Digest, f *flight[V]) {
	if s.all[id] == f {
		delete(s.all, id)
	}
}
