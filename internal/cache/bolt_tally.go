package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// Tally implements Store. The count is on disk when it returns.
func (b *Bolt) Tally(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, err error) {
	release, err := b.take(ctx)
	if err != nil {
		return 0, fmt.Errorf("tally: %w", err)
	}
	defer release()
	old, err := b.tally(key)
	if err != nil {
		return 0, fmt.Errorf("tally: %w", err)
	}
	now := b.now()
	t, again := old.add(secret, now, window)
	if !again {
		if err := b.write(func(tx *bbolt.Tx) error { return putTally(tx, key, t, now) }); err != nil {
			return 0, fmt.Errorf("tally: %w", err)
		}
	}
	return t.count(now, window), nil
}

// Tallied implements Store.
func (b *Bolt) Tallied(ctx context.Context, key [16]byte, window time.Duration) (n int, err error) {
	release, err := b.take(ctx)
	if err != nil {
		return 0, fmt.Errorf("tally: %w", err)
	}
	defer release()
	t, err := b.tally(key)
	if err != nil {
		return 0, fmt.Errorf("tally: %w", err)
	}
	return t.count(b.now(), window), nil
}

// tally reads a counter; who calls has the turn.
func (b *Bolt) tally(key [16]byte) (t tally, err error) {
	err = b.read(func(tx *bbolt.Tx) error {
		tallies, err := bucket(tx, bucketTallies)
		if err != nil {
			return err
		}
		if v := tallies.Get(key[:]); v != nil {
			t, err = decodeTally(v)
		}
		return err
	})
	return t, err
}

// putTally writes a counter, and clears away what nobody asks for any more.
func putTally(tx *bbolt.Tx, key [16]byte, t tally, now time.Time) error {
	tallies, ends, err := pair(tx, bucketTallies, bucketTallyEnds)
	if err != nil {
		return err
	}
	gone, err := passed(ends, uint64(max(now.Unix(), 0)))
	if err != nil {
		return err
	}
	for _, k := range gone {
		v := tallies.Get(k)
		if v == nil {
			continue
		}
		old, err := decodeTally(v)
		if err != nil {
			return err
		}
		if old.until.After(now) {
			continue // it began anew, and has another end
		}
		if err := tallies.Delete(k); err != nil {
			return err
		}
	}
	if err := tallies.Put(key[:], encodeTally(t)); err != nil {
		return err
	}
	if t.n > 1 {
		return nil
	}
	return addEnd(ends, seconds(t.until), key[:])
}

// A tally is the secret, the count, when it began (Unix nanoseconds) and how
// many nanoseconds later it ends.
const tallySize = 16 + 8 + 8 + 8

func encodeTally(t tally) []byte {
	b := append(make([]byte, 0, tallySize), t.last[:]...)
	b = binary.BigEndian.AppendUint64(b, t.n)
	b = binary.BigEndian.AppendUint64(b, uint64(t.began.UnixNano()))
	return binary.BigEndian.AppendUint64(b, uint64(t.until.Sub(t.began)))
}

func decodeTally(b []byte) (t tally, err error) {
	if len(b) != tallySize {
		return tally{}, damaged(errors.New("counter of odd length"))
	}
	copy(t.last[:], b)
	t.n = binary.BigEndian.Uint64(b[16:])
	t.began = time.Unix(0, int64(binary.BigEndian.Uint64(b[24:])))
	t.until = t.began.Add(time.Duration(binary.BigEndian.Uint64(b[32:])))
	return t, nil
}
