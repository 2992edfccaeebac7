package cache_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"ldapd/internal/cache"
	"ldapd/internal/cache/cachetest"
	"ldapd/internal/postgrestest"
)

func TestPostgres(t *testing.T) {
	srv := postgrestest.Run(t)
	for _, mode := range []struct{ name, settings string }{
		{"prepared", ""},
		// As behind a PgBouncer that keeps no prepared statements, and with a
		// default that must not become ours.
		{"unprepared", "&default_query_exec_mode=exec&default_transaction_isolation=serializable"},
	} {
		t.Run(mode.name, func(t *testing.T) {
			cachetest.Run(t, func(t *testing.T) cachetest.Backend {
				dsn := srv.Database(t) + mode.settings
				return cachetest.Backend{Durable: true, Shared: true, Open: func(t *testing.T, now cache.Clock) cachetest.Store {
					return openPostgres(t, dsn, now)
				}}
			})
		})
	}
}

func openPostgres(t *testing.T, dsn string, now cache.Clock) *cache.Postgres {
	t.Helper()
	p, err := cache.OpenPostgres(t.Context(), dsn, cache.PostgresOptions{Now: now, Log: zaptest.NewLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// query returns the one number that a statement yields.
func query(t *testing.T, dsn, sql string) (n int) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if err := c.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPostgresSchema(t *testing.T) {
	srv := postgrestest.Run(t)
	ctx := t.Context()

	t.Run("started at once", func(t *testing.T) {
		dsn := srv.Database(t)
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				p, err := cache.OpenPostgres(ctx, dsn, cache.PostgresOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				if err := p.Revoke(ctx, fmt.Sprint(i)); err != nil {
					t.Error(err)
				}
				p.Close()
			})
		}
		wg.Wait()
		if n := query(t, dsn, "SELECT count(*) FROM ldapd.migration"); n != query(t, dsn, "SELECT max(version) FROM ldapd.migration") {
			t.Errorf("%d migrations were made", n)
		}
		if n := query(t, dsn, "SELECT counter FROM ldapd.state"); n != 6 {
			t.Errorf("epoch %d after 6 revocations", n)
		}
	})

	t.Run("newer", func(t *testing.T) {
		name, err := srv.NewDatabase(ctx)
		if err != nil {
			t.Fatal(err)
		}
		openPostgres(t, srv.DSN(name), nil).Close()
		if err := srv.Exec(ctx, name, "INSERT INTO ldapd.migration VALUES (1000)"); err != nil {
			t.Fatal(err)
		}
		if _, err := cache.OpenPostgres(ctx, srv.DSN(name), cache.PostgresOptions{}); !errors.Is(err, cache.ErrNewerSchema) {
			t.Errorf("error %v, want %v", err, cache.ErrNewerSchema)
		}
	})

	t.Run("older", func(t *testing.T) {
		name, err := srv.NewDatabase(ctx)
		if err != nil {
			t.Fatal(err)
		}
		p := openPostgres(t, srv.DSN(name), nil)
		if err := p.Update(ctx, "key", 0, become("value")); err != nil {
			t.Fatal(err)
		}
		p.Close()
		if err := srv.Exec(ctx, name, "DROP TABLE ldapd.guess; DELETE FROM ldapd.migration WHERE version > 1"); err != nil {
			t.Fatal(err)
		}
		p = openPostgres(t, srv.DSN(name), nil)
		if value, _, err := p.Load(ctx, "key"); string(value) != "value" || err != nil {
			t.Errorf("value of before: %q, %v", value, err)
		}
		works(t, p)
	})

	t.Run("least privileges", func(t *testing.T) {
		name, err := srv.NewDatabase(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Exec(ctx, name, "CREATE ROLE small LOGIN PASSWORD 'small'"); err != nil {
			t.Fatal(err)
		}
		small := srv.DSNOf("small", "small", name)
		refused := func(want string) {
			t.Helper()
			if _, err := cache.OpenPostgres(ctx, small, cache.PostgresOptions{}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		}
		refused("permission denied for database")
		openPostgres(t, srv.DSN(name), nil)
		refused("permission denied for schema")
		// As in docs/postgres.md.
		if err := srv.Exec(ctx, name, `GRANT USAGE ON SCHEMA ldapd TO small;
			GRANT SELECT ON ldapd.migration TO small;
			GRANT SELECT, UPDATE ON ldapd.state TO small;
			GRANT SELECT, INSERT, UPDATE, DELETE ON ldapd.entry, ldapd.claim, ldapd.tally, ldapd.guess TO small`); err != nil {
			t.Fatal(err)
		}
		works(t, openPostgres(t, small, nil))
	})

	t.Run("schema of the administrator", func(t *testing.T) {
		name, err := srv.NewDatabase(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Exec(ctx, name, "CREATE ROLE owner LOGIN PASSWORD 'owner'; CREATE SCHEMA ldapd AUTHORIZATION owner"); err != nil {
			t.Fatal(err)
		}
		works(t, openPostgres(t, srv.DSNOf("owner", "owner", name), nil))
	})
}

// works uses all that a store can do.
func works(t *testing.T, p *cache.Postgres) {
	t.Helper()
	ctx := t.Context()
	watching, cancel := context.WithCancel(ctx)
	watched := make(chan error)
	heard := make(chan struct{}, 1)
	go func() { watched <- p.Watch(watching, func(string) { heard <- struct{}{} }) }()
	<-heard
	_, errClaim := p.Claim(ctx, "alice", 1, time.Now().Add(-time.Hour))
	_, errPurge := p.Claim(ctx, "alice", 2, time.Now().Add(time.Hour))
	_, errTally := p.Tally(ctx, [16]byte{1}, [16]byte{}, time.Hour)
	_, errTallied := p.Tallied(ctx, [16]byte{1}, time.Hour)
	_, _, errGuess := p.Guess(ctx, [16]byte{1}, [16]byte{2}, time.Hour)
	_, _, errGuessed := p.Guessed(ctx, [16]byte{1}, [16]byte{2}, time.Hour)
	err := errors.Join(errClaim, errPurge, errTally, errTallied, errGuess, errGuessed,
		p.Forgive(ctx, [16]byte{1}),
		p.CheckKey(ctx, []byte("check")),
		p.ReplaceKeyCheck(ctx, []byte("check"), []byte("other")),
		p.Update(ctx, "key", 0, become("value")),
		p.Update(ctx, "key", 0, become("other")),
		p.Update(ctx, "key", 0, func([]byte) ([]byte, error) { return nil, nil }),
		p.Revoke(ctx, "key"),
		p.RevokeAll(ctx),
		p.Each(ctx, func(string, []byte, uint64) error { return nil }),
	)
	if err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-watched; err != nil {
		t.Error(err)
	}
}

func TestPostgresDownAtStart(t *testing.T) {
	srv := postgrestest.Run(t)
	dsn := srv.Database(t)
	if err := srv.Stop(); err != nil {
		t.Fatal(err)
	}
	p := openPostgres(t, dsn, nil)
	if err := p.Update(t.Context(), "key", 0, become("value")); err == nil {
		t.Error("update without a server: no error")
	}
	if fresh, err := p.Claim(t.Context(), "alice", 1, time.Now().Add(time.Hour)); err == nil || fresh {
		t.Errorf("claim without a server: %v, %v", fresh, err)
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	works(t, p)
}

// TestPostgresPassword looks for the password in all that is said of a DSN.
func TestPostgresPassword(t *testing.T) {
	srv := postgrestest.Run(t)
	const password = "hunter2/@:% x"
	escaped := url.QueryEscape(password)
	host, port, _ := strings.Cut(srv.Addr, ":")
	for _, tt := range []struct {
		name, dsn string
		opens     bool
	}{
		{"port", "postgres://ldapd:" + escaped + "@127.0.0.1:nonsense/ldapd", false},
		{"not escaped", "postgres://ldapd:" + password + "@127.0.0.1/ldapd", false},
		{"no scheme", "ldapd:hunter2@127.0.0.1/ldapd", false},
		{"other scheme", "mysql://ldapd:hunter2@127.0.0.1/ldapd", false},
		{"sslmode", "postgres://ldapd:hunter2@127.0.0.1/ldapd?sslmode=hunter2", false},
		{"pool", "host=127.0.0.1 password=hunter2 pool_max_conns=hunter2", false},
		{"quotes", "host=127.0.0.1 password='hunter2", false},
		{"spaces", "host=127.0.0.1 password = hunter2 x", false},
		{"certificate", "host=127.0.0.1 password=hunter2 sslmode=verify-full sslrootcert=/does/not/exist", false},
		{"wrong password", "postgres://postgres:" + escaped + "@" + srv.Addr + "/postgres?sslmode=disable", false},
		{"no such database", "host=" + host + " port=" + port + " user=postgres password='correct horse' dbname=none sslmode=disable", false},
		{"nobody there", "postgres://ldapd:" + escaped + "@127.0.0.1:1/ldapd", true},
		{"no such host", "host=/does/not/exist user=ldapd password='hunter2' dbname=ldapd", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			core, logs := observer.New(zap.DebugLevel)
			p, err := cache.OpenPostgres(t.Context(), tt.dsn, cache.PostgresOptions{Log: zap.New(core)})
			var said strings.Builder
			if (err == nil) != tt.opens {
				t.Errorf("error %v", err)
			}
			if err == nil {
				_, _, err = p.Load(t.Context(), "key")
				if err == nil {
					t.Error("load: no error")
				}
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				watchErr := p.Watch(ctx, func(string) {})
				fmt.Fprintf(&said, "%v %+v %q", watchErr, watchErr, watchErr)
				p.Close()
				if logs.Len() == 0 {
					t.Error("nothing was logged")
				}
			}
			// With all that the error wraps.
			fmt.Fprintf(&said, "%v %+v %q", err, err, err)
			for _, e := range logs.All() {
				fmt.Fprint(&said, e.Message, e.ContextMap())
			}
			if s := said.String(); strings.Contains(s, "hunter2") || strings.Contains(s, "correct horse") {
				t.Errorf("the password is in %s", s)
			}
		})
	}
}

func BenchmarkPostgresLoad(b *testing.B) {
	s, err := cache.OpenPostgres(b.Context(), postgrestest.Run(b).Database(b), cache.PostgresOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	benchLoad(b, s)
}

func BenchmarkPostgresUpdate(b *testing.B) {
	s, err := cache.OpenPostgres(b.Context(), postgrestest.Run(b).Database(b), cache.PostgresOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	benchUpdate(b, s)
}
