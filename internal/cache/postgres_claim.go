package cache

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A claim that has ended is as good as none. Purging comes last and passes
// over what others hold, so that nobody waits for each other.
const (
	sqlClaim = `INSERT INTO ldapd.claim AS c (user_id, counter, until) VALUES ($1, $2, $3)
		ON CONFLICT (user_id, counter) DO UPDATE SET until = excluded.until WHERE c.until <= $4`
	sqlPurgeClaims = `DELETE FROM ldapd.claim WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM ldapd.claim WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED))`
)

// Claim implements Store. It returns once the claim is committed.
func (p *Postgres) Claim(ctx context.Context, user string, counter int64, until time.Time) (fresh bool, err error) {
	if err := checkUser(user); err != nil {
		return false, fmt.Errorf("claim code: %w", err)
	}
	err = p.do(ctx, "claim code", func(ctx context.Context) error {
		now := p.now()
		return p.transact(ctx, func(b *pgx.Batch) {
			b.Queue(sqlClaim, []byte(user), counter, until, now).Exec(func(ct pgconn.CommandTag) error {
				fresh = ct.RowsAffected() == 1
				return nil
			})
			b.Queue(sqlPurgeClaims, now, purgeMost)
		})
	})
	return fresh && err == nil, err
}
