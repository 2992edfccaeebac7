package backend

import (
	"context"
	"net/netip"

	"ldapd/internal/auth"
	"ldapd/internal/directory"
)

// outpostAuth asks the users file about its own accounts, authentik about
// everybody else.
type outpostAuth struct{ *outpost }

var (
	_ auth.Authenticator = outpostAuth{}
	_ auth.SessionKeeper = outpostAuth{}
	_ auth.Stamper       = outpostAuth{}
	_ auth.Rights        = outpostAuth{}
)

// isLocal says whether the users file has an account.
func (o outpostAuth) isLocal(a directory.Account) bool { return (*o.mine.Load())[a.UUID] }

// Authenticate implements auth.Authenticator.
func (o outpostAuth) Authenticate(ctx context.Context, a auth.Attempt) (auth.Granted, error) {
	if o.isLocal(a.Account) {
		return o.local.auth.Authenticate(ctx, a)
	}
	return o.flows.Authenticate(ctx, a)
}

// Stamps implements auth.Stamper.
func (o outpostAuth) Stamps(a directory.Account) (password, factor string) {
	if o.isLocal(a) {
		return o.local.auth.Stamps(a)
	}
	return o.authentik.Stamps(a)
}

// MaySearch implements auth.Rights: authentik tells only with a bind.
func (o outpostAuth) MaySearch(a directory.Account) (may, known bool) {
	if o.isLocal(a) {
		return o.local.auth.MaySearch(a)
	}
	return false, false
}

// Access implements auth.SessionKeeper. Accounts of the users file leave no
// sessions.
func (o outpostAuth) Access(ctx context.Context, base string, s auth.Session, client netip.Addr) (search bool, err error) {
	return o.authentik.Access(ctx, base, s, client)
}

// EndSession implements auth.SessionKeeper.
func (o outpostAuth) EndSession(ctx context.Context, base string, s auth.Session, client netip.Addr) error {
	return o.authentik.EndSession(ctx, base, s, client)
}
