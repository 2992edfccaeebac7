package verified

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// What lasts is logged again after sayFirst, then after twice the time each
// time.
const (
	sayFirst = 5 * time.Minute
	sayLast  = time.Hour
)

// outage is a time in which the store cannot be read, written or followed. Its
// begin and its end are logged, and now and then that it lasts.
type outage struct {
	what  string // "read", "written" or "followed"
	means string // what it means for users
	gauge prometheus.Gauge

	mu    sync.Mutex
	since time.Time     // zero: there is none
	cause error         // of the last try
	said  time.Time     // when it was logged last
	again time.Duration // after that it is logged again
}

const (
	meansAlone = "memory alone answers"
	meansLate  = "what other processes change or revoke takes effect some seconds late"
)

func (o *outage) init(what, means string, m *Metrics) {
	o.what, o.means, o.gauge = what, means, m.down.WithLabelValues(what)
}

// Down returns what is wrong with the store at the moment, nil if nothing is.
func (b *Book) Down() error {
	for _, o := range []*outage{&b.reads, &b.writes, &b.follows} {
		if err := o.err(); err != nil {
			return err
		}
	}
	return nil
}

func (o *outage) err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return nil
	}
	return fmt.Errorf("the store cannot be %s since %s, %s: %w", o.what, o.since.UTC().Format(time.RFC3339), o.means, o.cause)
}

func (o *outage) lasts() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.since.IsZero()
}

// told takes down how an operation of the store went. A caller who went away
// says nothing about the store.
func (b *Book) told(ctx context.Context, o *outage, op operation, err error) {
	switch {
	case err == nil:
		b.isUp(o)
	case !errors.Is(ctx.Err(), context.Canceled):
		b.metrics.failed(op)
		b.isDown(o, op, err)
	}
}

func (b *Book) isUp(o *outage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return
	}
	b.log.Info("the store of verified binds can be "+o.what+" again", zap.Duration("after", b.now().Sub(o.since)))
	o.since, o.cause = time.Time{}, nil
	o.gauge.Set(0)
}

func (b *Book) isDown(o *outage, op operation, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := b.now()
	o.cause = err
	still := ""
	switch {
	case o.since.IsZero():
		o.since, o.again = now, sayFirst
		o.gauge.Set(1)
	case now.Sub(o.said) < o.again:
		return
	default:
		still, o.again = "still ", min(2*o.again, sayLast)
	}
	o.said = now
	b.log.Warn("the store of verified binds "+still+"cannot be "+o.what+", "+o.means, zap.String("operation", string(op)),
		zap.Time("since", o.since), zap.Error(err))
}
