package postgrestest

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestRun(t *testing.T) {
	ctx := t.Context()
	s := Run(t)
	one, two := s.Database(t), s.Database(t)
	query := func(dsn, sql string) (n int) {
		t.Helper()
		c, err := pgx.Connect(ctx, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(ctx)
		if err := c.QueryRow(ctx, sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := s.Exec(ctx, "test1", "CREATE TABLE a (n int); INSERT INTO a VALUES (42)"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n := query(one, "SELECT n FROM a"); n != 42 {
			t.Errorf("%d, want 42", n)
		}
		if n := query(two, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"); n != 0 {
			t.Errorf("%d tables in the other database", n)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		if c, err := pgx.Connect(ctx, one); err == nil {
			c.Close(ctx)
			t.Error("a stopped server answers")
		}
		if err := s.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Exec(ctx, "test1", "nonsense"); err == nil {
		t.Error("nonsense is no error")
	}
}
