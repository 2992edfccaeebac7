package bind_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ldapd/internal/bind"
	"ldapd/internal/directory"
)

// authFunc is an authenticator that counts its calls.
type authFunc struct {
	calls atomic.Int64
	do    func(context.Context, bind.Attempt) (bind.Granted, error)
}

func (a *authFunc) Authenticate(ctx context.Context, at bind.Attempt) (bind.Granted, error) {
	a.calls.Add(1)
	return a.do(ctx, at)
}

func grant(context.Context, bind.Attempt) (bind.Granted, error) {
	return bind.Granted{Source: bind.SourceFlow}, nil
}

func attempt(name, password string) bind.Attempt {
	return bind.Attempt{
		Name: name, Known: true,
		Account:  directory.Account{UUID: "uuid of " + name, Username: name, Base: base},
		Password: bind.Secret(password),
		Addr:     netip.MustParseAddr("192.0.2.1"),
	}
}

// together calls the authenticator from n goroutines, and releases it when
// all of them wait.
func together(t *testing.T, auth bind.Authenticator, n int, a bind.Attempt, release chan struct{}) []error {
	t.Helper()
	errs := make([]error, n)
	var started, done sync.WaitGroup
	started.Add(n)
	for i := range n {
		done.Go(func() {
			started.Done()
			_, errs[i] = auth.Authenticate(t.Context(), a)
		})
	}
	started.Wait()
	close(release)
	done.Wait()
	return errs
}

func TestThousandIdenticalBindsAreOneCall(t *testing.T) {
	release := make(chan struct{})
	waiting := make(chan struct{}, 1000)
	a := &authFunc{do: func(ctx context.Context, at bind.Attempt) (bind.Granted, error) {
		<-release
		return bind.Granted{Search: true}, nil
	}}
	flights := bind.NewFlights(a)
	var done sync.WaitGroup
	for range 1000 {
		done.Go(func() {
			waiting <- struct{}{}
			if g, err := flights.Authenticate(t.Context(), attempt("alice", "secret")); err != nil || !g.Search {
				t.Errorf("%+v, %v", g, err)
			}
		})
	}
	for range 1000 {
		<-waiting
	}
	for flights.Waiting() < 1000 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	done.Wait()
	if n := a.calls.Load(); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

func TestThousandWrongBindsAreOneCall(t *testing.T) {
	release := make(chan struct{})
	a := &authFunc{do: func(context.Context, bind.Attempt) (bind.Granted, error) {
		<-release
		return bind.Granted{}, &bind.Denied{Reason: bind.WrongPassword}
	}}
	// Some come when the call is over, which must not make a difference.
	auth := bind.NewFlights(bind.NewDenials(bind.NewQueue(a, 4), 10*time.Second, newClock().Now))
	for _, err := range together(t, auth, 1000, attempt("alice", "wrong"), release) {
		var d *bind.Denied
		if !errors.As(err, &d) || d.Reason != bind.WrongPassword {
			t.Fatalf("error %v", err)
		}
	}
	if n := a.calls.Load(); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

func TestFlightsKeepApart(t *testing.T) {
	first := attempt("alice", "secret")
	for name, change := range map[string]func(*bind.Attempt){
		"user":     func(a *bind.Attempt) { a.Account.UUID = "other" },
		"rename":   func(a *bind.Attempt) { a.Account.Username = "other" },
		"base":     func(a *bind.Attempt) { a.Account.Base = "dc=other" },
		"password": func(a *bind.Attempt) { a.Password = "other" },
		"code":     func(a *bind.Attempt) { a.Code = "123456" },
		"code in":  func(a *bind.Attempt) { a.CodeIn = bind.InUsername },
		"boundary": func(a *bind.Attempt) { a.Password, a.Code = "secre", "t" },
		"address":  func(a *bind.Attempt) { a.Addr = netip.MustParseAddr("192.0.2.2") },
		"unknown":  func(a *bind.Attempt) { a.Known = false },
	} {
		t.Run(name, func(t *testing.T) {
			release, entered := make(chan struct{}), make(chan struct{}, 2)
			a := &authFunc{do: func(ctx context.Context, at bind.Attempt) (bind.Granted, error) {
				entered <- struct{}{}
				<-release
				return bind.Granted{}, nil
			}}
			flights := bind.NewFlights(a)
			second := first
			change(&second)
			var done sync.WaitGroup
			for _, at := range []bind.Attempt{first, second} {
				done.Go(func() { flights.Authenticate(t.Context(), at) })
			}
			<-entered
			<-entered // would never come if the two shared a call
			close(release)
			done.Wait()
		})
	}
}

func TestFlightGoesOnForTheOthers(t *testing.T) {
	entered, ended := make(chan struct{}), make(chan error, 1)
	release := make(chan struct{})
	a := &authFunc{do: func(ctx context.Context, at bind.Attempt) (bind.Granted, error) {
		close(entered)
		select {
		case <-release:
			return bind.Granted{}, nil
		case <-ctx.Done():
			ended <- ctx.Err()
			return bind.Granted{}, ctx.Err()
		}
	}}
	flights := bind.NewFlights(a)
	first, leave := context.WithCancel(t.Context())
	results := make(chan error, 2)
	go func() {
		_, err := flights.Authenticate(first, attempt("alice", "secret"))
		results <- err
	}()
	<-entered
	go func() {
		_, err := flights.Authenticate(t.Context(), attempt("alice", "secret"))
		results <- err
	}()
	for flights.Waiting() < 2 {
		time.Sleep(time.Millisecond)
	}
	leave()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that left: %v", err)
	}
	select {
	case err := <-ended:
		t.Fatalf("the call ended with the one that left: %v", err)
	default:
	}
	close(release)
	if err := <-results; err != nil {
		t.Errorf("the one that stayed: %v", err)
	}
}

func TestFlightStopsWhenNobodyWaits(t *testing.T) {
	entered, ended := make(chan struct{}, 2), make(chan error)
	a := &authFunc{}
	a.do = func(ctx context.Context, at bind.Attempt) (bind.Granted, error) {
		entered <- struct{}{}
		if a.calls.Load() > 1 {
			return bind.Granted{Search: true}, nil
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return bind.Granted{}, ctx.Err()
	}
	flights := bind.NewFlights(a)
	ctx, leave := context.WithCancel(t.Context())
	result := make(chan error)
	go func() {
		_, err := flights.Authenticate(ctx, attempt("alice", "secret"))
		result <- err
	}()
	<-entered
	leave()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	// The call that is about to end must not answer who comes now.
	if g, err := flights.Authenticate(t.Context(), attempt("alice", "secret")); err != nil || !g.Search {
		t.Errorf("%+v, %v", g, err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
	if n := flights.Waiting(); n != 0 {
		t.Errorf("%d wait", n)
	}
}

func TestFlightPanicReachesTheCaller(t *testing.T) {
	a := &authFunc{do: func(context.Context, bind.Attempt) (bind.Granted, error) { panic("boom") }}
	flights := bind.NewFlights(a)
	func() {
		defer func() {
			if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "boom\n") || !strings.Contains(p, "flight_test.go") {
				t.Errorf("panic %.100s", p)
			}
		}()
		flights.Authenticate(t.Context(), attempt("alice", "secret"))
	}()
	a.do = grant
	if _, err := flights.Authenticate(t.Context(), attempt("alice", "secret")); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestDenialsRemember(t *testing.T) {
	var outcome error
	a := &authFunc{do: func(context.Context, bind.Attempt) (bind.Granted, error) { return bind.Granted{}, outcome }}
	clock := newClock()
	denials := bind.NewDenials(a, 10*time.Second, clock.Now)
	ask := func(at bind.Attempt, calls int64) {
		t.Helper()
		before := a.calls.Load()
		if _, err := denials.Authenticate(t.Context(), at); !errors.Is(err, outcome) {
			t.Errorf("error %v, want %v", err, outcome)
		}
		if n := a.calls.Load() - before; n != calls {
			t.Errorf("%d calls, want %d", n, calls)
		}
	}
	outcome = &bind.Denied{Reason: bind.WrongCode, Final: true}
	ask(attempt("alice", "wrong"), 1)
	ask(attempt("alice", "wrong"), 0)
	ask(attempt("alice", "other"), 1)
	ask(attempt("bob", "wrong"), 1)
	clock.advance(9 * time.Second)
	ask(attempt("alice", "wrong"), 0)
	clock.advance(time.Second)
	ask(attempt("alice", "wrong"), 1)
	clock.advance(-time.Hour)
	ask(attempt("alice", "wrong"), 1)
	if n := denials.Hits(); n != 2 {
		t.Errorf("%d hits, want 2", n)
	}
	outcome = errors.New("could not tell")
	ask(attempt("carol", "secret"), 1)
	ask(attempt("carol", "secret"), 1)
	outcome = nil
	ask(attempt("carol", "secret"), 1)
	ask(attempt("carol", "secret"), 1)
}

func TestQueueBoundsAndKeepsOrder(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan string, 10)
	a := &authFunc{do: func(ctx context.Context, at bind.Attempt) (bind.Granted, error) {
		entered <- at.Name
		<-release
		return bind.Granted{}, nil
	}}
	q := bind.NewQueue(a, 2)
	var done sync.WaitGroup
	for i := range 6 {
		done.Go(func() { q.Authenticate(t.Context(), attempt(fmt.Sprint(i), "secret")) })
		for q.Running()+q.Waiting() <= int64(i) {
			time.Sleep(time.Millisecond)
		}
	}
	if r, w := q.Running(), q.Waiting(); r != 2 || w != 4 {
		t.Errorf("%d run, %d wait", r, w)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.Authenticate(ctx, attempt("late", "secret")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	<-entered
	<-entered
	for _, want := range []string{"2", "3", "4", "5"} {
		release <- struct{}{}
		if got := <-entered; got != want {
			t.Errorf("%s comes, want %s", got, want)
		}
	}
	close(release)
	done.Wait()
	if r, w := q.Running(), q.Waiting(); r != 0 || w != 0 {
		t.Errorf("%d run, %d wait at the end", r, w)
	}
}

// TestFinalStopsReadings: authentik counts each wrong password, so a reading
// that cannot be right must not be tried.
func TestFinalStopsReadings(t *testing.T) {
	tests := []struct {
		name   string
		denied bind.Denied
		calls  int64
		want   string
	}{
		{"wrong password", bind.Denied{Reason: bind.WrongPassword}, 2, "denied wrong_password 49"},
		{"wrong code", bind.Denied{Reason: bind.WrongCode, Final: true}, 1, "denied wrong_code 49"},
		{"no access", bind.Denied{Reason: bind.NoAccess, Final: true}, 1, "denied no_access 50"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &authFunc{do: func(context.Context, bind.Attempt) (bind.Granted, error) { return bind.Granted{}, &tt.denied }}
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
