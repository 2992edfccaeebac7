package verified

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"go.uber.org/zap"

	"ldapd/internal/secret"
	"ldapd/internal/verified/keyring"
)

// Search looks for the credential of a password whatever it costs: it asks the
// store, and computes slow hashes. epoch is what Prove wants to know; it is of
// the time of the call, so Search comes before the proof. If err is not nil,
// there may be a credential that could not be found; c may still be there, and
// epoch is good.
//
// It takes as long for a user of whom nothing is kept, also for a user that
// does not exist, as for one whose password is another: one question to the
// store, and one slow hash. (For a user of whose hashes some are by an old key
// it takes one for each key, until the passwords were proved again.) So its
// time does not tell whether somebody has logged in here. Limits are the
// caller's business, but for the turns to compute hashes: those of one address,
// from, take theirs one after the other.
func (b *Book) Search(ctx context.Context, k User, password secret.String, from netip.Addr) (c *Credential, epoch uint64, err error) {
	u, err := b.user(k)
	if err != nil {
		return nil, 0, err
	}
	epoch, err = b.load(ctx, u)
	c, hashErr := b.compare(ctx, u, password, from)
	if c != nil {
		return c, epoch, err
	}
	return nil, epoch, errors.Join(err, hashErr, b.readable(u))
}

// readable returns errUnreadable if the store has something of a user that
// cannot be read.
func (b *Book) readable(u *user) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if u.unreadable {
		return errUnreadable
	}
	return nil
}

// load takes a user from the store into memory, and returns the epoch.
func (b *Book) load(ctx context.Context, u *user) (epoch uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	leave, err := b.take(ctx, u)
	if err != nil {
		return b.epoch(), err
	}
	defer leave()
	return b.loadInTurn(ctx, u, b.epoch())
}

func (b *Book) epoch() uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.gen
}

func (b *Book) loadInTurn(ctx context.Context, u *user, before uint64) (epoch uint64, err error) {
	value, storeEpoch, err := b.store.Load(ctx, u.name)
	b.told(ctx, &b.reads, opLoad, err)
	if err != nil {
		return before, err
	}
	stored, readErr := b.decode(u.key, value)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.absorb(u, before, stored, readErr, storeEpoch), nil
}

// absorb takes over, under the lock, what the store said of a user; readErr is
// why there is nothing if that cannot be read. It returns
// the epoch to go on with: the one before the store was asked, if everything
// was revoked since, and otherwise that of now.
func (b *Book) absorb(u *user, before uint64, stored *Record, readErr error, storeEpoch uint64) (epoch uint64) {
	if b.isRevoked(u, before) {
		return before
	}
	if u.revoke || b.revokeAll {
		return b.gen // the store is yet to forget
	}
	own := u.record
	if u.known && storeEpoch > u.epoch {
		if len(u.unsaved) > 0 {
			b.log.Info("verified bind not kept, it was revoked elsewhere", zap.String("user", u.key.UUID))
		}
		b.void(u)
	}
	u.known, u.epoch, u.unreadable = true, storeEpoch, readErr != nil
	stored.adopt(own)
	b.publish(u, merge(stored, u.record, u.unsaved))
	return b.gen
}

// decode returns the record of a value of the store.
func (b *Book) decode(k User, value []byte) (*Record, error) {
	r, err := b.keys.decode(k, value)
	if err == nil {
		return r, nil
	}
	b.metrics.failed(opDecode)
	b.mu.Lock()
	first := !b.unreadable
	b.unreadable = true
	b.mu.Unlock()
	if first { // there may be one for each user
		b.log.Error("a verified bind in the store cannot be read, the user's next login with everything it takes mends that; further ones are only counted",
			zap.String("user", k.UUID), zap.Error(err))
	}
	return nil, err
}

// compare looks for a password in memory, with one slow hash for each scheme
// that is in use, or one in vain.
func (b *Book) compare(ctx context.Context, u *user, password secret.String, from netip.Addr) (found *Credential, err error) {
	d := b.fast.Of(u.key.Base, u.key.UUID, string(password))
	if c, _ := b.recordOf(u).find(&d); c != nil {
		return c, nil
	}
	err = b.hashes.Do(ctx, from, func() { found = b.compareInTurn(u, password, &d) })
	if err != nil {
		return nil, fmt.Errorf("hash a password: %w", err)
	}
	return found, nil
}

func (b *Book) compareInTurn(u *user, password secret.String, fast *digest) *Credential {
	r := b.recordOf(u)
	if c, _ := r.find(fast); c != nil {
		return c // somebody else was faster
	}
	current := b.keys.Scheme()
	for _, s := range r.coldSchemes(current) {
		b.metrics.hashes.Inc()
		slow := b.keys.Password(s, u.key.Base, u.key.UUID, password)
		if c := r.warm(s, &slow, fast); c != nil {
			return c
		}
		if s == current {
			b.mu.Lock()
			u.last = attempt{*fast, slow} // Prove may come next
			b.mu.Unlock()
		}
	}
	return nil
}

func (b *Book) recordOf(u *user) *Record {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return u.record
}

// coldSchemes returns the schemes of credentials that were not compared yet,
// or the current one.
func (r *Record) coldSchemes(current keyring.Scheme) (all []keyring.Scheme) {
	if r != nil {
		for i := range r.Credentials {
			if c := &r.Credentials[i]; c.cold() && !contains(all, c.scheme) {
				all = append(all, c.scheme)
			}
		}
	}
	if len(all) == 0 {
		all = append(all, current)
	}
	return all
}

func contains(all []keyring.Scheme, s keyring.Scheme) bool {
	for _, o := range all {
		if o == s {
			return true
		}
	}
	return false
}

// warm finds a credential by its slow hash, and notes the fast one.
func (r *Record) warm(s keyring.Scheme, slow, fast *digest) (found *Credential) {
	if r == nil {
		return nil
	}
	for i := range r.Credentials {
		if c := &r.Credentials[i]; c.scheme == s && equal(&c.slow, slow) {
			c.fast.Store(fast)
			found = c
		}
	}
	return found
}
