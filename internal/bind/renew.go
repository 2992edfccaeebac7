package bind

import (
	"context"
	"errors"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/verified"
)

const (
	// inStep is how old the directory may be for what it says to count as
	// asked now.
	inStep = 5 * time.Minute
	// renewTime bounds a renewal that nobody waits for.
	renewTime = 2 * time.Minute
	// What could not be determined is asked again after a minute, then twice that
	// each time.
	retryFirst = time.Minute
	retryLast  = time.Hour
)

// renewals are the credentials that are being asked about in the background,
// or that could not be a while ago.
type renewals struct {
	mu  sync.Mutex
	all map[string]renewal // by user and id of the credential
}

type renewal struct {
	running bool
	retry   time.Time
	wait    time.Duration
}

// begin reports that the caller may ask now; end must follow.
func (s *renewals) begin(id string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.all[id]
	if r.running || now.Before(r.retry) {
		return false
	}
	if s.all == nil {
		s.all = make(map[string]renewal)
	}
	r.running = true
	s.all[id] = r
	return true
}

func (s *renewals) end(id string, now time.Time, told bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if told {
		delete(s.all, id)
		return
	}
	wait := max(min(2*s.all[id].wait, retryLast), retryFirst)
	s.all[id] = renewal{retry: now.Add(wait), wait: wait}
}

// sweep forgets what could not be determined of who did not come again.
func (s *renewals) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.all, func(_ string, r renewal) bool { return !r.running && now.Sub(r.retry) > retryLast })
}

// Settled reports that nothing runs in the background.
func (p *Pipeline) Settled() bool { return p.background.Load() == 0 }

// spawn runs something in the background, which Close ends.
func (p *Pipeline) spawn(limit time.Duration, f func(ctx context.Context)) {
	if p.ctx.Err() != nil {
		return
	}
	p.background.Add(1)
	p.wg.Go(func() {
		defer p.background.Add(-1)
		ctx, cancel := context.WithTimeout(p.ctx, limit)
		defer cancel()
		f(ctx)
	})
}

// freshen has a credential that answered asked about in the background, if it
// is time.
func (p *Pipeline) freshen(w who, r auth.Attempt, c *verified.Credential) {
	now := p.Now()
	var ask func(context.Context, who, auth.Attempt, *verified.Credential) error
	switch {
	case now.Sub(c.Proved) >= p.Rules.Reprove+p.spread(c) && (!c.Factored || p.reminder(c) != nil):
		ask = p.askFlow
	case p.accessDue(c, now):
		ask = p.askAccess
	case now.Sub(c.Told) >= p.Rules.Reprove+p.spread(c):
		ask = p.askDirectory
	default:
		return
	}
	id := w.key.UUID + " " + w.key.Base + " " + c.ID
	if !p.renewals.begin(id, now) {
		return
	}
	p.spawn(renewTime, func(ctx context.Context) {
		err := ask(ctx, w, r, c)
		var denied *auth.Denied
		known := err == nil || errors.As(err, &denied) && ends(denied)
		p.renewals.end(id, p.Now(), known)
		p.Metrics.renewed(err)
		switch {
		case denied != nil && known:
			p.Log.Info("verified bind ended", zap.String("user", w.account.Username), zap.String("reason", string(denied.Reason)))
		case err != nil && p.ctx.Err() == nil:
			p.Log.Warn("verified bind not proved again, it stays for now", zap.String("user", w.account.Username),
				zap.Time("known_good", c.Told), zap.Error(err))
		}
	})
}

// ends reports that a denial of a quiet proof ends a verified bind: the password
// is wrong, or the factor is due, or access was withdrawn. A policy of the flow
// may look at where others guess, so it says nothing of this credential.
func ends(d *auth.Denied) bool {
	return d.Password == auth.Wrong || d.Password == auth.Right && (d.FactorDue() || d.Reason == auth.NoAccess)
}

// spread keeps the flows of many apart, and those of one user below two a day.
func (p *Pipeline) spread(c *verified.Credential) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(c.ID))
	return p.Rules.Reprove / 4 * time.Duration(h.Sum32()%1024) / 1024
}

// reminder returns the proof to remind the backend of: of those that it
// remembers itself the one that was asked about least lately.
func (p *Pipeline) reminder(c *verified.Credential) *verified.Proof {
	now := p.Now()
	var found *verified.Proof
	for i := range c.Proofs {
		if f := &c.Proofs[i]; f.Cookie != "" && now.Before(p.Rules.Until(f)) && (found == nil || f.Asked.Before(found.Asked)) {
			found = f
		}
	}
	return found
}

// askFlow asks by a flow that needs nothing of the user.
func (p *Pipeline) askFlow(ctx context.Context, w who, r auth.Attempt, c *verified.Credential) error {
	_, epoch, err := p.Book.Search(ctx, w.key, r.Password, r.Addr)
	if err != nil {
		return err
	}
	return p.renew(ctx, w, r, c, epoch)
}

// errNotAsked says that the backend asked for the factor before it looked at
// the password.
var errNotAsked = errors.New("the backend refused before it compared the password")

// renew proves a credential again, by a flow in which the backend may be
// reminded of a factor, but the user is asked for none. It returns nil if the
// password is right, an *auth.Denied if the backend says no, after which the
// credential is gone if that is about it, and any other error if that cannot
// be determined.
func (p *Pipeline) renew(ctx context.Context, w who, r auth.Attempt, c *verified.Credential, epoch uint64) error {
	reminder := p.reminder(c)
	r.Code, r.CodeIn, r.Quiet = "", auth.NoCode, true
	if reminder != nil {
		r.Cookie = reminder.Cookie
	}
	g, err := p.Authenticator.Authenticate(ctx, r)
	var denied *auth.Denied
	switch {
	case err == nil:
		p.keep(ctx, w, r.Addr, epoch, r.Password, g, func(c *verified.Credential) {
			if r.Cookie == "" {
				c.Factored = false // or the flow would have asked
				return
			}
			p.reminded(c, reminder.ID, g.Cookie)
		})
		return nil
	case !errors.As(err, &denied):
		return classified(err)
	case denied.Password == auth.Right && denied.FactorDue():
		return p.factorDue(ctx, w, c, reminder, denied)
	case denied.FactorDue():
		return errNotAsked
	case ends(denied):
		p.forget(ctx, w.key, c)
	}
	return denied
}

// factorDue notes that the password is right, and that the backend wants the
// factor. What was proved without one counts no more. The error is the denial
// if nothing is left.
func (p *Pipeline) factorDue(ctx context.Context, w who, c *verified.Credential, reminder *verified.Proof, denied *auth.Denied) error {
	gone := false
	now := p.Now()
	err := p.Book.Update(ctx, w.key, c.ID, func(c *verified.Credential) bool {
		if reminder != nil {
			c.Proofs = slices.DeleteFunc(slices.Clone(c.Proofs), func(f verified.Proof) bool { return f.ID == reminder.ID })
		}
		if c.FactorStamp != w.user.FactorStamp {
			c.Proofs = nil
		}
		c.PasswordStamp, c.FactorStamp = w.user.PasswordStamp, w.user.FactorStamp
		factored(c)
		c.Doubt = false
		c.Proved, c.Told = now, now
		gone = len(c.Proofs) == 0
		return !gone
	})
	if err != nil {
		return undetermined(err)
	}
	if gone {
		p.endSession(w.key.Base, c.Session)
		return denied
	}
	return nil
}

// reminded notes that the backend still takes a factor for proved.
func (p *Pipeline) reminded(c *verified.Credential, id string, cookie auth.Secret) {
	for i := range c.Proofs {
		if f := &c.Proofs[i]; f.ID == id {
			f.Asked = p.Now()
			if cookie != "" {
				f.Cookie = cookie
			}
		}
	}
}

// askDirectory takes what the directory says for an answer, if it is not old.
// Its facts are looked at by each bind.
func (p *Pipeline) askDirectory(ctx context.Context, w who, _ auth.Attempt, c *verified.Credential) error {
	now := p.Now()
	if p.Synced != nil && now.Sub(p.Synced()) > inStep {
		return errOutOfStep
	}
	return p.Book.Update(ctx, w.key, c.ID, func(c *verified.Credential) bool {
		c.Told = now
		return true
	})
}

var errOutOfStep = errors.New("the directory is not up to date")

// sweepEvery is how often Run looks for what is of no more use.
const sweepEvery = time.Hour

// Run removes, until ctx ends, what can never answer again: nobody asked for
// it, or the user is gone. And it learns what other replicas know of guesses.
func (p *Pipeline) Run(ctx context.Context) {
	if p.Book == nil {
		return
	}
	t, look := time.NewTicker(sweepEvery), time.NewTicker(lookEvery)
	defer t.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			p.Sweep(ctx)
		case <-look.C:
			p.guesses.Look(ctx)
		}
	}
}

// Sweep is one round of Run.
func (p *Pipeline) Sweep(ctx context.Context) {
	now := p.Now()
	p.renewals.sweep(now)
	for _, e := range p.Book.All() {
		for _, c := range e.Record.Credentials {
			if now.Sub(c.Told) < max(p.Rules.MaxAge, p.Rules.StaleFor) {
				continue
			}
			err := p.Book.Update(ctx, e.User, c.ID, func(c *verified.Credential) bool {
				return now.Sub(c.Told) < max(p.Rules.MaxAge, p.Rules.StaleFor)
			})
			if err != nil {
				p.Log.Warn("old verified bind not removed", zap.String("user", e.Record.Username), zap.Error(err))
			}
		}
	}
}
