package cache

import (
	"bytes"
	"context"
	"fmt"

	"go.etcd.io/bbolt"
)

// CheckKey implements Store.
func (b *Bolt) CheckKey(ctx context.Context, check []byte) error {
	return b.check(ctx, "check key", check, check)
}

// ReplaceKeyCheck implements Store.
func (b *Bolt) ReplaceKeyCheck(ctx context.Context, old, new []byte) error {
	return b.check(ctx, "replace key check", old, new)
}

func (b *Bolt) check(ctx context.Context, doing string, old, new []byte) error {
	err := checkCheck(new)
	if err == nil {
		err = b.do(ctx, b.write, func(tx *bbolt.Tx) error {
			meta, err := bucket(tx, bucketMeta)
			if err != nil {
				return err
			}
			if v := meta.Get([]byte(metaCheck)); v != nil && !bytes.Equal(v, old) && !bytes.Equal(v, new) {
				return ErrOtherKey
			}
			return meta.Put([]byte(metaCheck), new)
		})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
