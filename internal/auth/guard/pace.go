package guard

import (
	"context"
	"strconv"
	"sync"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/recent"
)

// inFlight is how many different attempts of one user may be under way at a
// time. A push that nobody answers takes a minute.
const inFlight = 4

// Pace is an Authenticator that lets only so many attempts in a minute through
// to another one, and answers the rest with 51 (busy), which Nextcloud
// survives: each costs a flow of authentik. The same credential again counts
// once. What comes from where the user is at home is counted apart, so that
// strangers elsewhere cannot use up his pace.
type Pace struct {
	next                auth.Authenticator
	perUser, perAddress int
	now                 func() time.Time
	key                 Key

	mu        sync.Mutex
	users     recent.Counter
	addresses recent.Counter
	running   map[Digest]int // by user
}

var _ auth.Authenticator = (*Pace)(nil)

// NewPace returns a pace of so many attempts a minute of one user, and from
// one address, before another authenticator. 0 is unlimited; now may be nil.
func NewPace(next auth.Authenticator, perUser, perAddress int, now func() time.Time) *Pace {
	if now == nil {
		now = time.Now
	}
	return &Pace{
		next: next, perUser: perUser, perAddress: perAddress, now: now, key: NewKey(),
		users:     recent.NewCounter(minute, maxCounted),
		addresses: recent.NewCounter(minute, maxCounted),
		running:   make(map[Digest]int),
	}
}

// Authenticate implements auth.Authenticator.
func (p *Pace) Authenticate(ctx context.Context, a auth.Attempt) (auth.Granted, error) {
	user := p.key.Digest("user", subject(a), strconv.FormatBool(a.Home))
	if l := p.begin(user, a); l != nil {
		return auth.Granted{}, l
	}
	defer p.end(user)
	return p.next.Authenticate(ctx, a)
}

// begin counts an attempt, or says that there were too many.
func (p *Pace) begin(user Digest, a auth.Attempt) *auth.Limited {
	address, secret := p.key.Digest("address", Network(a.Addr)), p.key.Attempt(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.perUser > 0 && p.running[user] >= inFlight {
		return &auth.Limited{Reason: auth.PaceUser}
	}
	if !p.users.Has(user, secret, now) {
		switch {
		case p.perUser > 0 && p.users.N(user, now) >= p.perUser:
			return &auth.Limited{Reason: auth.PaceUser}
		case p.perAddress > 0 && p.addresses.N(address, now) >= p.perAddress:
			return &auth.Limited{Reason: auth.PaceAddress}
		}
		p.users.Add(user, secret, now)
		p.addresses.Add(address, Digest{}, now)
	}
	p.running[user]++
	return nil
}

func (p *Pace) end(user Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running[user]--; p.running[user] == 0 {
		delete(p.running, user)
	}
}
