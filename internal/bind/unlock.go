package bind

import (
	"context"
	"crypto/rand"
	"net/netip"
	"slices"
	"time"

	"ldapd/internal/verified"
)

// UnlockRequest is a credential that is not given by a bind.
type UnlockRequest struct {
	Directory Directory // to find the name in
	Name      string
	Password  Secret
	Code      Secret // empty: none
	Clients   []string
	Addr      netip.Addr // of who asks
	Peer      netip.Addr // as that of Request; invalid for who asks at the server
}

// Window is the time in which a password alone is enough for some clients.
type Window struct {
	Username string
	Clients  []string
	Until    time.Time
}

// Unlock proves a credential and opens a window for clients. The errors are
// those of Bind.
func (p *Pipeline) Unlock(ctx context.Context, r UnlockRequest) (Window, error) {
	b, err := p.unlocking(ctx, r)
	if err != nil {
		return Window{}, err
	}
	g, err := p.tryAll(ctx, b)
	if err := p.settle(ctx, b, err); err != nil {
		p.leave(b, g)
		return Window{}, err
	}
	if p.Book == nil || !b.known {
		p.leave(b, g)
		return Window{}, couldNotTell(errNotYet)
	}
	until := p.Now().Add(p.Memory.Remember)
	p.prove(ctx, b, r.Password, g, func(c *verified.Credential) {
		c.Factored = g.Factor != FactorNone
		for _, name := range r.Clients {
			c.Proofs = p.add(c.Proofs, verified.Proof{
				ID: rand.Text(), Way: verified.ByUnlock, Client: name, Factor: string(g.Factor), At: p.Now(), Until: until, Cookie: g.Cookie, Asked: p.Now(),
			})
		}
	})
	return Window{Username: b.account.Username, Clients: r.Clients, Until: until}, nil
}

// Lock closes the windows of a user, for whom the password is enough, and
// returns how many there were.
func (p *Pipeline) Lock(ctx context.Context, r UnlockRequest) (n int, err error) {
	b, err := p.unlocking(ctx, r)
	if err != nil {
		return 0, err
	}
	c := b.readings[0].matched
	if c == nil {
		return 0, p.settle(ctx, b, &Denied{Reason: WrongPassword})
	}
	err = p.Book.Update(ctx, b.key, c.ID, func(c *verified.Credential) bool {
		before := len(c.Proofs)
		c.Proofs = slices.DeleteFunc(slices.Clone(c.Proofs), func(f verified.Proof) bool { return f.Way == verified.ByUnlock })
		n = before - len(c.Proofs)
		return len(c.Proofs) > 0 || !c.Factored
	})
	return n, err
}

// unlocking does the steps of a bind that come before the authentication.
func (p *Pipeline) unlocking(ctx context.Context, r UnlockRequest) (*login, error) {
	b := &login{req: Request{Password: []byte(r.Password), Addr: r.Addr}, name: r.Name, code: r.Code, dir: r.Directory}
	b.account, b.known = r.Directory.AccountByName(r.Name)
	b.client = p.clientAt(r.Addr)
	a := Attempt{Name: r.Name, Account: b.account, Known: b.known, Addr: r.Addr, Password: r.Password}
	if r.Code != "" {
		a.Code, a.CodeIn = r.Code, InUsername
	}
	b.readings = []reading{{Attempt: a}}
	if err := p.limiter.admit(ctx, p.limiter.count(b)); err != nil {
		return nil, err
	}
	if p.Book != nil {
		if b.known {
			p.identify(b)
		}
		found, err := p.searches.of(ctx, b.subject(), b.lookup(), r.Password)
		if err != nil {
			return nil, couldNotTell(err)
		}
		b.readings[0].matched, b.epoch = found.found, found.epoch
	}
	return b, nil
}
