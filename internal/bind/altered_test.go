package bind_test

import (
	"context"
	"net/netip"
	"testing"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
	"ldapd/internal/directory"
)

// altered is a backend some of whose answers a test changes; what is nil stays
// as it is.
type altered struct {
	*flows
	deny   func(a auth.Attempt) error
	grant  func(g *auth.Granted)
	access func(base string) (search bool, err error)
	end    func() error // of a session
	factor string       // what Stamps says of it
}

func newAltered(t *testing.T, change func(*bind.Options)) (*house, *altered) {
	a := new(altered)
	h := newHouse(t, func(o *bind.Options) {
		a.flows = o.Authenticator.(*flows)
		o.Authenticator = a
		if change != nil {
			change(o)
		}
	})
	return h, a
}

func (a *altered) Authenticate(ctx context.Context, at auth.Attempt) (auth.Granted, error) {
	g, err := a.flows.Authenticate(ctx, at)
	if a.deny != nil {
		if err := a.deny(at); err != nil {
			return auth.Granted{}, err
		}
	}
	if err == nil && a.grant != nil {
		a.grant(&g)
	}
	return g, err
}

func (a *altered) Access(ctx context.Context, base string, s auth.Session, addr netip.Addr) (bool, error) {
	if a.access != nil {
		return a.access(base)
	}
	return a.flows.Access(ctx, base, s, addr)
}

func (a *altered) EndSession(ctx context.Context, base string, s auth.Session, addr netip.Addr) error {
	if a.end != nil {
		return a.end()
	}
	return a.flows.EndSession(ctx, base, s, addr)
}

func (a *altered) Stamps(acc directory.Account) (password, factor string) {
	password, _ = a.flows.Stamps(acc)
	return password, a.factor
}

// openLogins returns how many login searches of a user a bind of his would see.
func (h *house) openLogins(name string) int {
	b := h.logins.Begin(h.logins.Arrive(), nextcloud, base, "uuid-"+name)
	defer b.End()
	all, _ := b.Logins()
	return len(all)
}
