package bind

import (
	"context"
	"errors"
	"slices"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/login"
	"ldapd/internal/policy"
)

// paired is the login search whose code a bind brings along.
type paired struct {
	login.Login
	open []login.Login // what it was chosen from
	one  int           // which of them it is
	ours bool          // the code was handed over to this bind
}

// attempt is a reading as the backend is asked about it.
type attempt struct {
	auth.Attempt
	index int        // of the reading
	try   *guard.Try // its code, if it has one and the user is known
}

// prove asks the backend, and does what follows from its answer.
func (p *Pipeline) prove(ctx context.Context, w who, at place, said said, f found, j *joining) (answer, error) {
	with, several, err := p.pair(ctx, at, said, j)
	if err != nil {
		return answer{}, err
	}
	a, err := p.proveWith(ctx, w, at, said, f, j, with, several)
	var denied *auth.Denied
	if !several || !errors.As(err, &denied) || denied.Password != auth.Right || !denied.FactorDue() {
		return a, err
	}
	// The password is right, and one of several logins has the code. The others
	// go on when their binds are answered; this one waits for that.
	with, err = p.await(ctx, j)
	if err != nil {
		return answer{}, err
	}
	if with == nil {
		j.stray()
		return answer{}, p.undecided(at)
	}
	return p.proveWith(ctx, w, at, said, f, j, with, false)
}

// pair finds the login search that a bind without a code of its own belongs
// to, nil if there is none with a code; several says that it may be one of
// several. Where right passwords came without a login lately, it waits to see
// whether one comes again.
func (p *Pipeline) pair(ctx context.Context, at place, said said, j *joining) (with *paired, several bool, err error) {
	if !p.Rules.CodeInUsername || said.code != "" {
		return nil, false, nil
	}
	open, changed := j.look()
	one, n := policy.Only(groups(open))
	for n > 0 && one >= 0 && open[one].Code != "" && j.bind.Strays() {
		if j.waited >= login.Hold {
			break
		}
		if err := j.wait(ctx, login.Hold-j.waited, changed); err != nil {
			return nil, false, err
		}
		open, changed = j.look()
		one, n = policy.Only(groups(open))
	}
	switch {
	case n == 0:
		return nil, false, nil
	case one < 0:
		return nil, true, nil
	case open[one].Code == "":
		return nil, false, nil
	case j.bind.Rivals() >= n:
		return nil, true, nil // whose it is, is seen when the password is known to be right
	}
	with = &paired{Login: open[one], open: open, one: one}
	if id, ok := j.take(open, one); ok {
		with.ID, with.ours = id, true
	}
	return with, false, nil
}

// groups is what policy wants to know of login searches to tell them apart.
func groups(open []login.Login) []policy.Login {
	all := make([]policy.Login, len(open))
	for i, l := range open {
		all[i] = policy.Login{Group: slices.IndexFunc(open, l.Same), Fresh: l.Fresh}
	}
	return all
}

// await waits for all login searches but one to be over.
func (p *Pipeline) await(ctx context.Context, j *joining) (*paired, error) {
	j.isRight()
	for {
		open, changed := j.look()
		one, n := policy.Only(groups(open))
		switch {
		case n > 0 && one >= 0:
			with := &paired{Login: open[one], open: open, one: one}
			id, ok := j.take(open, one)
			if with.ID, with.ours = id, ok; !ok || j.bind.Rivals() >= n {
				return nil, nil
			}
			return with, nil
		case n == 0, j.waited >= policy.Patience:
			return nil, nil
		}
		if err := j.wait(ctx, policy.Patience-j.waited, changed); err != nil {
			return nil, err
		}
	}
}

// proveWith asks the backend about the readings, together with the code of a
// login search if there is one.
func (p *Pipeline) proveWith(ctx context.Context, w who, at place, said said, f found, j *joining, with *paired, several bool) (answer, error) {
	attempts := p.attempts(w, at, said, f, with)
	if err := p.mayAsk(ctx, w, f, attempts); err != nil {
		return answer{}, err
	}
	g, right, err := p.ask(ctx, w, f, attempts)
	if err == nil {
		err = p.inTime(ctx, w, at, f, right, g)
	}
	p.settle(ctx, w, attempts, right, err)
	if err == nil {
		return p.granted(ctx, w, at, f, j, with, *right, g)
	}
	var denied *auth.Denied
	isDenied := errors.As(err, &denied)
	if with != nil && with.ours {
		j.bind.Return(with.ID) // for Nextcloud's next try, which is to be answered alike
	}
	if !isDenied || denied.FactorDue() {
		if a, ok := p.byWindow(ctx, w, at, said, f, j, with, denied); ok {
			return a, nil
		}
	}
	if !isDenied {
		return answer{}, classified(err)
	}
	if denied.Password == auth.Right && denied.FactorDue() {
		j.isRight()
		switch {
		case with == nil:
			j.stray()
		case !with.ours && denied.Reason == auth.CodeMissing: // another bind has its code
			j.stray()
			return answer{}, p.undecided(at)
		}
	}
	return answer{}, p.denied(ctx, w, at, said, f, with, several, denied)
}

// attempts are the readings, each with its code.
func (p *Pipeline) attempts(w who, at place, said said, f found, with *paired) []attempt {
	all := make([]attempt, len(said.readings))
	for i, r := range said.readings {
		home := policy.HomeAt(at.client.Name)
		if r.CodeIn == auth.NoCode && with != nil {
			home = policy.HomeOfSearch(with.Searcher)
			if with.ours {
				r.Code, r.CodeIn = with.Code, auth.InUsername
			}
		}
		all[i] = attempt{Attempt: r, index: i}
		if w.known && r.Code != "" {
			t := &guard.Try{User: w.account.UUID, Name: w.account.Username, Stamp: w.user.PasswordStamp, Code: r.Code, Home: home}
			if c := f.credentials[i]; c != nil {
				t.Known = policy.Knows(&p.Rules, c, home, p.Now())
			}
			all[i].try = t
		}
	}
	return all
}

// mayAsk refuses what would have the backend compare a code that may not be
// tried, or send a push that is not wanted.
func (p *Pipeline) mayAsk(ctx context.Context, w who, f found, attempts []attempt) error {
	push := true
	for i := range attempts {
		t := attempts[i].try
		if attempts[i].Code != "" {
			push = false
		}
		if t == nil {
			continue
		}
		// A code with a password that is remembered counts from here on.
		if _, l := p.guesses.Begin(*t, f.credentials[i] == nil); l != nil {
			return l
		}
		if l := p.guesses.Elsewhere(ctx, *t); l != nil {
			return l
		}
	}
	if push {
		if l := p.pushes.Over(w.subject()); l != nil {
			return l
		}
	}
	return nil
}

// ask tries the readings in turn. If all are denied, it tells of the one that
// came closest.
func (p *Pipeline) ask(ctx context.Context, w who, f found, attempts []attempt) (g auth.Granted, right *attempt, err error) {
	var denied *auth.Denied
	for i := range attempts {
		r := &attempts[i]
		g, err := p.Authenticator.Authenticate(ctx, r.Attempt)
		var d *auth.Denied
		isDenied := errors.As(err, &d)
		if !isDenied || d.Password != auth.Wrong {
			p.searches.forget(w.subject(), w.key, r.Password)
		}
		switch {
		case err == nil:
			return g, r, nil
		case !isDenied:
			return auth.Granted{}, nil, err
		case d.Password == auth.Wrong:
			if c := f.credentials[r.index]; c != nil {
				p.forget(ctx, w.key, c) // it was right once
			}
		}
		if d.Final {
			return auth.Granted{}, r, d
		}
		if denied == nil || d.Password == auth.Right && denied.Password != auth.Right {
			denied, right = d, r
		}
	}
	return auth.Granted{}, right, denied
}

// inTime refuses a right code whose password was not known to be right when it
// was asked about, if by now as many were tried as may be: or parallel guesses
// would be free.
func (p *Pipeline) inTime(ctx context.Context, w who, at place, f found, right *attempt, g auth.Granted) error {
	t := right.try
	if t == nil || f.credentials[right.index] != nil {
		return nil
	}
	_, l := p.guesses.Begin(*t, false)
	if l == nil {
		l = p.guesses.Elsewhere(ctx, *t)
	}
	if l == nil {
		return nil
	}
	p.leave(w, at, g)
	return l
}

// settle says of the codes that were tried what they turned out to be. judged is
// the attempt that the answer is about, if it is one.
func (p *Pipeline) settle(ctx context.Context, w who, attempts []attempt, judged *attempt, err error) {
	var denied *auth.Denied
	isDenied := errors.As(err, &denied)
	if isDenied && denied.Reason == auth.FactorDenied {
		p.pushes.Denied(w.subject())
	}
	for i := range attempts {
		a := &attempts[i]
		if a.try == nil {
			continue
		}
		last := false
		switch {
		case err == nil:
			p.guesses.Right(*a.try)
		case isDenied && a == judged && denied.Guess() && denied.Password == auth.Right:
			last = p.guesses.Wrong(ctx, *a.try)
		default:
			last = p.guesses.Unknown(ctx, *a.try)
		}
		if last {
			p.Metrics.guessed()
		}
		p.warn(*a.try)
	}
}

// fail counts a credential that was denied.
func (p *Pipeline) fail(ctx context.Context, w who, at place, code, password auth.Secret) *auth.Limited {
	return p.failures.Add(ctx, at.from, p.key.Digest("secret", w.subject(), string(code), string(password)))
}

// denied counts a denial, and returns what the client is told.
func (p *Pipeline) denied(ctx context.Context, w who, at place, said said, f found, with *paired, several bool, d *auth.Denied) error {
	code := said.code
	if with != nil {
		code = with.Code // guesses through login searches are told apart by it
	}
	if l := p.fail(ctx, w, at, code, said.whole); l != nil && !p.trusts(w, at) {
		return l
	}
	if d.Password == auth.Wrong || !d.FactorDue() {
		return d
	}
	if f.blind && !several {
		return undetermined(errBlind)
	}
	if d.Reason == auth.WrongCode || d.Reason == auth.CodeUsed {
		return p.wrongCodeOf(w, at, said, f, with, d)
	}
	return d
}

// wrongCodeOf is wrongCode for whatever the backend denied.
func (p *Pipeline) wrongCodeOf(w who, at place, said said, f found, with *paired, d *auth.Denied) error {
	for _, a := range p.attempts(w, at, said, f, with) {
		if c := f.credentials[a.index]; c != nil && a.try != nil {
			if err := p.wrongCode(w, at, c, a.try); !errors.As(err, new(*auth.Denied)) {
				return err
			}
		}
	}
	return d
}
