package bind_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/bind"
)

const (
	here  = "192.0.2.1"
	there = "198.51.100.7"

	denied      = "denied wrong_password 49"
	unknownUser = "denied unknown_user 49"
	limitUser   = "limited limit_user 51"
	limitAddr   = "limited limit_address 51"
	limitCode   = "limited limit_code 51"
)

// limited returns a server with these limits.
func limited(t *testing.T, user, address int) *server {
	return newServer(t, nil, func(o *bind.Options) {
		o.Limits = guard.Limits{FailuresPerUser: user, FailuresPerAddress: address}
	})
}

func (s *server) expect(t *testing.T, addr, name, password, want string) {
	t.Helper()
	got := words(s.Bind(t.Context(), bind.Request{DN: userDN(name), Password: []byte(password), Addr: netip.MustParseAddr(addr)}))
	if got != want {
		t.Fatalf("%s from %s with %q: %s, want %s", name, addr, password, got, want)
	}
}

func TestLimitUser(t *testing.T) {
	for _, tt := range []struct{ name, user, denied string }{
		{"known", "alice", denied},
		{"unknown", "zoe", unknownUser},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := limited(t, 3, 0)
			for i := range 3 {
				s.expect(t, here, tt.user, fmt.Sprint("wrong", i), tt.denied)
			}
			before := s.auth.Hashes()
			s.expect(t, here, tt.user, "wrong", limitUser)
			s.expect(t, here, tt.user, "secret", limitUser)
			s.expect(t, here, tt.user+";123456", "secret", limitUser) // the same user
			if s.auth.Hashes() != before {
				t.Error("a slow hash beyond the limit")
			}
			s.expect(t, there, tt.user, "wrong", tt.denied)
			s.expect(t, here, "service", "secret", "granted service none")
			s.Advance(59 * time.Second)
			s.expect(t, here, tt.user, "wrong", limitUser)
			s.Advance(time.Second)
			s.expect(t, here, tt.user, "wrong", tt.denied)
		})
	}
}

func TestLimitUserByAnyName(t *testing.T) {
	s := limited(t, 3, 0)
	for i, name := range []string{"alice", "ALICE", "4ccb17"} {
		s.expect(t, here, name, fmt.Sprint("wrong", i), denied)
	}
	s.expect(t, here, "alice", "wrong", limitUser)
}

func TestLimitAddress(t *testing.T) {
	s := limited(t, 0, 4)
	for i := range 4 {
		s.expect(t, here, fmt.Sprint("nobody", i), "wrong", unknownUser)
	}
	s.expect(t, here, "alice", "secret", limitAddr)
	s.expect(t, "::ffff:"+here, "alice", "secret", limitAddr)
	s.expect(t, there, "alice", "secret", "granted alice none")
	s.Advance(time.Minute)
	s.expect(t, here, "nobody", "wrong", unknownUser)
}

func TestLimitAddressOfIPv6Network(t *testing.T) {
	s := limited(t, 0, 2)
	s.expect(t, "2001:db8::1", "alice", "wrong1", denied)
	s.expect(t, "2001:db8::2%eth0", "alice", "wrong2", denied)
	s.expect(t, "2001:db8::ffff:3", "alice", "wrong3", limitAddr)
	s.expect(t, "2001:db8:0:1::1", "alice", "wrong3", denied)
}

func TestLimitNone(t *testing.T) {
	s := limited(t, 0, 0)
	for i := range 500 {
		s.expect(t, here, "alice", fmt.Sprint("wrong", i), denied)
	}
}

// TestMUST9WrongPasswordCountsOnce replays what Nextcloud does with a wrong
// password and with a stale app token.
func TestMUST9WrongPasswordCountsOnce(t *testing.T) {
	s := limited(t, 3, 3)
	s.expect(t, here, "alice", "wrong", denied)
	s.expect(t, here, "alice", "wrong", denied)
	for range 2 {
		s.expect(t, here, "alice", "stale", denied)
	}
	s.expect(t, here, "alice", "stale", denied) // again and again
	s.expect(t, here, "alice", "AbCdE-FgHiJ-KlMnO-PqRsT-UvWxY", denied)
	s.expect(t, here, "alice", "AbCdE-FgHiJ-KlMnO-PqRsT-UvWxY", limitUser) // three different ones
}

func TestSameSecretOfOthersIsAnother(t *testing.T) {
	s := limited(t, 0, 3)
	for _, name := range []string{"nobody1", "nobody2", "nobody3"} {
		s.expect(t, here, name, "wrong", unknownUser)
	}
	s.expect(t, here, "nobody4", "wrong", limitAddr)
}

func TestSecretsCountOnce(t *testing.T) {
	s := limited(t, 3, 0)
	for range 3 {
		s.expect(t, here, "alice", "a", denied)
		s.expect(t, here, "alice", "b", denied)
	}
	s.expect(t, here, "alice", "c", denied)
	s.expect(t, here, "alice", "a", limitUser)
}

// TestCodeOnNameIsPartOfSecret: other codes with one password are guesses.
func TestCodeOnNameIsPartOfSecret(t *testing.T) {
	s := limited(t, 2, 0)
	s.expect(t, here, "bob;000000", "secret", "denied wrong_code 49")
	s.expect(t, here, "bob;000000", "secret", "denied wrong_code 49")
	s.expect(t, here, "bob;000001", "secret", "denied wrong_code 49")
	s.expect(t, here, "bob;000002", "secret", limitUser)
}

func TestLimitCode(t *testing.T) {
	s := limited(t, 0, 0)
	for i := range 10 {
		addr := fmt.Sprintf("192.0.2.%d", i+1)
		password := fmt.Sprintf("secret;00000%d", i)
		s.expect(t, addr, "bob", password, "denied wrong_code 49")
		if i < 9 {
			s.expect(t, addr, "bob", password, "denied wrong_code 49") // counts once
		}
	}
	before := s.auth.Hashes()
	s.expect(t, there, "bob", "secret;"+s.code(t), limitCode)
	if s.auth.Hashes() != before {
		t.Error("a slow hash beyond the limit")
	}
	s.expect(t, there, "alice", "secret", "granted alice none")
	s.Advance(24*time.Hour - time.Second)
	s.expect(t, there, "bob", "secret;"+s.code(t), limitCode)
	s.Advance(time.Second)
	s.expect(t, there, "bob", "secret;"+s.code(t), "granted bob totp")
}

// TestLimitCodeCountsOnlyCodes: neither a wrong password, nor a replay, nor a
// missing code is a guess at the second factor.
func TestLimitCodeCountsOnlyCodes(t *testing.T) {
	s := limited(t, 0, 0)
	code := s.code(t)
	s.expect(t, here, "bob", "secret;"+code, "granted bob totp")
	for i := range 15 {
		s.expect(t, here, "bob", "secret;"+code, "denied code_used 49")
		s.expect(t, here, "bob", "secret", "denied code_missing 49")
		s.expect(t, here, "bob", fmt.Sprintf("wrong;0000%02d", i), denied)
	}
}

// TestRememberedPasswordPassesLimits: an attacker must not lock out who has
// logged in before.
func TestRememberedPasswordPassesLimits(t *testing.T) {
	s := newServer(t, nil, func(o *bind.Options) {
		remembering(t)(o)
		o.Limits = guard.Limits{FailuresPerUser: 2, FailuresPerAddress: 3}
	})
	s.expect(t, here, "alice", "secret", "granted alice none")
	s.expect(t, here, "alice", "a", denied)
	s.expect(t, here, "alice", "b", denied)
	since := s.clock.Now()
	s.expect(t, here, "alice", "c", denied)
	s.expect(t, here, "alice", "secret", "granted alice none")
	if waited := s.clock.Now().Sub(since); waited < 2*time.Second {
		t.Errorf("beyond the limit both were answered in %v", waited)
	}
	s.expect(t, here, "service", "a", denied)
	s.expect(t, here, "service", "secret", limitAddr)
	s.expect(t, here, "alice", "secret", "granted alice none")
	// A second factor is not remembered.
	s.expect(t, here, "bob", "secret;"+s.code(t), limitAddr)
}

func TestTroubleNeverCounts(t *testing.T) {
	backend := &scripted{}
	s := newServer(t, nil, func(o *bind.Options) {
		o.Authenticator = backend
		o.Limits = guard.Limits{FailuresPerUser: 1, FailuresPerAddress: 1}
	})
	for i := range 5 {
		backend.errs = []error{errors.New("connection refused")}
		s.expect(t, here, "alice", fmt.Sprint(i), "unknown unavailable 52")
	}
	for range 5 {
		s.expect(t, here, "alice", "right", "granted alice ")
	}
	for range 5 {
		s.expect(t, here, "alice", "", "refused no_secret 53")
	}
	backend.errs = []error{&auth.Denied{Reason: auth.WrongPassword, Password: auth.Wrong}}
	s.expect(t, here, "alice", "wrong", denied)
	s.expect(t, here, "alice", "right", limitUser)
}

// gate lets all binds in before it answers any.
type gate struct{ sync.WaitGroup }

func (g *gate) Authenticate(_ context.Context, a auth.Attempt) (auth.Granted, error) {
	g.Done()
	g.Wait()
	return auth.Granted{}, &auth.Denied{Reason: auth.WrongPassword, Password: auth.Wrong}
}

// TestParallelGuesses: those that were under way when the limit was reached
// learn nothing.
func TestParallelGuesses(t *testing.T) {
	g := &gate{}
	s := newServer(t, nil, func(o *bind.Options) {
		o.Authenticator = g
		o.Limits = guard.Limits{FailuresPerUser: 5}
	})
	const guesses = 16
	g.Add(guesses)
	var mu sync.Mutex
	got := map[string]int{}
	var wg sync.WaitGroup
	for i := range guesses {
		wg.Go(func() {
			w := words(s.Bind(t.Context(), bind.Request{DN: userDN("alice"), Password: fmt.Append(nil, i)}))
			mu.Lock()
			got[w]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if got[denied] != 5 || got[limitUser] != guesses-5 {
		t.Errorf("%v", got)
	}
}

// TestWaitingGuessesCount: of a crowd from one address a few are worked on at a
// time, and when they reached the limit the others cost nothing any more.
func TestWaitingGuessesCount(t *testing.T) {
	release := make(chan struct{})
	a := &authFunc{do: func(context.Context, auth.Attempt) (auth.Granted, error) {
		<-release
		return auth.Granted{}, &auth.Denied{Reason: auth.WrongPassword, Password: auth.Wrong}
	}}
	s := newServer(t, nil, func(o *bind.Options) {
		o.Authenticator = a
		o.Limits = guard.Limits{FailuresPerAddress: 5}
	})
	const guesses, atATime = 200, 16
	var busy atomic.Int64
	var wg sync.WaitGroup
	for i := range guesses {
		wg.Go(func() {
			r := bind.Request{DN: userDN(fmt.Sprint("nobody", i)), Password: []byte("guess"), Addr: netip.MustParseAddr(here)}
			if words(s.Bind(t.Context(), r)) == limitAddr {
				busy.Add(1)
			}
		})
	}
	for s.Waiting() < guesses || a.calls.Load() < atATime {
		time.Sleep(time.Millisecond)
	}
	close(release)
	wg.Wait()
	if n := a.calls.Load(); n >= atATime+5 || busy.Load() != guesses-5 {
		t.Errorf("%d were worked on, %d refused", n, busy.Load())
	}
}

func TestClockSetBack(t *testing.T) {
	s := limited(t, 1, 0)
	s.expect(t, here, "alice", "a", denied)
	s.expect(t, here, "alice", "b", limitUser)
	s.Advance(-time.Hour)
	s.expect(t, here, "alice", "c", denied) // and not for an hour more
}

// TestLimitPushes: a push that the user turned down is a guess too, also if
// the password is the same each time.
func TestLimitPushes(t *testing.T) {
	a := &authFunc{do: func(context.Context, auth.Attempt) (auth.Granted, error) {
		return auth.Granted{}, &auth.Denied{Reason: auth.FactorDenied, Password: auth.Right, Final: true}
	}}
	s := newServer(t, nil, func(o *bind.Options) { o.Authenticator = a })
	for range 5 {
		s.expect(t, here, "bob", "secret", "denied factor_denied 49")
	}
	s.expect(t, there, "bob", "secret", "limited limit_push 51")
	s.Advance(15 * time.Minute)
	s.expect(t, here, "bob", "secret", "denied factor_denied 49")
	if n := a.calls.Load(); n != 6 {
		t.Errorf("%d pushes", n)
	}
}
