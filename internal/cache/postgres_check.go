package cache

import (
	"bytes"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// CheckKey implements Store.
func (p *Postgres) CheckKey(ctx context.Context, check []byte) error {
	if err := checkCheck(check); err != nil {
		return fmt.Errorf("check key: %w", err)
	}
	return p.do(ctx, "check key", func(ctx context.Context) error {
		var has []byte
		err := p.transact(ctx, func(b *pgx.Batch) {
			b.Queue(`UPDATE ldapd.state SET key_check = $1 WHERE key_check IS NULL`, check)
			b.Queue(`SELECT key_check FROM ldapd.state`).QueryRow(func(row pgx.Row) error { return row.Scan(&has) })
		})
		if err == nil && !bytes.Equal(has, check) {
			err = ErrOtherKey
		}
		return err
	})
}

// ReplaceKeyCheck implements Store.
func (p *Postgres) ReplaceKeyCheck(ctx context.Context, old, new []byte) error {
	if err := checkCheck(new); err != nil {
		return fmt.Errorf("replace key check: %w", err)
	}
	return p.do(ctx, "replace key check", func(ctx context.Context) error {
		var done bool
		err := p.transact(ctx, func(b *pgx.Batch) {
			b.Queue(`UPDATE ldapd.state SET key_check = $1 WHERE key_check IS NULL OR key_check IN ($1, $2)`, new, old).
				Exec(func(ct pgconn.CommandTag) error {
					done = ct.RowsAffected() == 1
					return nil
				})
		})
		if err == nil && !done {
			err = ErrOtherKey
		}
		return err
	})
}
