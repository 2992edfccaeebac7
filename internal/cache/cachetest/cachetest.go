// Package cachetest is the suite that every store must pass.
package cachetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"ldapd/internal/cache"
	"ldapd/internal/testclock"
)

// Store is a store that tells how much it holds.
type Store interface {
	cache.Store
	Len(ctx context.Context) (int, error)
}

// Backend makes stores for the suite. It opens the same store again if it was
// closed, and what was in it still is if the store is durable. A shared one
// may be open more than once.
type Backend struct {
	Open    func(t *testing.T, now cache.Clock) Store
	Durable bool
	Shared  bool
}

// Run runs the suite; open returns a new, empty backend for each test of it.
func Run(t *testing.T, open func(t *testing.T) Backend) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Backend)
	}{
		{"claim once", claimOnce},
		{"claim at the same instant", claimAtOnce},
		{"claim expiry", claimExpiry},
		{"claims bounded", claimsBounded},
		{"claim user id", claimUser},
		{"update", update},
		{"update at the same instant", updateAtOnce},
		{"update fails", updateFails},
		{"bounds", bounds},
		{"each", each},
		{"each while it changes", eachChanging},
		{"revoke", revoke},
		{"revoke all", revokeAll},
		{"revoke while updating", revokeUpdating},
		{"revoke of one while updating another", revokeOther},
		{"tombstones bounded", tombstonesBounded},
		{"tally", tally},
		{"tally window", tallyWindow},
		{"tally at the same instant", tallyAtOnce},
		{"tallies bounded", talliesBounded},
		{"guess", guess},
		{"guess window", guessWindow},
		{"guess with the clock set back", guessClock},
		{"guesses bounded", guessesBounded},
		{"guess at the same instant", guessAtOnce},
		{"forgive", forgive},
		{"shared", shared},
		{"watch", watch},
		{"key check", keyCheck},
		{"reopen", reopen},
		{"context", cancelled},
		{"closed", closed},
		{"shared claim", sharedClaim},
		{"shared values", sharedValues},
		{"shared watch", sharedWatch},
		{"shared guesses", sharedGuesses},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func start(t *testing.T, b Backend) (Store, *testclock.Clock) {
	t.Helper()
	c := testclock.At(time.Unix(1_700_000_000, 0))
	return again(t, b, c), c
}

func again(t *testing.T, b Backend, c *testclock.Clock) Store {
	t.Helper()
	s := b.Open(t, c.Now)
	t.Cleanup(func() { s.Close() })
	return s
}

func length(t *testing.T, s Store) int {
	t.Helper()
	n, err := s.Len(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func keyCheck(t *testing.T, b Backend) {
	s, c := start(t, b)
	ctx := t.Context()
	one, two, three := []byte("one"), []byte("two"), []byte("three")
	steps := []struct {
		name string
		do   func(Store) error
		want error
	}{
		{"first", func(s Store) error { return s.CheckKey(ctx, one) }, nil},
		{"same", func(s Store) error { return s.CheckKey(ctx, one) }, nil},
		{"other", func(s Store) error { return s.CheckKey(ctx, two) }, cache.ErrOtherKey},
		{"start of it", func(s Store) error { return s.CheckKey(ctx, one[:2]) }, cache.ErrOtherKey},
		{"replace with wrong old", func(s Store) error { return s.ReplaceKeyCheck(ctx, three, two) }, cache.ErrOtherKey},
		{"still the same", func(s Store) error { return s.CheckKey(ctx, one) }, nil},
		{"replace", func(s Store) error { return s.ReplaceKeyCheck(ctx, one, two) }, nil},
		{"replaced already", func(s Store) error { return s.ReplaceKeyCheck(ctx, one, two) }, nil},
		{"new", func(s Store) error { return s.CheckKey(ctx, two) }, nil},
		{"old", func(s Store) error { return s.CheckKey(ctx, one) }, cache.ErrOtherKey},
	}
	for _, step := range steps {
		if err := step.do(s); !errors.Is(err, step.want) || (err != nil) != (step.want != nil) {
			t.Errorf("%s: %v, want %v", step.name, err, step.want)
		}
	}
	for _, check := range [][]byte{nil, {}, make([]byte, 1<<20)} {
		if err := s.CheckKey(ctx, check); err == nil {
			t.Errorf("check of %d bytes: no error", len(check))
		}
	}
	if !b.Durable {
		return
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = again(t, b, c)
	if err := s.CheckKey(ctx, one); !errors.Is(err, cache.ErrOtherKey) {
		t.Errorf("old, opened again: %v", err)
	}
	if err := s.CheckKey(ctx, two); err != nil {
		t.Errorf("new, opened again: %v", err)
	}
}

func reopen(t *testing.T, b Backend) {
	if !b.Durable {
		return
	}
	s, c := start(t, b)
	ctx, until := t.Context(), c.Now().Add(time.Minute)
	key, secret := [16]byte{1}, [16]byte{2}
	claim(t, s, "alice", 1, until, true)
	put(t, s, "kept", "value")
	put(t, s, "revoked", "value")
	put(t, s, "removed", "value")
	remove(t, s, "removed")
	_, before := load(t, s, "revoked", "value")
	if err := s.Revoke(ctx, "revoked"); err != nil {
		t.Fatal(err)
	}
	wantTally(t, s, key, secret, time.Minute, 1)
	wantGuess(t, s, key, secret, time.Minute, 1, true)
	wantGuess(t, s, [16]byte{4}, secret, time.Minute, 1, true)
	if err := s.Forgive(ctx, [16]byte{4}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = again(t, b, c)
	claim(t, s, "alice", 1, until, false)
	claim(t, s, "alice", 2, until, true)
	load(t, s, "kept", "value")
	load(t, s, "removed", "")
	if _, now := load(t, s, "revoked", ""); now <= before {
		t.Errorf("epoch %d, was %d before the revocation", now, before)
	}
	if err := s.Update(ctx, "revoked", before, become("again")); !errors.Is(err, cache.ErrRevoked) {
		t.Errorf("update with the epoch of before: %v", err)
	}
	wantTally(t, s, key, secret, time.Minute, 1)
	wantTally(t, s, key, [16]byte{3}, time.Minute, 2)
	wantGuess(t, s, key, secret, time.Minute, 1, false)
	wantGuess(t, s, key, [16]byte{3}, time.Minute, 2, true)
	wantGuessed(t, s, [16]byte{4}, secret, time.Minute, 0, false)
	put(t, s, "kept", "other")
	if err := s.RevokeAll(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = again(t, b, c)
	if _, now := load(t, s, "kept", ""); now <= before {
		t.Errorf("epoch %d, was %d before the revocation of all", now, before)
	}
	if err := s.Update(ctx, "never seen", before, become("x")); !errors.Is(err, cache.ErrRevoked) {
		t.Errorf("update with the epoch of before all: %v", err)
	}
}

// operations is every operation that takes a context.
func operations(s Store, c *testclock.Clock) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"claim": func(ctx context.Context) error {
			_, err := s.Claim(ctx, "alice", 1, c.Now().Add(time.Minute))
			return err
		},
		"load": func(ctx context.Context) error {
			_, _, err := s.Load(ctx, "key")
			return err
		},
		"update":     func(ctx context.Context) error { return s.Update(ctx, "key", 1<<40, become("value")) },
		"revoke":     func(ctx context.Context) error { return s.Revoke(ctx, "key") },
		"revoke all": s.RevokeAll,
		"each": func(ctx context.Context) error {
			return s.Each(ctx, func(string, []byte, uint64) error { return nil })
		},
		"tally": func(ctx context.Context) error {
			_, err := s.Tally(ctx, [16]byte{1}, [16]byte{}, time.Minute)
			return err
		},
		"tallied": func(ctx context.Context) error {
			_, err := s.Tallied(ctx, [16]byte{1}, time.Minute)
			return err
		},
		"guess": func(ctx context.Context) error {
			_, _, err := s.Guess(ctx, [16]byte{1}, [16]byte{}, time.Minute)
			return err
		},
		"guessed": func(ctx context.Context) error {
			_, _, err := s.Guessed(ctx, [16]byte{1}, [16]byte{}, time.Minute)
			return err
		},
		"forgive":     func(ctx context.Context) error { return s.Forgive(ctx, [16]byte{1}) },
		"check key":   func(ctx context.Context) error { return s.CheckKey(ctx, []byte("check")) },
		"replace key": func(ctx context.Context) error { return s.ReplaceKeyCheck(ctx, []byte("check"), []byte("other")) },
		"len": func(ctx context.Context) error {
			_, err := s.Len(ctx)
			return err
		},
	}
}

func cancelled(t *testing.T, b Backend) {
	s, c := start(t, b)
	put(t, s, "key", "value")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, do := range operations(s, c) {
		if err := do(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v, want %v", name, err, context.Canceled)
		}
	}
	claim(t, s, "alice", 1, c.Now().Add(time.Minute), true)
	load(t, s, "key", "value")
}

func closed(t *testing.T, b Backend) {
	s, c := start(t, b)
	put(t, s, "key", "value")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ops := operations(s, c)
	ops["watch"] = func(ctx context.Context) error { return s.Watch(ctx, func(string) {}) }
	for name, do := range ops {
		if err := do(t.Context()); !errors.Is(err, cache.ErrClosed) {
			t.Errorf("%s: error %v, want %v", name, err, cache.ErrClosed)
		}
	}
}
