package authentik

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"ldapd/internal/auth"
)

// prove asks who is logged in, since a flow can come to its end with nobody,
// and whether they may use the application. Nothing of it counts if no stage
// took the password.
func (x *execution) prove(ctx context.Context) (*Session, error) {
	if x.judged != auth.Right {
		return nil, ErrNoPassword
	}
	me, err := x.me(ctx)
	if loggedOut(err) {
		return nil, fmt.Errorf("%w: %w", ErrNoLogin, err)
	}
	if err != nil {
		return nil, err
	}
	v, err := x.mayUse(ctx)
	if err != nil {
		return nil, err
	}
	if !v.passing {
		return nil, &Refusal{Stage: StepAccess, Reason: auth.NoAccess, Password: x.judged}
	}
	return &Session{
		UserPK: me.PK, Username: me.Username, UID: me.UID,
		Search: v.search, Factor: x.factor, Once: x.passwordAsCode,
		Cookies: x.jar.session(), MFACookie: auth.Secret(x.jar.get(mfaCookie)),
		Expires: x.jar.expires, Hash: sidHash(x.jar.sid()),
	}, nil
}

// me asks who is logged in.
func (x *execution) me(ctx context.Context) (*account, error) {
	x.stage = StepUser
	var me self
	if err := x.read(ctx, "core/users/me/", "", &me); err != nil {
		return nil, err
	}
	if me.User == nil || me.User.PK == 0 || me.User.Username == "" {
		return nil, errors.New("authentik does not say who is logged in")
	}
	return me.User, nil
}

// loggedOut reports that authentik, and no proxy, says that nobody is logged
// in.
func loggedOut(err error) bool {
	var api *APIError
	return errors.As(err, &api) && api.Status == http.StatusForbidden && api.Detail != "" && !api.lacksRight()
}

// verdict is what authentik says of a user and an application.
type verdict struct{ passing, search bool }

// mayUse asks whether who is logged in may use the application.
func (x *execution) mayUse(ctx context.Context) (verdict, error) {
	x.stage = StepAccess
	var a access
	if err := x.read(ctx, checkAccessPath(x.Provider), checkAccessQuery(x.AppSlug), &a); err != nil {
		return verdict{}, err
	}
	if a.Access == nil || a.Access.Passing == nil {
		return verdict{}, errors.New("authentik does not say whether access is granted")
	}
	return verdict{*a.Access.Passing, a.Search}, nil
}

// read is a step behind the flow: it reads a resource as the user.
func (x *execution) read(ctx context.Context, path, query string, v any) error {
	start := time.Now()
	err := x.c.do(ctx, request{
		method: http.MethodGet, path: path, query: query, header: x.headers(), tries: flowAttempts,
		timeout: requestTimeout, limit: maxBody,
		accept: func(resp *http.Response) error {
			x.trace.RequestID = requestID(resp)
			return decode(resp, v)
		},
	})
	x.trace.Stages = append(x.trace.Stages, StageTiming{Component: x.stage, Get: time.Since(start)})
	return err
}

// checkToken reports that the token of the execution is not good.
func (x *execution) checkToken(ctx context.Context) error {
	if now, err := x.c.token(); err != nil || now != x.token {
		return errors.New("the token was replaced meanwhile")
	}
	if err := x.c.get(ctx, "root/config/", nil, new(RootConfig)); err != nil {
		return fmt.Errorf("a refusal while the token may not be good: %w", err)
	}
	return nil
}
