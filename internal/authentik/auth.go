package authentik

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"ldapd/internal/bind"
	"ldapd/internal/directory"
)

// Authenticator proves credentials by flows. It remembers nothing, and runs as
// many at a time as it is asked for: [bind.Flights], [bind.Denials] and
// [bind.Queue] belong before it, in this order.
type Authenticator struct {
	client   *Client
	provider func(base string) (Provider, bool)
	observe  func(Flow)
}

var (
	_ bind.Authenticator = (*Authenticator)(nil)
	_ bind.SessionKeeper = (*Authenticator)(nil)
	_ bind.Stamper       = (*Authenticator)(nil)
)

// NewAuthenticator returns an authenticator for the providers that the
// function finds by the base DN of their tree. It calls observe after each
// flow, which may be nil.
func NewAuthenticator(c *Client, provider func(base string) (Provider, bool), observe func(Flow)) *Authenticator {
	return &Authenticator{client: c, provider: provider, observe: observe}
}

// Flow is a flow that was run, for log and metrics. It holds no secret.
type Flow struct {
	Trace
	Provider string // name
	Slug     string
	Username string
	Addr     netip.Addr
	Took     time.Duration

	Session *Session // nil if Err is not
	Err     error    // *Refusal or *FlowError
}

// Authenticate implements bind.Authenticator. A user that the directory does
// not know is tried as well: authentik takes the time that it takes for
// others, and whoever was created a moment ago is not denied.
func (a *Authenticator) Authenticate(ctx context.Context, at bind.Attempt) (bind.Granted, error) {
	base := at.Account.Base
	if base == "" {
		return bind.Granted{}, &bind.Denied{Reason: bind.UnknownUser, Final: true}
	}
	p, ok := a.provider(base)
	if !ok {
		return bind.Granted{}, fmt.Errorf("no provider for %s", base)
	}
	if at.CodeIn == bind.InPassword && !p.MFASupport {
		return bind.Granted{}, &bind.Denied{Reason: bind.WrongPassword} // it is part of the password
	}
	username := at.Name
	if at.Known {
		username = at.Account.Username
	}
	s, err := a.run(ctx, p, Execution{
		Flow: p.BindFlow, AppSlug: p.Application, Provider: p.PK,
		Username: username, Password: at.Password, Code: at.Code,
		PasswordAsCode: !p.MFASupport,
		Quiet:          at.Quiet,
		ClientIP:       at.Addr,
		MFACookie:      at.Cookie,
	})
	var refused *Refusal
	switch {
	case errors.As(err, &refused):
		return bind.Granted{}, denied(refused, at)
	case err != nil:
		return bind.Granted{}, err
	case at.Known && s.Username != username:
		// A flow may take an address that another user has given himself.
		return bind.Granted{}, fmt.Errorf("the flow logged in %q in place of %q", s.Username, username)
	}
	g := bind.Granted{
		Search: s.Search, Source: bind.SourceFlow, Factor: s.Factor,
		Session: s.kept(), Cookie: s.MFACookie,
	}
	if !at.Known {
		g.Username = s.Username // of somebody known by an address, or made a moment ago
	}
	return g, nil
}

// Stamps implements bind.Stamper. authentik does not say when a second factor
// changed.
func (a *Authenticator) Stamps(account directory.Account) (password, factor string) {
	return account.Changed, ""
}

// denied puts a refusal into the words of binds.
func denied(r *Refusal, at bind.Attempt) *bind.Denied {
	d := &bind.Denied{Reason: r.Reason, Final: r.PasswordRight}
	if r.Reason == bind.WrongPassword {
		switch { // authentik does not tell these apart
		case !at.Known:
			d.Reason = bind.UnknownUser
		case !at.Account.Active:
			d.Reason = bind.Inactive
		}
	}
	return d
}

// run executes a flow and reports it.
func (a *Authenticator) run(ctx context.Context, p Provider, e Execution) (*Session, error) {
	start := time.Now()
	s, err := a.client.Execute(ctx, e)
	if a.observe == nil {
		return s, err
	}
	f := Flow{
		Provider: p.Name, Slug: p.BindFlow, Username: e.Username, Addr: e.ClientIP,
		Took: time.Since(start), Session: s, Err: err,
	}
	var refused *Refusal
	var failed *FlowError
	switch {
	case s != nil:
		f.Trace = s.Trace
	case errors.As(err, &refused):
		f.Trace = refused.Trace
	case errors.As(err, &failed):
		f.Trace = failed.Trace
	}
	a.observe(f)
	return s, err
}
