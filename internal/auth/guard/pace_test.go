package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

// counter is an auth.Authenticator that denies everything.
type counter int

func (c *counter) Authenticate(context.Context, auth.Attempt) (auth.Granted, error) {
	*c++
	return auth.Granted{}, &auth.Denied{Reason: auth.WrongPassword}
}

func TestPace(t *testing.T) {
	now := time.Unix(1e9, 0)
	var calls counter
	p := NewPace(&calls, 3, 5, func() time.Time { return now })
	try := func(user, addr, password string) auth.Reason {
		_, err := p.Authenticate(t.Context(), auth.Attempt{
			Name: user, Account: directory.Account{UUID: user}, Known: true,
			Addr: netip.MustParseAddr(addr), Password: auth.Secret(password),
		})
		var l *auth.Limited
		if !errors.As(err, &l) {
			return ""
		}
		var res *ldap.Error
		if !errors.As(err, &res) || res.Code != ldap.ResultBusy {
			t.Errorf("the answer is %v, want busy", res)
		}
		return l.Reason
	}
	for i, want := range []auth.Reason{"", "", "", auth.PaceUser} {
		if got := try("alice", "192.0.2.1", fmt.Sprint(i)); got != want {
			t.Errorf("attempt %d of alice: %q, want %q", i, got, want)
		}
	}
	if got := try("alice", "192.0.2.1", "2"); got != "" {
		t.Errorf("the last credential again: %q", got)
	}
	if got := try("alice", "192.0.2.2", "x"); got != auth.PaceUser {
		t.Errorf("alice from elsewhere: %q", got)
	}
	for i, want := range []auth.Reason{"", "", auth.PaceAddress} {
		if got := try(fmt.Sprint("user", i), "192.0.2.1", "x"); got != want {
			t.Errorf("another user of the address, %d: %q, want %q", i, got, want)
		}
	}
	if got := try("user9", "192.0.2.2", "x"); got != "" {
		t.Errorf("another address: %q", got)
	}
	if calls != 7 {
		t.Errorf("%d attempts got through, want 7", calls)
	}
	now = now.Add(time.Minute)
	if got := try("alice", "192.0.2.1", "y"); got != "" {
		t.Errorf("a minute later: %q", got)
	}
}

func TestPaceUnlimited(t *testing.T) {
	var calls counter
	p := NewPace(&calls, 0, 0, nil)
	for i := range 100 {
		p.Authenticate(t.Context(), auth.Attempt{Name: "alice", Password: auth.Secret(fmt.Sprint(i))})
	}
	if calls != 100 {
		t.Errorf("%d of 100 attempts got through", calls)
	}
}
