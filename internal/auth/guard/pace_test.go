package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
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

// TestPaceAtHome: strangers elsewhere cannot use up the pace of a user.
func TestPaceAtHome(t *testing.T) {
	var calls counter
	p := NewPace(&calls, 2, 0, func() time.Time { return time.Unix(1e9, 0) })
	try := func(home bool, i int) bool {
		_, err := p.Authenticate(t.Context(), auth.Attempt{Name: "alice", Password: auth.Secret(fmt.Sprint(i)), Home: home})
		return !errors.As(err, new(*auth.Limited))
	}
	for i := range 3 {
		if got := try(false, i); got != (i < 2) {
			t.Errorf("attempt %d elsewhere gets through: %v", i, got)
		}
	}
	for i := range 3 {
		if got := try(true, i); got != (i < 2) {
			t.Errorf("attempt %d at home gets through: %v", i, got)
		}
	}
}

// TestPaceOfOneUserInFlight: a push that nobody answers takes a minute.
func TestPaceOfOneUserInFlight(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{}, 20)
	p := NewPace(authFunc(func(context.Context, auth.Attempt) (auth.Granted, error) {
		entered <- struct{}{}
		<-release
		return auth.Granted{}, nil
	}), 100, 0, nil)
	of := func(user string, home bool, i int) error {
		_, err := p.Authenticate(t.Context(), auth.Attempt{Name: user, Password: auth.Secret(fmt.Sprint(i)), Home: home})
		return err
	}
	var done sync.WaitGroup
	for i := range 4 {
		done.Go(func() { of("alice", false, i) })
		<-entered
	}
	for i := range 3 { // the same as one of them, too
		var l *auth.Limited
		if err := of("alice", false, 3+i); !errors.As(err, &l) || l.Reason != auth.PaceUser {
			t.Errorf("a fifth: %v", err)
		}
	}
	done.Go(func() { of("alice", true, 0) })
	done.Go(func() { of("bob", false, 0) })
	<-entered
	<-entered
	close(release)
	done.Wait()
	if err := of("alice", false, 9); err != nil {
		t.Errorf("when they are over: %v", err)
	}
	if len(p.running) != 0 {
		t.Errorf("%d are kept", len(p.running))
	}
}

// TestPaceEnds: an attempt is over however it ends.
func TestPaceEnds(t *testing.T) {
	now := time.Unix(1e9, 0)
	for name, next := range map[string]authFunc{
		"granted": func(context.Context, auth.Attempt) (auth.Granted, error) { return auth.Granted{}, nil },
		"denied": func(context.Context, auth.Attempt) (auth.Granted, error) {
			return auth.Granted{}, &auth.Denied{Reason: auth.WrongPassword}
		},
		"undetermined": func(ctx context.Context, _ auth.Attempt) (auth.Granted, error) {
			return auth.Granted{}, errors.New("trouble")
		},
		"panic": func(context.Context, auth.Attempt) (auth.Granted, error) { panic("boom") },
	} {
		p := NewPace(next, 1000, 0, func() time.Time { return now })
		for i := range 20 {
			func() {
				defer func() { recover() }()
				_, err := p.Authenticate(t.Context(), auth.Attempt{Name: "alice", Password: auth.Secret(fmt.Sprint(i))})
				if errors.As(err, new(*auth.Limited)) {
					t.Errorf("%s: attempt %d is refused", name, i)
				}
			}()
		}
		if len(p.running) != 0 {
			t.Errorf("%s: %d are under way still", name, len(p.running))
		}
	}
}

// TestPaceClockSetBack: it opens what was closed.
func TestPaceClockSetBack(t *testing.T) {
	now := time.Unix(1e9, 0)
	var calls counter
	p := NewPace(&calls, 1, 0, func() time.Time { return now })
	for i := range 2 {
		p.Authenticate(t.Context(), auth.Attempt{Name: "alice", Password: auth.Secret(fmt.Sprint(i))})
	}
	now = now.Add(-time.Hour)
	p.Authenticate(t.Context(), auth.Attempt{Name: "alice", Password: "3"})
	if calls != 2 {
		t.Errorf("%d attempts got through, want 2", calls)
	}
}

// authFunc is an auth.Authenticator.
type authFunc func(context.Context, auth.Attempt) (auth.Granted, error)

func (f authFunc) Authenticate(ctx context.Context, a auth.Attempt) (auth.Granted, error) {
	return f(ctx, a)
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
