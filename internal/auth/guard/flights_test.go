package guard_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/directory"
)

// authFunc is an authenticator that counts its calls.
type authFunc struct {
	calls atomic.Int64
	do    func(context.Context, auth.Attempt) (auth.Granted, error)
}

func (a *authFunc) Authenticate(ctx context.Context, at auth.Attempt) (auth.Granted, error) {
	a.calls.Add(1)
	return a.do(ctx, at)
}

// flying is the authenticator with flights before it, as the pipeline has them.
type flying struct {
	*guard.Flights[auth.Granted]
	key  guard.Key
	next auth.Authenticator
}

func newFlying(next auth.Authenticator) *flying {
	return &flying{guard.NewFlights[auth.Granted](), guard.NewKey(), next}
}

func (f *flying) Authenticate(ctx context.Context, a auth.Attempt) (auth.Granted, error) {
	g, _, err := f.Do(ctx, f.key.Attempt(a), func(ctx context.Context) (auth.Granted, error) { return f.next.Authenticate(ctx, a) })
	return g, err
}

func grant(context.Context, auth.Attempt) (auth.Granted, error) {
	return auth.Granted{Source: auth.SourceFlow}, nil
}

func attempt(name, password string) auth.Attempt {
	return auth.Attempt{
		Name: name, Known: true,
		Account:  directory.Account{UUID: "uuid of " + name, Username: name, Base: "dc=example,dc=org"},
		Password: auth.Secret(password),
		Addr:     netip.MustParseAddr("192.0.2.1"),
	}
}

// together calls the authenticator from n goroutines, and releases it when
// all of them wait.
func together(t *testing.T, next auth.Authenticator, n int, a auth.Attempt, release chan struct{}) []error {
	t.Helper()
	errs := make([]error, n)
	var started, done sync.WaitGroup
	started.Add(n)
	for i := range n {
		done.Go(func() {
			started.Done()
			_, errs[i] = next.Authenticate(t.Context(), a)
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
	a := &authFunc{do: func(ctx context.Context, at auth.Attempt) (auth.Granted, error) {
		<-release
		return auth.Granted{Search: true}, nil
	}}
	flights := newFlying(a)
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
	a := &authFunc{do: func(context.Context, auth.Attempt) (auth.Granted, error) {
		<-release
		return auth.Granted{}, &auth.Denied{Reason: auth.WrongPassword}
	}}
	// Some come when the call is over, which must not make a difference.
	flights := newFlying(guard.NewDenials(guard.NewQueue(a, 4), 10*time.Second, newClock().Now))
	for _, err := range together(t, flights, 1000, attempt("alice", "wrong"), release) {
		var d *auth.Denied
		if !errors.As(err, &d) || d.Reason != auth.WrongPassword {
			t.Fatalf("error %v", err)
		}
	}
	if n := a.calls.Load(); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

// changes tell an attempt from another one.
var changes = map[string]func(*auth.Attempt){
	"user":     func(a *auth.Attempt) { a.Account.UUID = "other" },
	"rename":   func(a *auth.Attempt) { a.Account.Username = "other" },
	"base":     func(a *auth.Attempt) { a.Account.Base = "dc=other" },
	"password": func(a *auth.Attempt) { a.Password = "other" },
	"code":     func(a *auth.Attempt) { a.Code = "123456" },
	"code in":  func(a *auth.Attempt) { a.CodeIn = auth.InUsername },
	"boundary": func(a *auth.Attempt) { a.Password, a.Code = "secre", "t" },
	"address":  func(a *auth.Attempt) { a.Addr = netip.MustParseAddr("192.0.2.2") },
	"unknown":  func(a *auth.Attempt) { a.Known = false },
	"cookie":   func(a *auth.Attempt) { a.Cookie = "cookie" },
	"quiet":    func(a *auth.Attempt) { a.Quiet = true },
}

func TestFlightsKeepApart(t *testing.T) {
	first := attempt("alice", "secret")
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			release, entered := make(chan struct{}), make(chan struct{}, 2)
			a := &authFunc{do: func(ctx context.Context, at auth.Attempt) (auth.Granted, error) {
				entered <- struct{}{}
				<-release
				return auth.Granted{}, nil
			}}
			flights := newFlying(a)
			second := first
			change(&second)
			var done sync.WaitGroup
			for _, at := range []auth.Attempt{first, second} {
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
	a := &authFunc{do: func(ctx context.Context, at auth.Attempt) (auth.Granted, error) {
		close(entered)
		select {
		case <-release:
			return auth.Granted{}, nil
		case <-ctx.Done():
			ended <- ctx.Err()
			return auth.Granted{}, ctx.Err()
		}
	}}
	flights := newFlying(a)
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
	a.do = func(ctx context.Context, at auth.Attempt) (auth.Granted, error) {
		entered <- struct{}{}
		if a.calls.Load() > 1 {
			return auth.Granted{Search: true}, nil
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return auth.Granted{}, ctx.Err()
	}
	flights := newFlying(a)
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
	a := &authFunc{do: func(context.Context, auth.Attempt) (auth.Granted, error) { panic("boom") }}
	flights := newFlying(a)
	func() {
		defer func() {
			if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "boom\n") || !strings.Contains(p, "flights_test.go") {
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
	a := &authFunc{do: func(context.Context, auth.Attempt) (auth.Granted, error) { return auth.Granted{}, outcome }}
	clock := newClock()
	denials := guard.NewDenials(a, 10*time.Second, clock.Now)
	ask := func(at auth.Attempt, calls int64) {
		t.Helper()
		before := a.calls.Load()
		if _, err := denials.Authenticate(t.Context(), at); !errors.Is(err, outcome) {
			t.Errorf("error %v, want %v", err, outcome)
		}
		if n := a.calls.Load() - before; n != calls {
			t.Errorf("%d calls, want %d", n, calls)
		}
	}
	outcome = &auth.Denied{Reason: auth.WrongCode, Final: true}
	ask(attempt("alice", "wrong"), 1)
	ask(attempt("alice", "wrong"), 0)
	ask(attempt("alice", "other"), 1)
	ask(attempt("bob", "wrong"), 1)
	clock.Advance(9 * time.Second)
	ask(attempt("alice", "wrong"), 0)
	clock.Advance(time.Second)
	ask(attempt("alice", "wrong"), 1)
	clock.Advance(-time.Hour)
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

// TestDenialsAreKeptApart: by all that a backend may look at.
func TestDenialsAreKeptApart(t *testing.T) {
	a := &authFunc{do: func(context.Context, auth.Attempt) (auth.Granted, error) {
		return auth.Granted{}, &auth.Denied{Reason: auth.WrongPassword}
	}}
	denials := guard.NewDenials(a, 10*time.Second, newClock().Now)
	first := attempt("alice", "wrong")
	for _, change := range changes {
		second := first
		change(&second)
		for range 2 {
			denials.Authenticate(t.Context(), second)
		}
	}
	denials.Authenticate(t.Context(), first)
	if n := a.calls.Load(); n != int64(len(changes)+1) {
		t.Errorf("%d calls, want %d", n, len(changes)+1)
	}
}

func TestDenialsAreBounded(t *testing.T) {
	a := &authFunc{do: func(context.Context, auth.Attempt) (auth.Granted, error) {
		return auth.Granted{}, &auth.Denied{Reason: auth.WrongPassword}
	}}
	denials := guard.NewDenials(a, 10*time.Second, newClock().Now)
	grown := heap(func() {
		for i := range 100_000 {
			denials.Authenticate(context.Background(), attempt("alice", fmt.Sprint(i)))
		}
	})
	if grown > 8<<20 {
		t.Errorf("%d MiB", grown>>20)
	}
	runtime.KeepAlive(denials)
}

// What was not denied takes no place of what was.
func TestDenialsKeepDenialsOnly(t *testing.T) {
	deny := true
	a := &authFunc{do: func(ctx context.Context, at auth.Attempt) (auth.Granted, error) {
		if deny {
			return auth.Granted{}, &auth.Denied{Reason: auth.WrongPassword}
		}
		return grant(ctx, at)
	}}
	denials := guard.NewDenials(a, time.Hour, nil)
	denials.Authenticate(t.Context(), attempt("alice", "wrong"))
	deny = false
	for i := range 1 << 16 {
		denials.Authenticate(t.Context(), attempt("bob", fmt.Sprint(i)))
	}
	var denied *auth.Denied
	if _, err := denials.Authenticate(t.Context(), attempt("alice", "wrong")); !errors.As(err, &denied) || denials.Hits() != 1 {
		t.Errorf("%v, %d from memory; want it denied from memory", err, denials.Hits())
	}
}

// TestQueueLetsGo: a turn is over however it ends.
func TestQueueLetsGo(t *testing.T) {
	a := &authFunc{do: func(context.Context, auth.Attempt) (auth.Granted, error) { panic("boom") }}
	q := guard.NewQueue(a, 0) // which is one
	for range 3 {
		func() {
			defer func() { recover() }()
			q.Authenticate(t.Context(), attempt("alice", "secret"))
		}()
	}
	if r, w := q.Running(), q.Waiting(); a.calls.Load() != 3 || r != 0 || w != 0 {
		t.Errorf("%d calls, %d run, %d wait", a.calls.Load(), r, w)
	}
}

// TestFlightsTellWhoIsFirst: the work is that of one.
func TestFlightsTellWhoIsFirst(t *testing.T) {
	flights := guard.NewFlights[int]()
	release := make(chan struct{})
	var firsts atomic.Int64
	var done sync.WaitGroup
	for range 10 {
		done.Go(func() {
			v, first, err := flights.Do(t.Context(), guard.Digest{1}, func(context.Context) (int, error) {
				<-release
				return 7, errDown
			})
			if v != 7 || err != errDown {
				t.Errorf("%d, %v", v, err)
			}
			if first {
				firsts.Add(1)
			}
		})
	}
	for flights.Waiting() < 10 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	done.Wait()
	if n := firsts.Load(); n != 1 {
		t.Errorf("%d are first", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := flights.Do(ctx, guard.Digest{1}, func(context.Context) (int, error) {
		t.Error("it is done for nobody")
		return 0, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// Who goes before the work is done is first only if it is his.
func TestFirstOfWhoGoes(t *testing.T) {
	flights := guard.NewFlights[int]()
	release := make(chan struct{})
	work := func(ctx context.Context) (int, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return 7, nil
	}
	do := func(ctx context.Context) <-chan bool {
		was := make(chan bool, 1)
		go func() {
			v, first, err := flights.Do(ctx, guard.Digest{1}, work)
			if ctx.Err() != nil && (v != 0 || !errors.Is(err, context.Canceled)) {
				t.Errorf("who went has %d, %v", v, err)
			}
			was <- first
		}()
		return was
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if <-do(gone) {
		t.Error("who is gone before it began was first")
	}
	own, leave := context.WithCancel(t.Context())
	first := do(own)
	for flights.Waiting() < 1 {
		time.Sleep(time.Millisecond)
	}
	late, leaveLate := context.WithCancel(t.Context())
	second := do(late)
	third := do(t.Context())
	for flights.Waiting() < 3 {
		time.Sleep(time.Millisecond)
	}
	leaveLate()
	if <-second {
		t.Error("the second was first")
	}
	leave()
	if !<-first {
		t.Error("the first was not")
	}
	close(release)
	if <-third {
		t.Error("the third was first")
	}
}

func TestQueueBoundsAndKeepsOrder(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan string, 10)
	a := &authFunc{do: func(ctx context.Context, at auth.Attempt) (auth.Granted, error) {
		entered <- at.Name
		<-release
		return auth.Granted{}, nil
	}}
	q := guard.NewQueue(a, 2)
	var done sync.WaitGroup
	for i := range 6 {
		done.Go(func() { q.Authenticate(t.Context(), attempt(fmt.Sprint(i), "secret")) })
		for q.Running()+q.Waiting() <= i {
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
