package verified

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// deaf does not hear what other replicas change, which takes it a while to
// find out.
type deaf struct {
	*replica
	hears atomic.Bool
}

func (d *deaf) Watch(ctx context.Context, changed func(key string)) error {
	if d.hears.Load() {
		changed("") // it is sure now
		return d.replica.Watch(ctx, changed)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(5 * time.Second):
		return errUnreachable
	}
}

// While changes of others are not heard, they take effect all the same, and it
// is said.
func TestDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		r := &deaf{replica: h.connect()}
		logs, seen := observer.New(zap.InfoLevel)
		m := NewMetrics(nil)
		b, err := Open(t.Context(), Options{Store: r, Keys: cheap(t, 1), Log: zap.New(logs), Metrics: m})
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, b)
		prove(t, b, alice, "right", at(start))
		other := openWith(t, h.connect(), cheap(t, 1))
		time.Sleep(time.Minute)

		if err := b.Down(); err == nil || !strings.Contains(err.Error(), "cannot be followed") || !strings.Contains(err.Error(), errUnreachable.Error()) {
			t.Errorf("down: %v", err)
		}
		if n := value(t, m.down.WithLabelValues("followed")); n != 1 {
			t.Errorf("metric %v, want 1", n)
		}
		if err := other.Revoke(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second) // as docs/postgres.md says, and less than a second
		if c, cold := b.Find(alice, "right"); c != nil || cold {
			t.Errorf("found %v, %v after it was revoked elsewhere", c, cold)
		}
		said := func() int { return seen.FilterMessageSnippet("cannot be followed").Len() }
		if n := said(); n != 1 {
			t.Errorf("logged %d times in a minute", n)
		}
		time.Sleep(24 * time.Hour)
		if n := said(); n < 20 || n > 40 {
			t.Errorf("logged %d times in a day", n)
		}

		r.hears.Store(true)
		time.Sleep(20 * time.Second)
		if err := b.Down(); err != nil {
			t.Errorf("it hears, and is down: %v", err)
		}
		if n := value(t, m.down.WithLabelValues("followed")); n != 0 {
			t.Errorf("metric %v, want 0", n)
		}
		stop()
	})
}
