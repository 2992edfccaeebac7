package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/puddle/v2"
	"go.uber.org/zap"
)

// Limits of what is asked of PostgreSQL.
const (
	postgresConns    = 8 // unless the DSN has pool_max_conns
	connectTimeout   = 5 * time.Second
	operationTimeout = 10 * time.Second // of one operation, whatever its context says
	idlePingTimeout  = 2 * time.Second  // of a connection that was idle
	closeGrace       = 2 * time.Second
)

// Advisory locks, which hold for the whole database: a class, and what they
// are for in it.
const (
	lockMigrate = `SELECT pg_advisory_xact_lock(1818517872, 1)`
	// Who writes values shares this lock; who revokes them all has it alone.
	lockShared    = `SELECT pg_advisory_xact_lock_shared(1818517872, 2)`
	lockExclusive = `SELECT pg_advisory_xact_lock(1818517872, 2)`
)

// PostgresOptions are what a store in PostgreSQL needs besides its place.
type PostgresOptions struct {
	Now Clock       // nil: time.Now
	Log *zap.Logger // nil: none
}

// Postgres keeps its content in the schema ldapd of a database, which several
// processes share: what one has written or revoked holds for all of them.
//
// Every write is one transaction, sent at once: no lock outlives the trip of a
// message. An operation takes 10 seconds at most, then it fails.
type Postgres struct {
	pool    *pgxpool.Pool
	sockets *sockets
	now     Clock
	log     *zap.Logger
	id      string // tells what this store has changed from what others have

	quiet, patience time.Duration // see watchTest and watchPatience

	migrated atomic.Bool
	turn     chan struct{} // who migrates

	closing sync.Once
	life    context.Context // ends with Close
	end     context.CancelFunc
}

// OpenPostgres opens the store in the database that dsn names: a URL or
// libpq's keywords, with pgxpool's settings beside libpq's. It makes or
// updates its tables. A server that cannot be reached is no error: operations
// fail until it can. A server that refuses for good is, as is ErrNewerSchema.
// No error or log message holds the password.
func OpenPostgres(ctx context.Context, dsn string, o PostgresOptions) (*Postgres, error) {
	p, err := newPostgres(ctx, dsn, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	switch err := p.ready(ctx); {
	case err == nil:
	case final(err), errors.Is(err, context.Canceled):
		p.Close()
		return nil, fmt.Errorf("postgres: %w", err)
	default:
		p.log.Warn("PostgreSQL cannot be used yet", zap.Error(err))
	}
	return p, nil
}

func newPostgres(ctx context.Context, dsn string, o PostgresOptions) (*Postgres, error) {
	cfg, err := postgresConfig(dsn)
	if err != nil {
		return nil, err
	}
	s := &sockets{open: map[*socket]struct{}{}}
	cfg.ConnConfig.DialFunc = s.dial
	// The pool begins no connection, and its end is Close.
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), cfg)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	p := &Postgres{pool: pool, sockets: s, now: o.Now.orSystem(), log: o.Log, id: rand.Text(), quiet: watchTest, patience: watchPatience, turn: make(chan struct{}, 1)}
	if p.log == nil {
		p.log = zap.NewNop()
	}
	p.life, p.end = context.WithCancel(context.Background())
	return p, nil
}

// CheckPostgres tests that the database that dsn names can be reached, and that
// a store there would hear of what others change. It changes nothing.
func CheckPostgres(ctx context.Context, dsn string) error {
	p, err := newPostgres(ctx, dsn, PostgresOptions{})
	if err != nil {
		return err
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	heard := false
	err = p.Watch(ctx, func(string) { heard = true; cancel() })
	if err == nil && !heard {
		err = fmt.Errorf("postgres: no answer: %w", ctx.Err())
	}
	return err
}

// errDSN takes the place of pgx's error, which holds the DSN.
var errDSN = errors.New("dsn cannot be read; it is of the form postgres://user:password@host:5432/database?sslmode=verify-full, " +
	"with what is special in a password as %XX, or of the form host=HOST dbname=DATABASE user=USER password=PASSWORD")

func postgresConfig(dsn string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		var pe *fs.PathError // of a certificate
		if errors.As(err, &pe) {
			return nil, fmt.Errorf("postgres: dsn: %w", pe)
		}
		return nil, fmt.Errorf("postgres: %w", errDSN)
	}
	if !strings.Contains(dsn, "pool_max_conns") {
		cfg.MaxConns = postgresConns
	}
	cfg.PingTimeout = idlePingTimeout
	c := cfg.ConnConfig
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "ldapd"
	}
	return cfg, nil
}

// final tells whether it takes an administrator to end an error.
func final(err error) bool {
	if errors.Is(err, ErrNewerSchema) {
		return true
	}
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || len(pe.Code) != 5 {
		return false
	}
	switch pe.Code[:2] {
	case "28", // invalid authorization
		"3D", // no such database
		"3F", // no such schema
		"42": // insufficient privilege, or a table is not what it should be
		return true
	}
	return false
}

// do runs an operation, once the tables are there.
func (p *Postgres) do(ctx context.Context, doing string, f func(ctx context.Context) error) error {
	err := ctx.Err()
	switch {
	case err != nil:
	case p.life.Err() != nil:
		err = ErrClosed
	default:
		ctx, cancel := context.WithTimeout(ctx, operationTimeout)
		defer cancel()
		if err = p.ready(ctx); err == nil {
			err = f(ctx)
		}
		// Of what was late for the pool.
		if errors.Is(err, puddle.ErrClosedPool) {
			err = ErrClosed
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// transact runs statements as one transaction that sees what was committed
// before each of them, in one trip.
func (p *Postgres) transact(ctx context.Context, queue func(*pgx.Batch)) error {
	b := &pgx.Batch{}
	b.Queue(`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE`)
	queue(b)
	b.Queue(`COMMIT`)
	return p.pool.SendBatch(ctx, b).Close()
}

// Shared implements Store.
func (p *Postgres) Shared() bool { return true }

// Len returns how many claims, counters, keys with guesses and epochs of keys
// without a value are held.
func (p *Postgres) Len(ctx context.Context) (n int, err error) {
	err = p.do(ctx, "count", func(ctx context.Context) error {
		return p.pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM ldapd.claim) + (SELECT count(*) FROM ldapd.tally) +
			(SELECT count(DISTINCT key) FROM ldapd.guess) +
			(SELECT count(*) FROM ldapd.entry WHERE value IS NULL)`).Scan(&n)
	})
	return n, err
}

// Close ends all connections, when what is under way is done, or after two
// seconds.
func (p *Postgres) Close() error {
	p.closing.Do(func() {
		p.end()
		defer time.AfterFunc(closeGrace, p.sockets.close).Stop()
		p.pool.Close()
	})
	return nil
}
