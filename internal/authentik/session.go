package authentik

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"

	"ldapd/internal/auth"
)

const (
	// maxState bounds auth.Session.State, in octets; a cookie of authentik's
	// has some hundred.
	maxState     = 16 << 10
	stateVersion = 1
)

// state is what it takes to use a session again. It is text, for stores.
type state struct {
	Version int         `json:"v"`
	User    int         `json:"user"` // pk
	Cookies [][2]string `json:"cookies"`
}

// kept returns what a bind leaves of its session. The state is empty if the
// cookies are too long.
func (s *Session) kept() *auth.Session {
	k := &auth.Session{Hash: s.Hash, End: s.Expires}
	st := state{Version: stateVersion, User: s.UserPK}
	for _, c := range s.Cookies {
		st.Cookies = append(st.Cookies, [2]string{c.name, c.value})
	}
	if b, err := json.Marshal(st); err == nil && len(b) <= maxState {
		k.State = auth.Secret(b)
	}
	return k
}

// errState is the error of a session that another version of ldapd left, so
// that for us it is over.
var errState = fmt.Errorf("%w: its state cannot be read", auth.ErrSessionGone)

// unpack reads a state. The error never holds any of it.
func unpack(text auth.Secret) (user int, cookies []Cookie, err error) {
	var st state
	if len(text) > maxState || json.Unmarshal([]byte(text), &st) != nil ||
		st.Version != stateVersion || st.User <= 0 || len(st.Cookies) > maxCookies {
		return 0, nil, errState
	}
	found := false
	for _, c := range st.Cookies {
		if c[0] == sessionCookie {
			found = true
		}
		cookies = append(cookies, Cookie{c[0], c[1]})
	}
	if !found {
		return 0, nil, errState
	}
	return st.User, cookies, nil
}

// over reports that a session came to the end that its cookie names.
func (c *Client) over(s auth.Session) bool { return !s.End.IsZero() && !c.now().Before(s.End) }

// Access implements auth.SessionKeeper. It costs two requests and no event.
//
// authentik judges a session that is over as the anonymous user, so its word
// counts only if users/me says afterwards whose the session is: what is over
// does not come back.
func (a *Authenticator) Access(ctx context.Context, base string, s auth.Session, client netip.Addr) (search bool, err error) {
	p, ok := a.provider(base)
	if !ok {
		return false, fmt.Errorf("no provider for %s", base)
	}
	if a.client.over(s) {
		return false, auth.ErrSessionGone
	}
	user, cookies, err := unpack(s.State)
	if err != nil {
		return false, err
	}
	x, err := a.client.newExecution(Execution{AppSlug: p.Application, Provider: p.PK, ClientIP: client})
	if err != nil {
		return false, fmt.Errorf("ask for access: %w", err)
	}
	x.jar.cookies = cookies
	return x.stillGood(ctx, user)
}

// stillGood asks whether the session of the execution is the user's, who may
// use the application, and whether he may search the whole directory.
func (x *execution) stillGood(ctx context.Context, user int) (search bool, err error) {
	verdict, err := x.mayUse(ctx)
	var me *account
	if err == nil {
		me, err = x.me(ctx)
	}
	var api *APIError
	switch {
	case errors.As(err, &api) && api.Status == http.StatusBadRequest:
		return false, x.inactive(ctx, user, err)
	case loggedOut(err):
		if err := x.checkToken(ctx); err != nil {
			return false, fmt.Errorf("ask for access: %w", err)
		}
		return false, auth.ErrSessionGone
	case err != nil:
		return false, fmt.Errorf("ask for access: %w", err)
	case me.PK != user:
		return false, auth.ErrSessionGone
	case me.Active != nil && !*me.Active:
		return false, &auth.Denied{Reason: auth.Inactive}
	case verdict.passing:
		return verdict.search, nil
	}
	if err := x.checkToken(ctx); err != nil {
		return false, fmt.Errorf("ask for access: %w", err)
	}
	return false, &auth.Denied{Reason: auth.NoAccess}
}

// inactive finds out whether a status 400, which authentik has for the session
// of a disabled user, and proxies for other things, is about that.
func (x *execution) inactive(ctx context.Context, user int, cause error) error {
	u := User{Active: true}
	if err := x.c.get(ctx, usersPath+strconv.Itoa(user)+"/", nil, &u); err != nil {
		return fmt.Errorf("ask for access: %w, and about the user: %w", cause, err)
	}
	if u.PK != user || u.Active {
		return fmt.Errorf("ask for access: %w", cause)
	}
	return &auth.Denied{Reason: auth.Inactive}
}

// EndSession implements auth.SessionKeeper: it runs the provider's unbind flow
// if there is one. authentik tells outposts of a session that was ended so,
// as of any other.
func (a *Authenticator) EndSession(ctx context.Context, base string, s auth.Session, client netip.Addr) error {
	p, ok := a.provider(base)
	if !ok {
		return fmt.Errorf("no provider for %s", base)
	}
	if p.UnbindFlow == "" || a.client.over(s) {
		return nil
	}
	_, cookies, err := unpack(s.State)
	if err != nil {
		return fmt.Errorf("logout: %w", err)
	}
	return a.client.Logout(ctx, p.UnbindFlow, &Session{Cookies: cookies}, client)
}
