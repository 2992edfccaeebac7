package bind

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

// counter is an Authenticator that denies everything.
type counter int

func (c *counter) Authenticate(context.Context, Attempt) (Granted, error) {
	*c++
	return Granted{}, &Denied{Reason: WrongPassword}
}

func TestPace(t *testing.T) {
	now := time.Unix(1e9, 0)
	var calls counter
	p := NewPace(&calls, 3, 5, func() time.Time { return now })
	try := func(user, addr, password string) Reason {
		_, err := p.Authenticate(t.Context(), Attempt{
			Name: user, Account: directory.Account{UUID: user}, Known: true,
			Addr: netip.MustParseAddr(addr), Password: Secret(password),
		})
		var l *Limited
		if !errors.As(err, &l) {
			return ""
		}
		var res *ldap.Error
		if !errors.As(err, &res) || res.Code != ldap.ResultBusy {
			t.Errorf("the answer is %v, want busy", res)
		}
		return l.Reason
	}
	for i, want := range []Reason{"", "", "", PaceUser} {
		if got := try("alice", "192.0.2.1", fmt.Sprint(i)); got != want {
			t.Errorf("attempt %d of alice: %q, want %q", i, got, want)
		}
	}
	if got := try("alice", "192.0.2.1", "2"); got != "" {
		t.Errorf("the last credential again: %q", got)
	}
	if got := try("alice", "192.0.2.2", "x"); got != PaceUser {
		t.Errorf("alice from elsewhere: %q", got)
	}
	for i, want := range []Reason{"", "", PaceAddress} {
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
		p.Authenticate(t.Context(), Attempt{Name: "alice", Password: Secret(fmt.Sprint(i))})
	}
	if calls != 100 {
		t.Errorf("%d of 100 attempts got through", calls)
	}
}

func TestPipelineAnswersBusyBeyondThePace(t *testing.T) {
	var calls counter
	p := New(Options{
		Directory:     func(ldap.DN) (Directory, error) { return nil, nil },
		Authenticator: NewPace(&calls, 1, 0, nil),
	})
	var codes []ldap.ResultCode
	for _, password := range []string{"a", "b"} {
		_, err := p.Bind(t.Context(), Request{DN: "cn=alice", Password: []byte(password)})
		var res *ldap.Error
		if !errors.As(err, &res) {
			t.Fatal(err)
		}
		codes = append(codes, res.Code)
	}
	if codes[0] != ldap.ResultInvalidCredentials || codes[1] != ldap.ResultBusy {
		t.Errorf("answers %v", codes)
	}
}
