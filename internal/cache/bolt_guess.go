package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// Guess implements Store. It returns once the secret is on disk.
func (b *Bolt) Guess(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, fresh bool, err error) {
	g, fresh, err := b.guess(ctx, key, window, func(g guesses, now time.Time) (guesses, bool) {
		if g.has(secret) {
			return g, false
		}
		return g.add(secret, now), true
	})
	return len(g), fresh, err
}

// Guessed implements Store.
func (b *Bolt) Guessed(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, seen bool, err error) {
	g, _, err := b.guess(ctx, key, window, func(g guesses, _ time.Time) (guesses, bool) { return g, false })
	return len(g), g.has(secret), err
}

// guess reads the secrets of a key, and writes them if change or the clock
// made others of them.
func (b *Bolt) guess(ctx context.Context, key [16]byte, window time.Duration,
	change func(guesses, time.Time) (next guesses, changed bool),
) (g guesses, changed bool, err error) {
	release, err := b.take(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("guess: %w", err)
	}
	defer release()
	var old []byte
	err = b.read(func(tx *bbolt.Tx) error {
		all, err := bucket(tx, bucketGuesses)
		if err != nil {
			return err
		}
		old = append(old, all.Get(key[:])...)
		_, g, err = decodeGuesses(old)
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("guess: %w", err)
	}
	now := b.now()
	g, moved := g.current(now, window)
	g, changed = change(g, now)
	if changed || moved {
		if err := b.write(func(tx *bbolt.Tx) error { return putGuesses(tx, key, old, g, window, now) }); err != nil {
			return nil, false, fmt.Errorf("guess: %w", err)
		}
	}
	return g, changed, nil
}

// Forgive implements Store. It returns once the secrets are gone from the
// disk.
func (b *Bolt) Forgive(ctx context.Context, key [16]byte) error {
	err := b.do(ctx, b.write, func(tx *bbolt.Tx) error {
		all, ends, err := pair(tx, bucketGuesses, bucketGuessEnds)
		if err != nil {
			return err
		}
		if err := dropGuesses(ends, key, all.Get(key[:])); err != nil {
			return err
		}
		return all.Delete(key[:])
	})
	if err != nil {
		return fmt.Errorf("forgive: %w", err)
	}
	return nil
}

// putGuesses replaces the secrets of a key, and clears away what nobody asks
// for any more. Each key is on the index once.
func putGuesses(tx *bbolt.Tx, key [16]byte, old []byte, g guesses, window time.Duration, now time.Time) error {
	all, ends, err := pair(tx, bucketGuesses, bucketGuessEnds)
	if err != nil {
		return err
	}
	if err := dropGuesses(ends, key, old); err != nil {
		return err
	}
	gone, err := passed(ends, uint64(max(now.Unix(), 0)))
	if err != nil {
		return err
	}
	for _, k := range gone {
		if err := all.Delete(k); err != nil {
			return err
		}
	}
	until := seconds(g.end(window))
	if err := all.Put(key[:], encodeGuesses(until, g)); err != nil {
		return err
	}
	return addEnd(ends, until, key[:])
}

// dropGuesses takes a key off the index.
func dropGuesses(ends *bbolt.Bucket, key [16]byte, old []byte) error {
	until, g, err := decodeGuesses(old)
	if err != nil || g == nil {
		return err
	}
	return ends.Delete(append(binary.BigEndian.AppendUint64(nil, until), key[:]...))
}

// The secrets of a key are its end on the index, and of each secret when it
// was tried (Unix nanoseconds) and itself.
const guessSize = 8 + 16

func encodeGuesses(until uint64, g guesses) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(g)*guessSize), until)
	for _, x := range g {
		b = append(binary.BigEndian.AppendUint64(b, uint64(x.at.UnixNano())), x.secret[:]...)
	}
	return b
}

// decodeGuesses returns none of nothing.
func decodeGuesses(b []byte) (until uint64, g guesses, err error) {
	if len(b) == 0 {
		return 0, nil, nil
	}
	if len(b) < 8+guessSize || (len(b)-8)%guessSize != 0 {
		return 0, nil, damaged(errors.New("guesses of odd length"))
	}
	until, b = binary.BigEndian.Uint64(b), b[8:]
	for ; len(b) > 0; b = b[guessSize:] {
		g = append(g, guess{secret: [16]byte(b[8:guessSize]), at: time.Unix(0, int64(binary.BigEndian.Uint64(b)))})
	}
	return until, g, nil
}
