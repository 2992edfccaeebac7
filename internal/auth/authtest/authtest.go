// Package authtest is the suite that every backend must pass.
package authtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ldapd/internal/auth"
	"ldapd/internal/directory"
)

// User is one whom a backend has. No two of the suite have the same name.
type User struct {
	Name     string
	Password string
	Factor   bool // has a second factor of codes, and nothing that pushes
	Inactive bool
	Search   bool // may read the whole directory
}

// Backend is one to test. It need not be safe for more than Auth is.
type Backend struct {
	Auth auth.Authenticator // and what else it implements of the package auth
	// Account returns what the directory has of a user at the moment; of a
	// name that nobody has it is what binds of such a name get.
	Account func(name string) (directory.Account, bool)
	// Code returns a right code of a user that was not used, nor a wrong one
	// before it that would have the backend refuse it. It may move a clock.
	Code func(name string) auth.Secret
	// Set replaces the user of that name. What changes is seen as a change: a
	// clock moves on.
	Set func(User)
	// Break keeps the backend from finding out whether a code is right.
	Break func()
	// Hold has the next attempt wait for something that does not come. It
	// returns a channel that is closed when that waits, or nil if the backend
	// waits for nothing.
	Hold func() (held <-chan struct{})
	// Work counts what takes the backend time: slow hashes, requests.
	Work func() int
}

// Harness makes a backend with users.
type Harness func(t *testing.T, users ...User) Backend

// The users of the suite. They share a password, so that a password that is
// right for somebody else is seen to be of no use.
var (
	alice = User{Name: "alice", Password: right}
	bob   = User{Name: "bob", Password: right, Factor: true}
	carol = User{Name: "carol", Password: right, Inactive: true}
	dave  = User{Name: "dave", Password: right, Search: true}
	erin  = User{Name: "erin", Password: right, Inactive: true, Search: true}
)

const (
	right     = "right horse"
	wrong     = "wrong horse"
	wrongCode = "000000"
	nobody    = "nobody"
)

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, test := range []struct {
		name string
		run  func(*suite)
	}{
		{"password", testPassword},
		{"password of somebody else", testSomebodyElse},
		{"factor", testFactor},
		{"code for nothing", testNoFactor},
		{"quiet", testQuiet},
		{"at once", testAtOnce},
		{"time", testTime},
		{"change", testChange},
		{"stamps", testStamps},
		{"rights", testRights},
		{"session", testSession},
		{"trouble", testTrouble},
		{"context", testContext},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(&suite{t, h(t, alice, bob, carol, dave, erin)})
		})
	}
}

// suite is one test and its backend.
type suite struct {
	*testing.T
	Backend
}

// attempt is one of a user; change may be nil.
func (s *suite) attempt(name string, password auth.Secret, change func(*auth.Attempt)) auth.Attempt {
	a := auth.Attempt{Name: name, Password: password}
	a.Account, a.Known = s.Account(name)
	if change != nil {
		change(&a)
	}
	return a
}

func inUsername(code auth.Secret) func(*auth.Attempt) {
	return func(a *auth.Attempt) { a.Code, a.CodeIn = code, auth.InUsername }
}

func inPassword(code auth.Secret) func(*auth.Attempt) {
	return func(a *auth.Attempt) { a.Code, a.CodeIn = code, auth.InPassword }
}

func quiet(a *auth.Attempt) { a.Quiet = true }

// try makes an attempt, which costs some work: nothing is granted by heart.
func (s *suite) try(a auth.Attempt) (auth.Granted, error) {
	s.Helper()
	before := s.Work()
	g, err := s.Auth.Authenticate(s.Context(), a)
	if err == nil && s.Work() == before {
		s.Errorf("%s is granted without any work", a.Name)
	}
	for _, secret := range []auth.Secret{a.Password, a.Code} {
		if text := fmt.Sprintf("%v %+v", err, g); secret != "" && secret != wrongCode && strings.Contains(text, string(secret)) {
			s.Errorf("a secret is in %s", text)
		}
	}
	return g, err
}

// granted wants an attempt granted.
func (s *suite) granted(what string, a auth.Attempt) auth.Granted {
	s.Helper()
	g, err := s.try(a)
	switch {
	case err != nil:
		s.Errorf("%s: %v", what, err)
	case g.Source == "" || g.Factor == "" || g.Once:
		s.Errorf("%s: granted %+v", what, g)
	case a.Known && g.Username != "" && g.Username != a.Account.Username:
		s.Errorf("%s: granted to %q", what, g.Username)
	}
	return g
}

// denied wants an attempt denied for one of the reasons.
func (s *suite) denied(what string, a auth.Attempt, password auth.Judgement, reasons ...auth.Reason) {
	s.Helper()
	d := s.denial(what, a)
	if d == nil {
		return
	}
	if d.Password != password {
		s.Errorf("%s: password %d, want %d", what, d.Password, password)
	}
	for _, r := range reasons {
		if d.Reason == r {
			return
		}
	}
	s.Errorf("%s: %s, want %v", what, d.Reason, reasons)
}

// denial wants an attempt denied, and returns how.
func (s *suite) denial(what string, a auth.Attempt) *auth.Denied {
	s.Helper()
	g, err := s.try(a)
	var d *auth.Denied
	if !errors.As(err, &d) {
		s.Errorf("%s: %+v, %v", what, g, err)
		return nil
	}
	return d
}

// undetermined wants an error that says nothing of the credential.
func (s *suite) undetermined(what string, g auth.Granted, err error) {
	s.Helper()
	var d *auth.Denied
	var l *auth.Limited
	if err == nil || errors.As(err, &d) || errors.As(err, &l) {
		s.Errorf("%s: %+v, %v", what, g, err)
	}
}

// ended is a context that has ended.
func ended(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}
