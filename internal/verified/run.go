package verified

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/backoff"
)

const (
	// What failed is tried again after retryFirst at most, then after twice
	// the time each time.
	retryFirst = 50 * time.Millisecond
	retryLast  = time.Second
	// followLast is for following the store: each time all of it is read, so
	// that what others revoke takes effect soon though nobody tells.
	followLast = 5 * time.Second
	// maxStale is how many users are read again one by one; for more all are.
	maxStale = 256
)

// Run follows what other processes change in the store, and tells it what it
// could not be told when it happened, until ctx ends. Then it tries once more.
// Call it once.
func (b *Book) Run(ctx context.Context) {
	b.setRunning(true)
	var wg sync.WaitGroup
	wg.Go(func() { b.watch(ctx) })
	wg.Go(func() { b.repeat(ctx, b.reload, b.catchUp) })
	wg.Go(func() { b.repeat(ctx, b.save, b.saveAll) })
	wg.Wait()
	b.setRunning(false)

	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	if err := b.saveAll(last); err != nil {
		b.log.Error("verified binds were changed or revoked and the store does not know", zap.Error(err))
	}
}

func (b *Book) setRunning(yes bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = yes
}

// tries reports that Run is trying to tell the store something.
func (b *Book) tries() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.running && (b.revokeAll || len(b.unsaved) > 0)
}

// repeat does something each time it is woken, until it succeeds.
func (b *Book) repeat(ctx context.Context, woken <-chan struct{}, do func(context.Context) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-woken:
		}
		for retry := (backoff.Backoff{First: retryFirst, Last: retryLast}); do(ctx) != nil && retry.Wait(ctx); {
		}
	}
}

// watch follows the store. After it failed, everything is read again, since
// something may have been missed.
func (b *Book) watch(ctx context.Context) {
	for retry := (backoff.Backoff{First: retryFirst, Last: followLast}); ; {
		var heard atomic.Bool
		err := b.store.Watch(ctx, func(name string) {
			heard.Store(true)
			b.changed(name)
		})
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("it ended")
		}
		b.told(ctx, &b.follows, opWatch, err)
		if heard.Load() {
			retry.Reset()
		}
		if !retry.Wait(ctx) {
			return
		}
		b.readAgain()
	}
}

// changed has a user read again, or all of them. It does not wait.
func (b *Book) changed(name string) {
	b.told(context.Background(), &b.follows, opWatch, nil)
	b.mu.Lock()
	defer b.mu.Unlock()
	if name == "" {
		b.outdatedAll()
	} else if k, ok := parseName(name); ok {
		b.outdated(k)
	}
}

func (b *Book) readAgain() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outdatedAll()
}

// outdatedAll is changed for all, under the lock.
func (b *Book) outdatedAll() {
	b.staleAll = true
	clear(b.stale)
	wake(b.reload)
}

// outdated is changed under the lock.
func (b *Book) outdated(k User) {
	if len(b.stale) == maxStale {
		b.outdatedAll()
	}
	if !b.staleAll {
		b.stale[k] = struct{}{}
		wake(b.reload)
	}
}

// catchUp reads again what others changed.
func (b *Book) catchUp(ctx context.Context) error {
	b.mu.Lock()
	all, stale := b.staleAll, slices.Collect(maps.Keys(b.stale))
	b.staleAll = false
	clear(b.stale)
	b.mu.Unlock()
	if all {
		b.metrics.reloads.WithLabelValues("all").Inc()
		err := b.readAll(ctx)
		if err != nil {
			b.readAgain()
		}
		return err
	}
	var failed error
	for _, k := range stale {
		b.metrics.reloads.WithLabelValues("user").Inc()
		u, err := b.user(k)
		if err != nil {
			continue // not a name that was written here
		}
		if failed == nil {
			_, failed = b.load(ctx, u)
		}
		if failed != nil {
			b.mu.Lock()
			b.outdated(k)
			b.mu.Unlock()
		}
	}
	return failed
}

// readAll takes the whole store into memory. It is not anybody's turn
// meanwhile, so who was asked or told about at the same time is read again.
func (b *Book) readAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, eachTimeout)
	defer cancel()
	b.mu.RLock()
	epoch := b.gen
	before := make(map[*user]uint64, len(b.users))
	for _, u := range b.users {
		before[u] = u.turns
	}
	b.mu.RUnlock()

	var again []*user
	seen := make(map[*user]bool, len(before))
	err := b.store.Each(ctx, func(name string, value []byte, storeEpoch uint64) error {
		k, ok := parseName(name)
		if !ok {
			return nil
		}
		u, err := b.user(k)
		if err != nil {
			return nil
		}
		seen[u] = true
		stored, readErr := b.decode(k, value)
		if !b.undisturbed(u, before[u], func() { b.absorb(u, epoch, stored, readErr, storeEpoch) }) {
			again = append(again, u)
		}
		return nil
	})
	b.told(ctx, &b.reads, opEach, err)
	if err != nil {
		return err
	}
	for u, turns := range before {
		if seen[u] {
			continue
		}
		gone := false
		if !b.undisturbed(u, turns, func() { gone = b.vanish(u) }) || gone {
			again = append(again, u)
		}
	}
	for _, u := range again {
		if _, err := b.load(ctx, u); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.behind = false
	return nil
}

// undisturbed does something under the lock, unless the store was or is being
// asked or told about a user after so many turns.
func (b *Book) undisturbed(u *user, turns uint64, do func()) bool {
	select {
	case u.turn <- struct{}{}:
		defer func() { <-u.turn }()
	default:
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if u.turns != turns || u.unsaved != nil {
		return false
	}
	do()
	return true
}

// vanish forgets, under the lock, a user of whom the store has nothing. If
// there was something, it may have been revoked, which the store can tell.
func (b *Book) vanish(u *user) (gone bool) {
	if gone = u.record != nil || u.unreadable; gone {
		b.void(u)
	}
	return gone
}

// saveAll tells the store whatever it could not be told.
func (b *Book) saveAll(ctx context.Context) error {
	settle, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := b.settleAll(settle); err != nil {
		return err
	}
	b.mu.RLock()
	users := slices.Collect(maps.Keys(b.unsaved))
	b.mu.RUnlock()
	for _, u := range users {
		if err := b.saveOne(ctx, u); err != nil {
			return err
		}
	}
	return nil
}

func (b *Book) saveOne(ctx context.Context, u *user) error {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	leave, err := b.take(ctx, u)
	if err != nil {
		return err
	}
	defer leave()
	b.mu.RLock()
	epoch, revoke, unsaved := b.gen, u.revoke, len(u.unsaved) > 0
	b.mu.RUnlock()
	if revoke && !unsaved {
		return b.settle(ctx, u)
	}
	if !unsaved {
		return nil
	}
	ctx, cancel = context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	storeErr, err := b.writeNow(ctx, u, epoch, func(*Record) (marks, error) { return nil, nil })
	if errors.Is(err, ErrRevoked) {
		b.log.Info("verified bind not kept, it was revoked elsewhere", zap.String("user", u.key.UUID))
		return nil
	}
	return errors.Join(storeErr, err)
}
