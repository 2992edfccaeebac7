package cache

import (
	"context"
	"fmt"
	"time"
)

// guessed is what was tried under a key.
type guessed struct {
	guesses
	until time.Time // when nobody asks for them any more
}

// Guess implements Store.
func (m *Memory) Guess(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, fresh bool, err error) {
	if err := m.lock(ctx); err != nil {
		return 0, false, fmt.Errorf("guess: %w", err)
	}
	defer m.mu.Unlock()
	now := m.now()
	for key := range m.guessEnds.passed(now) {
		switch g, ok := m.guesses[key]; {
		case !ok: // forgiven
		case g.until.After(now): // there were more
			m.guessEnds.push(key, g.until)
		default:
			delete(m.guesses, key)
		}
	}
	g, _ := m.guesses[key].current(now, window)
	if fresh = !g.has(secret); fresh {
		g = g.add(secret, now)
	}
	m.putGuesses(key, g, window)
	return len(g), fresh, nil
}

// Guessed implements Store.
func (m *Memory) Guessed(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, seen bool, err error) {
	if err := m.lock(ctx); err != nil {
		return 0, false, fmt.Errorf("guess: %w", err)
	}
	defer m.mu.Unlock()
	g, moved := m.guesses[key].current(m.now(), window)
	if moved {
		m.putGuesses(key, g, window)
	}
	return len(g), g.has(secret), nil
}

// putGuesses replaces what was tried under a key; m is locked. The key is on
// the heap with an end that is not too late.
func (m *Memory) putGuesses(key [16]byte, g guesses, window time.Duration) {
	next := guessed{g, g.end(window)}
	if old, ok := m.guesses[key]; !ok || next.until.Before(old.until) {
		m.guessEnds.push(key, next.until)
	}
	m.guesses[key] = next
}

// Forgive implements Store.
func (m *Memory) Forgive(ctx context.Context, key [16]byte) error {
	if err := m.lock(ctx); err != nil {
		return fmt.Errorf("forgive: %w", err)
	}
	defer m.mu.Unlock()
	delete(m.guesses, key)
	return nil
}
