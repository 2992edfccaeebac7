package cache_test

import (
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"ldapd/internal/cache"
	"ldapd/internal/cache/cachetest"
	"ldapd/test/postgrestest"
)

func TestPostgres(t *testing.T) {
	srv := postgrestest.Run(t)
	for _, mode := range []struct{ name, settings string }{
		{"prepared", ""},
		// As behind a PgBouncer that keeps no prepared statements.
		{"unprepared", "&default_query_exec_mode=exec"},
	} {
		t.Run(mode.name, func(t *testing.T) {
			cachetest.Run(t, func(t *testing.T) cachetest.Backend {
				dsn := srv.Database(t) + mode.settings
				return cachetest.Backend{Durable: true, Shared: true, Open: func(t *testing.T, now cache.Clock) cachetest.Store {
					return openPostgres(t, dsn, cache.PostgresOptions{Now: now, Log: zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))})
				}}
			})
		})
	}
}

func openPostgres(t *testing.T, dsn string, o cache.PostgresOptions) *cache.Postgres {
	t.Helper()
	p, err := cache.OpenPostgres(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}
