package local

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/directory"
	"ldapd/internal/mfa"
	"ldapd/internal/password"
)

// Authenticator checks the passwords and codes of a File. It remembers
// nothing but used codes.
//
// Each attempt costs one slow hash, whatever comes of it, so the time of a
// denial tells nothing. For a name that nobody has it is the hash of some user,
// always the same one for the name.
type Authenticator struct {
	codes mfa.UsedCodes
	now   func() time.Time
	queue *password.Queue
	key   [sha256.Size]byte // of this process
	decoy *password.Hash

	content atomic.Pointer[content]
	hashes  atomic.Int64
}

var (
	_ auth.Authenticator = (*Authenticator)(nil)
	_ auth.Stamper       = (*Authenticator)(nil)
	_ auth.Rights        = (*Authenticator)(nil)
)

// content is what the authenticator takes from a File.
type content struct {
	users  map[string]*account // by UUID
	hashes []*password.Hash    // of all users that have one
}

// NewAuthenticator returns an authenticator for the users of f, which waits in
// the queue to compute a hash.
func NewAuthenticator(f *File, codes mfa.UsedCodes, queue *password.Queue, now func() time.Time) *Authenticator {
	a := &Authenticator{
		codes: codes,
		now:   now,
		queue: queue,
		decoy: password.Decoy(),
	}
	rand.Read(a.key[:]) // never fails
	a.Update(f)
	return a
}

// Update replaces the users.
func (a *Authenticator) Update(f *File) {
	c := &content{users: make(map[string]*account, len(f.accounts))}
	for i := range f.accounts {
		acc := &f.accounts[i]
		if acc.hash != nil {
			c.hashes = append(c.hashes, acc.hash)
		}
		c.users[acc.uuid] = acc
	}
	a.content.Store(c)
}

// Hashes returns how many slow hashes were computed, for the metric.
func (a *Authenticator) Hashes() int64 { return a.hashes.Load() }

// Stamps implements auth.Stamper.
func (a *Authenticator) Stamps(of directory.Account) (password, factor string) {
	u := a.content.Load().users[of.UUID]
	if u == nil {
		return "", ""
	}
	return u.passwordStamp, u.factorStamp
}

// MaySearch implements auth.Rights. It is known of the users of the file.
func (a *Authenticator) MaySearch(of directory.Account) (may, known bool) {
	u := a.content.Load().users[of.UUID]
	if u == nil {
		return false, false
	}
	return u.search && u.active, true
}

// Authenticate implements auth.Authenticator.
func (a *Authenticator) Authenticate(ctx context.Context, at auth.Attempt) (auth.Granted, error) {
	c := a.content.Load()
	u := c.users[at.Account.UUID] // nil: no such user
	right, err := a.check(ctx, a.hashFor(c, u, at.Name), at)
	if err != nil {
		return auth.Granted{}, err
	}
	right = right && u != nil && u.hash != nil // or it was the password of somebody else
	factor, reason, err := a.judge(ctx, u, right, at)
	if err != nil {
		return auth.Granted{}, err
	}
	if reason != "" {
		d := &auth.Denied{Reason: reason, Password: auth.Wrong}
		if right {
			d.Password = auth.Right
		}
		return auth.Granted{}, d
	}
	return auth.Granted{Search: u.search, Source: auth.SourceHash, Factor: factor}, nil
}

// judge says what is wrong with an attempt whose password was right or not.
func (a *Authenticator) judge(ctx context.Context, u *account, right bool, at auth.Attempt) (auth.Factor, auth.Reason, error) {
	switch {
	case u == nil:
		return "", auth.UnknownUser, nil
	case !u.active:
		return "", auth.Inactive, nil
	case u.hash == nil:
		return "", auth.NoPassword, nil
	case !right:
		return "", auth.WrongPassword, nil
	case u.totp == nil && at.CodeIn == auth.InPassword:
		// Else any six digits would do behind this password.
		return "", auth.CodeUnexpected, nil
	case u.totp == nil:
		return auth.FactorNone, "", nil
	case at.Code == "":
		return "", auth.CodeMissing, nil
	}
	counter, ok := u.totp.Match(string(at.Code), a.now())
	if !ok {
		return "", auth.WrongCode, nil
	}
	fresh, err := a.codes.Claim(ctx, u.uuid, counter, u.totp.Until(counter))
	if err != nil {
		return "", "", err
	}
	if !fresh {
		return "", auth.CodeUsed, nil
	}
	return auth.FactorTOTP, "", nil
}

// check computes a slow hash, in turn.
func (a *Authenticator) check(ctx context.Context, h *password.Hash, at auth.Attempt) (right bool, err error) {
	err = a.queue.Do(ctx, at.Addr, func() {
		a.hashes.Add(1)
		right = h.Matches(string(at.Password))
	})
	if err != nil {
		return false, fmt.Errorf("check the password: %w", err)
	}
	return right, nil
}

// hashFor returns the hash to compute: the user's own, or for those who have
// none that of some user, chosen by the name.
func (a *Authenticator) hashFor(c *content, u *account, name string) *password.Hash {
	switch {
	case u != nil && u.hash != nil:
		return u.hash
	case len(c.hashes) == 0:
		return a.decoy
	}
	mac := hmac.New(sha256.New, a.key[:])
	mac.Write([]byte(fold(name)))
	return c.hashes[binary.BigEndian.Uint64(mac.Sum(nil))%uint64(len(c.hashes))]
}
