package cache

import (
	"container/heap"
	"context"
	"fmt"
	"sync"
	"time"
)

// Memory is a store for tests, and for a server without a state directory: it
// forgets at a restart.
type Memory struct {
	now Clock

	mu      sync.Mutex
	used    map[usedCode]struct{}
	expiry  expiryHeap
	stopped bool
}

type usedCode struct {
	user    string
	counter int64
}

// NewMemory returns an empty store.
func NewMemory(now Clock) *Memory {
	return &Memory{now: now, used: map[usedCode]struct{}{}}
}

// Claim implements mfa.UsedCodes.
func (m *Memory) Claim(ctx context.Context, user string, counter int64, until time.Time) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("claim code: %w", err)
	}
	if err := checkUser(user); err != nil {
		return false, fmt.Errorf("claim code: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		return false, fmt.Errorf("claim code: %w", ErrClosed)
	}
	for n := 0; n < purgeMost && len(m.expiry) > 0 && !m.expiry[0].until.After(m.now()); n++ {
		delete(m.used, heap.Pop(&m.expiry).(expiring).code)
	}
	code := usedCode{user, counter}
	if _, ok := m.used[code]; ok {
		return false, nil
	}
	m.used[code] = struct{}{}
	heap.Push(&m.expiry, expiring{code, until})
	return true, nil
}

// Len returns the number of claims held.
func (m *Memory) Len() (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.used), nil
}

// Close makes the store refuse further claims.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
	return nil
}

type expiring struct {
	code  usedCode
	until time.Time
}

type expiryHeap []expiring

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].until.Before(h[j].until) }
func (h expiryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *expiryHeap) Push(x any)        { *h = append(*h, x.(expiring)) }
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
