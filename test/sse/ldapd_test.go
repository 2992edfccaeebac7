package sse

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ldapd/internal/await"
	"ldapd/internal/config"
	"ldapd/internal/daemon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ldapd is a running server.
type ldapd struct {
	*daemon.Daemon
	t      *testing.T
	log    *buffer
	reload chan os.Signal
	stop   func() // waits until it has ended
}

// buffer is a log to look at while it is written.
type buffer struct {
	mu    sync.Mutex
	b     bytes.Buffer
	reads int // of everything that authentik has
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads += bytes.Count(p, []byte(" authentik read "))
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// startLDAPD runs ldapd with an environment, until it is stopped.
func startLDAPD(t *testing.T, now func() time.Time, log *buffer, env []string, change func(*config.Config)) *ldapd {
	t.Helper()
	cfg, err := config.Load("", append([]string{
		"AUTHENTIK_LISTEN__LDAP=127.0.0.1:0",
		"AUTHENTIK_LISTEN__LDAPS=127.0.0.1:0",
		"AUTHENTIK_LISTEN__METRICS=127.0.0.1:0",
		"AUTHENTIK_LOG_LEVEL=info",
		"AUTHENTIK_DEBUG=true", // a log that is not buffered
	}, env...))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Authentik.Sync = 100 * time.Millisecond
	if change != nil {
		change(cfg)
	}
	logger, flush, err := daemon.NewLogger(cfg.Log, log)
	if err != nil {
		t.Fatal(err)
	}
	l := &ldapd{t: t, log: log, reload: make(chan os.Signal)}
	if l.Daemon, err = daemon.Open(daemon.Options{Config: cfg, Log: logger, Version: "0.0.0", Now: now, Sleep: nod}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx, l.reload) }()
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, flush()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(l.stop)
	return l
}

// nod is how a bind waits for others here, where no time passes by itself.
func nod(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(min(d, 20*time.Millisecond)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// metric returns the value of a series, or the sum of all of a name; 0 if there
// is none yet.
func (l *ldapd) metric(name string) (sum float64) {
	l.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: await.Patience}
	resp, err := client.Get("http://" + l.Admin().String() + "/metrics")
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+`(?:\{.*\})? (\S+)$`).FindAllStringSubmatch(string(b), -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			l.t.Fatal(err)
		}
		sum += v
	}
	return sum
}

// connections waits until so many are open.
func (l *ldapd) connections(n int) {
	l.t.Helper()
	await.That(l.t, "connections are closed", func() bool { return l.metric("ldapd_connections") == float64(n) })
}

// synced waits until what was changed in authentik before is known.
func (l *ldapd) synced() {
	l.t.Helper()
	const looks = `ldapd_authentik_syncs_total{kind="changes",result="ok"}`
	n := l.metric(looks)
	await.That(l.t, "authentik is looked at", func() bool { return l.metric(looks) >= n+2 })
}

// loaded waits until authentik was read.
func (l *ldapd) loaded() {
	l.t.Helper()
	await.That(l.t, "authentik is read", func() bool { return l.metric(`ldapd_authentik_syncs_total{kind="full",result="ok"}`) > 0 })
}

func (b *buffer) read() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reads
}

// readAgain has authentik read once more.
func (l *ldapd) readAgain() {
	l.t.Helper()
	n := l.log.read()
	l.reload <- os.Interrupt
	await.That(l.t, "authentik is read", func() bool { return l.log.read() > n })
}
