package cache

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// The window is open if it began between $5 and $4. $6 says that there is a
// secret.
const (
	sqlTally = `INSERT INTO ldapd.tally AS t (key, last, n, began, until) VALUES ($1, $2, 1, $3, $4)
		ON CONFLICT (key) DO UPDATE SET
			last = excluded.last,
			n = CASE WHEN NOT (t.began > $5 AND t.began < $4) THEN 1 WHEN $6 AND t.last = $2 THEN t.n ELSE t.n + 1 END,
			began = CASE WHEN t.began > $5 AND t.began < $4 THEN t.began ELSE excluded.began END,
			until = CASE WHEN t.began > $5 AND t.began < $4 THEN t.until ELSE excluded.until END
		RETURNING n`
	sqlTallied = `SELECT n FROM ldapd.tally WHERE key = $1 AND began > $2 AND began < $3`

	sqlPurgeTallies = `DELETE FROM ldapd.tally WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM ldapd.tally WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED))`
)

// Tally implements Store. The count is committed when it returns.
func (p *Postgres) Tally(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, err error) {
	err = p.do(ctx, "tally", func(ctx context.Context) error {
		now := p.now()
		return p.transact(ctx, func(b *pgx.Batch) {
			b.Queue(sqlTally, key[:], secret[:], now, now.Add(window), now.Add(-window), secret != [16]byte{}).
				QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
			b.Queue(sqlPurgeTallies, now, purgeMost)
		})
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Tallied implements Store.
func (p *Postgres) Tallied(ctx context.Context, key [16]byte, window time.Duration) (n int, err error) {
	err = p.do(ctx, "tally", func(ctx context.Context) error {
		now := p.now()
		err := p.pool.QueryRow(ctx, sqlTallied, key[:], now.Add(-window), now.Add(window)).Scan(&n)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return n, err
}
