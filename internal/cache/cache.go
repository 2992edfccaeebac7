// Package cache keeps what must outlive a bind: values of its user's making
// (package verified's records), counters of failures, what was tried as a
// secret, and the codes that were used. It knows nothing of what the values
// mean.
//
// What a store can do is [Store]. There are three: [Memory], [Bolt] in one
// file, and [Postgres], which several processes share. Every one passes the
// suite of package cachetest.
//
// # Epochs
//
// A value can be revoked while somebody is about to write it. So that it does
// not come back, each key has an epoch, which rises when the key, or all of
// them, are revoked: Load tells it, and Update fails with [ErrRevoked] if it
// has risen since. The store remembers the epoch of a key for a day.
package cache

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// What a store takes, in bytes.
const (
	maxUser  = 256 // user id of a claim
	maxKey   = 1024
	maxValue = 1 << 20
	maxCheck = 256 // value of CheckKey
)

// purgeMost is how many things that have had their day one write clears away.
// As it is more than one, a store holds no more than what is still of use, and
// what a pause left over.
const purgeMost = 16

// tombstoneFor is how long the epoch of a revoked key is remembered. No flow
// that began before takes as long.
const tombstoneFor = 24 * time.Hour

// Of a page of values, which Each reads at once.
const (
	pageEntries = 64
	pageBytes   = maxValue
)

var (
	// ErrClosed is returned by a store after Close.
	ErrClosed = errors.New("the store is closed")
	// ErrRevoked is returned by Update if the key was revoked since its epoch
	// was the given one. Nothing was written.
	ErrRevoked = errors.New("revoked in the meantime")
	// ErrOtherKey is returned by CheckKey if the store belongs to another key.
	ErrOtherKey = errors.New("the store was written with another key; all that share it need the same one")
)

// Clock returns the time; stores take it as a parameter for tests.
type Clock func() time.Time

func (c Clock) orSystem() Clock {
	if c == nil {
		return time.Now
	}
	return c
}

func checkUser(user string) error {
	if user == "" || len(user) > maxUser {
		return fmt.Errorf("user id of %d bytes, must have 1 to %d", len(user), maxUser)
	}
	return nil
}

func checkKey(key string) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("key of %d bytes, must have 1 to %d", len(key), maxKey)
	}
	if !utf8.ValidString(key) {
		return errors.New("key is not UTF-8")
	}
	return nil
}

func checkValue(value []byte) error {
	if len(value) > maxValue {
		return fmt.Errorf("value of %d bytes, may have %d", len(value), maxValue)
	}
	return nil
}

func checkCheck(check []byte) error {
	if len(check) == 0 || len(check) > maxCheck {
		return fmt.Errorf("check of %d bytes, must have 1 to %d", len(check), maxCheck)
	}
	return nil
}

// entry is what Each hands out.
type entry struct {
	key   string
	value []byte
	epoch uint64
}
