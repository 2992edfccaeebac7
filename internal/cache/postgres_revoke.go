package cache

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Revocations queue at the row of ldapd.state, so that epochs are committed in
// the order in which they are given out. Whoever waits there holds no value.
const (
	sqlRevoke = `WITH next AS (UPDATE ldapd.state SET counter = counter + 1 RETURNING counter), written AS (
			INSERT INTO ldapd.entry (key, epoch, emptied) SELECT $1::bytea, counter, $2::timestamptz FROM next
			ON CONFLICT (key) DO UPDATE SET value = NULL, epoch = excluded.epoch, emptied = excluded.emptied
			RETURNING 1)
		SELECT pg_notify('ldapd', $3) FROM written`

	sqlRaiseAll = `UPDATE ldapd.state SET counter = counter + 1, all_epoch = counter + 1`
	sqlEmpty    = `DELETE FROM ldapd.entry`
	sqlNotify   = `SELECT pg_notify('ldapd', $1)`
)

// Revoke implements Store. It is committed when it returns.
func (p *Postgres) Revoke(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	return p.do(ctx, "revoke", func(ctx context.Context) error {
		now := p.now()
		return p.transact(ctx, func(b *pgx.Batch) {
			b.Queue(lockShared)
			b.Queue(sqlRevoke, []byte(key), now, p.payload(key))
			b.Queue(sqlPurgeEntries, now.Add(-tombstoneFor), purgeMost)
		})
	})
}

// RevokeAll implements Store. It is committed when it returns.
func (p *Postgres) RevokeAll(ctx context.Context) error {
	return p.do(ctx, "revoke all", func(ctx context.Context) error {
		return p.transact(ctx, func(b *pgx.Batch) {
			b.Queue(lockExclusive)
			b.Queue(sqlRaiseAll)
			b.Queue(sqlEmpty)
			b.Queue(sqlNotify, p.payload(""))
		})
	})
}
