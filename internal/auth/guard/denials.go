package guard

import (
	"context"
	"errors"
	"sync"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/recent"
)

// maxDenials bounds the memory of Denials: about 4 MiB.
const maxDenials = 1 << 15

// Denials is an Authenticator that remembers for a moment what was denied, and
// denies it again by itself: a client with a stale password asks over and
// over, and each time would cost reputation. It remembers keyed digests, and
// nothing that was granted or could not be determined.
type Denials struct {
	next auth.Authenticator
	keep time.Duration
	now  func() time.Time
	key  Key

	mu   sync.Mutex
	all  recent.Map[Digest, denial]
	hits int64
}

var _ auth.Authenticator = (*Denials)(nil)

type denial struct {
	at     time.Time
	denied *auth.Denied
}

// NewDenials returns Denials before another authenticator. They are kept for
// the given time, which should be seconds, for so long a password that was
// changed to the one tried before is still denied. now may be nil.
func NewDenials(next auth.Authenticator, keep time.Duration, now func() time.Time) *Denials {
	if now == nil {
		now = time.Now
	}
	return &Denials{next: next, keep: keep, now: now, key: NewKey(), all: recent.NewMap[Digest, denial](maxDenials)}
}

// Hits returns how many attempts were denied from memory, for the metric.
func (m *Denials) Hits() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hits
}

// Authenticate implements auth.Authenticator.
func (m *Denials) Authenticate(ctx context.Context, a auth.Attempt) (auth.Granted, error) {
	id := m.key.Attempt(a)
	if d := m.find(id); d != nil {
		return auth.Granted{}, d
	}
	g, err := m.next.Authenticate(ctx, a)
	var denied *auth.Denied
	if errors.As(err, &denied) {
		m.add(id, denied)
	}
	return g, err
}

func (m *Denials) find(id Digest) *auth.Denied {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, _ := m.all.Get(id)
	// A clock that was set back must not make it longer.
	if age := m.now().Sub(d.at); d.denied == nil || age < 0 || age >= m.keep {
		return nil
	}
	m.hits++
	return d.denied
}

func (m *Denials) add(id Digest, d *auth.Denied) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all.Put(id, denial{m.now(), d})
}
