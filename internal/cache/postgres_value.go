package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A value is only written where the old one is still what change was given,
// and only if neither the key nor all were revoked. The lock keeps RevokeAll
// out, the row itself Revoke and other writers. Who is told is told by the
// same transaction.
const (
	sqlLoad = `SELECT e.value, greatest(s.all_epoch, e.epoch) FROM ldapd.state s LEFT JOIN ldapd.entry e ON e.key = $1`

	sqlInsert = `WITH written AS (
			INSERT INTO ldapd.entry AS e (key, value) SELECT $1::bytea, $2::bytea FROM ldapd.state WHERE all_epoch <= $3
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, emptied = NULL WHERE e.value IS NULL AND e.epoch <= $3
			RETURNING 1)
		SELECT pg_notify('ldapd', $4) FROM written`
	sqlReplace = `WITH written AS (
			UPDATE ldapd.entry e SET value = $2 FROM ldapd.state s
			WHERE e.key = $1 AND s.all_epoch <= $3 AND e.epoch <= $3 AND sha256(e.value) = $5
			RETURNING 1)
		SELECT pg_notify('ldapd', $4) FROM written`
	sqlRemove = `WITH written AS (
			UPDATE ldapd.entry e SET value = NULL, emptied = $2 FROM ldapd.state s
			WHERE e.key = $1 AND s.all_epoch <= $3 AND e.epoch <= $3 AND sha256(e.value) = $5
			RETURNING 1)
		SELECT pg_notify('ldapd', $4) FROM written`

	sqlPurgeEntries = `DELETE FROM ldapd.entry WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM ldapd.entry WHERE value IS NULL AND emptied <= $1 ORDER BY emptied LIMIT $2 FOR UPDATE SKIP LOCKED))`

	sqlPage = `SELECT e.key, e.value, greatest(s.all_epoch, e.epoch) FROM ldapd.entry e, ldapd.state s
		WHERE e.key > $1 AND e.value IS NOT NULL ORDER BY e.key LIMIT $2`
)

// Load implements Store.
func (p *Postgres) Load(ctx context.Context, key string) (value []byte, epoch uint64, err error) {
	if err := checkKey(key); err != nil {
		return nil, 0, fmt.Errorf("load: %w", err)
	}
	err = p.do(ctx, "load", func(ctx context.Context) error {
		value, epoch, err = p.load(ctx, key)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return value, epoch, nil
}

func (p *Postgres) load(ctx context.Context, key string) (value []byte, epoch uint64, err error) {
	err = p.pool.QueryRow(ctx, sqlLoad, []byte(key)).Scan(&value, &epoch)
	return value, epoch, err
}

// Update implements Store. The change is committed when it returns; one that
// changes nothing is not written. change is called again if another process
// was faster, and may use the store.
//
// If the connection is lost at the wrong moment, an error is returned although
// the change was made.
func (p *Postgres) Update(ctx context.Context, key string, epoch uint64, change func(old []byte) ([]byte, error)) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return p.do(ctx, "update", func(ctx context.Context) error {
		for {
			if done, err := p.update(ctx, key, epoch, change); done || err != nil {
				return err
			}
		}
	})
}

// update tries once; it is not done if the value has changed meanwhile.
func (p *Postgres) update(ctx context.Context, key string, epoch uint64, change func(old []byte) ([]byte, error)) (done bool, err error) {
	old, now, err := p.load(ctx, key)
	switch {
	case err != nil:
		return false, err
	case now > epoch:
		return false, ErrRevoked
	}
	value, err := change(bytes.Clone(old))
	if err == nil {
		err = checkValue(value)
	}
	if err != nil {
		return false, err
	}
	if bytes.Equal(old, value) && (old == nil) == (value == nil) {
		return true, nil
	}
	written := func(ct pgconn.CommandTag) error {
		done = ct.RowsAffected() == 1
		return nil
	}
	most, sum := int64(min(epoch, math.MaxInt64)), sha256.Sum256(old)
	err = p.transact(ctx, func(b *pgx.Batch) {
		b.Queue(lockShared)
		switch {
		case old == nil:
			b.Queue(sqlInsert, []byte(key), value, most, p.payload(key)).Exec(written)
		case value == nil:
			b.Queue(sqlRemove, []byte(key), p.now(), most, p.payload(key), sum[:]).Exec(written)
			b.Queue(sqlPurgeEntries, p.now().Add(-tombstoneFor), purgeMost)
		default:
			b.Queue(sqlReplace, []byte(key), value, most, p.payload(key), sum[:]).Exec(written)
		}
	})
	return done, err
}

// Each implements Store. f may use the store; what is changed meanwhile is told
// as it was or as it is.
func (p *Postgres) Each(ctx context.Context, f func(key string, value []byte, epoch uint64) error) error {
	after := []byte{}
	for {
		var page []entry
		err := p.do(ctx, "read all", func(ctx context.Context) (err error) {
			page, err = p.page(ctx, after)
			return err
		})
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := f(e.key, e.value, e.epoch); err != nil {
				return err
			}
		}
		if len(page) < pageEntries {
			return nil
		}
		after = []byte(page[len(page)-1].key)
	}
}

// page returns some of the values behind a key.
func (p *Postgres) page(ctx context.Context, after []byte) ([]entry, error) {
	rows, err := p.pool.Query(ctx, sqlPage, after, pageEntries)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e entry, err error) {
		var key []byte
		err = row.Scan(&key, &e.value, &e.epoch)
		e.key = string(key)
		return e, err
	})
}
