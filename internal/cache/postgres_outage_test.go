package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ldapd/internal/await"
	"ldapd/internal/cache"
	"ldapd/internal/postgrestest"
)

// TestPostgresOutage crashes the server again and again while two stores are
// under load. Errors are right answers; all others must be.
func TestPostgresOutage(t *testing.T) {
	srv := postgrestest.Run(t)
	dsn := srv.Database(t)
	stores := []*cache.Postgres{openPostgres(t, dsn, nil), openPostgres(t, dsn, nil)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done atomic.Int64 // operations that succeeded
	var wg, watchers sync.WaitGroup
	mirrors := make([]*mirror, len(stores))
	for i, s := range stores {
		mirrors[i] = &mirror{store: s, values: map[string]string{}}
		watchers.Go(func() {
			if err := mirrors[i].run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	stop := make(chan struct{})
	for w := range 4 {
		wg.Go(func() { writeThroughOutages(t, fmt.Sprint("key ", w), stores[w%2], stores[(w+1)%2], stop, &done) })
	}
	claims := &claimed{fresh: map[int64]int{}}
	for w := range 4 {
		wg.Go(func() { claims.work(t, stores[w%2], stop, &done) })
	}
	for range 3 {
		before := done.Load()
		await.That(t, "the writers come on", func() bool { return done.Load() >= before+300 })
		if err := srv.Stop(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
		if err := srv.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	for code, n := range claims.fresh {
		if n > 1 {
			t.Errorf("code %d was fresh %d times", code, n)
		}
	}
	// Each hears of a change of the other, and then knows all that was done
	// while nobody could tell.
	for i, m := range mirrors {
		other := stores[1-i]
		await.That(t, "a write over connections that were lost", func() bool {
			return other.Update(ctx, "last", 0, become(fmt.Sprint(i))) == nil
		})
		want := map[string]string{}
		err := other.Each(ctx, func(key string, value []byte, _ uint64) error {
			want[key] = string(value)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		await.That(t, "what was missed is heard", func() bool { return m.equals(want) })
	}
	cancel()
	watchers.Wait()
}

// writeThroughOutages writes and revokes a key that nobody else does, and
// reads it through another store. Of what failed it does not know whether it
// was done.
func writeThroughOutages(t *testing.T, key string, s, other *cache.Postgres, stop <-chan struct{}, done *atomic.Int64) {
	ctx := t.Context()
	possible := map[string]bool{"": true}
	for n := 1; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		value, epoch, err := other.Load(ctx, key)
		if err != nil {
			continue
		}
		if !possible[string(value)] {
			t.Errorf("%s is %q, may be %v", key, value, possible)
			return
		}
		next := fmt.Sprint(n)
		if n%5 == 0 {
			next = ""
			err = s.Revoke(ctx, key)
		} else {
			err = s.Update(ctx, key, epoch, become(next))
		}
		switch {
		case errors.Is(err, cache.ErrRevoked):
			t.Errorf("%s: %v, though nobody did", key, err)
		case err != nil:
			possible[next] = true
		default:
			clear(possible)
			possible[next] = true
			done.Add(1)
		}
	}
}

// claimed counts how often each code was fresh.
type claimed struct {
	mu    sync.Mutex
	fresh map[int64]int
	next  int64
}

// work claims each code, beside the other workers, and once more.
func (c *claimed) work(t *testing.T, s *cache.Postgres, stop <-chan struct{}, done *atomic.Int64) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		c.mu.Lock()
		c.next++
		code := c.next / 4
		c.mu.Unlock()
		for range 2 {
			fresh, err := s.Claim(t.Context(), "alice", code, time.Now().Add(time.Hour))
			if err != nil && fresh {
				t.Error("an error, and fresh")
			}
			if err == nil {
				done.Add(1)
			}
			if fresh {
				c.mu.Lock()
				c.fresh[code]++
				c.mu.Unlock()
			}
		}
	}
}

// mirror keeps in memory what is in a store, by Watch.
type mirror struct {
	store *cache.Postgres

	mu     sync.Mutex
	values map[string]string
}

func (m *mirror) run(ctx context.Context) error {
	return follow(ctx, m.store, func(string) {
		for ctx.Err() == nil {
			values := map[string]string{}
			err := m.store.Each(ctx, func(key string, value []byte, _ uint64) error {
				values[key] = string(value)
				return nil
			})
			if err == nil {
				m.mu.Lock()
				m.values = values
				m.mu.Unlock()
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// follow watches a store until ctx ends, as often as that takes.
func follow(ctx context.Context, s cache.Store, changed func(key string)) error {
	for {
		err := s.Watch(ctx, changed)
		if ctx.Err() != nil {
			return err
		}
		if err == nil {
			return errors.New("Watch ended by itself")
		}
		time.Sleep(time.Millisecond)
	}
}

func (m *mirror) equals(want map[string]string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Equal(m.values, want)
}

// relay stands between a store and its server, and can go dead without a word.
type relay struct {
	net.Listener
	to string

	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l, to: to}
	r.wg.Go(r.accept)
	t.Cleanup(func() {
		l.Close()
		r.mu.Lock()
		for _, c := range r.conns {
			c.Close()
		}
		r.mu.Unlock()
		r.wg.Wait()
	})
	return r
}

func (r *relay) accept() {
	for {
		c, err := r.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", r.to)
		if err != nil {
			c.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, c, s)
		r.mu.Unlock()
		r.wg.Go(func() { pass(s, c) })
		r.wg.Go(func() { pass(c, s) })
	}
}

// pass copies until one side closes, and then closes the other.
func pass(to, from net.Conn) {
	if _, err := io.Copy(to, from); err == nil {
		to.Close()
	}
}

// freeze leaves all connections that there are open, but dead.
func (r *relay) freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.SetReadDeadline(time.Unix(1, 0)) // ends the copying
	}
}

func TestPostgresHalfDead(t *testing.T) {
	srv := postgrestest.Run(t)
	dsn := srv.Database(t)
	relay := newRelay(t, srv.Addr)
	direct := openPostgres(t, dsn, nil)
	p := openPostgres(t, strings.Replace(dsn, srv.Addr, relay.Addr().String(), 1), nil)
	p.SetQuiet(200*time.Millisecond, 200*time.Millisecond)
	if err := p.Update(t.Context(), "key", 0, become("value")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	heard, watched := make(chan string, 100), make(chan error)
	go func() { watched <- follow(ctx, p, func(key string) { heard <- key }) }()
	if key := <-heard; key != "" {
		t.Errorf("heard of %q first", key)
	}
	relay.freeze()
	short, cancelShort := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancelShort()
	if _, _, err := p.Load(short, "key"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("load over a dead connection: %v", err)
	}
	// Nobody hears of this before Watch has noticed.
	if err := direct.Revoke(ctx, "key"); err != nil {
		t.Fatal(err)
	}
	if key := <-heard; key != "" {
		t.Errorf("heard of %q, want to hear of anything", key)
	}
	if value, _, err := p.Load(ctx, "key"); value != nil || err != nil {
		t.Errorf("load afterwards: %q, %v", value, err)
	}
	cancel()
	if err := <-watched; err != nil {
		t.Error(err)
	}
}
