package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// Load returns the value of a key, nil if there is none, and its epoch.
func (b *Bolt) Load(ctx context.Context, key string) (value []byte, epoch uint64, err error) {
	if err := checkKey(key); err != nil {
		return nil, 0, fmt.Errorf("load: %w", err)
	}
	release, err := b.take(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("load: %w", err)
	}
	defer release()
	if value, epoch, err = b.load(key); err != nil {
		return nil, 0, fmt.Errorf("load: %w", err)
	}
	return value, epoch, nil
}

func (b *Bolt) load(key string) (value []byte, epoch uint64, err error) {
	err = b.read(func(tx *bbolt.Tx) error {
		values, err := bucket(tx, bucketValues)
		if err != nil {
			return err
		}
		value = bytes.Clone(values.Get([]byte(key)))
		epoch, err = epochOf(tx, []byte(key))
		return err
	})
	return value, epoch, err
}

// epochOf returns the epoch of a key.
func epochOf(tx *bbolt.Tx, key []byte) (uint64, error) {
	meta, err := bucket(tx, bucketMeta)
	if err != nil {
		return 0, err
	}
	revoked, err := bucket(tx, bucketRevoked)
	if err != nil {
		return 0, err
	}
	all, err := number(meta, metaAll)
	if err != nil {
		return 0, err
	}
	switch v := revoked.Get(key); len(v) {
	case 0:
		return all, nil
	case 16:
		return max(all, binary.BigEndian.Uint64(v)), nil
	default:
		return 0, damaged(errors.New("epoch of odd length"))
	}
}

// number returns a number of bucketMeta, 0 if it was never set.
func number(meta *bbolt.Bucket, name string) (uint64, error) {
	switch v := meta.Get([]byte(name)); len(v) {
	case 0:
		return 0, nil
	case 8:
		return binary.BigEndian.Uint64(v), nil
	default:
		return 0, damaged(fmt.Errorf("%s of odd length", name))
	}
}

// Update replaces the value of a key by what change makes of it, and removes
// it if that is nil. It fails with ErrRevoked if the key was revoked since its
// epoch was the given one. The change is on disk when Update returns; one that
// changes nothing is not written. change may be called more than once; it must
// not keep old, nor use the store.
func (b *Bolt) Update(ctx context.Context, key string, epoch uint64, change func(old []byte) ([]byte, error)) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	release, err := b.take(ctx)
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	defer release()
	if err := b.update(key, epoch, change); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return nil
}

// update keeps change out of bbolt's transactions, where its panic would be
// taken for damage. Nobody writes in between: who calls has the turn.
func (b *Bolt) update(key string, epoch uint64, change func(old []byte) ([]byte, error)) error {
	old, now, err := b.load(key)
	switch {
	case err != nil:
		return err
	case now > epoch:
		return ErrRevoked
	}
	value, err := change(bytes.Clone(old))
	if err == nil {
		err = checkValue(value)
	}
	if err != nil {
		return err
	}
	if bytes.Equal(old, value) && (old == nil) == (value == nil) {
		return nil
	}
	return b.write(func(tx *bbolt.Tx) error {
		values, err := bucket(tx, bucketValues)
		switch {
		case err != nil:
			return err
		case value == nil:
			return values.Delete([]byte(key))
		}
		return values.Put([]byte(key), value)
	})
}

// Each calls f for every value, in the order of the keys. f may use the store;
// what is changed meanwhile is told as it was or as it is.
func (b *Bolt) Each(ctx context.Context, f func(key string, value []byte, epoch uint64) error) error {
	var after []byte
	for {
		page, err := b.page(ctx, after)
		if err != nil {
			return fmt.Errorf("read all: %w", err)
		}
		if len(page) == 0 {
			return nil
		}
		for _, e := range page {
			if err := f(e.key, e.value, e.epoch); err != nil {
				return err
			}
		}
		after = []byte(page[len(page)-1].key)
	}
}

// page returns some of the values behind a key.
func (b *Bolt) page(ctx context.Context, after []byte) (page []entry, err error) {
	err = b.do(ctx, b.read, func(tx *bbolt.Tx) error {
		values, err := bucket(tx, bucketValues)
		if err != nil {
			return err
		}
		c := values.Cursor()
		k, v := c.Seek(after)
		if k != nil && bytes.Equal(k, after) {
			k, v = c.Next()
		}
		for size := 0; k != nil && len(page) < pageEntries && size < pageBytes; k, v = c.Next() {
			epoch, err := epochOf(tx, k)
			if err != nil {
				return err
			}
			page = append(page, entry{string(k), bytes.Clone(v), epoch})
			size += len(v)
		}
		return nil
	})
	return page, err
}
