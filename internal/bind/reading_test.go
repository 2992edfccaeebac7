package bind_test

import (
	"context"
	"sync/atomic"
	"testing"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
)

// TestFinalStopsReadings: authentik counts each wrong password, so a reading
// that cannot be right must not be tried.
func TestFinalStopsReadings(t *testing.T) {
	tests := []struct {
		name   string
		denied auth.Denied
		calls  int64
		want   string
	}{
		{"wrong password", auth.Denied{Reason: auth.WrongPassword, Password: auth.Wrong}, 2, "denied wrong_password 49"},
		{"wrong code", auth.Denied{Reason: auth.WrongCode, Password: auth.Right, Final: true}, 1, "denied wrong_code 49"},
		{"no access", auth.Denied{Reason: auth.NoAccess, Password: auth.Right, Final: true}, 1, "denied no_access 50"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &authFunc{do: func(context.Context, auth.Attempt) (auth.Granted, error) { return auth.Granted{}, &tt.denied }}
			s := newServer(t, nil, func(o *bind.Options) { o.Authenticator = a })
			if got := words(s.bind(t, userDN("bob"), "secret;123456")); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if n := a.calls.Load(); n != tt.calls {
				t.Errorf("%d readings tried, want %d", n, tt.calls)
			}
		})
	}
}

// authFunc is an authenticator that counts its calls.
type authFunc struct {
	calls atomic.Int64
	do    func(context.Context, auth.Attempt) (auth.Granted, error)
}

func (a *authFunc) Authenticate(ctx context.Context, at auth.Attempt) (auth.Granted, error) {
	a.calls.Add(1)
	return a.do(ctx, at)
}
