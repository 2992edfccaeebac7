package guard

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/recent"
)

// Limits bound the denied binds. Beyond a limit the answer is 51 (busy), which
// Nextcloud survives, until the minute that began with the first of them is
// over; where the user is at home, answers come slowly instead (see Lane).
//
// The same credential again counts once: Nextcloud sends every wrong password
// twice, as it is and URL-decoded, and a stale app token four times.
type Limits struct {
	FailuresPerUser    int // of one user from one address, a minute; 0: unlimited
	FailuresPerAddress int // of all users from one address, a minute; 0: unlimited
}

// perPeer is how many times the failures of one address may come through one
// proxy: it forwards many, and whoever sits behind it chooses no address that
// it does not give him.
const perPeer = 10

// Tallies are the counters that replicas share. Keys and secrets are digests.
type Tallies interface {
	// Tally adds one, unless the secret is what was added last; a zero one
	// always counts. It returns the count within the window that began with
	// the first.
	Tally(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, err error)
	// Tallied returns the count.
	Tallied(ctx context.Context, key [16]byte, window time.Duration) (n int, err error)
}

// storeTime bounds a look at what is shared: without it each replica counts
// for itself.
const storeTime = 500 * time.Millisecond

// Failures counts denied binds, by user and address, by address, and by the
// proxy that names the address. It holds keyed digests in place of names and
// secrets.
type Failures struct {
	limits Limits
	shared Tallies // nil: none
	now    func() time.Time

	mu        sync.Mutex
	users     recent.Counter
	addresses recent.Counter // and peers
}

// NewFailures returns a counter; shared may be nil.
func NewFailures(limits Limits, shared Tallies, now func() time.Time) *Failures {
	return &Failures{
		limits: limits, shared: shared, now: now,
		users:     recent.NewCounter(minute, maxCounted),
		addresses: recent.NewCounter(minute, maxCounted),
	}
}

// From says where a bind counts.
type From struct {
	User    Digest // the user at the address
	Address Digest
	Peer    Digest // the proxy; zero: there is none
}

// NewFrom returns where the binds of a user count.
func NewFrom(k Key, user string, addr, peer netip.Addr) From {
	a := Network(addr)
	f := From{User: k.Digest("user", user, a), Address: k.Digest("address", a)}
	if p := Network(peer); peer.IsValid() && p != a {
		f.Peer = k.Digest("peer", p)
	}
	return f
}

// Over returns the limit that was reached, as far as this process knows; nil
// for none.
func (l *Failures) Over(f From) *auth.Limited {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over(f)
}

func (l *Failures) over(f From) *auth.Limited {
	now := l.now()
	switch {
	case l.limits.FailuresPerUser > 0 && l.users.N(f.User, now) >= l.limits.FailuresPerUser:
		return &auth.Limited{Reason: auth.LimitUser}
	case l.limits.FailuresPerAddress <= 0:
		return nil
	case l.addresses.N(f.Address, now) >= l.limits.FailuresPerAddress,
		f.Peer != Digest{} && l.addresses.N(f.Peer, now) >= perPeer*l.limits.FailuresPerAddress:
		return &auth.Limited{Reason: auth.LimitAddress}
	}
	return nil
}

// OverAnywhere is Over together with what other replicas counted.
func (l *Failures) OverAnywhere(ctx context.Context, f From) *auth.Limited {
	if e := l.Over(f); e != nil || l.shared == nil {
		return e
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	return l.reached(f, func(key Digest, limit int) bool {
		n, err := l.shared.Tallied(ctx, key, minute)
		return err == nil && n >= limit
	})
}

// reached returns the limit that is over, among those that are set.
func (l *Failures) reached(f From, over func(key Digest, limit int) bool) *auth.Limited {
	switch user, address := l.limits.FailuresPerUser, l.limits.FailuresPerAddress; {
	case user > 0 && over(f.User, user):
		return &auth.Limited{Reason: auth.LimitUser}
	case address > 0 && over(f.Address, address):
		return &auth.Limited{Reason: auth.LimitAddress}
	}
	return nil
}

// Add counts a denied bind with a secret. It returns the limit if that had been
// reached by others meanwhile, nil if not.
func (l *Failures) Add(ctx context.Context, f From, secret Digest) *auth.Limited {
	if e := l.addHere(f, secret); e != nil || l.shared == nil {
		return e
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	return l.reached(f, func(key Digest, limit int) bool {
		n, err := l.shared.Tally(ctx, key, secret, minute)
		return err == nil && n > limit
	})
}

func (l *Failures) addHere(f From, secret Digest) *auth.Limited {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.users.Has(f.User, secret, now) {
		return nil
	}
	if e := l.over(f); e != nil {
		return e
	}
	// Other users of the same address come in between two of the same
	// credential, so the address counts what the user counts.
	l.users.Add(f.User, secret, now)
	l.addresses.Add(f.Address, Digest{}, now)
	if f.Peer != (Digest{}) {
		l.addresses.Add(f.Peer, Digest{}, now)
	}
	return nil
}
