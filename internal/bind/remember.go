package bind

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"go.uber.org/zap"

	"ldapd/internal/verified"
)

// record keeps what was granted as a verified bind. Nothing else is ever kept.
func (p *Pipeline) record(ctx context.Context, b *login, g Granted) {
	if len(b.open) > 0 && !b.several() {
		p.served(b)
	}
	if p.Book == nil || !b.known || g.Username != "" {
		p.leave(b, g)
		return
	}
	proof, ok := p.proofOf(b, g)
	p.prove(ctx, b, b.right.Password, g, func(c *verified.Credential) {
		c.Factored = g.Factor != FactorNone
		if ok {
			c.Proofs = p.add(c.Proofs, proof)
		}
	})
}

// windowOpen reports that the bind would have been granted without the code of
// its login.
func (p *Pipeline) windowOpen(b *login) bool {
	c := b.readings[len(b.readings)-1].matched // nil by now, if it was revoked
	return b.window != nil && c != nil && !p.doubted(b, c)
}

// byWindow grants a bind whose password is enough for a while, though the code
// of its login is not good, or could not be asked about. A code that was judged
// is not judged again: the login is good until the window ends.
func (p *Pipeline) byWindow(ctx context.Context, b *login, denied *Denied) Granted {
	r := b.readings[len(b.readings)-1] // the whole password: a window is for one without a code
	g := Granted{Search: r.matched.Search, Source: SourceMemory, Factor: Factor(b.window.Factor)}
	p.served(b)
	if denied == nil || !denied.Reason.guess() {
		return g
	}
	b.guess = denied
	f := verified.Proof{
		ID: rand.Text(), Way: verified.ByName, Code: p.Book.Code(b.key, b.code), Client: b.client.Name,
		Factor: b.window.Factor, At: p.Now(), Until: p.Memory.Until(b.window),
	}
	err := p.Book.Update(ctx, b.key, r.matched.ID, func(c *verified.Credential) bool {
		c.Proofs = p.add(c.Proofs, f)
		return true
	})
	if err != nil {
		p.Log.Error("login not kept", zap.String("user", b.account.Username), zap.Error(err))
	}
	return g
}

// prove notes that a password was proved just now.
func (p *Pipeline) prove(ctx context.Context, b *login, password Secret, g Granted, change func(*verified.Credential)) {
	now := p.Now()
	var old *verified.Session
	err := p.Book.Prove(ctx, b.key, b.epoch, b.account.Username, password, b.req.Addr, func(c *verified.Credential) {
		if c.FactorStamp != b.factorStamp {
			c.Proofs = nil // of a factor that the user no longer has
		}
		c.PasswordStamp, c.FactorStamp = b.passwordStamp, b.factorStamp
		if c.First.IsZero() {
			c.First = now
		}
		c.Proved, c.Told = now, now
		c.Doubt, c.Search = false, g.Search
		old = supersede(c, p.session(b, g))
		change(c)
	})
	switch {
	case errors.Is(err, verified.ErrRevoked):
		old = p.session(b, g) // nobody will ask for it
	case err != nil:
		p.Log.Error("verified bind not kept", zap.String("user", b.account.Username), zap.Error(err))
	}
	p.endSession(b.key.Base, old)
}

// proofOf returns the proof of the factor that a granted bind came with, if
// there is something to recognise it by.
func (p *Pipeline) proofOf(b *login, g Granted) (verified.Proof, bool) {
	a := b.right
	f := verified.Proof{ID: rand.Text(), Client: b.client.Name, Factor: string(g.Factor), At: p.Now(), Cookie: g.Cookie, Asked: p.Now()}
	switch {
	case a.CodeIn == InPassword: // also of who has no factor
		f.Way, f.Code = verified.ByPassword, p.Book.Code(b.key, a.Code)
	case g.Factor == FactorNone:
		return f, false
	case a.CodeIn == InUsername:
		f.Way, f.Code = verified.ByName, p.Book.Code(b.key, a.Code)
	case g.Factor == FactorDuo:
		f.Way = verified.ByPush
	default:
		f.Way = verified.ByItself
	}
	return f, true
}

// add adds a proof, and drops those that it replaces or that expired.
func (p *Pipeline) add(proofs []verified.Proof, f verified.Proof) []verified.Proof {
	now := p.Now()
	proofs = slices.DeleteFunc(slices.Clone(proofs), func(old verified.Proof) bool {
		return !p.good(&old, now) || old.Way == f.Way && old.Code == f.Code && (old.Client == f.Client || f.Code.Key != "")
	})
	return append(proofs, f)
}

// forget removes a credential that turned out to be wrong.
func (p *Pipeline) forget(ctx context.Context, k verified.User, c *verified.Credential) {
	var left *verified.Session
	err := p.Book.Update(ctx, k, c.ID, func(c *verified.Credential) bool {
		left = c.Session
		return false
	})
	if err != nil {
		p.Log.Error("verified bind not removed", zap.String("id", c.ID), zap.Error(err))
	}
	p.endSession(k.Base, left)
}
