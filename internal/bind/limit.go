package bind

import (
	"context"
	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"net/netip"
	"sync"
	"time"
)

// Limits bound the denied binds. Within a limit the credential is tried,
// beyond it the answer is 51 (busy), which Nextcloud survives, until the
// minute that began with the first of them is over.
//
// The same credential again counts once: Nextcloud sends every wrong password
// twice, as it is and URL-decoded, and a stale app token four times.
type Limits struct {
	FailuresPerUser    int // of one user from one address, a minute; 0: unlimited
	FailuresPerAddress int // of all users from one address, a minute; 0: unlimited
}

// Wrong codes with a right password, and pushes that the user turns down, are
// guesses at the second factor, so they count for the user, wherever they come
// from. At three good codes in a million, guessing without a pause succeeds
// about once a year.
const (
	wrongCodes      = 10
	wrongCodeWindow = 15 * time.Minute
	failureWindow   = time.Minute
)

// maxTallies bounds the memory of each table: about 10 MiB.
const maxTallies = 1 << 16

// Tallies are the counters that replicas share. Keys and secrets are digests.
type Tallies interface {
	// Tally adds one, unless the secret is what was added last; a zero one
	// always counts. It returns the count within the window that began with
	// the first.
	Tally(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, err error)
	// Tallied returns the count.
	Tallied(ctx context.Context, key [16]byte, window time.Duration) (n int, err error)
}

// tallyTime bounds a look at the shared counters: without them each replica
// counts for itself.
const tallyTime = 500 * time.Millisecond

// limiter counts. It holds keyed digests in place of names and secrets.
type limiter struct {
	Limits
	shared Tallies // nil: none
	now    func() time.Time
	key    guard.Key

	mu        sync.Mutex
	users     table // user and address
	addresses table
	codes     table // user
}

func newLimiter(o Options) *limiter {
	l := &limiter{
		Limits: o.Limits, shared: o.Tallies, now: o.Now, key: guard.NewKey(),
		users:     table{window: failureWindow, max: maxTallies},
		addresses: table{window: failureWindow, max: maxTallies},
		codes:     table{window: wrongCodeWindow, max: maxTallies},
	}
	if o.Key != nil {
		l.key = guard.DeriveKey(o.Key)
	}
	return l
}

// count says where a bind counts.
type count struct {
	user, address, code guard.Digest
	secret              guard.Digest
}

func (l *limiter) count(b *login) count {
	user, addr := b.subject(), addressKey(b.req.Addr)
	return count{
		user:    l.key.Digest("user", user, addr),
		address: l.key.Digest("address", addr),
		code:    l.key.Digest("code", user),
		secret:  l.key.Digest("secret", user, string(b.code), string(b.req.Password)),
	}
}

// addressKey returns the address, or for IPv6 the network that one customer
// has for himself.
func addressKey(a netip.Addr) string {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// admit refuses a bind that is beyond a limit, here or at another replica.
func (l *limiter) admit(ctx context.Context, c count) error {
	l.mu.Lock()
	e := l.over(c)
	l.mu.Unlock()
	if e == nil {
		e = l.elsewhere(ctx, c, nil)
	}
	if e != nil {
		return e
	}
	return nil
}

// settle counts a bind that was tried; denied is nil if it was granted. It
// returns the refusal if the limit was reached by others in the meantime.
func (l *limiter) settle(ctx context.Context, c count, denied *auth.Denied) *auth.Limited {
	if e := l.settleHere(c, denied); e != nil {
		return e
	}
	return l.elsewhere(ctx, c, denied)
}

func (l *limiter) settleHere(c count, denied *auth.Denied) *auth.Limited {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.over(c); e != nil || denied == nil {
		return e
	}
	now := l.now()
	// Other users of the same address come in between two of the same
	// credential, so the address counts what the user counts.
	if l.users.add(c.user, c.secret, now) {
		l.addresses.add(c.address, guard.Digest{}, now)
	}
	switch denied.Reason {
	case auth.WrongCode:
		l.codes.add(c.code, c.secret, now)
	case auth.FactorDenied:
		l.codes.add(c.code, guard.Digest{}, now) // who asks often enough is let in at last
	}
	return nil
}

// elsewhere holds a bind to what all replicas count together, and adds it if
// it was denied. A counter that cannot be asked refuses nobody.
func (l *limiter) elsewhere(ctx context.Context, c count, denied *auth.Denied) *auth.Limited {
	if l.shared == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tallyTime)
	defer cancel()
	over := func(key, secret guard.Digest, window time.Duration, limit int, counts bool) bool {
		if limit <= 0 {
			return false
		}
		if counts {
			n, err := l.shared.Tally(ctx, key, secret, window)
			return err == nil && n > limit
		}
		n, err := l.shared.Tallied(ctx, key, window)
		return err == nil && n >= limit
	}
	code := c.secret
	if denied != nil && denied.Reason == auth.FactorDenied {
		code = guard.Digest{}
	}
	switch {
	case over(c.user, c.secret, failureWindow, l.FailuresPerUser, denied != nil):
		return &auth.Limited{Reason: auth.LimitUser}
	case over(c.address, c.secret, failureWindow, l.FailuresPerAddress, denied != nil):
		return &auth.Limited{Reason: auth.LimitAddress}
	case over(c.code, code, wrongCodeWindow, wrongCodes, denied != nil && (denied.Reason == auth.WrongCode || denied.Reason == auth.FactorDenied)):
		return &auth.Limited{Reason: auth.LimitCode}
	}
	return nil
}

func (l *limiter) over(c count) *auth.Limited {
	now := l.now()
	switch {
	case l.FailuresPerUser > 0 && l.users.n(c.user, now) >= l.FailuresPerUser:
		return &auth.Limited{Reason: auth.LimitUser}
	case l.FailuresPerAddress > 0 && l.addresses.n(c.address, now) >= l.FailuresPerAddress:
		return &auth.Limited{Reason: auth.LimitAddress}
	case l.codes.n(c.code, now) >= wrongCodes:
		return &auth.Limited{Reason: auth.LimitCode}
	}
	return nil
}

// table holds tallies, at most max of them: when the young ones are half of
// that, the old ones go, and the young ones are old.
type table struct {
	window     time.Duration
	max        int
	young, old map[guard.Digest]tally
}

type tally struct {
	since  time.Time // the first failure
	n      int
	secret guard.Digest // the last one; zero: all are different
}

func (t *table) find(key guard.Digest, now time.Time) (tally, bool) {
	c, ok := t.young[key]
	if !ok {
		c, ok = t.old[key]
	}
	// A clock that was set back must not stretch the window.
	if age := now.Sub(c.since); age < 0 || age >= t.window {
		return tally{}, false
	}
	return c, ok
}

func (t *table) n(key guard.Digest, now time.Time) int {
	c, _ := t.find(key, now)
	return c.n
}

// repeats reports whether the secret is the one that was counted last.
func (t *table) repeats(key, secret guard.Digest, now time.Time) bool {
	c, ok := t.find(key, now)
	return ok && secret != (guard.Digest{}) && c.secret == secret
}

// add counts the secret, unless it is the one that was counted last.
func (t *table) add(key, secret guard.Digest, now time.Time) bool {
	if t.repeats(key, secret, now) {
		return false
	}
	c, ok := t.find(key, now)
	if !ok {
		c = tally{since: now}
	}
	c.n++
	c.secret = secret
	if t.young == nil || len(t.young) >= t.max/2 {
		t.young, t.old = map[guard.Digest]tally{}, t.young
	}
	t.young[key] = c
	return true
}
