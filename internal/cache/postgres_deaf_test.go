package cache_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"ldapd/internal/cache"
	"ldapd/internal/postgrestest"
)

// TestPostgresDeaf: a pooler that swallows notifications is found out, from
// the beginning and later, and relied on again when it does so no longer.
func TestPostgresDeaf(t *testing.T) {
	srv := postgrestest.Run(t)
	dsn, deaf := srv.Database(t), srv.Deaf(t)
	p := openPostgres(t, strings.Replace(dsn, srv.Addr, deaf.Addr, 1), nil)
	p.SetQuiet(10*time.Millisecond, 300*time.Millisecond)
	direct := openPostgres(t, dsn, nil)
	heard := make(chan string, 100)
	watch := func(ctx context.Context) error {
		return p.Watch(ctx, func(key string) { heard <- key })
	}
	// On its own the first one would say that all is well, and wait.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := watch(ctx); !errors.Is(err, cache.ErrDeaf) {
		t.Fatalf("watch: %v", err)
	}
	select {
	case key := <-heard:
		t.Fatalf("heard of %q, though it is deaf", key)
	default:
	}

	deaf.Hear(true)
	watched := make(chan error, 1)
	go func() { watched <- watch(ctx) }()
	if key := <-heard; key != "" {
		t.Fatalf("heard of %q first", key)
	}
	put := func(key string) {
		t.Helper()
		if err := direct.Update(ctx, key, 0, become("value")); err != nil {
			t.Fatal(err)
		}
	}
	put("key")
	if key := <-heard; key != "key" {
		t.Fatalf("heard of %q", key)
	}
	time.Sleep(50 * time.Millisecond) // some tests of its own, of which nobody hears
	deaf.Hear(false)
	put("missed")
	if err := <-watched; !errors.Is(err, cache.ErrDeaf) {
		t.Fatalf("watch: %v", err)
	}
	if len(heard) > 0 {
		t.Fatalf("heard of %q", <-heard)
	}
}

// TestPostgresTests: replicas do not take each other's tests for changes.
func TestPostgresTests(t *testing.T) {
	dsn := postgrestest.Run(t).Database(t)
	heard := make(chan string, 100)
	var stores []*cache.Postgres
	for range 2 {
		p := openPostgres(t, dsn, nil)
		p.SetQuiet(time.Millisecond, 10*time.Second)
		stores = append(stores, p)
		ctx, cancel := context.WithCancel(t.Context())
		watched := make(chan error, 1)
		go func() { watched <- p.Watch(ctx, func(key string) { heard <- key }) }()
		t.Cleanup(func() {
			cancel()
			if err := <-watched; err != nil {
				t.Error(err)
			}
		})
		if key := <-heard; key != "" {
			t.Fatalf("heard of %q first", key)
		}
	}
	for range 10 {
		if err := stores[0].Revoke(t.Context(), "key"); err != nil {
			t.Fatal(err)
		}
		if key := <-heard; key != "key" {
			t.Fatalf("heard of %q", key)
		}
	}
}
