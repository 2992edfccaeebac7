package bind_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/bind"
	"ldapd/internal/cache"
	"ldapd/internal/ldap"
	"ldapd/internal/local"
	"ldapd/internal/login"
	"ldapd/internal/mfa"
	"ldapd/internal/policy"
	"ldapd/internal/postgrestest"
	"ldapd/internal/verified"
)

// wantNothingKept says that neither memory nor store has a verified bind.
func (h *house) wantNothingKept(what string) {
	h.Helper()
	if all := h.options.Book.All(); len(all) > 0 {
		h.Errorf("%s: kept of %s in memory", what, all[0].Record.Username)
	}
	err := h.store.Each(h.Context(), func(string, []byte, uint64) error { return errors.New("there is a value") })
	if err != nil {
		h.Errorf("%s: in the store %v", what, err)
	}
}

var aliceKey = verified.User{Base: base, UUID: "uuid-alice"}

// tampered is the backend with answers of a test.
type tampered struct {
	*flows
	answer func(context.Context, auth.Attempt) (auth.Granted, error)
}

func (t *tampered) Authenticate(ctx context.Context, a auth.Attempt) (auth.Granted, error) {
	return t.answer(ctx, a)
}

// TestPoisoning: whatever a bind came to, but a grant, nothing is kept of it.
func TestPoisoning(t *testing.T) {
	type outcome struct {
		name   string
		answer func(h *house, cancel func()) (auth.Granted, error)
		want   string
	}
	right := auth.Granted{Source: auth.SourceFlow, Factor: auth.FactorTOTP, Session: &auth.Session{Hash: "left", State: "left"}}
	outcomes := []outcome{
		{"refused", func(*house, func()) (auth.Granted, error) {
			return right, &auth.Limited{Reason: auth.PaceUser}
		}, "limited pace_user 51"},
		{"backend down", func(*house, func()) (auth.Granted, error) { return right, errors.New("connection refused") }, "unknown unavailable 52"},
		{"backend says LDAP", func(*house, func()) (auth.Granted, error) {
			return right, ldap.Errorf(ldap.ResultSuccess, "fine")
		}, "unknown unavailable 52"},
		{"client gone", func(h *house, cancel func()) (auth.Granted, error) {
			cancel()
			return right, context.Canceled
		}, "unknown unavailable 52"},
		{"too slow", func(*house, func()) (auth.Granted, error) { return right, context.DeadlineExceeded }, "unknown unavailable 52"},
		{"panic", func(*house, func()) (auth.Granted, error) { panic("backend") }, "panic"},
		{"granted for another user", func(*house, func()) (auth.Granted, error) {
			g := right
			g.Username = "bob"
			return g, nil
		}, "granted flow totp"},
		{"granted for nobody", func(*house, func()) (auth.Granted, error) {
			g := right
			g.Username = "zoe"
			return g, nil
		}, "unknown unavailable 52"},
		{"granted, and limited", func(h *house, _ func()) (auth.Granted, error) {
			h.flows.users["bob"].password = "unknown to all"
			for i := range 3 { // others fail meanwhile
				_, _ = h.Bind(h.Context(), bind.Request{DN: userDN("bob"), Password: []byte(fmt.Sprint(i)), Addr: elsewhere})
			}
			return right, nil
		}, "limited limit_address 51"},
	}
	for _, r := range []auth.Reason{
		auth.UnknownUser, auth.Inactive, auth.NoPassword, auth.WrongPassword, auth.CodeMissing, auth.WrongCode, auth.CodeUsed,
		auth.CodeUnexpected, auth.FactorDenied, auth.FactorUnusable, auth.Policy, auth.NoAccess,
	} {
		code := 49
		if r == auth.NoAccess {
			code = 50
		}
		outcomes = append(outcomes, outcome{string(r), func(*house, func()) (auth.Granted, error) {
			return right, &auth.Denied{Reason: r}
		}, fmt.Sprintf("denied %s %d", r, code)})
	}
	for _, tt := range outcomes {
		t.Run(tt.name, func(t *testing.T) {
			var h *house
			backend := &tampered{}
			h = newHouse(t, func(o *bind.Options) {
				backend.flows = o.Authenticator.(*flows)
				o.Authenticator = backend
				o.Limits = guard.Limits{FailuresPerAddress: 3}
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			backend.answer = func(ctx context.Context, a auth.Attempt) (auth.Granted, error) {
				if a.Account.Username != "alice" {
					return backend.flows.Authenticate(ctx, a)
				}
				return tt.answer(h, cancel)
			}
			got := func() (got string) {
				defer func() {
					if recover() != nil {
						got = "panic" // the connection's business
					}
				}()
				return answer(h.Bind(ctx, bind.Request{DN: userDN("alice;111111"), Password: []byte("secret"), Addr: elsewhere}))
			}()
			h.want("bind", got, tt.want)
			h.settle()
			h.wantNothingKept("after it")
			h.restart()
			backend.answer = func(context.Context, auth.Attempt) (auth.Granted, error) {
				return auth.Granted{}, errors.New("connection refused")
			}
			h.want("with the backend down", h.plain(marked, "alice;111111", "secret"), "unknown unavailable 52")
		})
	}
}

// A client that is gone when its flow is granted changes nothing about that:
// the code is used, so the login has to be kept.
func TestGrantedForNobody(t *testing.T) {
	h := newHouse(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	backend := &tampered{flows: h.flows, answer: func(_ context.Context, a auth.Attempt) (auth.Granted, error) {
		cancel()
		return h.flows.Authenticate(t.Context(), a)
	}}
	h.options.Authenticator = backend
	h.restart()
	if _, err := h.Bind(ctx, bind.Request{DN: userDN("alice;111111"), Password: []byte("secret"), Addr: elsewhere}); err == nil {
		t.Error("granted for nobody")
	}
	h.settle()
	h.want("again", h.plain(elsewhere, "alice;111111", "secret"), byProof)
}

// TestRevocationRaces revokes while a proof is under way: it is void.
func TestRevocationRaces(t *testing.T) {
	revoke := func(h *house) error { _, err := h.Revoke(h.Context(), aliceKey); return err }
	ends := map[string]func(h *house) error{
		"revoked":     revoke,
		"all revoked": func(h *house) error { _, err := h.RevokeAll(h.Context()); return err },
		"at another replica": func(h *house) error {
			b := openBook(h.T, h.store, h.flows.Now)
			return b.Revoke(h.Context(), aliceKey)
		},
		"in the store": func(h *house) error { return h.store.RevokeAll(h.Context()) },
	}
	for name, end := range ends {
		t.Run("login/"+name, func(t *testing.T) {
			h := newHouse(t, nil)
			letGo := h.halt()
			bind := h.begin(elsewhere, "alice;111111", "secret")
			<-h.started
			if err := end(h); err != nil {
				t.Fatal(err)
			}
			letGo()
			h.want("the connection", <-bind, byCode)
			h.settle()
			h.wantNothingKept("a login under way")
			h.want("again", h.plain(elsewhere, "alice;111111", "secret"), wrongCode)
			h.want("a new login", h.plain(elsewhere, "alice;222222", "secret"), byCode)
			h.want("is kept", h.plain(elsewhere, "alice;222222", "secret"), byProof)
		})
		t.Run("proved again/"+name, func(t *testing.T) {
			h := newHouse(t, nil)
			h.threshold = 30 * 24 * time.Hour
			h.want("login", h.plain(elsewhere, "alice;111111", "secret"), byCode)
			h.Advance(16 * time.Hour)
			letGo := h.halt()
			h.want("served", <-h.begin(elsewhere, "alice;111111", "secret"), byProof)
			<-h.started
			if err := end(h); err != nil {
				t.Fatal(err)
			}
			letGo()
			h.settle()
			h.wantNothingKept("a flow in the background")
			h.want("again", h.plain(elsewhere, "alice;111111", "secret"), wrongCode)
			h.restart()
			h.want("after a restart", h.plain(elsewhere, "alice;111111", "secret"), wrongCode)
		})
	}
	// What began after the revocation counts, whatever was tried just before.
	h := newHouse(t, nil)
	h.want("wrong code", h.plain(elsewhere, "alice;999999", "secret"), wrongCode)
	if err := revoke(h); err != nil {
		t.Fatal(err)
	}
	h.want("login", h.plain(elsewhere, "alice;111111", "secret"), byCode)
	h.want("is kept", h.plain(elsewhere, "alice;111111", "secret"), byProof)
}

// TestRevocationUnderLoad has logins, validations, ends of sessions and
// revocations at once. After the last revocation there is nothing.
func TestRevocationUnderLoad(t *testing.T) {
	h := newHouse(t, nil)
	const codes = 40
	h.change(func() {
		for i := range codes {
			h.users["alice"].codes[fmt.Sprint(100001+i)] = true
		}
	})
	var next, granted, revoked atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for n := next.Add(1); n <= codes; n = next.Add(1) {
				for range 2 { // the second one may be a wrong guess
					if a := <-h.begin(elsewhere, fmt.Sprint("alice;", 100000+n), "secret"); strings.HasPrefix(a, "granted") {
						granted.Add(1)
					}
				}
				h.Advance(3 * time.Hour)
				h.SessionEnded(fmt.Sprint("session", n-2))
			}
		})
	}
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := h.Revoke(t.Context(), aliceKey); err != nil {
				t.Error(err)
			}
			revoked.Add(1)
			time.Sleep(50 * time.Millisecond)
		}
	})
	for next.Load() <= codes {
		time.Sleep(time.Millisecond)
	}
	if _, err := h.Revoke(t.Context(), aliceKey); err != nil {
		t.Error(err)
	}
	close(stop)
	wg.Wait()
	if _, err := h.Revoke(t.Context(), aliceKey); err != nil {
		t.Error(err)
	}
	h.settle()
	h.wantNothingKept("at the end")
	if granted.Load() < codes {
		t.Errorf("%d grants, want one for each code at least", granted.Load())
	}
	t.Logf("%d binds granted, %d revocations", granted.Load(), revoked.Load())
}

// TestLearnedElsewhere has a password tried in vain at one replica, and proved
// at another at once: the first one must know.
func TestLearnedElsewhere(t *testing.T) {
	one := newHouse(t, nil)
	two := one.replica(one.store)
	one.want("no code", one.plain(elsewhere, "alice", "secret"), missing)
	one.want("the other", two.plain(elsewhere, "alice;111111", "secret"), byCode)
	one.want("the first", one.plain(elsewhere, "alice;111111", "secret"), byProof)
}

// TestLearnedElsewhereInAnOutage is that with a backend that did not answer the
// first one: it cannot be said that the password was wrong.
func TestLearnedElsewhereInAnOutage(t *testing.T) {
	one := newHouse(t, nil)
	two := one.replica(one.store)
	one.change(func() { one.down = true })
	one.want("the backend is down", one.plain(elsewhere, "alice;111111", "secret"), away)
	one.change(func() { one.down = false })
	one.want("the other", two.plain(elsewhere, "alice;111111", "secret"), byCode)
	one.want("the first", one.plain(elsewhere, "alice;111111", "secret"), byProof)
}

// TestKnownToTheStore: codes that memory does not know yet and the store does
// are no guesses, however many there are.
func TestKnownToTheStore(t *testing.T) {
	one := newHouse(t, nil)
	two := one.replica(one.store)
	codes := make([]string, 15)
	one.change(func() {
		for i := range codes {
			codes[i] = fmt.Sprint(400000 + i)
			one.users["alice"].codes[codes[i]] = true
		}
	})
	for _, code := range codes {
		one.want("login", one.plain(elsewhere, "alice;"+code, "secret"), byCode)
		two.want("the other replica", two.plain(elsewhere, "alice;"+code, "secret"), byProof)
	}
	if all := two.Guessed(); len(all) != 0 {
		t.Errorf("guessed: %+v", all)
	}
}

// replica returns another pipeline with a book of its own.
func (h *house) replica(store verified.Store) *house {
	o := h.options
	o.Book = openBook(h.T, store, h.flows.Now)
	tracker := login.New(h.flows.Now)
	o.Metrics, o.Logins = nil, tracker
	p := bind.New(o)
	h.Cleanup(p.Close)
	r := *h
	r.Pipeline, r.options, r.logins = p, o, tracker
	return &r
}

// sharedStore is what replicas share.
type sharedStore interface {
	verified.Store
	mfa.UsedCodes
	guard.Tallies
}

// meeting lets callers pass two at a time.
type meeting struct {
	mu    sync.Mutex
	first chan struct{} // of who waits; nil: nobody
}

func (m *meeting) wait(ctx context.Context) error {
	m.mu.Lock()
	first := m.first
	if first != nil {
		close(first)
		m.first = nil
		m.mu.Unlock()
		return nil
	}
	first = make(chan struct{})
	m.first = first
	m.mu.Unlock()
	select {
	case <-first:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// turnstile lets the codes of two replicas pass together.
type turnstile struct {
	*local.Authenticator
	*meeting
}

func (s *turnstile) Authenticate(ctx context.Context, a auth.Attempt) (auth.Granted, error) {
	if a.Code != "" {
		if err := s.wait(ctx); err != nil {
			return auth.Granted{}, err
		}
	}
	return s.Authenticator.Authenticate(ctx, a)
}

// TestOneCodeAtTwoReplicas sends one code to two replicas at the same instant:
// exactly one is granted, wherever the code stands.
func TestOneCodeAtTwoReplicas(t *testing.T) {
	c := newClock()
	dsn := postgrestest.Run(t).Database(t)
	postgres := func() sharedStore {
		s, err := cache.OpenPostgres(t.Context(), dsn, cache.PostgresOptions{Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	memory := cache.NewMemory(c.Now)
	for _, tt := range []struct {
		name   string
		stores [2]sharedStore
	}{
		{"memory", [2]sharedStore{memory, memory}},
		{"postgres", [2]sharedStore{postgres(), postgres()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			door := &meeting{}
			var replicas [2]*server
			for i, s := range tt.stores {
				replicas[i] = newServer(t, s, func(o *bind.Options) {
					o.Authenticator = &turnstile{o.Authenticator.(*local.Authenticator), door}
					o.Book = openBook(t, s, o.Now)
					o.Rules = policy.Rules{Reprove: time.Hour, StaleFor: time.Hour, MaxAge: time.Hour, Scope: policy.ScopeLogin, Remember: time.Hour, CodeInUsername: true}
					o.Tallies = s
				})
				defer replicas[i].Close()
			}
			const rounds = 9
			for i := range rounds {
				for _, c := range []*clock{c, replicas[0].clock, replicas[1].clock} {
					c.Advance(30 * time.Second)
				}
				code := replicas[0].code(t)
				onName, onPassword := [2]string{"bob;" + code, "secret"}, [2]string{"bob", "secret;" + code}
				credentials := [][2][2]string{{onName, onName}, {onPassword, onPassword}, {onName, onPassword}}[i%3]
				answers := make(chan string, 2)
				for n, r := range replicas {
					go func() { answers <- answer(r.bind(t, userDN(credentials[n][0]), credentials[n][1])) }()
				}
				one, two := <-answers, <-answers
				if one > two {
					one, two = two, one
				}
				if one != "denied code_used 49" || two != "granted hash totp" {
					t.Errorf("round %d: %s and %s, want one of them granted", i, one, two)
				}
			}
			t.Logf("%d codes, each granted once", rounds)
		})
	}
}
