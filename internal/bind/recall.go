package bind

import (
	"context"
	"errors"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/login"
	"ldapd/internal/policy"
	"ldapd/internal/verified"
)

var (
	errUndecided = errors.New("the password is right, and whether it comes with a proved code cannot be determined: set Nextcloud's ldapCacheTTL to 0")
	errAway      = errors.New("the password is right and the code is not, and the user's logins were proved elsewhere: " +
		"name the client in the configuration (clients), or let it search with the account that it had")
	errBlind = errors.New("a second factor is due, and the store of verified binds cannot be asked whether it was proved")
	// errNotYet is about a user who was made a moment ago.
	errNotYet = errors.New("the user is right, and not in the directory yet")
)

// undecided is the answer to a right password whose login cannot be determined.
func (p *Pipeline) undecided(at place) error {
	p.Metrics.undecided(at.client.Name, p.Now())
	return undetermined(errUndecided)
}

// judged is what memory makes of one reading.
type judged struct {
	policy.Verdict
	open []login.Login // the login searches that were looked at
	try  *guard.Try    // the code that was compared; nil: none was
}

// recall answers from what this process has in memory, which takes no time. ok
// is false where that does not know.
func (p *Pipeline) recall(ctx context.Context, w who, at place, said said, j *joining) (a answer, ok bool, err error) {
	if p.Book == nil || !w.known {
		return answer{}, false, nil
	}
	for _, r := range said.readings {
		c, _ := p.Book.Find(w.key, r.Password)
		if c == nil {
			continue
		}
		v, err := p.judge(ctx, w, at, r, c, j)
		if err != nil {
			return answer{}, false, err
		}
		switch v.Do {
		case policy.Admit:
			a, err := p.serve(w, at, r, c, v, j)
			return a, err == nil, err
		case policy.Undecided:
			j.stray()
			return answer{}, false, p.undecided(at)
		}
	}
	return answer{}, false, nil
}

// judge has policy decide about a reading whose password is remembered, and
// does what that takes: looks for login searches, and waits for them to change.
// A code counts as a guess from here on, unless it is one that is remembered.
func (p *Pipeline) judge(ctx context.Context, w who, at place, r auth.Attempt, c *verified.Credential, j *joining) (judged, error) {
	said := policy.Presented{CodeIn: r.CodeIn, Client: at.client.Name}
	if r.Code != "" {
		said.Codes = p.Book.Codes(w.key, r.Code)
	}
	var v judged
	var changed <-chan struct{}
	for {
		v.Verdict = policy.Decide(&p.Rules, w.user, c, said, p.Now())
		if v.Do == policy.Wait {
			if err := j.wait(ctx, v.For, changed); err != nil {
				return judged{}, err
			}
		} else if v.Do != policy.Look {
			break
		}
		said.Logins, v.open, changed = j.logins()
	}
	v.try = p.tried(w, at, r, c, v)
	if v.try == nil {
		return v, nil
	}
	wrong, limited := p.guesses.Begin(*v.try, v.Do == policy.Admit)
	switch {
	case limited != nil:
		return judged{}, limited
	case wrong:
		return judged{}, p.wrongCode(w, at, c, v.try)
	}
	return v, nil
}

// tried returns the code that a decision was about, nil if it was about none.
func (p *Pipeline) tried(w who, at place, r auth.Attempt, c *verified.Credential, v judged) *guard.Try {
	t := guard.Try{User: w.account.UUID, Name: w.account.Username, Stamp: w.user.PasswordStamp}
	switch {
	case v.Do == policy.Admit && (v.By == nil || v.By.Code.Key == ""), v.Do == policy.Undecided, v.Do == policy.Reprove:
		return nil
	case v.Login >= 0:
		l := v.open[v.Login]
		t.Code, t.Home = l.Code, policy.HomeOfSearch(l.Searcher)
	case r.CodeIn != auth.NoCode && c.Factored:
		t.Code, t.Home = r.Code, policy.HomeAt(at.client.Name)
	}
	if t.Code == "" {
		return nil
	}
	t.Known = policy.Knows(&p.Rules, c, t.Home, p.Now())
	return &t
}

// wrongCode is the answer to a wrong code with the right password: 49 where the
// user's logins are at home, and 52 where he has none, but has some elsewhere,
// which may be those of a client that moved.
func (p *Pipeline) wrongCode(w who, at place, c *verified.Credential, t *guard.Try) error {
	if c != nil && !t.Known && policy.KnowsCodes(&p.Rules, c, p.Now()) {
		p.Metrics.away(at.client.Name, p.Now())
		return undetermined(errAway)
	}
	return &auth.Denied{Reason: auth.WrongCode, Password: auth.Right, Final: true}
}

// serve answers from memory, and has the credential proved again if it is
// time. Of two binds that would be admitted by one login search the second is
// not.
func (p *Pipeline) serve(w who, at place, r auth.Attempt, c *verified.Credential, v judged, j *joining) (answer, error) {
	if v.Login >= 0 && !j.serve(v.open, v.Login) {
		j.stray()
		return answer{}, p.undecided(at)
	}
	a := answer{who: w, paired: v.Login >= 0}
	a.Granted = auth.Granted{Search: c.Search, Source: auth.SourceMemory, Factor: auth.FactorNone}
	if v.By != nil {
		a.Factor = auth.Factor(v.By.Factor)
	}
	if v.Login < 0 {
		p.closeLogin(j)
	}
	home := ""
	if v.try != nil {
		home = v.try.Home
		p.guesses.Right(*v.try) // it counted if memory did not know it, and the store did
	}
	p.touch(w, at, c, v.By, home)
	p.freshen(w, r, c)
	return a, nil
}

// closeLogin is for a bind that was granted without its login search: it is over
// all the same.
func (p *Pipeline) closeLogin(j *joining) {
	if j.bind == nil {
		return
	}
	open, _ := j.look()
	if one, _ := policy.Only(groups(open)); one >= 0 {
		j.serve(open, one)
	}
}

// search looks for the passwords in what is kept, whatever it costs.
func (p *Pipeline) search(ctx context.Context, w who, at place, said said) (found, error) {
	f := found{credentials: make([]*verified.Credential, len(said.readings))}
	if p.Book == nil {
		return f, nil
	}
	for i, r := range said.readings {
		s, err := p.searches.of(ctx, w.subject(), w.key, r.Password, at.addr)
		if err != nil {
			return found{}, undetermined(err)
		}
		if i == 0 {
			f.epoch = s.epoch
		}
		f.blind = f.blind || s.err != nil
		if w.known {
			f.credentials[i] = s.found
		}
	}
	return f, nil
}

// found is what is kept of a user.
type found struct {
	credentials []*verified.Credential // by reading; nil: none with this password
	epoch       uint64                 // of the user's record, from before anybody is asked
	blind       bool                   // the store could not be asked
}

// consult answers from what search found, and has what is in doubt proved
// first.
func (p *Pipeline) consult(ctx context.Context, w who, at place, said said, f found, j *joining) (a answer, ok bool, err error) {
	for i, r := range said.readings {
		c := f.credentials[i]
		if c == nil {
			continue
		}
		if !w.user.Active {
			p.forget(ctx, w.key, c) // also if the user comes back
			f.credentials[i] = nil
			continue
		}
		v, err := p.judge(ctx, w, at, r, c, j)
		if err == nil && v.Do == policy.Reprove {
			err = p.renew(ctx, w, r, c, f.epoch)
			if errors.Is(err, errNotAsked) {
				continue
			}
			if err == nil {
				if c, _ = p.Book.Find(w.key, r.Password); c != nil {
					v, err = p.judge(ctx, w, at, r, c, j)
				}
				f.credentials[i] = c
			}
		}
		switch {
		case err != nil:
			return answer{}, false, err
		case c == nil:
		case v.Do == policy.Admit:
			a, err := p.serve(w, at, r, c, v, j)
			return a, err == nil, err
		case v.Do == policy.Undecided:
			j.stray()
			return answer{}, false, p.undecided(at)
		}
	}
	return answer{}, false, nil
}
