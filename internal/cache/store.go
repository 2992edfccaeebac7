package cache

import (
	"context"
	"time"
)

// Store is what a store can do. All operations may be called at the same time,
// fail with [ErrClosed] after Close, and have happened, for good, when they
// return without an error.
type Store interface {
	// Load returns the value of a key, nil if there is none, and its epoch.
	Load(ctx context.Context, key string) (value []byte, epoch uint64, err error)
	// Update replaces the value of a key by what change makes of it, and
	// removes it if that is nil. It fails with ErrRevoked if the key was
	// revoked since its epoch was the given one. change may be called more
	// than once; it must not keep old, nor use the store.
	Update(ctx context.Context, key string, epoch uint64, change func(old []byte) ([]byte, error)) error
	// Revoke removes the value of a key, if it has one, and raises its epoch.
	Revoke(ctx context.Context, key string) error
	// RevokeAll removes all values and raises the epoch of every key.
	RevokeAll(ctx context.Context) error
	// Each calls f for every value, in the order of the keys.
	Each(ctx context.Context, f func(key string, value []byte, epoch uint64) error) error

	// Shared reports that other processes write to the store as well.
	Shared() bool
	// Watch calls changed for each key that another process changed or
	// revoked, and with "" when any may have. It returns nil when ctx ends,
	// and an error as soon as it cannot be relied on to tell: then all is to
	// be read again, and Watch called again.
	Watch(ctx context.Context, changed func(key string)) error

	// Claim records that a one-time code of a user, told by its counter, is
	// used until some time. fresh is false if it was already. It is
	// mfa.UsedCodes.
	Claim(ctx context.Context, user string, counter int64, until time.Time) (fresh bool, err error)

	// Tally adds one to a counter, unless secret is what was added to it last
	// and is not zero, and returns the count in the window that began with the
	// first. A key always has the same window.
	Tally(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, err error)
	// Tallied returns what Tally returned last, if the window is open still.
	Tallied(ctx context.Context, key [16]byte, window time.Duration) (n int, err error)

	// Guess notes that a secret was tried under a key, unless it is among
	// those that were tried within the window before, up to now. It returns
	// how many those are then, and whether this one is new. A zero secret is
	// always new. Who tries at the same time, in whatever process, gets
	// different numbers. No more than MaxGuesses are kept of a key; beyond
	// that the oldest goes, and the number stays. A key always has the same
	// window.
	//
	// If the clock was set back, what was tried later than now counts as
	// tried now.
	Guess(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, fresh bool, err error)
	// Guessed returns how many secrets were tried within the window, and
	// whether secret is among them; a zero one never is.
	Guessed(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, seen bool, err error)
	// Forgive forgets the secrets that were tried under a key.
	Forgive(ctx context.Context, key [16]byte) error

	// CheckKey binds the store to a key on first use, by a value that says
	// nothing about the key but is another for every one. Later it returns
	// ErrOtherKey unless the value is the same.
	CheckKey(ctx context.Context, check []byte) error
	// ReplaceKeyCheck binds the store to another key: it must be bound to the
	// old one, to the new one already, or to none, else ErrOtherKey is
	// returned.
	ReplaceKeyCheck(ctx context.Context, old, new []byte) error

	// Close ends the use of the store, when what is under way is done.
	Close() error
}

var (
	_ Store = (*Memory)(nil)
	_ Store = (*Bolt)(nil)
	_ Store = (*Postgres)(nil)
)
