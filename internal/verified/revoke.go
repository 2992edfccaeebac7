package verified

import (
	"context"
	"fmt"
)

// Revoke ends the verified binds of a user, and those about to be recorded.
// Memory forgets at once. An error says that the store could not be written: this
// process still has them revoked and goes on trying to tell it, but others do
// not know, and a restart would bring them back.
func (b *Book) Revoke(ctx context.Context, k User) error {
	u, err := b.user(k)
	if err != nil {
		return err
	}
	b.mu.Lock()
	u.revoke = true
	b.void(u)
	b.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	leave, err := b.take(ctx, u)
	if err == nil {
		err = b.settle(ctx, u)
		leave()
	}
	return revokedHere(err)
}

// RevokeAll is Revoke for every user.
func (b *Book) RevokeAll(ctx context.Context) error {
	b.mu.Lock()
	for _, u := range b.users {
		u.revoke = false
		b.void(u)
	}
	b.gen++ // also for users of whom nothing is known yet
	b.revoked, b.revokeAll = b.gen, true
	b.mu.Unlock()
	wake(b.save)

	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return revokedHere(b.settleAll(ctx))
}

func revokedHere(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("revoked in this process only, which goes on trying to tell the store: %w", err)
}

// settle tells the store, in turn, that a user was revoked, if it has to be
// told.
func (b *Book) settle(ctx context.Context, u *user) error {
	if err := b.settleAll(ctx); err != nil {
		return err
	}
	b.mu.RLock()
	revoke, when := u.revoke, u.revoked
	b.mu.RUnlock()
	if !revoke {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := b.store.Revoke(ctx, u.name)
	if b.told(ctx, &b.writes, opRevoke, err); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if u.revoked == when { // and not again
		u.revoke = false
		b.note(u)
	}
	return nil
}

// settleAll is settle for the revocation of everything.
func (b *Book) settleAll(ctx context.Context) error {
	b.mu.RLock()
	revoke := b.revokeAll
	b.mu.RUnlock()
	if !revoke {
		return nil
	}
	select {
	case b.settling <- struct{}{}:
		defer func() { <-b.settling }()
	case <-ctx.Done():
		return fmt.Errorf("wait for the store to be told that everything is revoked: %w", ctx.Err())
	}
	b.mu.RLock()
	revoke, when := b.revokeAll, b.revoked
	b.mu.RUnlock()
	if !revoke {
		return nil
	}
	err := b.store.RevokeAll(ctx)
	if b.told(ctx, &b.writes, opRevoke, err); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.revoked == when {
		b.revokeAll = false
	}
	return nil
}
