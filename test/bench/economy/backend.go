package economy

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

const base = "dc=ldap,dc=goauthentik,dc=io"

// backend is authentik as the pipeline sees it: flows, sessions, and the
// directory as it was synced.
type backend struct {
	now    func() time.Time
	people map[string]*person // by name

	mu        sync.Mutex
	authentik *authentik
	sessions  map[string]time.Time // that were not ended, by hash: when they are over
	number    int                  // of the last session
	access    int                  // questions
}

var (
	_ auth.Authenticator = (*backend)(nil)
	_ auth.SessionKeeper = (*backend)(nil)
	_ auth.Stamper       = (*backend)(nil)
	_ bind.Directory     = (*backend)(nil)
)

// Authenticate implements auth.Authenticator.
func (b *backend) Authenticate(_ context.Context, a auth.Attempt) (auth.Granted, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.people[a.Account.Username]
	if p == nil {
		return auth.Granted{}, &auth.Denied{Reason: auth.UnknownUser}
	}
	p.flows++
	now := b.now()
	reason, cookie := b.authentik.flow(now, p, string(a.Password), string(a.Code), string(a.Cookie))
	if reason != "" {
		return auth.Granted{}, &auth.Denied{Reason: reason, Final: true}
	}
	b.number++
	hash := strconv.Itoa(b.number)
	b.sessions[hash] = now.Add(session)
	g := auth.Granted{
		Source: auth.SourceFlow, Factor: auth.FactorNone, Cookie: auth.Secret(cookie),
		Session: &auth.Session{Hash: hash, State: auth.Secret(hash)},
	}
	if a.Code != "" && p.factor != none {
		g.Factor = auth.FactorTOTP
	}
	return g, nil
}

// Access implements auth.SessionKeeper. Nobody may read the whole directory.
func (b *backend) Access(_ context.Context, _ string, s auth.Session, _ netip.Addr) (search bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.access++
	if _, ok := b.sessions[s.Hash]; !ok {
		return false, auth.ErrSessionGone
	}
	return false, nil
}

// EndSession implements auth.SessionKeeper: the unbind flow logs out.
func (b *backend) EndSession(_ context.Context, _ string, s auth.Session, _ netip.Addr) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.sessions[s.Hash]; !ok {
		return auth.ErrSessionGone
	}
	delete(b.sessions, s.Hash)
	b.authentik.events++ // logout
	return nil
}

// expire removes the sessions that are over, and returns their hashes.
func (b *backend) expire() (over []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for hash, end := range b.sessions {
		if !now.Before(end) {
			delete(b.sessions, hash)
			over = append(over, hash)
		}
	}
	return over
}

// Stamps implements auth.Stamper.
func (b *backend) Stamps(a directory.Account) (password, factor string) { return a.Changed, "" }

// LoginName implements bind.Directory.
func (b *backend) LoginName(dn ldap.DN) (string, bool) {
	text := dn.String()
	name, ok := strings.CutPrefix(text, "cn=")
	name, _, _ = strings.Cut(name, ",")
	return name, ok
}

// AccountByName implements bind.Directory.
func (b *backend) AccountByName(name string) (directory.Account, bool) {
	p := b.people[name]
	if p == nil {
		return directory.Account{Base: base}, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return directory.Account{
		UUID: uuid(p), Username: p.name, DN: p.dn, Base: base, Active: true, Changed: strconv.Itoa(p.changed),
	}, true
}

func uuid(p *person) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", p.id) }
