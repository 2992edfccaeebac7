package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
	"ldapd/internal/control"
	"ldapd/internal/directory"
	"ldapd/internal/mfa"
	"ldapd/internal/secret"
	"ldapd/internal/unlock"
	"ldapd/internal/verified"
)

// service is what commands and the unlock page ask for.
type service struct{ *Daemon }

var (
	_ control.Service = service{}
	_ unlock.Service  = service{}
)

// List implements control.Service.
func (s service) List(context.Context) ([]control.Bind, error) {
	return list(s.book.All(), s.binds.Rules.Until), nil
}

// list puts verified binds into the words of commands; until says how long a
// proof is good.
func list(all []verified.Entry, until func(*verified.Proof) time.Time) []control.Bind {
	var binds []control.Bind
	for _, e := range all {
		for i := range e.Record.Credentials {
			c := &e.Record.Credentials[i]
			b := control.Bind{
				User: e.Record.Username, UUID: e.User.UUID, Base: e.User.Base, Factored: c.Factored, Doubt: c.Doubt,
				First: c.First, Proved: c.Proved, Told: c.Told,
			}
			for j := range c.Proofs {
				f := &c.Proofs[j]
				end := until(f)
				b.Proofs = append(b.Proofs, control.Proof{Way: string(f.Way), Factor: f.Factor, Client: f.Client, At: f.At, Until: end})
				if c.Factored && end.After(b.Until) {
					b.Until = end
				}
			}
			binds = append(binds, b)
		}
	}
	return binds
}

// Revoke implements control.Service.
func (s service) Revoke(ctx context.Context, user string) (n int, err error) {
	keys := s.keysOf(user)
	var errs []error
	for _, k := range keys {
		m, err := s.binds.Revoke(ctx, k)
		n += m
		errs = append(errs, err)
	}
	if accounts := s.accounts(user); len(accounts) > 0 {
		_, err := s.forgive(ctx, accounts)
		errs = append(errs, err)
	}
	return n, errors.Join(errs...)
}

// Forgive implements control.Service.
func (s service) Forgive(ctx context.Context, user string) (n int, err error) {
	if s.served.forest.Load() == nil {
		return 0, bind.ErrNotLoaded
	}
	accounts := s.accounts(user)
	if len(accounts) == 0 {
		return 0, fmt.Errorf("the directory has no user %q", user)
	}
	return s.forgive(ctx, accounts)
}

func (s service) forgive(ctx context.Context, accounts []directory.Account) (n int, err error) {
	var errs []error
	for _, a := range accounts {
		m, err := s.binds.Forgive(ctx, a)
		n += m
		errs = append(errs, err)
	}
	return n, errors.Join(errs...)
}

// keysOf finds a user by name or UUID, among the verified binds and in the
// directory: others may know of verified binds that are not known here.
func (s service) keysOf(user string) (keys []verified.User) {
	seen := make(map[verified.User]bool)
	add := func(k verified.User) {
		if !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	for _, e := range s.book.All() {
		if isUser(e, user) {
			add(e.User)
		}
	}
	for _, a := range s.accounts(user) {
		add(verified.User{Base: a.Base, UUID: a.UUID})
	}
	return keys
}

// accounts are those of a user in all trees, by name or UUID.
func (s service) accounts(user string) (all []directory.Account) {
	forest := s.served.forest.Load()
	if forest == nil {
		return nil
	}
	for _, tree := range forest.Trees() {
		a, ok := tree.AccountByName(user)
		if !ok {
			a, ok = tree.AccountByUUID(user)
		}
		if ok {
			all = append(all, a)
		}
	}
	return all
}

// isUser says whether a record is that of a user, by name or UUID.
func isUser(e verified.Entry, user string) bool {
	return strings.EqualFold(e.Record.Username, user) || strings.EqualFold(e.User.UUID, user)
}

// RevokeAll implements control.Service.
func (s service) RevokeAll(ctx context.Context) (int, error) { return s.binds.RevokeAll(ctx) }

// Unlock implements control.Service and unlock.Service.
func (s service) Unlock(ctx context.Context, r unlock.Request) (unlock.Window, error) {
	req, err := s.request(r)
	if err != nil {
		return unlock.Window{}, err
	}
	w, err := s.binds.Unlock(ctx, req)
	return unlock.Window{Username: w.Username, Clients: w.Clients, Until: w.Until}, unlocked(err)
}

// Lock implements unlock.Service.
func (s service) Lock(ctx context.Context, r unlock.Request) (int, error) {
	req, err := s.request(r)
	if err != nil {
		return 0, err
	}
	n, err := s.binds.Lock(ctx, req)
	return n, unlocked(err)
}

// request finds the user. Who is used to it may put the code behind the name
// here, too.
func (s service) request(r unlock.Request) (bind.UnlockRequest, error) {
	dirs, name, err := s.served.find(r.User)
	if err != nil {
		return bind.UnlockRequest{}, err
	}
	if _, known := dirs[0].AccountByName(name); !known && r.Code == "" {
		if head, code, ok := mfa.Split(r.User, s.cfg.MFA.Separator); ok {
			r.User, r.Code = head, secret.String(code)
			return s.request(r)
		}
	}
	return bind.UnlockRequest{
		Directories: dirs, Name: name, Password: r.Password, Code: r.Code, Clients: r.Clients, Addr: r.Client, Peer: r.Peer,
	}, nil
}

// unlocked says by one of unlock's errors how it went.
func unlocked(err error) error {
	var denied *auth.Denied
	var limited *auth.Limited
	switch {
	case errors.As(err, &denied):
		return unlock.ErrRefused
	case errors.As(err, &limited):
		return unlock.ErrBusy
	}
	return err
}

// Status implements control.Service.
func (s service) Status(context.Context) (control.Status, error) {
	verified := s.book.All()
	st := control.Status{
		Version: s.version, Since: s.since, Store: s.cfg.Cache.Store, VerifiedUsers: len(verified),
		GoodAnywhere: goodAnywhere(verified, &s.binds.Rules, s.now()),
	}
	if err := s.book.Down(); err != nil {
		st.StoreError = err.Error()
	}
	if forest := s.served.forest.Load(); forest == nil {
		st.Directory = "not loaded yet"
	} else {
		entries := 0
		for _, tree := range forest.Trees() {
			entries += tree.Len()
		}
		st.Directory = fmt.Sprintf("%s: %d entries below %d base DNs", s.cfg.Backend, entries, len(forest.Trees()))
	}
	st.Warnings = append(guessed(s.binds.Guessed(), s.nameOf), away(s.bindMetrics.Away(), s.now())...)
	for _, u := range s.bindMetrics.Undecided() {
		st.Undecided = append(st.Undecided, control.Undecided{Client: u.Client, Count: uint64(u.Count), Last: u.Last, Remedy: pairRemedy})
	}
	st.Warnings = append(st.Warnings, s.backend.Trouble()...)
	if age := s.now().Sub(s.backend.Synced()); age > directoryAge {
		st.Warnings = append(st.Warnings, fmt.Sprintf("the directory was last known to be up to date %s ago", age.Round(time.Second)))
	}
	return st, nil
}

// directoryAge is how old the directory may be without a warning.
const directoryAge = 5 * time.Minute

// pairRemedy is what ends undecided binds.
const pairRemedy = "set ldapCacheTTL to 0 in this Nextcloud (occ ldap:set-config s01 ldapCacheTTL 0), " +
	"let all its connections reach the same ldapd, or choose mfa.remember.scope: client"
