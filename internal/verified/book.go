package verified

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/cache"
	"ldapd/internal/password"
	"ldapd/internal/secret"
	"ldapd/internal/verified/keyring"
)

const (
	loadTimeout  = time.Second      // to ask the store for a user
	writeTimeout = 5 * time.Second  // to write to it
	openTimeout  = 5 * time.Second  // to read all of it, while nobody is served
	eachTimeout  = 30 * time.Second // to read all of it
	turnTimeout  = 20 * time.Second // to wait for what is being written of the same user
)

// ErrRevoked says that the verified binds of a user were revoked while one was
// to be recorded.
var ErrRevoked = cache.ErrRevoked

// Store keeps values for a Book; those of package cache are such. An epoch
// rises when a key is revoked.
type Store interface {
	Load(ctx context.Context, key string) (value []byte, epoch uint64, err error)
	Update(ctx context.Context, key string, epoch uint64, change func(old []byte) ([]byte, error)) error
	Revoke(ctx context.Context, key string) error
	RevokeAll(ctx context.Context) error
	Each(ctx context.Context, f func(key string, value []byte, epoch uint64) error) error
	// Watch calls changed for what other processes change, with "" for all. It
	// fails when it cannot be relied on to tell; then all is read again.
	Watch(ctx context.Context, changed func(key string)) error
}

// Options make a Book.
type Options struct {
	Store   Store
	Keys    keyring.Ring
	Now     func() time.Time // nil: time.Now
	Log     *zap.Logger      // nil: none
	Metrics *Metrics         // nil: none
	Hashes  *password.Queue  // to wait in for computing slow hashes; nil: one of its own
}

// Book holds the records of all users in memory, and keeps them in a store,
// which other processes may share. It holds no password.
//
// What the store cannot be told at the moment is kept in memory, and told by
// Run when it can be. Credentials that others removed or revoked in the
// meantime do not come back by that.
type Book struct {
	store   Store
	keys    codec
	now     func() time.Time
	log     *zap.Logger
	metrics *Metrics

	fast   *secret.Digests // of passwords, by a key of this process
	hashes *password.Queue

	reads, writes, follows outage

	reload, save chan struct{} // wake Run; hold one
	settling     chan struct{} // held while everything is being revoked

	mu       sync.RWMutex // for moments only
	users    map[User]*user
	sessions map[string]place // by hash
	filled   int              // users that have a record
	behind   bool             // the store was never read as a whole
	running  bool             // Run is

	// gen counts the revocations that are known here. An epoch for callers is
	// what it was at a time: what began then is void for who was revoked
	// later.
	gen        uint64
	revoked    uint64 // when everything was
	revokeAll  bool   // and the store is to be told
	unsaved    map[*user]struct{}
	stale      map[User]struct{} // to be read again
	staleAll   bool
	unreadable bool // a value was, and that was logged
}

// user is what is known of one; the lock is that of the Book.
type user struct {
	key  User
	name string        // in the store
	turn chan struct{} // held while the store is asked or told about the user

	record  *Record // nil: none
	turns   uint64  // that were over
	revoked uint64  // when
	revoke  bool    // and the store is to be told
	unsaved marks
	epoch   uint64 // of the store
	known   bool   // the epoch is

	// unreadable says that the store has a value that cannot be read: what it
	// would have said is not known.
	unreadable bool

	last attempt // the last password that was hashed in vain
}

// attempt is a password and its hash by the current scheme.
type attempt struct{ fast, slow digest }

// place is where a session is.
type place struct {
	key User
	id  string
}

// Entry is a record in a list.
type Entry struct {
	User
	*Record
}

// Open returns a Book with what the store holds. If that cannot be read now,
// Run does it later.
func Open(ctx context.Context, o Options) (*Book, error) {
	if o.Store == nil {
		return nil, errors.New("verified binds: there is no store")
	}
	if o.Keys.ID() == "" {
		return nil, fmt.Errorf("verified binds: %w", keyring.ErrEmpty)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Hashes == nil {
		o.Hashes = password.NewQueue()
	}
	own := make([]byte, keyring.KeySize)
	rand.Read(own) // never fails
	b := &Book{
		store: o.Store, keys: codec{o.Keys}, now: o.Now, log: o.Log, metrics: o.Metrics,
		fast:     secret.NewDigests(own),
		hashes:   o.Hashes,
		reload:   make(chan struct{}, 1),
		save:     make(chan struct{}, 1),
		settling: make(chan struct{}, 1),
		users:    make(map[User]*user),
		sessions: make(map[string]place),
		unsaved:  make(map[*user]struct{}),
		stale:    make(map[User]struct{}),
		behind:   true,
	}
	b.reads.init("read", meansAlone, o.Metrics)
	b.writes.init("written", meansAlone, o.Metrics)
	b.follows.init("followed", meansLate, o.Metrics)
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := b.readAll(ctx); err != nil {
		b.staleAll = true
		wake(b.reload)
	}
	return b, nil
}

// errUnreadable says that what the store has of a user cannot be read. The next
// proof writes it anew.
var errUnreadable = errors.New("the verified bind in the store cannot be read")

// Find looks for the credential of a password in memory, which takes
// microseconds. cold says that Search may find what Find did not.
func (b *Book) Find(k User, password secret.String) (c *Credential, cold bool) {
	d := b.fast.Of(k.Base, k.UUID, string(password))
	b.mu.RLock()
	u, cold := b.users[k], b.behind
	var r *Record
	if u != nil {
		r, cold = u.record, cold || u.unreadable
	}
	b.mu.RUnlock()
	c, coldCredential := r.find(&d)
	if c != nil {
		return c, false
	}
	return nil, cold || coldCredential
}

// find looks for the credential of a password by its fast digest.
func (r *Record) find(d *digest) (c *Credential, cold bool) {
	if r == nil {
		return nil, false
	}
	for i := range r.Credentials {
		f := r.Credentials[i].fast.Load()
		switch {
		case f == nil:
			cold = true
		case equal(f, d):
			c = &r.Credentials[i]
		}
	}
	return c, cold
}

// Code returns the digest of a one-time code of a user.
func (b *Book) Code(k User, code secret.String) Code {
	id := b.keys.ID()
	sum, _ := b.keys.Code(id, k.Base, k.UUID, code) // the current key is there
	return Code{id, sum}
}

// Codes returns the digests that a one-time code of a user may have, one for
// each key.
func (b *Book) Codes(k User, code secret.String) []Code {
	var all []Code
	for _, id := range b.keys.IDs() {
		sum, _ := b.keys.Code(id, k.Base, k.UUID, code) // the key is there
		all = append(all, Code{id, sum})
	}
	return all
}

// Credentials returns what memory has of a user. They must not be modified.
func (b *Book) Credentials(k User) []Credential {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if u := b.users[k]; u != nil && u.record != nil {
		return u.record.Credentials
	}
	return nil
}

// Places returns the clients where a user was granted.
func (b *Book) Places(k User) (all []string) {
	kept := b.Credentials(k)
	if len(kept) == 1 {
		return kept[0].Places
	}
	for i := range kept {
		all = append(all, kept[i].Places...)
	}
	return all
}

// MaySearch returns whether the user may read the whole directory, as it was
// last known; known is false if nothing was.
func (b *Book) MaySearch(k User) (may, known bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	u := b.users[k]
	if u == nil || u.record == nil {
		return false, false
	}
	var last time.Time
	for i := range u.record.Credentials {
		if c := &u.record.Credentials[i]; !known || c.Told.After(last) {
			may, known, last = c.Search, true, c.Told
		}
	}
	return may, known
}

// BySession finds the credential that a session was left for.
func (b *Book) BySession(hash string) (k User, id string, ok bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	p, ok := b.sessions[hash]
	return p.key, p.id, ok
}

// All returns all records, by user name. They must not be modified.
func (b *Book) All() []Entry {
	b.mu.RLock()
	all := make([]Entry, 0, b.filled)
	for k, u := range b.users {
		if u.record != nil {
			all = append(all, Entry{k, u.record})
		}
	}
	b.mu.RUnlock()
	slices.SortFunc(all, func(x, y Entry) int {
		return cmp.Or(cmp.Compare(x.Username, y.Username), cmp.Compare(x.Base, y.Base), cmp.Compare(x.UUID, y.UUID))
	})
	return all
}

// user returns what is known of a user, of whom nothing may be known.
func (b *Book) user(k User) (*user, error) {
	b.mu.RLock()
	u := b.users[k]
	b.mu.RUnlock()
	if u != nil {
		return u, nil
	}
	name, err := storeName(k)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.enter(k, name), nil
}

// enter is user under the lock.
func (b *Book) enter(k User, name string) *user {
	u := b.users[k]
	if u == nil {
		u = &user{key: k, name: name, turn: make(chan struct{}, 1)}
		b.users[k] = u
	}
	return u
}

// take waits until it is the caller's turn to ask or tell the store about a
// user.
func (b *Book) take(ctx context.Context, u *user) (leave func(), err error) {
	select {
	case u.turn <- struct{}{}:
		return func() { b.leave(u) }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another change of the same verified bind: %w", ctx.Err())
	}
}

func (b *Book) leave(u *user) {
	b.mu.Lock()
	u.turns++
	b.mu.Unlock()
	<-u.turn
}

// isRevoked reports, under the lock, that a user was revoked after an epoch.
func (b *Book) isRevoked(u *user, epoch uint64) bool { return max(u.revoked, b.revoked) > epoch }

// publish replaces a record, under the lock.
func (b *Book) publish(u *user, r *Record) {
	if u.record != nil {
		b.filled--
		for i := range u.record.Credentials {
			c := &u.record.Credentials[i]
			if c.Session != nil && b.sessions[c.Session.Hash] == (place{u.key, c.ID}) {
				delete(b.sessions, c.Session.Hash)
			}
		}
	}
	if u.record = r; r != nil {
		b.filled++
		for i := range r.Credentials {
			if c := &r.Credentials[i]; c.Session != nil && c.Session.Hash != "" {
				b.sessions[c.Session.Hash] = place{u.key, c.ID}
			}
		}
	}
	b.metrics.users.Set(float64(b.filled))
}

// note keeps account, under the lock, of whom the store has to be told of.
func (b *Book) note(u *user) {
	if u.revoke || len(u.unsaved) > 0 {
		b.unsaved[u] = struct{}{}
		wake(b.save)
	} else {
		delete(b.unsaved, u)
	}
	b.metrics.unsaved.Set(float64(len(b.unsaved)))
}

// void forgets a user, under the lock, and whatever is about to be recorded.
func (b *Book) void(u *user) {
	b.gen++
	u.revoked, u.known, u.unreadable, u.unsaved, u.last = b.gen, false, false, nil, attempt{}
	b.publish(u, nil)
	b.note(u)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is awake already
	}
}
