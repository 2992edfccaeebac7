package bind

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/verified"
)

// UnlockRequest is a credential that is not given by a bind.
type UnlockRequest struct {
	// Directories are the trees that have the user. He is proved in the first
	// one; his access is asked for in the others.
	Directories []Directory
	Name        string
	Password    auth.Secret
	Code        auth.Secret // empty: none
	Clients     []string
	Addr        netip.Addr // of who asks
	Peer        netip.Addr // as in Request
}

// Window is the time in which a password alone is enough for some clients.
type Window struct {
	Username string
	Clients  []string
	Until    time.Time
}

// page is where the codes that are tried for a window count: they are good
// nowhere from memory.
const page = "the unlock page"

// Unlock proves a credential and opens a window for clients, in all trees. The
// errors are those of Bind.
func (p *Pipeline) Unlock(ctx context.Context, r UnlockRequest) (Window, error) {
	w, at, said, err := p.unlocking(ctx, r)
	if err != nil {
		return Window{}, err
	}
	f, err := p.search(ctx, w, at, said)
	if err != nil {
		return Window{}, err
	}
	attempts := p.attempts(w, at, said, f, nil)
	if t := attempts[0].try; t != nil {
		t.Home, t.Known = page, false
	}
	if err := p.mayAsk(ctx, w, f, attempts); err != nil {
		return Window{}, err
	}
	g, right, err := p.ask(ctx, w, f, attempts)
	if err == nil {
		err = p.inTime(ctx, w, at, f, right, g)
	}
	p.settle(ctx, w, attempts, right, err)
	var denied *auth.Denied
	switch {
	case errors.As(err, &denied):
		return Window{}, p.refuse(ctx, w, at, said, denied)
	case err != nil:
		return Window{}, classified(err)
	}
	if l := p.failures.Over(at.from); l != nil {
		p.leave(w, at, g)
		return Window{}, l
	}
	if p.Book == nil || !w.known || g.Username != "" || g.Once {
		p.leave(w, at, g)
		return Window{}, undetermined(errNotYet)
	}
	until := p.Now().Add(min(p.Rules.Remember, p.Rules.MaxAge))
	open := p.opening(r.Clients, g, until)
	p.keep(ctx, w, at.addr, f.epoch, r.Password, g, open)
	for _, dir := range r.Directories[1:] {
		p.unlockAlso(ctx, dir, r, g, open)
	}
	return Window{Username: w.account.Username, Clients: r.Clients, Until: until}, nil
}

// opening returns what opens a window in a credential.
func (p *Pipeline) opening(clients []string, g auth.Granted, until time.Time) func(*verified.Credential) {
	return func(c *verified.Credential) {
		if c.Factored = false; g.Factor != auth.FactorNone {
			factored(c)
		}
		for _, name := range clients {
			c.Proofs = p.add(c.Proofs, verified.Proof{
				ID: rand.Text(), Way: verified.ByUnlock, Client: name, Factor: string(g.Factor), At: p.Now(), Until: until, Cookie: g.Cookie, Asked: p.Now(),
			})
		}
	}
}

// unlockAlso opens the window in another tree that has the user: the code is
// used up, so the session that it left tells whether he may use the application
// there.
func (p *Pipeline) unlockAlso(ctx context.Context, dir Directory, r UnlockRequest, g auth.Granted, open func(*verified.Credential)) {
	w := who{dir: dir, name: r.Name}
	if w.account, w.known = dir.AccountByName(r.Name); !w.known {
		return
	}
	w = p.known(w)
	own := g
	own.Session = nil
	if g.Session != nil && p.sessions != nil {
		search, err := p.sessions.Access(ctx, w.key.Base, *g.Session, r.Addr)
		if err != nil {
			p.Log.Info("no window opened in another tree", zap.String("user", w.account.Username), zap.String("base", w.key.Base), zap.Error(err))
			return
		}
		own.Search = search
	}
	_, epoch, err := p.Book.Search(ctx, w.key, r.Password, r.Addr)
	if err != nil {
		p.Log.Warn("no window opened in another tree", zap.String("user", w.account.Username), zap.String("base", w.key.Base), zap.Error(err))
		return
	}
	p.keep(ctx, w, r.Addr, epoch, r.Password, own, open)
}

// Lock closes the windows of a user, for whom the password is enough, and
// returns how many there were.
func (p *Pipeline) Lock(ctx context.Context, r UnlockRequest) (n int, err error) {
	for i, dir := range r.Directories {
		in := r
		in.Directories = []Directory{dir}
		w, at, said, err := p.unlocking(ctx, in)
		if err != nil {
			return n, err
		}
		f, err := p.search(ctx, w, at, said)
		if err != nil {
			return n, err
		}
		c := f.credentials[0]
		if c == nil {
			if i > 0 {
				continue
			}
			return 0, p.refuse(ctx, w, at, said, &auth.Denied{Reason: auth.WrongPassword, Password: auth.Wrong})
		}
		closed := 0
		err = p.Book.Update(ctx, w.key, c.ID, func(c *verified.Credential) bool {
			before := len(c.Proofs)
			c.Proofs = slices.DeleteFunc(slices.Clone(c.Proofs), func(f verified.Proof) bool { return f.Way == verified.ByUnlock })
			closed = before - len(c.Proofs)
			return len(c.Proofs) > 0 || !c.Factored
		})
		n += closed
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// unlocking does the steps of a bind that come before the backend. Nobody is at
// home on the page, so the limits hold for all.
func (p *Pipeline) unlocking(ctx context.Context, r UnlockRequest) (who, place, said, error) {
	w := who{dir: r.Directories[0], name: r.Name, code: r.Code}
	w.account, w.known = w.dir.AccountByName(r.Name)
	w = p.known(w)
	at := p.place(w, r.Addr, r.Peer)
	at.home, at.page = false, true
	a := auth.Attempt{Name: r.Name, Account: w.account, Known: w.known, Addr: r.Addr, Password: r.Password}
	if r.Code != "" {
		a.Code, a.CodeIn = r.Code, auth.InUsername
	}
	if l := p.failures.OverAnywhere(ctx, at.from); l != nil {
		return w, at, said{}, l
	}
	return w, at, said{whole: r.Password, code: r.Code, readings: []auth.Attempt{a}}, nil
}

// refuse counts a credential that was denied on the page.
func (p *Pipeline) refuse(ctx context.Context, w who, at place, said said, d *auth.Denied) error {
	if l := p.failures.Add(ctx, at.from, p.key.Digest("secret", w.subject(), string(said.code), string(said.whole))); l != nil {
		return l
	}
	return d
}
