package cache

import (
	"context"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
)

// Revoke implements Store. It is on disk when it returns.
func (b *Bolt) Revoke(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	err := b.do(ctx, b.write, func(tx *bbolt.Tx) error { return b.revoke(tx, []byte(key)) })
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	return nil
}

func (b *Bolt) revoke(tx *bbolt.Tx, key []byte) error {
	values, err := bucket(tx, bucketValues)
	if err != nil {
		return err
	}
	revoked, graves, err := pair(tx, bucketRevoked, bucketGraves)
	if err != nil {
		return err
	}
	now := b.now()
	gone, err := passed(graves, uint64(max(now.Unix(), 0)))
	if err != nil {
		return err
	}
	for _, k := range gone {
		// If it was revoked again, it has another grave.
		if v := revoked.Get(k); len(v) == 16 && binary.BigEndian.Uint64(v[8:]) <= uint64(max(now.Unix(), 0)) {
			if err := revoked.Delete(k); err != nil {
				return err
			}
		}
	}
	epoch, err := nextEpoch(tx)
	if err != nil {
		return err
	}
	if err := values.Delete(key); err != nil {
		return err
	}
	until := seconds(now.Add(tombstoneFor))
	if err := revoked.Put(key, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, epoch), until)); err != nil {
		return err
	}
	return addEnd(graves, until, key)
}

// nextEpoch gives out an epoch.
func nextEpoch(tx *bbolt.Tx) (uint64, error) {
	meta, err := bucket(tx, bucketMeta)
	if err != nil {
		return 0, err
	}
	epoch, err := number(meta, metaCounter)
	if err != nil {
		return 0, err
	}
	epoch++
	return epoch, meta.Put([]byte(metaCounter), binary.BigEndian.AppendUint64(nil, epoch))
}

// RevokeAll removes all values and raises the epoch of every key, on disk when
// it returns.
func (b *Bolt) RevokeAll(ctx context.Context) error {
	err := b.do(ctx, b.write, func(tx *bbolt.Tx) error {
		epoch, err := nextEpoch(tx)
		if err != nil {
			return err
		}
		for _, name := range []string{bucketValues, bucketRevoked, bucketGraves} {
			if err := tx.DeleteBucket([]byte(name)); err != nil {
				return err
			}
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		meta, err := bucket(tx, bucketMeta)
		if err != nil {
			return err
		}
		return meta.Put([]byte(metaAll), binary.BigEndian.AppendUint64(nil, epoch))
	})
	if err != nil {
		return fmt.Errorf("revoke all: %w", err)
	}
	return nil
}
