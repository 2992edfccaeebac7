package authentik

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/directory"
)

// Authenticator proves credentials by flows. It remembers nothing, and runs as
// many at a time as it is asked for: [guard.Flights], [guard.Denials] and
// [guard.Queue] belong before it, in this order.
type Authenticator struct {
	client   *Client
	provider func(base string) (Provider, bool)
	observe  func(Flow)
}

var (
	_ auth.Authenticator = (*Authenticator)(nil)
	_ auth.SessionKeeper = (*Authenticator)(nil)
	_ auth.Stamper       = (*Authenticator)(nil)
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

// Authenticate implements auth.Authenticator. A user that the directory does
// not know is tried as well: authentik takes the time that it takes for
// others, and whoever was created a moment ago is not denied.
func (a *Authenticator) Authenticate(ctx context.Context, at auth.Attempt) (auth.Granted, error) {
	base := at.Account.Base
	if base == "" {
		return auth.Granted{}, &auth.Denied{Reason: auth.UnknownUser, Final: true}
	}
	p, ok := a.provider(base)
	if !ok {
		return auth.Granted{}, fmt.Errorf("no provider for %s", base)
	}
	if at.CodeIn == auth.InPassword && !p.MFASupport {
		return auth.Granted{}, &auth.Denied{Reason: auth.WrongPassword} // it is part of the password, which nobody compared yet
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
		return auth.Granted{}, denied(refused, at)
	case err != nil:
		return auth.Granted{}, err
	case at.Known && s.Username != username:
		// A flow may take an address that another user has given himself.
		return auth.Granted{}, fmt.Errorf("the flow logged in %q in place of %q", s.Username, username)
	}
	g := auth.Granted{
		Search: s.Search, Source: auth.SourceFlow, Factor: s.Factor, Once: s.Once,
		Session: s.kept(), Cookie: s.MFACookie,
	}
	if !at.Known {
		g.Username = s.Username // of somebody known by an address, or made a moment ago
	}
	return g, nil
}

// Stamps implements auth.Stamper. authentik does not say when a second factor
// changed.
func (a *Authenticator) Stamps(account directory.Account) (password, factor string) {
	return account.Changed, ""
}

// denied puts a refusal into the words of binds.
func denied(r *Refusal, at auth.Attempt) *auth.Denied {
	d := &auth.Denied{Reason: r.Reason, Password: r.Password, Final: r.Password == auth.Right}
	if r.Reason == auth.WrongPassword {
		switch { // authentik does not tell these apart
		case !at.Known:
			d.Reason = auth.UnknownUser
		case !at.Account.Active:
			d.Reason, d.Password = auth.Inactive, auth.Unjudged // whatever it was
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
