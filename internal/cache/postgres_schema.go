package cache

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ErrNewerSchema means that the tables were made by a newer version of ldapd.
var ErrNewerSchema = errors.New("the schema ldapd in the database is of a newer version of ldapd than this one")

// migrations make the tables, each what the one before has left. They never
// change once they were released. A release that is to run beside the one
// before may only add.
//
// Values are encrypted: compressing them would be in vain.
var migrations = [...]string{
	`CREATE TABLE ldapd.state (
		one       boolean PRIMARY KEY DEFAULT true CHECK (one),
		counter   bigint NOT NULL DEFAULT 0, -- the last epoch given out
		all_epoch bigint NOT NULL DEFAULT 0, -- of all keys
		key_check bytea                      -- of CheckKey
	);
	INSERT INTO ldapd.state DEFAULT VALUES;
	CREATE TABLE ldapd.entry (
		key     bytea PRIMARY KEY,
		value   bytea, -- null: removed or revoked
		epoch   bigint NOT NULL DEFAULT 0,
		emptied timestamptz CHECK ((emptied IS NULL) = (value IS NOT NULL))
	);
	ALTER TABLE ldapd.entry ALTER COLUMN value SET STORAGE EXTERNAL;
	CREATE INDEX entry_emptied ON ldapd.entry (emptied) WHERE value IS NULL;
	CREATE TABLE ldapd.claim (
		user_id bytea NOT NULL,
		counter bigint NOT NULL,
		until   timestamptz NOT NULL,
		PRIMARY KEY (user_id, counter)
	);
	CREATE INDEX claim_until ON ldapd.claim (until);
	CREATE TABLE ldapd.tally (
		key   bytea PRIMARY KEY,
		last  bytea NOT NULL,
		n     bigint NOT NULL,
		began timestamptz NOT NULL,
		until timestamptz NOT NULL
	);
	CREATE INDEX tally_until ON ldapd.tally (until);`,
	`CREATE TABLE ldapd.guess (
		id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		key    bytea NOT NULL,
		secret bytea NOT NULL,
		at     timestamptz NOT NULL,
		until  timestamptz NOT NULL
	);
	CREATE INDEX guess_key ON ldapd.guess (key);
	CREATE INDEX guess_until ON ldapd.guess (until);`,
}

// ready returns once the tables are there and of our version. Only if they are
// not does it need a right to create.
func (p *Postgres) ready(ctx context.Context) error {
	if p.migrated.Load() {
		return nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.migrated.Load() {
		return nil
	}
	version, err := schemaVersion(ctx, p.pool)
	if err == nil && version < len(migrations) {
		err = p.migrate(ctx)
	}
	if err != nil {
		return err
	}
	p.migrated.Store(true)
	return nil
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// schemaVersion returns how many of the migrations were made. It fails with
// ErrNewerSchema if there are more than this version knows.
func schemaVersion(ctx context.Context, q querier) (version int, err error) {
	// Not to_regclass: it may not know yet what was made while we waited for
	// the lock.
	const made = `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'ldapd' AND c.relname = 'migration')`
	var exists bool
	if err := q.QueryRow(ctx, made).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	if err := q.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM ldapd.migration`).Scan(&version); err != nil {
		return 0, err
	}
	if version > len(migrations) {
		return 0, fmt.Errorf("%w: version %d, known up to %d", ErrNewerSchema, version, len(migrations))
	}
	return version, nil
}

func (p *Postgres) migrate(ctx context.Context) error {
	err := pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockMigrate); err != nil {
			return err
		}
		// Another process may have been first.
		version, err := schemaVersion(ctx, tx)
		if err != nil {
			return err
		}
		if version == 0 {
			if err := makeSchema(ctx, tx); err != nil {
				return err
			}
		}
		for ; version < len(migrations); version++ {
			if _, err := tx.Conn().PgConn().Exec(ctx, migrations[version]).ReadAll(); err != nil {
				return fmt.Errorf("to version %d: %w", version+1, err)
			}
			if _, err := tx.Exec(ctx, `INSERT INTO ldapd.migration (version) VALUES ($1)`, version+1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("make the tables: %w", err)
	}
	return nil
}

// makeSchema makes the schema, unless an administrator has, and the table of
// migrations.
func makeSchema(ctx context.Context, tx pgx.Tx) error {
	var exists bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'ldapd')`).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		if _, err := tx.Exec(ctx, `CREATE SCHEMA ldapd`); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `CREATE TABLE ldapd.migration (version integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())`)
	return err
}
