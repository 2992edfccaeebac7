package verified

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"ldapd/internal/secret"
	"ldapd/internal/verified/keyring"
)

// Prove records that a password was proved: it finds its credential, or makes
// one and puts the others in doubt, has change fill it in, and moves it to the
// front. change may be called more than once, each time with a credential of
// its own to modify; the last one counts. It may modify whatever but the ID.
//
// When Prove returns nil, the credential is in the store, or if that cannot be
// reached, in memory until it can. It fails with ErrRevoked if the user was
// revoked since the epoch, which is from Search. What makes no difference but
// in a time, by less than a second, is not recorded. The end of ctx is of no
// effect, because what was proved may have used up a code; Prove takes seconds
// at most. from is as for Search.
func (b *Book) Prove(ctx context.Context, k User, epoch uint64, username string, password secret.String, from netip.Addr, change func(c *Credential)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), turnTimeout)
	defer cancel()
	u, err := b.user(k)
	if err != nil {
		return err
	}
	leave, err := b.take(ctx, u)
	if err != nil {
		return err
	}
	defer leave()
	p := proving{
		current: b.keys.Scheme(), id: rand.Text(), username: username, change: change,
		fast: b.fast.Of(k.Base, k.UUID, string(password)), slow: make(map[keyring.Scheme]digest),
	}
	b.mu.RLock()
	if equal(&u.last.fast, &p.fast) {
		p.slow[p.current] = u.last.slow
	}
	b.mu.RUnlock()
	for {
		err := b.alter(ctx, u, epoch, p.apply)
		switch {
		case errors.Is(err, errUnsaved):
			return nil
		case !errors.Is(err, errNoHash):
			return err
		}
		// There are as many schemes as credentials.
		err = b.hashes.Do(ctx, from, func() {
			b.metrics.hashes.Inc()
			p.slow[p.lacks] = b.keys.Password(p.lacks, k.Base, k.UUID, password)
		})
		if err != nil {
			return fmt.Errorf("hash a password: %w", err)
		}
	}
}

// errNoHash says that a password must be hashed first.
var errNoHash = errors.New("a hash is lacking")

// proving is a password that was proved, to be recorded.
type proving struct {
	current  keyring.Scheme
	id       string // if the credential is new
	username string
	change   func(c *Credential)

	fast  digest
	slow  map[keyring.Scheme]digest // as far as they were needed
	lacks keyring.Scheme            // with errNoHash
}

func (p *proving) apply(r *Record) (marks, error) {
	at, err := p.find(r)
	if err != nil {
		return nil, err
	}
	if at < 0 || r.Credentials[at].scheme != p.current {
		if _, ok := p.slow[p.current]; !ok {
			p.lacks = p.current
			return nil, errNoHash
		}
	}
	what := make(marks)
	var c Credential
	if at >= 0 {
		c = r.Credentials[at]
		r.Credentials = slices.Delete(r.Credentials, at, at+1)
	} else {
		c.ID = p.id
		for i := range r.Credentials {
			if o := &r.Credentials[i]; !o.Doubt {
				o.Doubt = true
				what[o.ID] = changed
			}
		}
	}
	if c.verifier == nil || c.scheme != p.current {
		c.verifier = &verifier{scheme: p.current, slow: p.slow[p.current]}
		c.fast.Store(&p.fast)
	}
	id, v := c.ID, c.verifier
	p.change(&c)
	c.ID, c.verifier = id, v
	r.Credentials = slices.Insert(r.Credentials, 0, c)
	r.Username = p.username
	what[c.ID] = proved
	return what, nil
}

// find returns where the credential of the password is, -1 if it is not there.
func (p *proving) find(r *Record) (int, error) {
	for i := range r.Credentials {
		if r.Credentials[i].isFast(&p.fast) {
			return i, nil
		}
	}
	for i := range r.Credentials {
		c := &r.Credentials[i]
		if !c.cold() {
			continue
		}
		slow, ok := p.slow[c.scheme]
		if !ok {
			p.lacks = c.scheme
			return 0, errNoHash
		}
		if equal(&slow, &c.slow) {
			c.fast.Store(&p.fast)
			return i, nil
		}
	}
	return -1, nil
}

// Update changes a credential, or removes it if change returns false; change
// is as for Prove. It is no error if it is gone. What memory says counts at
// once; if the store cannot be reached, it is told later, but removing a
// credential then returns an error, because a restart would bring it back.
func (b *Book) Update(ctx context.Context, k User, id string, change func(c *Credential) (keep bool)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), turnTimeout)
	defer cancel()
	b.mu.RLock()
	u, epoch := b.users[k], b.gen
	b.mu.RUnlock()
	if u == nil {
		return nil
	}
	leave, err := b.take(ctx, u)
	if err != nil {
		return err
	}
	defer leave()
	var gone bool
	err = b.alter(ctx, u, epoch, func(r *Record) (marks, error) {
		at := r.index(id)
		if gone = at < 0; gone {
			return nil, nil
		}
		c := r.Credentials[at]
		v := c.verifier
		if gone = !change(&c); gone {
			r.Credentials = slices.Delete(r.Credentials, at, at+1)
			return marks{id: removed}, nil
		}
		c.ID, c.verifier = id, v
		r.Credentials[at] = c
		return marks{id: changed}, nil
	})
	switch {
	case errors.Is(err, ErrRevoked):
		return nil
	case errors.Is(err, errUnsaved) && !gone:
		return nil
	}
	return err
}

var (
	// errUnsaved says that memory has a change and the store has not.
	errUnsaved = errors.New("the store of verified binds could not be written, it will be when it can be reached")
	// errSame says that there is nothing to write.
	errSame = errors.New("nothing changed")
)

// alter changes the record of a user in turn: in the store, then in memory, or
// if the store cannot be reached, in memory only. apply modifies the record
// that it is given, and says which credentials it changed.
func (b *Book) alter(ctx context.Context, u *user, epoch uint64, apply func(r *Record) (marks, error)) error {
	b.mu.RLock()
	own, void := u.record, b.isRevoked(u, epoch)
	b.mu.RUnlock()
	if void {
		return ErrRevoked
	}
	next, what, err := b.apply(own, apply)
	if err != nil {
		return err
	}
	if alike(own, next) {
		return nil
	}
	storeErr, err := b.write(ctx, u, epoch, apply)
	if storeErr == nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isRevoked(u, epoch) {
		return ErrRevoked
	}
	u.unsaved = u.unsaved.add(what)
	b.publish(u, next)
	b.note(u)
	return fmt.Errorf("%w: %w", errUnsaved, storeErr)
}

// apply returns what a change makes of a record, which stays as it is; nil is
// none.
func (b *Book) apply(r *Record, apply func(r *Record) (marks, error)) (*Record, marks, error) {
	n := r.clone()
	what, err := apply(n)
	if err != nil {
		return nil, nil, err
	}
	n, err = b.keys.canon(n)
	return n, what, err
}

// errDown is why the store is not asked while it is known not to answer.
var errDown = errors.New("it did not answer before")

// write changes the record of a user in the store, together with what the
// store does not know yet, and then in memory. An error of the store comes
// apart from others.
func (b *Book) write(ctx context.Context, u *user, epoch uint64, apply func(r *Record) (marks, error)) (storeErr, err error) {
	if b.writes.lasts() && b.tries() {
		return errDown, nil // Run finds out when that ends, so nobody waits
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return b.writeNow(ctx, u, epoch, apply)
}

func (b *Book) writeNow(ctx context.Context, u *user, epoch uint64, apply func(r *Record) (marks, error)) (storeErr, err error) {
	if err := b.settle(ctx, u); err != nil {
		return err, nil
	}
	b.mu.RLock()
	known := u.known
	b.mu.RUnlock()
	if !known {
		// What was revoked elsewhere before is not known, then, to have been.
		if _, err := b.loadInTurn(ctx, u, epoch); err != nil {
			b.isDown(&b.writes, opLoad, err)
			return err, nil
		}
	}
	b.mu.RLock()
	own, unsaved, storeEpoch, void := u.record, u.unsaved, u.epoch, b.isRevoked(u, epoch)
	b.mu.RUnlock()
	if void {
		return nil, ErrRevoked
	}

	var result *Record
	var failed error // here, not in the store
	err = b.store.Update(ctx, u.name, storeEpoch, func(old []byte) ([]byte, error) {
		value, r, err := b.rewrite(u.key, old, own, unsaved, apply)
		result, failed = r, err
		return value, err
	})
	switch {
	case failed != nil && !errors.Is(failed, errSame) && !errors.Is(failed, errUnreadable):
		return nil, failed
	case errors.Is(err, ErrRevoked):
		b.mu.Lock()
		defer b.mu.Unlock()
		b.void(u)
		b.outdated(u.key) // others may have proved something since
		return nil, ErrRevoked
	case failed == nil:
		if b.told(ctx, &b.writes, opUpdate, err); err != nil {
			return err, nil
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isRevoked(u, epoch) {
		return nil, ErrRevoked // and the store will hear of it
	}
	u.unsaved = nil
	u.unreadable = errors.Is(failed, errUnreadable)
	b.publish(u, result)
	b.note(u)
	return nil, nil
}

// rewrite returns the next value of a user, and its record.
func (b *Book) rewrite(k User, old []byte, own *Record, unsaved marks, apply func(r *Record) (marks, error)) ([]byte, *Record, error) {
	stored, readErr := b.decode(k, bytes.Clone(old))
	stored.adopt(own)
	next, _, err := b.apply(merge(stored, own, unsaved), apply)
	switch {
	case err != nil:
		return nil, nil, err
	case readErr != nil && next == nil:
		return nil, nil, errUnreadable // only a proof takes its place
	case len(unsaved) == 0 && alike(stored, next):
		return nil, stored, errSame
	}
	value, err := b.keys.encode(k, next)
	return value, next, err
}
