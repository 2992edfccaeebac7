package cache

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Memory is a store for tests, and for a server without a state directory: it
// forgets at a restart.
type Memory struct {
	now    Clock
	closed chan struct{}

	mu      sync.Mutex
	stopped bool
	check   []byte // of CheckKey; nil: none

	used    map[usedCode]struct{}
	useEnds ends[usedCode]

	values  map[string][]byte
	revoked map[string]tombstone
	graves  ends[string] // of revoked
	all     uint64       // epoch of all keys
	counter uint64       // the last epoch given out

	tallies   map[[16]byte]tally
	tallyEnds ends[[16]byte]

	guesses   map[[16]byte]guessed
	guessEnds ends[[16]byte]
}

type usedCode struct {
	user    string
	counter int64
}

type tombstone struct {
	epoch uint64
	until time.Time
}

// NewMemory returns an empty store. now may be nil.
func NewMemory(now Clock) *Memory {
	return &Memory{
		now:     now.orSystem(),
		closed:  make(chan struct{}),
		used:    map[usedCode]struct{}{},
		values:  map[string][]byte{},
		revoked: map[string]tombstone{},
		tallies: map[[16]byte]tally{},
		guesses: map[[16]byte]guessed{},
	}
}

// lock locks m, unless it is closed or ctx has ended.
func (m *Memory) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	if m.stopped {
		m.mu.Unlock()
		return ErrClosed
	}
	return nil
}

// Claim implements Store.
func (m *Memory) Claim(ctx context.Context, user string, counter int64, until time.Time) (bool, error) {
	if err := checkUser(user); err != nil {
		return false, fmt.Errorf("claim code: %w", err)
	}
	if err := m.lock(ctx); err != nil {
		return false, fmt.Errorf("claim code: %w", err)
	}
	defer m.mu.Unlock()
	for code := range m.useEnds.passed(m.now()) {
		delete(m.used, code)
	}
	code := usedCode{user, counter}
	if _, ok := m.used[code]; ok {
		return false, nil
	}
	m.used[code] = struct{}{}
	m.useEnds.push(code, until)
	return true, nil
}

// Load implements Store.
func (m *Memory) Load(ctx context.Context, key string) (value []byte, epoch uint64, err error) {
	if err := checkKey(key); err != nil {
		return nil, 0, fmt.Errorf("load: %w", err)
	}
	if err := m.lock(ctx); err != nil {
		return nil, 0, fmt.Errorf("load: %w", err)
	}
	defer m.mu.Unlock()
	return bytes.Clone(m.values[key]), m.epoch(key), nil
}

// epoch returns the epoch of a key; m is locked.
func (m *Memory) epoch(key string) uint64 { return max(m.all, m.revoked[key].epoch) }

// Update implements Store.
func (m *Memory) Update(ctx context.Context, key string, epoch uint64, change func(old []byte) ([]byte, error)) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	if err := m.lock(ctx); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	defer m.mu.Unlock()
	if m.epoch(key) > epoch {
		return fmt.Errorf("update: %w", ErrRevoked)
	}
	value, err := change(bytes.Clone(m.values[key]))
	if err == nil {
		err = checkValue(value)
	}
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	if value == nil {
		delete(m.values, key)
	} else {
		m.values[key] = bytes.Clone(value)
	}
	return nil
}

// Revoke implements Store.
func (m *Memory) Revoke(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	if err := m.lock(ctx); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	defer m.mu.Unlock()
	now := m.now()
	for key := range m.graves.passed(now) {
		if !m.revoked[key].until.After(now) { // else it was revoked again
			delete(m.revoked, key)
		}
	}
	delete(m.values, key)
	m.counter++
	t := tombstone{m.counter, now.Add(tombstoneFor)}
	m.revoked[key] = t
	m.graves.push(key, t.until)
	return nil
}

// RevokeAll implements Store.
func (m *Memory) RevokeAll(ctx context.Context) error {
	if err := m.lock(ctx); err != nil {
		return fmt.Errorf("revoke all: %w", err)
	}
	defer m.mu.Unlock()
	m.counter++
	m.all = m.counter
	clear(m.values)
	clear(m.revoked)
	m.graves = nil
	return nil
}

// Each implements Store.
func (m *Memory) Each(ctx context.Context, f func(key string, value []byte, epoch uint64) error) error {
	if err := m.lock(ctx); err != nil {
		return fmt.Errorf("read all: %w", err)
	}
	all := make([]entry, 0, len(m.values))
	for key, value := range m.values {
		all = append(all, entry{key, bytes.Clone(value), m.epoch(key)})
	}
	m.mu.Unlock()
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	for _, e := range all {
		if err := f(e.key, e.value, e.epoch); err != nil {
			return err
		}
	}
	return nil
}

// Shared implements Store.
func (m *Memory) Shared() bool { return false }

// Watch waits for ctx to end: nobody else changes the store.
func (m *Memory) Watch(ctx context.Context, _ func(key string)) error {
	return waitClosed(ctx, m.closed)
}

// waitClosed returns nil when ctx ends, and ErrClosed when closed does.
func waitClosed(ctx context.Context, closed <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return nil
	case <-closed:
		return fmt.Errorf("watch: %w", ErrClosed)
	}
}

// Tally implements Store.
func (m *Memory) Tally(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, err error) {
	if err := m.lock(ctx); err != nil {
		return 0, fmt.Errorf("tally: %w", err)
	}
	defer m.mu.Unlock()
	now := m.now()
	for key := range m.tallyEnds.passed(now) {
		if !m.tallies[key].until.After(now) { // else it began anew
			delete(m.tallies, key)
		}
	}
	t, again := m.tallies[key].add(secret, now, window)
	if !again {
		m.tallies[key] = t
		if t.n == 1 {
			m.tallyEnds.push(key, t.until)
		}
	}
	return t.count(now, window), nil
}

// Tallied implements Store.
func (m *Memory) Tallied(ctx context.Context, key [16]byte, window time.Duration) (n int, err error) {
	if err := m.lock(ctx); err != nil {
		return 0, fmt.Errorf("tally: %w", err)
	}
	defer m.mu.Unlock()
	return m.tallies[key].count(m.now(), window), nil
}

// CheckKey implements Store.
func (m *Memory) CheckKey(ctx context.Context, check []byte) error {
	if err := checkCheck(check); err != nil {
		return fmt.Errorf("check key: %w", err)
	}
	if err := m.lock(ctx); err != nil {
		return fmt.Errorf("check key: %w", err)
	}
	defer m.mu.Unlock()
	if m.check == nil {
		m.check = bytes.Clone(check)
	}
	if !bytes.Equal(m.check, check) {
		return fmt.Errorf("check key: %w", ErrOtherKey)
	}
	return nil
}

// ReplaceKeyCheck implements Store.
func (m *Memory) ReplaceKeyCheck(ctx context.Context, old, new []byte) error {
	if err := checkCheck(new); err != nil {
		return fmt.Errorf("replace key check: %w", err)
	}
	if err := m.lock(ctx); err != nil {
		return fmt.Errorf("replace key check: %w", err)
	}
	defer m.mu.Unlock()
	if m.check != nil && !bytes.Equal(m.check, old) && !bytes.Equal(m.check, new) {
		return fmt.Errorf("replace key check: %w", ErrOtherKey)
	}
	m.check = bytes.Clone(new)
	return nil
}

// Len returns how many claims, counters, keys with guesses and epochs of single keys are held.
func (m *Memory) Len(ctx context.Context) (int, error) {
	if err := m.lock(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	return len(m.used) + len(m.tallies) + len(m.guesses) + len(m.revoked), nil
}

// Close makes the store refuse whatever comes.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stopped {
		m.stopped = true
		close(m.closed)
	}
	return nil
}
