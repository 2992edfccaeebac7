package verified

import (
	"context"
	"crypto/subtle"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"ldapd/internal/secret"
)

// hashWait is how long a password waits for its turn to be hashed.
const hashWait = 10 * time.Second

// The cost of new hashes: OWASP's choice for argon2id with little memory.
const (
	newMemory  = 19456 // KiB
	newTime    = 2
	newThreads = 1
)

// Bounds of the cost that a stored hash may ask for.
const (
	maxMemory  = 256 << 10 // KiB
	maxTime    = 16
	maxThreads = 16
)

// scheme is a way to hash passwords slowly: by argon2id over an HMAC of the
// password. The salt is an HMAC, too, of the user. So the hashes that are kept
// of one user are compared by computing one, and computing one for somebody of
// whom there is none takes the same time.
type scheme struct {
	key string // its id
	cost
}

// cost is what argon2id is told to spend.
type cost struct {
	memory, time uint32 // KiB, passes
	threads      uint8
}

// scheme returns the one of new hashes.
func (k Keys) scheme() scheme { return scheme{k.current.id, k.cost} }

func (c cost) valid() bool {
	return c.threads >= 1 && c.threads <= maxThreads && c.time >= 1 && c.time <= maxTime &&
		c.memory >= 8*uint32(c.threads) && c.memory <= maxMemory
}

// hash hashes a password. The key of the scheme must be among the keys.
func (k Keys) hash(s scheme, of Key, password secret.String) (d digest) {
	macs := k.all[s.key].passwords
	salt := macs.of("salt", of.Base, of.User)
	text := macs.of("password", of.Base, of.User, string(password))
	copy(d[:], argon2.IDKey(text[:], salt[:], s.time, s.memory, s.threads, uint32(len(d))))
	return d
}

// verifier recognises the password of a credential, slowly, and fast once it
// was recognised or made in this process.
type verifier struct {
	scheme
	slow digest
	fast atomic.Pointer[digest] // by a key of this process; nil: not known yet
}

// cold reports that only the slow way is there.
func (v *verifier) cold() bool { return v.fast.Load() == nil }

func (v *verifier) isFast(d *digest) bool {
	f := v.fast.Load()
	return f != nil && equal(f, d)
}

func equal(a, b *digest) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

// hash computes a slow hash when it is its turn; there are as many turns at a
// time as processors.
func (b *Book) hash(ctx context.Context, s scheme, of Key, password secret.String) (digest, error) {
	leave, err := b.hashTurn(ctx)
	if err != nil {
		return digest{}, err
	}
	defer leave()
	b.metrics.hashes.Inc()
	return b.keys.hash(s, of, password), nil
}

func (b *Book) hashTurn(ctx context.Context) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	select {
	case b.hashes <- struct{}{}:
		return func() { <-b.hashes }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to hash a password: %w", ctx.Err())
	}
}
