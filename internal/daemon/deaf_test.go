package daemon

import (
	"net/http"
	"strings"
	"testing"

	"ldapd/internal/await"
	"ldapd/internal/check"
	"ldapd/internal/config"
	"ldapd/internal/postgrestest"
)

// TestDeaf: behind a pooler that swallows notifications a replica says so
// wherever one looks, goes on serving, and obeys what others revoke.
func TestDeaf(t *testing.T) {
	srv := postgrestest.Run(t)
	dsn, deaf := srv.Database(t), srv.Deaf(t)
	replica := func(dsn string) *config.Config {
		cfg := testConfig(t)
		cfg.Cache.Store, cfg.Cache.DSN, cfg.Cache.Key = config.CachePostgres, config.Secret(dsn), config.Secret(strings.Repeat("ab", 32))
		return cfg
	}
	cfg := replica(strings.Replace(dsn, srv.Addr, deaf.Addr, 1))
	r, other := start(t, cfg, demoUsers(t)), start(t, replica(dsn), demoUsers(t))
	r.bind(t, "alice", "demo-alice")
	if len(r.book.All()) != 1 {
		t.Fatalf("kept of %v", r.book.All())
	}

	// It takes 5 seconds to be sure.
	await.That(t, "it says that it is deaf", func() bool { return r.book.Down() != nil })
	st, err := service{r.Daemon}.Status(t.Context())
	if err != nil || !strings.Contains(st.StoreError, "cannot be followed") || !strings.Contains(st.StoreError, "session mode") {
		t.Errorf("status: %q, %v", st.StoreError, err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	if status, body := r.get(t, "/readyz", ""); status != 200 || !strings.HasPrefix(body, "ok, degraded: ") {
		t.Errorf("/readyz: %d %q", status, body)
	}
	if _, text := r.get(t, "/metrics", ""); !strings.Contains(text, "\nldapd_verified_store_down{what=\"followed\"} 1\n") {
		t.Error("/metrics does not say it")
	}
	cfg.File.Path = "../local/demo.yaml" // what it serves is built in
	report := check.Run(cfg)
	if notes := strings.Join(report.Notes, "\n"); !strings.Contains(notes, "cannot be followed") {
		t.Errorf("check notes %s", notes)
	}
	if len(report.Problems) != 1 || !strings.Contains(report.Problems[0].Error(), "session mode") {
		t.Errorf("check: %v", report.Problems)
	}

	await.That(t, "the other one knows", func() bool { return len(other.book.All()) > 0 })
	if _, err := (service{other.Daemon}).Revoke(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	await.That(t, "it obeys", func() bool { return len(r.book.All()) == 0 }) // within 11 seconds

	deaf.Hear(true)
	await.That(t, "it hears", func() bool { return r.book.Down() == nil })
	if status, body := r.get(t, "/readyz", ""); status != 200 || body != "ok\n" {
		t.Errorf("/readyz: %d %q", status, body)
	}
}
