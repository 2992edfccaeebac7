package verified

import (
	"context"
	"errors"
	"sync"

	"ldapd/internal/cache"
)

var errUnreachable = errors.New("unreachable")

// hub is a store that several replicas share.
type hub struct {
	*cache.Memory

	mu       sync.Mutex
	replicas []*replica
}

// replica is a connection to a hub, which can break.
type replica struct {
	hub *hub

	mu       sync.Mutex
	down     bool // fails at once
	hangs    bool // fails when the caller loses patience
	loseAck  bool // writes, and says that it failed
	readonly bool
	calls    map[operation]int
	changed  func(key string) // of Watch; nil: nobody watches
}

var _ Store = (*replica)(nil)

func newHub() *hub { return &hub{Memory: cache.NewMemory(nil)} }

func (h *hub) connect() *replica {
	r := &replica{hub: h, calls: make(map[operation]int)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.replicas = append(h.replicas, r)
	return r
}

func (r *replica) set(f func(r *replica)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r)
}

func (r *replica) count(o operation) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[o]
}

func (r *replica) reach(ctx context.Context, o operation) error {
	r.mu.Lock()
	r.calls[o]++
	down, hangs := r.down || r.readonly && o != opLoad && o != opEach, r.hangs
	r.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if down {
		return errUnreachable
	}
	return nil
}

// tell tells the other replicas of a change.
func (r *replica) tell(key string, err error) error {
	if err != nil {
		return err
	}
	r.hub.mu.Lock()
	others := r.hub.replicas
	r.hub.mu.Unlock()
	for _, o := range others {
		if o == r {
			continue
		}
		o.mu.Lock()
		f := o.changed
		o.mu.Unlock()
		if f != nil {
			f(key)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loseAck {
		return errUnreachable
	}
	return nil
}

func (r *replica) Load(ctx context.Context, key string) ([]byte, uint64, error) {
	if err := r.reach(ctx, opLoad); err != nil {
		return nil, 0, err
	}
	return r.hub.Load(ctx, key)
}

func (r *replica) Update(ctx context.Context, key string, epoch uint64, change func(old []byte) ([]byte, error)) error {
	if err := r.reach(ctx, opUpdate); err != nil {
		return err
	}
	return r.tell(key, r.hub.Update(ctx, key, epoch, change))
}

func (r *replica) Revoke(ctx context.Context, key string) error {
	if err := r.reach(ctx, opRevoke); err != nil {
		return err
	}
	return r.tell(key, r.hub.Revoke(ctx, key))
}

func (r *replica) RevokeAll(ctx context.Context) error {
	if err := r.reach(ctx, opRevoke); err != nil {
		return err
	}
	return r.tell("", r.hub.RevokeAll(ctx))
}

func (r *replica) Each(ctx context.Context, f func(key string, value []byte, epoch uint64) error) error {
	if err := r.reach(ctx, opEach); err != nil {
		return err
	}
	return r.hub.Each(ctx, f)
}

func (r *replica) Watch(ctx context.Context, changed func(key string)) error {
	r.set(func(r *replica) { r.changed = changed })
	defer r.set(func(r *replica) { r.changed = nil })
	changed("")
	<-ctx.Done()
	return nil
}
