package local

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"ldapd/internal/bind"
	"ldapd/internal/mfa"
)

// hashWait is how long a bind waits for its turn to compute a hash.
const hashWait = 10 * time.Second

// Authenticator checks the passwords and codes of a File.
//
// Each denial costs one slow hash, whatever it is denied for, so its time
// tells nothing. For a name that nobody has it is the hash of some user, always
// the same one for the name. A right password is remembered in memory, as a
// keyed digest and as long as its hash stays the same, and costs no slow hash
// again.
type Authenticator struct {
	codes mfa.UsedCodes
	now   func() time.Time
	turns chan struct{} // as many slow hashes at a time as there are processors
	macs  sync.Pool     // of *mac
	decoy *Hash

	content atomic.Pointer[content]
	hashes  atomic.Int64
}

var (
	_ bind.Authenticator = (*Authenticator)(nil)
	_ bind.Recaller      = (*Authenticator)(nil)
)

// content is what the authenticator takes from a File.
type content struct {
	users  map[string]*record // by UUID
	hashes []*Hash            // of all users that have one
}

type record struct {
	account
	right atomic.Pointer[[sha256.Size]byte] // digest of the password that was right
}

// NewAuthenticator returns an authenticator for the users of f.
func NewAuthenticator(f *File, codes mfa.UsedCodes, now func() time.Time) *Authenticator {
	a := &Authenticator{
		codes: codes,
		now:   now,
		turns: make(chan struct{}, runtime.GOMAXPROCS(0)),
		decoy: decoy(),
	}
	key := make([]byte, sha256.Size) // of this process
	rand.Read(key)                   // never fails
	a.macs.New = func() any { return &mac{hash: hmac.New(sha256.New, key)} }
	a.content.Store(&content{})
	a.Update(f)
	return a
}

// Update replaces the users. What is remembered of a user stays if the hash
// did. Not to be called twice at a time.
func (a *Authenticator) Update(f *File) {
	old := a.content.Load()
	c := &content{users: make(map[string]*record, len(f.accounts))}
	for _, acc := range f.accounts {
		r := &record{account: acc}
		if acc.hash != nil {
			c.hashes = append(c.hashes, acc.hash)
			if o := old.users[acc.uuid]; o != nil && o.hash != nil && o.hash.text == acc.hash.text {
				r.right.Store(o.right.Load())
			}
		}
		c.users[acc.uuid] = r
	}
	a.content.Store(c)
}

// Hashes returns how many slow hashes were computed, for the metric.
func (a *Authenticator) Hashes() int64 { return a.hashes.Load() }

// Recall implements bind.Recaller.
func (a *Authenticator) Recall(at bind.Attempt) (bind.Granted, bool) {
	r := a.content.Load().users[at.Account.UUID]
	if r == nil || !r.active || r.totp != nil || at.CodeIn == bind.InPassword || !a.remembers(r, at.Password) {
		return bind.Granted{}, false
	}
	return bind.Granted{Search: r.search, Source: bind.SourceMemory, Factor: bind.FactorNone}, true
}

// Authenticate implements bind.Authenticator.
func (a *Authenticator) Authenticate(ctx context.Context, at bind.Attempt) (bind.Granted, error) {
	c := a.content.Load()
	r := c.users[at.Account.UUID] // nil: no such user
	h := a.hashFor(c, r, at.Name)
	g := bind.Granted{Source: bind.SourceHash}
	right := r != nil && a.remembers(r, at.Password)
	if right {
		g.Source = bind.SourceMemory
	} else {
		var err error
		if right, err = a.check(ctx, h, at.Password); err != nil {
			return bind.Granted{}, err
		}
		if right && r != nil && r.hash != nil {
			a.remember(r, at.Password)
		}
	}
	factor, reason, err := a.judge(ctx, r, right, at)
	if err != nil {
		return bind.Granted{}, err
	}
	if reason != "" {
		if g.Source == bind.SourceMemory {
			if _, err := a.check(ctx, h, at.Password); err != nil {
				return bind.Granted{}, err
			}
		}
		return bind.Granted{}, &bind.Denied{Reason: reason}
	}
	g.Search, g.Factor = r.search, factor
	return g, nil
}

// judge says what is wrong with an attempt whose password was right or not.
func (a *Authenticator) judge(ctx context.Context, r *record, right bool, at bind.Attempt) (bind.Factor, bind.Reason, error) {
	switch {
	case r == nil:
		return "", bind.UnknownUser, nil
	case !r.active:
		return "", bind.Inactive, nil
	case r.hash == nil:
		return "", bind.NoPassword, nil
	case !right:
		return "", bind.WrongPassword, nil
	case r.totp == nil && at.CodeIn == bind.InPassword:
		// Else any six digits would do behind this password.
		return "", bind.CodeUnexpected, nil
	case r.totp == nil:
		return bind.FactorNone, "", nil
	case at.Code == "":
		return "", bind.CodeMissing, nil
	}
	counter, ok := r.totp.Match(string(at.Code), a.now())
	if !ok {
		return "", bind.WrongCode, nil
	}
	fresh, err := a.codes.Claim(ctx, r.uuid, counter, r.totp.Until(counter))
	if err != nil {
		return "", "", err
	}
	if !fresh {
		return "", bind.CodeUsed, nil
	}
	return bind.FactorTOTP, "", nil
}

// check computes a slow hash, in turn.
func (a *Authenticator) check(ctx context.Context, h *Hash, password bind.Secret) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	select {
	case a.turns <- struct{}{}:
		defer func() { <-a.turns }()
	case <-ctx.Done():
		return false, fmt.Errorf("wait to check the password: %w", ctx.Err())
	}
	a.hashes.Add(1)
	return h.Matches(string(password)), nil
}

// hashFor returns the hash to compute: the user's own, or for those who have
// none that of some user, chosen by the name.
func (a *Authenticator) hashFor(c *content, r *record, name string) *Hash {
	switch {
	case r != nil && r.hash != nil:
		return r.hash
	case len(c.hashes) == 0:
		return a.decoy
	}
	d := a.digest("name", fold(name)) // no UUID, so the digest of no password
	return c.hashes[binary.BigEndian.Uint64(d[:])%uint64(len(c.hashes))]
}

func (a *Authenticator) remember(r *record, password bind.Secret) {
	d := a.digest(r.uuid, string(password))
	r.right.Store(&d)
}

func (a *Authenticator) remembers(r *record, password bind.Secret) bool {
	known := r.right.Load()
	if known == nil {
		return false
	}
	d := a.digest(r.uuid, string(password))
	return hmac.Equal(known[:], d[:])
}

// digest returns a keyed digest of a secret; what must not hold a zero octet.
func (a *Authenticator) digest(what, secret string) (d [sha256.Size]byte) {
	m := a.macs.Get().(*mac)
	m.hash.Reset()
	m.text = append(m.text[:0], what...)
	m.text = append(m.text, 0)
	m.text = append(m.text, secret...)
	m.hash.Write(m.text)
	m.sum = m.hash.Sum(m.sum[:0])
	copy(d[:], m.sum)
	clear(m.text)
	a.macs.Put(m)
	return d
}

// mac is an HMAC that was keyed before, with its buffers.
type mac struct {
	hash      hash.Hash
	text, sum []byte
}
