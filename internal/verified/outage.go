package verified

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// outage is a time in which the store cannot be read or written. Only its
// begin and end are logged.
type outage struct {
	what string

	mu    sync.Mutex
	since time.Time // zero: there is none
}

// Down returns what is wrong with the store at the moment, nil if nothing is.
func (b *Book) Down() error {
	for _, o := range []*outage{&b.reads, &b.writes} {
		o.mu.Lock()
		since := o.since
		o.mu.Unlock()
		if !since.IsZero() {
			return fmt.Errorf("the store cannot be %s since %s, memory alone answers", o.what, since.UTC().Format(time.RFC3339))
		}
	}
	return nil
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
	o.since = time.Time{}
}

func (b *Book) isDown(o *outage, op operation, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() {
		return
	}
	o.since = b.now()
	b.log.Warn("the store of verified binds cannot be "+o.what+", memory goes on without it", zap.String("operation", string(op)), zap.Error(err))
}
