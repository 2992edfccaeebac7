package cache

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Who changes the guesses of a key has an advisory lock of it, so that their
// number is exact; that of the other locks, of two numbers, are others.
const (
	lockGuesses = `SELECT pg_advisory_xact_lock($1)`

	sqlGuessesLeave = `DELETE FROM ldapd.guess WHERE key = $1 AND at <= $2`
	sqlGuessesMove  = `UPDATE ldapd.guess SET at = $2, until = $3 WHERE key = $1 AND at > $2`
	sqlGuess        = `INSERT INTO ldapd.guess (key, secret, at, until) SELECT $1::bytea, $2::bytea, $3::timestamptz, $4::timestamptz
		WHERE $5 OR NOT EXISTS (SELECT FROM ldapd.guess WHERE key = $1 AND secret = $2)`
	sqlGuessesMost = `DELETE FROM ldapd.guess WHERE id IN (
		SELECT id FROM ldapd.guess WHERE key = $1 ORDER BY at DESC, id DESC OFFSET $2)`
	sqlGuesses = `SELECT count(*) FROM ldapd.guess WHERE key = $1`

	sqlGuessed = `SELECT count(*), count(*) FILTER (WHERE secret = $2), count(*) FILTER (WHERE at > $4)
		FROM ldapd.guess WHERE key = $1 AND at > $3`
	sqlForgive = `DELETE FROM ldapd.guess WHERE key = $1`

	sqlPurgeGuesses = `DELETE FROM ldapd.guess WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM ldapd.guess WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED))`
)

// lockOf is the number of the lock of a key.
func lockOf(key [16]byte) int64 { return int64(binary.BigEndian.Uint64(key[:])) }

// Guess implements Store. The secret is committed when it returns.
func (p *Postgres) Guess(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, fresh bool, err error) {
	err = p.do(ctx, "guess", func(ctx context.Context) error {
		now := p.now()
		return p.transact(ctx, func(b *pgx.Batch) {
			b.Queue(lockGuesses, lockOf(key))
			b.Queue(sqlGuessesLeave, key[:], now.Add(-window))
			b.Queue(sqlGuessesMove, key[:], now, now.Add(window))
			b.Queue(sqlGuess, key[:], secret[:], now, now.Add(window), secret == [16]byte{}).Exec(func(ct pgconn.CommandTag) error {
				fresh = ct.RowsAffected() == 1
				return nil
			})
			b.Queue(sqlGuessesMost, key[:], MaxGuesses)
			b.Queue(sqlGuesses, key[:]).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
			b.Queue(sqlPurgeGuesses, now, purgeMost)
		})
	})
	if err != nil {
		return 0, false, err
	}
	return n, fresh, nil
}

// Guessed implements Store.
func (p *Postgres) Guessed(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, seen bool, err error) {
	err = p.do(ctx, "guessed", func(ctx context.Context) error {
		now := p.now()
		var same, ahead int
		if err := p.pool.QueryRow(ctx, sqlGuessed, key[:], secret[:], now.Add(-window), now).Scan(&n, &same, &ahead); err != nil {
			return err
		}
		seen = same > 0 && secret != [16]byte{}
		if ahead == 0 {
			return nil
		}
		return p.transact(ctx, func(b *pgx.Batch) {
			b.Queue(lockGuesses, lockOf(key))
			b.Queue(sqlGuessesMove, key[:], now, now.Add(window))
		})
	})
	if err != nil {
		return 0, false, err
	}
	return n, seen, nil
}

// Forgive implements Store. The secrets are gone for all when it returns.
func (p *Postgres) Forgive(ctx context.Context, key [16]byte) error {
	return p.do(ctx, "forgive", func(ctx context.Context) error {
		return p.transact(ctx, func(b *pgx.Batch) {
			b.Queue(lockGuesses, lockOf(key))
			b.Queue(sqlForgive, key[:])
		})
	})
}
