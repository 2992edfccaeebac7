package guard

import (
	"sync"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/recent"
)

// Pushes that a user turned down, or did not answer, within a time: who asks
// often enough is let in at last.
const (
	pushesDenied = 5
	pushWindow   = 15 * time.Minute
)

// Pushes counts the pushes that users turned down, wherever they were asked
// for.
type Pushes struct {
	now func() time.Time
	key Key

	mu     sync.Mutex
	denied recent.Counter // by user
}

// NewPushes returns a counter.
func NewPushes(key Key, now func() time.Time) *Pushes {
	return &Pushes{now: now, key: key, denied: recent.NewCounter(pushWindow, maxCounted)}
}

// Over returns the limit if a user was asked too often.
func (p *Pushes) Over(user string) *auth.Limited {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.denied.N(p.key.Digest("push", user), p.now()) >= pushesDenied {
		return &auth.Limited{Reason: auth.LimitPush}
	}
	return nil
}

// Denied counts a push that was turned down.
func (p *Pushes) Denied(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.denied.Add(p.key.Digest("push", user), Digest{}, p.now())
}
