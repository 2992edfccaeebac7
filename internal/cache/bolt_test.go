package cache_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ldapd/internal/cache"
	"ldapd/internal/cache/cachetest"
)

func TestBolt(t *testing.T) {
	cachetest.Run(t, func(t *testing.T) cachetest.Backend {
		path := filepath.Join(t.TempDir(), "state.db")
		return cachetest.Backend{Durable: true, Open: func(t *testing.T, now cache.Clock) cachetest.Store {
			return open(t, path, now)
		}}
	})
}

func open(t *testing.T, path string, now cache.Clock) *cache.Bolt {
	t.Helper()
	b, err := cache.Open(path, now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpenMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	for range 2 {
		if err := open(t, path, time.Now).Close(); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Fatalf("mode %v, want 0600", st.Mode())
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	first := open(t, path, time.Now)
	_, err := cache.Open(path, time.Now)
	if !errors.Is(err, cache.ErrLocked) || !strings.HasPrefix(err.Error(), path+": ") {
		t.Fatalf("error %v, want %v", err, cache.ErrLocked)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path, time.Now).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("garbage ", 8192)), 0o600); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(short, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, want string }{
		{garbage, "damaged"},
		{short, "damaged"},
		{dir, "not a regular file"},
		{filepath.Join(dir, "none", "state.db"), "no such file or directory"},
	} {
		b, err := cache.Open(tt.path, time.Now)
		if err == nil {
			b.Close()
			t.Errorf("%s: no error", tt.path)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), tt.path) != 1 {
			t.Errorf("error %q, want the path once and %q", err, tt.want)
		}
	}
}

// TestDamage overwrites the pages behind the two that bbolt checks.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	b := open(t, path, time.Now)
	for i := range 200 {
		if _, err := b.Claim(t.Context(), "alice", int64(i), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 2 * os.Getpagesize(); i < len(data); i++ {
		data[i] = 0xa5
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Open(path, time.Now); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Fatalf("error %v", err)
	}
}

// TestTruncated cuts the file while it is in use.
func TestTruncated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	b := open(t, path, time.Now)
	if _, err := b.Claim(t.Context(), "alice", 1, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		fresh, err := b.Claim(t.Context(), "alice", 1, time.Now().Add(time.Hour))
		if err == nil || fresh || !strings.Contains(err.Error(), "damaged") {
			t.Fatalf("%v, %v", fresh, err)
		}
	}
	if err := b.Close(); err == nil {
		t.Fatal("a damaged store closes without error")
	}
}

func TestClaimWaitEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	inside, leave := make(chan struct{}), make(chan struct{})
	first := true
	b := open(t, path, func() time.Time {
		if first {
			first = false
			close(inside)
			<-leave
		}
		return time.Unix(1_700_000_000, 0)
	})
	done := make(chan error)
	go func() {
		_, err := b.Claim(context.Background(), "alice", 1, time.Unix(1_700_000_060, 0))
		done <- err
	}()
	<-inside
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := b.Claim(ctx, "bob", 1, time.Unix(1_700_000_060, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// TestFileBounded sees that the pages of purged claims are used again.
func TestFileBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	now := time.Unix(1_700_000_000, 0)
	b := open(t, path, func() time.Time { return now })
	defer b.Close()
	for i := range 600 {
		if _, err := b.Claim(t.Context(), "alice", int64(i), now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		now = now.Add(30 * time.Second)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Size() > 256<<10 {
		t.Errorf("%d bytes for two claims", st.Size())
	}
}

func BenchmarkBoltClaim(b *testing.B) {
	s, err := cache.Open(filepath.Join(b.TempDir(), "state.db"), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for i := int64(0); b.Loop(); i++ {
		if _, err := s.Claim(b.Context(), "alice", i, time.Now().Add(time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBoltLoad(b *testing.B) {
	s, err := cache.Open(filepath.Join(b.TempDir(), "state.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	benchLoad(b, s)
}

func BenchmarkBoltUpdate(b *testing.B) {
	s, err := cache.Open(filepath.Join(b.TempDir(), "state.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	benchUpdate(b, s)
}
