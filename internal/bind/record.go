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
	"ldapd/internal/policy"
	"ldapd/internal/verified"
)

// granted is what follows when the backend grants a bind. A bind that was under
// way when others reached the limit is held to it too, or parallel guesses would
// be free.
func (p *Pipeline) granted(ctx context.Context, w who, at place, f found, j *joining, with *paired, right attempt, g auth.Granted) (answer, error) {
	if l := p.failures.Over(at.from); l != nil && !p.trusts(w, at) {
		p.leave(w, at, g)
		return answer{}, l
	}
	a := answer{Granted: g, who: w}
	switch {
	case with != nil && with.ours:
		a.paired = true
		j.bind.Serve(with.ID)
	case with != nil:
		j.serve(with.open, with.one)
	default:
		p.closeLogin(j)
	}
	p.record(ctx, w, at, f, with, right, g)
	if g.Username != "" {
		if a.who.account, a.who.known = w.dir.AccountByName(g.Username); !a.who.known {
			return answer{}, undetermined(errNotYet)
		}
	}
	return a, nil
}

// record keeps what was granted as a verified bind. Nothing else is ever kept,
// nor a code that was taken for the password: six digits can be guessed.
func (p *Pipeline) record(ctx context.Context, w who, at place, f found, with *paired, right attempt, g auth.Granted) {
	if p.Book == nil || !w.known || g.Username != "" || g.Once {
		p.leave(w, at, g)
		return
	}
	proof, ok := p.proofOf(w, at, with, right, g)
	p.keep(ctx, w, at.addr, f.epoch, right.Password, g, func(c *verified.Credential) {
		noteFactor(g, c)
		c.Places = visited(c.Places, at.client.Name)
		if ok {
			c.Proofs = p.add(c.Proofs, proof)
		}
	})
}

// noteFactor notes whether the backend asked for a factor.
func noteFactor(g auth.Granted, c *verified.Credential) {
	if c.Factored = false; g.Factor != auth.FactorNone {
		factored(c)
	}
}

// factored notes that a factor is asked for. What was proved without one is not
// proved with it.
func factored(c *verified.Credential) {
	c.Factored = true
	c.Proofs = slices.DeleteFunc(slices.Clone(c.Proofs), func(f verified.Proof) bool { return f.Factor == string(auth.FactorNone) })
}

// visited puts a place in front.
func visited(places []string, place string) []string {
	rest := slices.DeleteFunc(slices.Clone(places), func(o string) bool { return o == place })
	return slices.Insert(rest, 0, place)
}

// keep notes that a password was proved just now, for a client's address.
func (p *Pipeline) keep(ctx context.Context, w who, client netip.Addr, epoch uint64, password auth.Secret, g auth.Granted, change func(*verified.Credential)) {
	now := p.Now()
	var old *verified.Session
	err := p.Book.Prove(ctx, w.key, epoch, w.account.Username, password, client, func(c *verified.Credential) {
		if c.FactorStamp != w.user.FactorStamp {
			c.Proofs = nil // of a factor that the user no longer has
		}
		c.PasswordStamp, c.FactorStamp = w.user.PasswordStamp, w.user.FactorStamp
		if c.First.IsZero() {
			c.First = now
		}
		c.Proved, c.Told = now, now
		c.Doubt, c.Search = false, g.Search
		old = supersede(c, p.session(g, client))
		change(c)
	})
	switch {
	case errors.Is(err, verified.ErrRevoked):
		old = p.session(g, client) // nobody will ask for it
	case err != nil:
		p.Log.Error("verified bind not kept", zap.String("user", w.account.Username), zap.Error(err))
	}
	p.endSession(w.key.Base, old)
}

// proofOf returns the proof of the factor that a granted bind came with, if
// there is something to recognise it by.
func (p *Pipeline) proofOf(w who, at place, with *paired, right attempt, g auth.Granted) (verified.Proof, bool) {
	f := verified.Proof{
		ID: rand.Text(), Client: at.client.Name, Home: policy.HomeAt(at.client.Name),
		Factor: string(g.Factor), At: p.Now(), Cookie: g.Cookie, Asked: p.Now(),
	}
	switch {
	case right.CodeIn == auth.InPassword: // also of who has no factor
		f.Way, f.Code = verified.ByPassword, p.Book.Code(w.key, right.Code)
	case g.Factor == auth.FactorNone:
		return f, false
	case right.CodeIn == auth.InUsername:
		f.Way, f.Code = verified.ByName, p.Book.Code(w.key, right.Code)
		if with != nil && with.ours {
			f.Home = policy.HomeOfSearch(with.Searcher)
		}
	case g.Factor == auth.FactorDuo:
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
		same := old.Way == f.Way && old.Code == f.Code && (old.Client == f.Client || f.Code.Key != "" && old.Home == f.Home)
		return same || !now.Before(p.Rules.Until(&old))
	})
	return append(proofs, f)
}

// byWindow grants a bind whose password is enough for a while, though the code
// of its login is not good, or could not be asked about. A code that was judged
// is not judged again: the login is good until the window ends.
func (p *Pipeline) byWindow(ctx context.Context, w who, at place, said said, f found, j *joining, with *paired, denied *auth.Denied) (answer, bool) {
	whole := said.readings[len(said.readings)-1] // a window is for a password without a code
	c := f.credentials[len(said.readings)-1]
	if c == nil || with == nil || whole.CodeIn != auth.NoCode {
		return answer{}, false
	}
	if c, _ = p.Book.Find(w.key, whole.Password); c == nil { // it was revoked
		return answer{}, false
	}
	logins, _, _ := j.logins()
	v := policy.Decide(&p.Rules, w.user, c, policy.Presented{Client: at.client.Name, Logins: logins}, p.Now())
	if v.Window == nil {
		return answer{}, false
	}
	a := answer{who: w, Granted: auth.Granted{Search: c.Search, Source: auth.SourceMemory, Factor: auth.Factor(v.Window.Factor)}, paired: true}
	j.serve(with.open, with.one)
	if denied == nil || !denied.Guess() {
		return a, true
	}
	proof := verified.Proof{
		ID: rand.Text(), Way: verified.ByName, Code: p.Book.Code(w.key, with.Code), Client: at.client.Name,
		Home: policy.HomeOfSearch(with.Searcher), Factor: v.Window.Factor, At: p.Now(), Until: p.Rules.Until(v.Window),
	}
	err := p.Book.Update(ctx, w.key, c.ID, func(c *verified.Credential) bool {
		c.Proofs = p.add(c.Proofs, proof)
		return true
	})
	if err != nil {
		p.Log.Error("login not kept", zap.String("user", w.account.Username), zap.Error(err))
	}
	return a, true
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

// usedEach is how often the use of a proof is noted.
const usedEach = 6 * time.Hour

// touch notes, now and then, where a credential was granted and by which proof.
// A proof from before homes were kept is at home where it first admits.
func (p *Pipeline) touch(w who, at place, c *verified.Credential, by *verified.Proof, home string) {
	now := p.Now()
	visit := !slices.Contains(c.Places, at.client.Name)
	use := by != nil && by.Code.Key != "" && now.Sub(by.At) >= usedEach && now.Sub(by.Used) >= usedEach
	settles := by != nil && by.Code.Key != "" && by.Home == ""
	if !visit && !use && !settles {
		return
	}
	id := "touch " + w.key.UUID + " " + w.key.Base + " " + c.ID
	if !p.renewals.begin(id, now) {
		return
	}
	p.spawn(renewTime, func(ctx context.Context) {
		defer p.renewals.end(id, p.Now(), true)
		err := p.Book.Update(ctx, w.key, c.ID, func(c *verified.Credential) bool {
			c.Places = visited(c.Places, at.client.Name)
			for i := range c.Proofs {
				if f := &c.Proofs[i]; by != nil && f.ID == by.ID {
					f.Used = now
					if f.Home == "" {
						f.Home = home
					}
				}
			}
			return true
		})
		if err != nil {
			p.Log.Debug("use of a verified bind not noted", zap.Error(err))
		}
	})
}
