package bind

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/verified"
)

const (
	// browserSession is how long authentik keeps a session that ends with the
	// browser.
	browserSession = 24 * time.Hour
	// endSlack is how much earlier than its end a session may be cleaned up,
	// for clocks differ.
	endSlack = time.Minute
	// endTime bounds ending a session.
	endTime = 30 * time.Second
)

// session returns what a granted bind of a client's address left behind, nil if
// nothing.
func (p *Pipeline) session(g auth.Granted, client netip.Addr) *verified.Session {
	s := g.Session
	if s == nil {
		return nil
	}
	return &verified.Session{
		Hash: s.Hash, Begin: p.Now(), End: s.End, State: s.State, Asked: p.Now(), Client: client.String(),
	}
}

// supersede gives a credential the session of its last flow. It returns the
// one before, which is of no more use.
func supersede(c *verified.Credential, s *verified.Session) (old *verified.Session) {
	if s == nil || c.Session != nil && c.Session.Hash == s.Hash && c.Session.State == s.State {
		return nil
	}
	old, c.Session = c.Session, s
	return old
}

// over returns when a session ends by itself.
func over(s *verified.Session) time.Time {
	if s.End.IsZero() {
		return s.Begin.Add(browserSession)
	}
	return s.End
}

// leave ends the session of a bind that is not kept.
func (p *Pipeline) leave(w who, at place, g auth.Granted) {
	p.endSession(w.account.Base, p.session(g, at.addr))
}

// endSession ends a session in the background; nil is none.
func (p *Pipeline) endSession(base string, s *verified.Session) {
	if s == nil || p.sessions == nil || !p.Now().Before(over(s)) {
		return
	}
	p.spawn(endTime, func(ctx context.Context) {
		err := p.sessions.EndSession(ctx, base, used(s), address(s))
		p.Metrics.ended(err)
		if err != nil && !errors.Is(err, auth.ErrSessionGone) && p.ctx.Err() == nil {
			p.Log.Debug("session not ended, it expires by itself", zap.Time("end", over(s)), zap.Error(err))
		}
	})
}

func used(s *verified.Session) auth.Session {
	return auth.Session{Hash: s.Hash, End: s.End, State: s.State}
}

func address(s *verified.Session) netip.Addr {
	a, _ := netip.ParseAddr(s.Client) // else unknown, which is no address either
	return a
}

// accessDue reports that it is time to ask for access with the session.
func (p *Pipeline) accessDue(c *verified.Credential, now time.Time) bool {
	s := c.Session
	return p.Rules.Access > 0 && p.sessions != nil && s != nil &&
		now.Sub(s.Asked) >= p.Rules.Access && now.Before(over(s))
}

// askAccess asks whether the user may still use the application.
func (p *Pipeline) askAccess(ctx context.Context, w who, r auth.Attempt, c *verified.Credential) error {
	s := c.Session
	search, err := p.sessions.Access(ctx, w.key.Base, used(s), address(s))
	now := p.Now()
	var denied *auth.Denied
	switch {
	case errors.As(err, &denied):
		p.forget(ctx, w.key, c)
		return denied
	case err != nil && !errors.Is(err, auth.ErrSessionGone):
		return err
	}
	gone := err != nil
	return p.Book.Update(ctx, w.key, c.ID, func(c *verified.Credential) bool {
		if c.Session == nil || c.Session.Hash != s.Hash {
			return true
		}
		if gone {
			c.Session = nil // asked about by other means from now on
			return true
		}
		own := *c.Session
		own.Asked, c.Told = now, now
		c.Search = search
		c.Session = &own
		return true
	})
}

// SessionEnded ends the verified bind whose session was ended at the backend.
// A session that is over by itself is cleaned up with the same message, which
// means nothing. It does not wait.
func (p *Pipeline) SessionEnded(hash string) {
	if p.Book == nil {
		return
	}
	k, id, ok := p.Book.BySession(hash)
	if !ok {
		return
	}
	p.spawn(endTime, func(ctx context.Context) {
		revoked := false
		err := p.Book.Update(ctx, k, id, func(c *verified.Credential) bool {
			revoked = false
			if c.Session == nil || c.Session.Hash != hash {
				return true // superseded
			}
			if !p.Now().Before(over(c.Session).Add(-endSlack)) {
				c.Session = nil
				return true
			}
			revoked = true
			return false
		})
		switch {
		case err != nil:
			p.Log.Error("verified bind not removed, though authentik ended its session", zap.String("uuid", k.UUID), zap.Error(err))
		case revoked:
			p.Log.Info("verified bind ended, as authentik ended its session", zap.String("uuid", k.UUID))
		}
	})
}

// Revoke ends the verified binds of a user, and returns how many there were.
func (p *Pipeline) Revoke(ctx context.Context, k verified.User) (int, error) {
	return p.revoke(func(e verified.Entry) bool { return e.User == k }, func() error { return p.Book.Revoke(ctx, k) })
}

// RevokeAll is Revoke for every user.
func (p *Pipeline) RevokeAll(ctx context.Context) (int, error) {
	return p.revoke(func(verified.Entry) bool { return true }, func() error { return p.Book.RevokeAll(ctx) })
}

func (p *Pipeline) revoke(of func(verified.Entry) bool, revoke func() error) (n int, err error) {
	all := p.Book.All()
	err = revoke()
	for _, e := range all {
		if !of(e) {
			continue
		}
		for _, c := range e.Record.Credentials {
			p.endSession(e.User.Base, c.Session)
			n++
		}
	}
	return n, err
}
