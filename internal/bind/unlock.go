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
	until := p.Now().Add(min(p.Rules.Remember, p.Rules.MaxAge))
	open := p.opening(r.Clients, until)
	w, g, err := p.proveOnPage(ctx, r, open)
	if err != nil {
		return Window{}, err
	}
	for _, dir := range r.Directories[1:] {
		p.unlockAlso(ctx, dir, r, g, open)
	}
	return Window{Username: w.account.Username, Clients: r.Clients, Until: until}, nil
}

// proveOnPage proves a credential in the first tree, whatever memory has of it,
// and keeps it as change fills it in.
func (p *Pipeline) proveOnPage(ctx context.Context, r UnlockRequest, change filling) (w who, g auth.Granted, err error) {
	w, at, said, err := p.unlocking(ctx, r)
	if err != nil {
		return w, g, err
	}
	f, err := p.search(ctx, w, at, said)
	if err != nil {
		return w, g, err
	}
	attempts := p.attempts(w, at, said, f, nil)
	if t := attempts[0].try; t != nil {
		t.Home, t.Known = page, false
	}
	if err := p.mayAsk(ctx, w, f, attempts); err != nil {
		return w, g, err
	}
	g, right, err := p.ask(ctx, w, f, attempts)
	if err == nil {
		err = p.inTime(ctx, w, at, f, right, g)
	}
	p.settle(ctx, w, attempts, right, err)
	var denied *auth.Denied
	switch {
	case errors.As(err, &denied):
		return w, g, p.refuse(ctx, w, at, said, denied)
	case err != nil:
		return w, g, classified(err)
	}
	if l := p.failures.Over(at.from); l != nil {
		p.leave(w, at, g)
		return w, g, l
	}
	if p.Book == nil || !w.known || g.Username != "" || g.Once {
		p.leave(w, at, g)
		return w, g, undetermined(errNotYet)
	}
	p.keep(ctx, w, at.addr, f.epoch, r.Password, g, func(c *verified.Credential) { change(g, c) })
	return w, g, nil
}

// filling fills in a credential that was proved.
type filling func(g auth.Granted, c *verified.Credential)

// opening returns what opens a window in a credential.
func (p *Pipeline) opening(clients []string, until time.Time) filling {
	return func(g auth.Granted, c *verified.Credential) {
		noteFactor(g, c)
		for _, name := range clients {
			c.Proofs = p.add(c.Proofs, verified.Proof{
				ID: rand.Text(), Way: verified.ByUnlock, Client: name, Factor: string(g.Factor), At: p.Now(), Until: until, Cookie: g.Cookie, Asked: p.Now(),
			})
		}
	}
}

// unlockAlso opens the window in another tree that has the user: the code is
// used up, so the session that it left tells whether he may use the application
// there. Where no factor was asked for, nothing is used up, and the flow of that
// tree is asked, which may want one.
func (p *Pipeline) unlockAlso(ctx context.Context, dir Directory, r UnlockRequest, g auth.Granted, open filling) {
	w := who{dir: dir, name: r.Name}
	if w.account, w.known = dir.AccountByName(r.Name); !w.known {
		return
	}
	w = p.known(w)
	if g.Factor == auth.FactorNone {
		r.Directories = []Directory{dir}
		if _, _, err := p.proveOnPage(ctx, r, open); err != nil {
			p.Log.Info("no window opened in another tree", zap.String("user", w.account.Username), zap.String("base", w.key.Base), zap.Error(err))
		}
		return
	}
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
	p.keep(ctx, w, r.Addr, epoch, r.Password, own, func(c *verified.Credential) { open(own, c) })
}

// Lock closes the windows of a user in all trees, and returns how many there
// were. It takes what Unlock takes, or who has the password alone could turn the
// owner's binds wrong. An error that is neither a denial nor a limit says that
// some may be open still.
func (p *Pipeline) Lock(ctx context.Context, r UnlockRequest) (n int, err error) {
	_, g, err := p.proveOnPage(ctx, r, noteFactor)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, dir := range r.Directories {
		m, err := p.lockIn(ctx, dir, r, g)
		n += m
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return n, undetermined(err)
	}
	return n, nil
}

// errFactored says that a proof without a factor closes nothing that took one.
var errFactored = errors.New("a window took a second factor, and the one who closes it was not asked for any")

// lockIn closes the windows in a tree, with all passwords, and ends the logins
// that were let in by a window.
func (p *Pipeline) lockIn(ctx context.Context, dir Directory, r UnlockRequest, g auth.Granted) (n int, err error) {
	w := who{dir: dir, name: r.Name}
	if w.account, w.known = dir.AccountByName(r.Name); !w.known {
		return 0, nil
	}
	w = p.known(w)
	if _, _, err := p.Book.Search(ctx, w.key, r.Password, r.Addr); err != nil {
		return 0, err // others may have opened some
	}
	var errs []error
	for _, c := range p.Book.Credentials(w.key) {
		open := slices.ContainsFunc(c.Proofs, ofWindow)
		switch {
		case open && c.Factored && g.Factor == auth.FactorNone:
			errs = append(errs, errFactored)
			continue
		case !open && len(c.Proofs) > 0:
			continue
		}
		closed := 0
		var left *verified.Session
		err := p.Book.Update(ctx, w.key, c.ID, func(c *verified.Credential) bool {
			closed, left = 0, nil
			c.Proofs = slices.DeleteFunc(slices.Clone(c.Proofs), func(f verified.Proof) bool {
				if f.Way == verified.ByUnlock {
					closed++
				}
				return ofWindow(f)
			})
			if c.Factored && len(c.Proofs) == 0 {
				left = c.Session
				return false
			}
			return true
		})
		p.endSession(w.key.Base, left)
		n += closed
		errs = append(errs, err)
	}
	return n, errors.Join(errs...)
}

// ofWindow reports that a proof is a window, or a login that a window let in.
func ofWindow(f verified.Proof) bool { return f.Way == verified.ByUnlock || !f.Until.IsZero() }

// unlocking does the steps of a bind that come before the backend. The page
// trusts nobody, so the limits hold for all.
func (p *Pipeline) unlocking(ctx context.Context, r UnlockRequest) (who, place, said, error) {
	w := who{dir: r.Directories[0], name: r.Name, code: r.Code}
	w.account, w.known = w.dir.AccountByName(r.Name)
	w = p.known(w)
	at := p.place(w, r.Addr, r.Peer)
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
	if l := p.fail(ctx, w, at, said.code, said.whole); l != nil {
		return l
	}
	return d
}
