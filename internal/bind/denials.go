package bind

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxDenials bounds the memory of Denials: about 4 MiB.
const maxDenials = 1 << 15

// Denials is an Authenticator that remembers for a moment what was denied, and
// denies it again by itself: a client with a stale password asks over and
// over, and each time would cost reputation. It remembers keyed digests, and
// nothing that was granted or could not be told.
type Denials struct {
	auth Authenticator
	keep time.Duration
	now  func() time.Time
	key  key

	mu         sync.Mutex
	young, old map[digest]denial
	hits       int64
}

var _ Authenticator = (*Denials)(nil)

type denial struct {
	at     time.Time
	denied *Denied
}

// NewDenials returns Denials before another authenticator. They are kept for
// the given time, which should be seconds, for so long a password that was
// changed to the one tried before is still denied. now may be nil.
func NewDenials(auth Authenticator, keep time.Duration, now func() time.Time) *Denials {
	if now == nil {
		now = time.Now
	}
	return &Denials{auth: auth, keep: keep, now: now, key: newKey()}
}

// Hits returns how many attempts were denied from memory, for the metric.
func (m *Denials) Hits() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hits
}

// Authenticate implements Authenticator.
func (m *Denials) Authenticate(ctx context.Context, a Attempt) (Granted, error) {
	id := m.key.attempt(a)
	if d := m.find(id); d != nil {
		return Granted{}, d
	}
	g, err := m.auth.Authenticate(ctx, a)
	var denied *Denied
	if errors.As(err, &denied) {
		m.add(id, denied)
	}
	return g, err
}

func (m *Denials) find(id digest) *Denied {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.young[id]
	if !ok {
		d = m.old[id]
	}
	// A clock that was set back must not make it longer.
	if age := m.now().Sub(d.at); d.denied == nil || age < 0 || age >= m.keep {
		return nil
	}
	m.hits++
	return d.denied
}

// add remembers; when the young are half of all that may be kept, the old go.
func (m *Denials) add(id digest, d *Denied) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.young == nil || len(m.young) >= maxDenials/2 {
		m.young, m.old = make(map[digest]denial), m.young
	}
	m.young[id] = denial{m.now(), d}
}
