package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// errUsed ends a transaction without writing.
var errUsed = errors.New("used")

// Claim implements Store. It returns once the claim is on disk.
func (b *Bolt) Claim(ctx context.Context, user string, counter int64, until time.Time) (fresh bool, err error) {
	if err := checkUser(user); err != nil {
		return false, fmt.Errorf("claim code: %w", err)
	}
	key, end := codeKey(user, counter), seconds(until)
	err = b.do(ctx, b.write, func(tx *bbolt.Tx) error {
		used, ends, err := pair(tx, bucketUsed, bucketUsedEnds)
		if err != nil {
			return err
		}
		gone, err := passed(ends, uint64(max(b.now().Unix(), 0)))
		if err != nil {
			return err
		}
		for _, k := range gone {
			if err := used.Delete(k); err != nil {
				return err
			}
		}
		if used.Get(key) != nil {
			return errUsed
		}
		if err := used.Put(key, binary.BigEndian.AppendUint64(nil, end)); err != nil {
			return err
		}
		return addEnd(ends, end, key)
	})
	switch {
	case errors.Is(err, errUsed):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("claim code: %w", err)
	}
	return true, nil
}

func codeKey(user string, counter int64) []byte {
	key := append(make([]byte, 0, len(user)+9), user...)
	return binary.BigEndian.AppendUint64(append(key, 0), uint64(counter))
}
