package bind

import (
	"context"
	"sync"
	"time"
)

// Pace is an Authenticator that lets only so many attempts in a minute through
// to another one, and answers the rest with 51 (busy), which Nextcloud
// survives: each costs a flow of authentik. The same credential again counts
// once.
type Pace struct {
	auth                Authenticator
	perUser, perAddress int
	now                 func() time.Time
	key                 key

	mu        sync.Mutex
	users     table
	addresses table
}

var _ Authenticator = (*Pace)(nil)

// NewPace returns a pace of so many attempts a minute of one user, and from
// one address, before another authenticator. 0 is unlimited; now may be nil.
func NewPace(auth Authenticator, perUser, perAddress int, now func() time.Time) *Pace {
	if now == nil {
		now = time.Now
	}
	return &Pace{
		auth: auth, perUser: perUser, perAddress: perAddress, now: now, key: newKey(),
		users:     table{window: failureWindow, max: maxTallies},
		addresses: table{window: failureWindow, max: maxTallies},
	}
}

// Authenticate implements Authenticator.
func (p *Pace) Authenticate(ctx context.Context, a Attempt) (Granted, error) {
	if l := p.admit(a); l != nil {
		return Granted{}, l
	}
	return p.auth.Authenticate(ctx, a)
}

// admit counts an attempt, or says that there were too many.
func (p *Pace) admit(a Attempt) *Limited {
	user, address := p.key.digest("user", a.subject()), p.key.digest("address", addressKey(a.Addr))
	secret := p.key.attempt(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.users.repeats(user, secret, now) {
		return nil
	}
	switch {
	case p.perUser > 0 && p.users.n(user, now) >= p.perUser:
		return &Limited{PaceUser}
	case p.perAddress > 0 && p.addresses.n(address, now) >= p.perAddress:
		return &Limited{PaceAddress}
	}
	p.users.add(user, secret, now)
	p.addresses.add(address, digest{}, now)
	return nil
}
