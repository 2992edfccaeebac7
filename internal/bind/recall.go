package bind

import (
	"context"
	"errors"
	"time"

	"ldapd/internal/ldap"
	"ldapd/internal/verified"
)

// Memory says when a verified bind answers.
type Memory struct {
	Reprove  time.Duration // since the last proof: then it is proved again
	Access   time.Duration // between two questions for access; 0: none
	StaleFor time.Duration // since it was last known to be good: then it does not answer
	MaxAge   time.Duration // since the factor was proved, or the password of who has none

	Scope    Scope
	Remember time.Duration // of a factor that the backend does not remember
}

// Until returns when a proof expires. What the backend remembers, it also
// forgets.
func (m Memory) Until(f *verified.Proof) time.Time {
	switch {
	case !f.Until.IsZero():
		return f.Until
	case f.Cookie != "":
		return f.At.Add(m.MaxAge)
	}
	return f.At.Add(min(m.MaxAge, m.Remember))
}

// Scope is what a second factor that was proved admits.
type Scope string

const (
	ScopeLogin  Scope = "login"  // the same login name, with its code, and password
	ScopeClient Scope = "client" // the password, from the same client
	ScopeUser   Scope = "user"   // the password, from anywhere
	ScopeOff    Scope = "off"    // nothing
)

// verdict is what a verified bind says of a reading.
type verdict uint8

const (
	lacking   verdict = iota // the factor must be proved
	admitted                 // by a proof, or because none is needed
	undecided                // which login it belongs to cannot be told
)

var (
	errUndecided = errors.New("the password is right, and whether it comes with a proved code cannot be told: set Nextcloud's ldapCacheTTL to 0")
	errBlind     = errors.New("the password is right, and the store of verified binds cannot be asked for the code")
)

// recall looks for a verified bind in memory, which takes no time.
func (p *Pipeline) recall(b *login) (Granted, bool, error) {
	if p.Book == nil || !b.known {
		return Granted{}, false, nil
	}
	p.identify(b)
	for i := range b.readings {
		r := &b.readings[i]
		if r.matched, _ = p.Book.Find(b.key, r.Password); r.matched == nil {
			continue
		}
		switch v, proof := p.judge(b, r); {
		case v == lacking || p.doubted(b, r.matched):
		case v == undecided:
			return Granted{}, false, p.undecided(b)
		default:
			return p.serve(b, r, proof)
		}
	}
	return Granted{}, false, nil
}

// search looks for a verified bind without sparing the effort, and has one
// that is in doubt proved again. For who is not known it does the same, in
// vain.
func (p *Pipeline) search(ctx context.Context, b *login) (Granted, bool, error) {
	if p.Book == nil {
		return Granted{}, false, nil
	}
	for i := range b.readings {
		r := &b.readings[i]
		found, err := p.searches.of(ctx, b.subject(), b.lookup(), r.Password, b.req.Addr)
		if err != nil {
			return Granted{}, false, couldNotTell(err)
		}
		if i == 0 {
			b.epoch = found.epoch
		}
		b.blind = b.blind || found.err != nil
		c := found.found
		if r.matched = c; c == nil || !b.known {
			continue
		}
		if !b.account.Active {
			p.forget(ctx, b.key, c) // also if the user comes back
			r.matched = nil
			continue
		}
		v, proof := p.judge(b, r)
		if v != lacking && p.doubted(b, c) {
			if err := p.renew(ctx, b, r); err != nil {
				return Granted{}, false, err
			}
			if r.matched, _ = p.Book.Find(b.key, r.Password); r.matched == nil {
				continue
			}
			if v, proof = p.judge(b, r); p.doubted(b, r.matched) {
				continue // changed again in the meantime
			}
		}
		switch v {
		case admitted:
			return p.serve(b, r, proof)
		case undecided:
			return Granted{}, false, p.undecided(b)
		}
	}
	return Granted{}, false, nil
}

// lookup returns the key to search by, one that nobody has for who is not
// known.
func (b *login) lookup() verified.User {
	if !b.known {
		return verified.User{Base: b.account.Base, UUID: "nobody"}
	}
	return b.key
}

// judge says what a verified bind with the password of a reading makes of it.
// The proof is the one that admits, if one was needed.
func (p *Pipeline) judge(b *login, r *reading) (verdict, *verified.Proof) {
	c := r.matched
	proved := func(w verified.Way, code Secret) *verified.Proof {
		is := p.Book.Matcher(b.key, code)
		return p.proof(c, func(f *verified.Proof) bool { return f.Way == w && is(f.Code) })
	}
	if r.CodeIn == InPassword { // the string identifies itself
		if f := proved(verified.ByPassword, r.Code); f != nil && (p.Memory.Scope != ScopeOff || !c.Factored) {
			return admitted, f
		}
		return lacking, nil
	}
	if !c.Factored {
		return admitted, nil
	}
	if p.Memory.Scope == ScopeOff {
		return lacking, nil
	}
	if r.CodeIn == InUsername {
		if f := proved(verified.ByName, r.Code); f != nil {
			return admitted, f
		}
		return lacking, nil
	}
	if f := p.proof(c, func(f *verified.Proof) bool {
		switch {
		case f.Way == verified.ByItself, p.Memory.Scope == ScopeUser:
			return true
		case f.Way == verified.ByUnlock, p.Memory.Scope == ScopeClient:
			return f.Client == b.client.Name
		}
		return false
	}); f != nil {
		if p.newCode(b, proved) {
			b.window = f
			return lacking, nil
		}
		return admitted, f
	}
	if p.Memory.Scope != ScopeLogin {
		return lacking, nil
	}
	return p.judgeLogin(b, c, proved)
}

// newCode reports that the bind belongs to a login search with a code that was
// not proved yet. It is worth a flow, even where the password is enough for a
// while: the login that it is of should outlive that.
func (p *Pipeline) newCode(b *login, proved func(verified.Way, Secret) *verified.Proof) bool {
	if !p.CodeInUsername {
		return false
	}
	p.look(b)
	return len(b.open) > 0 && !b.several() && b.open[0].Code != "" && proved(verified.ByName, b.open[0].Code) == nil
}

// judgeLogin is judge for a bind whose code stands in a login search, if it
// has one.
func (p *Pipeline) judgeLogin(b *login, c *verified.Credential, proved func(verified.Way, Secret) *verified.Proof) (verdict, *verified.Proof) {
	p.look(b)
	if len(b.open) == 0 {
		// Of a login that sends its name each time, or by a client that
		// remembers what it found for the name.
		if p.proof(c, func(f *verified.Proof) bool { return f.Way == verified.ByName }) != nil {
			return undecided, nil
		}
		return lacking, nil
	}
	var proof *verified.Proof
	for _, l := range b.open {
		var f *verified.Proof
		if l.Code != "" {
			f = proved(verified.ByName, l.Code)
		}
		switch {
		case f == nil && b.several():
			return undecided, nil
		case f == nil:
			return lacking, nil
		}
		proof = f
	}
	b.paired = true
	return admitted, proof // whichever login it is
}

// proof returns the first proof that is still good and that the function
// takes.
func (p *Pipeline) proof(c *verified.Credential, take func(*verified.Proof) bool) *verified.Proof {
	now := p.Now()
	for i := range c.Proofs {
		if f := &c.Proofs[i]; p.good(f, now) && take(f) {
			return f
		}
	}
	return nil
}

// good reports that a proof has not expired.
func (p *Pipeline) good(f *verified.Proof, now time.Time) bool { return now.Before(p.Memory.Until(f)) }

// doubted reports that a credential must be proved before it answers.
func (p *Pipeline) doubted(b *login, c *verified.Credential) bool {
	now := p.Now()
	return c.Doubt || !b.account.Active ||
		c.PasswordStamp != b.passwordStamp || c.FactorStamp != b.factorStamp ||
		!now.Before(c.Told.Add(p.Memory.StaleFor)) ||
		!c.Factored && !now.Before(c.Proved.Add(p.Memory.MaxAge))
}

// identify notes whose verified binds are meant, and which credentials the user
// has at the moment.
func (p *Pipeline) identify(b *login) {
	b.key = verified.User{Base: b.account.Base, UUID: b.account.UUID}
	if p.stamper != nil {
		b.passwordStamp, b.factorStamp = p.stamper.Stamps(b.account)
	}
}

// serve answers from memory, and has the credential proved again if it is
// time. Of two binds that would be admitted by one login search the second
// cannot be told.
func (p *Pipeline) serve(b *login, r *reading, proof *verified.Proof) (Granted, bool, error) {
	if !p.served(b) && b.paired {
		return Granted{}, false, p.undecided(b)
	}
	g := Granted{Search: r.matched.Search, Source: SourceMemory, Factor: FactorNone}
	if proof != nil {
		g.Factor = Factor(proof.Factor)
	}
	p.freshen(b, r)
	return g, true, nil
}

// undecided is the answer to a right password whose login cannot be told.
func (p *Pipeline) undecided(b *login) error {
	p.Metrics.undecided(b.client.Name, p.Now())
	return &ldap.Error{Code: ldap.ResultUnavailable, Message: "cannot authenticate at the moment", Err: errUndecided}
}
