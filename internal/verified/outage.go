package verified

import (
	"context"
	"errors"
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

func (o *outage) isDown() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.since.IsZero()
}

// told takes down how an operation of the store went. A caller who went away
// says nothing about the store.
func (b *Book) told(ctx context.Context, o *outage, op operation, err error) {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		if !o.since.IsZero() {
			b.log.Info("the store of verified binds can be "+o.what+" again", zap.Duration("after", b.now().Sub(o.since)))
			o.since = time.Time{}
		}
		return
	}
	b.metrics.failed(op)
	if o.since.IsZero() {
		o.since = b.now()
		b.log.Warn("the store of verified binds cannot be "+o.what+", memory goes on without it", zap.String("operation", string(op)), zap.Error(err))
	}
}
