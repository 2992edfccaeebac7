package bind_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/bind"
	"ldapd/internal/ldap"
)

// onePerMinute is the least limit of wrong passwords, for a user.
func onePerMinute(o *bind.Options) { o.Limits = guard.Limits{FailuresPerUser: 1} }

// Beyond the limit all wait where a user is at home, and those that memory does
// not know take turns, until there are too many.
func TestLaneBeyondTheLimit(t *testing.T) {
	var waits []time.Duration
	h := newHouse(t, func(o *bind.Options) {
		onePerMinute(o)
		o.Sleep = func(_ context.Context, d time.Duration) error {
			waits = append(waits, d)
			return nil
		}
	})
	h.want("login", h.plain(nextcloud, "alice;111111", "secret"), byCode)
	h.want("within the limit", h.plain(nextcloud, "alice", "wrong"), wrongPass)
	h.want("remembered", h.plain(nextcloud, "alice;111111", "secret"), byProof)
	h.want("a new code", h.plain(nextcloud, "alice;222222", "secret"), byCode)
	if want := []time.Duration{time.Second, time.Second}; !slices.Equal(waits, want) {
		t.Errorf("who has the password waited %v, want %v", waits, want)
	}
	for i := range 12 {
		waits = nil
		got, want := h.plain(nextcloud, "alice", fmt.Sprint("wrong", i)), wrongPass
		pauses := []time.Duration{time.Second, time.Duration(i) * time.Second}
		if i == 11 {
			want, pauses = limitUser, pauses[:1]
		}
		if i == 0 || i == 11 {
			h.want("a turn", got, want)
		}
		if !slices.Equal(waits, pauses) {
			t.Errorf("wrong password %d waited %v, want %v", i, waits, pauses)
		}
	}
}

// Who has no patience beyond the limit is not told what memory knows.
func TestNoPatienceBeyondTheLimit(t *testing.T) {
	gone := false
	h := newHouse(t, func(o *bind.Options) {
		onePerMinute(o)
		o.Sleep = func(context.Context, time.Duration) error {
			if gone {
				return context.Canceled
			}
			return nil
		}
	})
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	h.want("wrong", h.plain(nextcloud, "bob", "wrong"), wrongPass)
	gone = true
	h.want("right", h.plain(nextcloud, "bob", "secret"), "unknown unavailable 52")
}

// Memory is no oracle: a stranger beyond the limit learns nothing of it.
func TestStrangerBeyondTheLimit(t *testing.T) {
	h := newHouse(t, onePerMinute)
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	h.want("wrong", h.plain(elsewhere, "bob", "wrong"), wrongPass)
	h.want("right", h.plain(elsewhere, "bob", "secret"), limitUser)
}

// A client that looked the user up by an account that may search is trusted
// with him, and with nobody else.
func TestTrustedByItsSearch(t *testing.T) {
	h := newHouse(t, onePerMinute)
	defer h.logins.Closed(h.search(elsewhere, "bob"))
	defer h.logins.Closed(h.search(elsewhere, "zoe"))
	for _, user := range []string{"bob", "alice", "zoe"} {
		h.plain(elsewhere, user, "wrong")
	}
	h.want("another user", h.plain(elsewhere, "alice", "secret"), limitUser)
	h.want("nobody", h.plain(elsewhere, "zoe", "secret"), limitUser)
	h.want("who was looked up", h.plain(elsewhere, "bob", "secret"), byFlow)
}

// overElsewhere are tallies that are beyond every limit.
type overElsewhere struct{}

func (overElsewhere) Tally(context.Context, [16]byte, [16]byte, time.Duration) (int, error) {
	return 1000, nil
}

func (overElsewhere) Tallied(context.Context, [16]byte, time.Duration) (int, error) {
	return 1000, nil
}

// What other replicas counted is held against strangers only.
func TestOverTheLimitElsewhere(t *testing.T) {
	h := newHouse(t, func(o *bind.Options) {
		o.Limits, o.Tallies = guard.Limits{FailuresPerUser: 5}, overElsewhere{}
	})
	h.want("stranger", h.plain(elsewhere, "bob", "secret"), limitUser)
	h.want("at a client that is named", h.plain(nextcloud, "bob", "secret"), byFlow)
}

// Where too many strangers wait already, one more is told that it is busy.
func TestTooManyStrangers(t *testing.T) {
	h := newHouse(t, nil)
	letGo := h.halt()
	const most = 16 + 256 // that are worked on, and wait
	var all []<-chan string
	for i := range most {
		all = append(all, h.begin(elsewhere, fmt.Sprint("nobody", i), "secret"))
	}
	for h.Strangers() < 256 {
		time.Sleep(time.Millisecond)
	}
	h.want("one more", <-h.begin(elsewhere, "bob", "secret"), limitAddr)
	letGo()
	for _, got := range all {
		h.want("those that wait", <-got, unknownUser)
	}
}

// Identical binds are one, unless it is the user who confirms each.
func TestIdenticalBinds(t *testing.T) {
	two := func(h *house, user string) (answers []string) {
		letGo := h.halt()
		one, other := h.begin(nextcloud, user, "secret"), h.begin(nextcloud, user, "secret")
		h.wantWaiting(2)
		letGo()
		answers = []string{<-one, <-other}
		slices.Sort(answers)
		return answers
	}
	for _, tt := range []struct {
		name, user, search string
		change             func(*bind.Options)
		want               []string
		flows              int
	}{
		{"one flow, and memory", "bob", "", nil, []string{byFlow, byMemory}, 1},
		{"nothing is kept", "bob", "", func(o *bind.Options) {
			a := o.Authenticator
			o.Authenticator = &authFunc{do: func(ctx context.Context, at auth.Attempt) (auth.Granted, error) {
				g, err := a.Authenticate(ctx, at)
				g.Once = true
				return g, err
			}}
		}, []string{byFlow, byFlow}, 1},
		{"a push each", "dora", "", nil, []string{"granted flow duo", "granted flow duo"}, 2},
		{"one login", "alice", "alice;111111", nil, []string{byCode, unpaired}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, tt.change)
			if tt.search != "" {
				defer h.logins.Closed(h.search(nextcloud, tt.search))
			}
			if got := two(h, tt.user); !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
			h.wantFlows("both", tt.flows)
			if u := h.metrics.Undecided(); tt.search != "" && (len(u) != 1 || u[0].Count != 1) {
				t.Errorf("undecided: %+v, want one", u)
			}
		})
	}
}

// An answer of the backend that it cannot tell is passed on as it is.
func TestUnavailableIsPassedOn(t *testing.T) {
	want := ldap.Errorf(ldap.ResultUnavailable, "the backend is being upgraded")
	s := newServer(t, nil, func(o *bind.Options) { o.Authenticator = &scripted{errs: []error{want}} })
	_, err := s.bind(t, userDN("alice"), "secret")
	var e *ldap.Error
	if !errors.As(err, &e) || e.Message != want.Message {
		t.Errorf("%v, want %v", err, want)
	}
}

// By itself a pipeline goes by the clock.
func TestClocks(t *testing.T) {
	s := newServer(t, nil, func(o *bind.Options) { o.Now = nil })
	if got := words(s.bind(t, userDN("alice"), "secret")); got != "granted alice none" {
		t.Error(got)
	}
}

// triedKeys is a guard.GuessStore that says under which keys codes were tried.
type triedKeys struct{ keys [][16]byte }

func (k *triedKeys) Guess(_ context.Context, key, _ [16]byte, _ time.Duration) (int, bool, error) {
	k.keys = append(k.keys, key)
	return 1, true, nil
}

func (*triedKeys) Guessed(context.Context, [16]byte, [16]byte, time.Duration) (int, bool, error) {
	return 0, false, nil
}

func (*triedKeys) Forgive(context.Context, [16]byte) error { return nil }

// What is shared is named by the key that replicas share; without one, by a key
// of this process.
func TestKeyOfReplicas(t *testing.T) {
	key := func(shared []byte) [16]byte {
		t.Helper()
		store := &triedKeys{}
		h := newHouse(t, func(o *bind.Options) { o.Guesses, o.Key = store, shared })
		h.want("guess", h.plain(elsewhere, "alice;500000", "secret"), wrongCode)
		if len(store.keys) != 1 {
			t.Fatalf("%d keys, want 1", len(store.keys))
		}
		return store.keys[0]
	}
	one, two := key([]byte("key")), key([]byte("key"))
	if one != two {
		t.Error("with one key two replicas name a user otherwise")
	}
	own, others := key(nil), key(nil)
	if one == key([]byte("another")) || own == others {
		t.Error("without one key two replicas name a user alike")
	}
}

// Close ends what runs in the background, and returns when it is over.
func TestCloseEndsTheBackground(t *testing.T) {
	started := make(chan struct{})
	var cause error
	a := &authFunc{do: func(ctx context.Context, at auth.Attempt) (auth.Granted, error) {
		if !at.Quiet {
			return auth.Granted{Source: auth.SourceFlow, Factor: auth.FactorNone}, nil
		}
		close(started)
		<-ctx.Done()
		time.Sleep(10 * time.Millisecond) // it takes a while to end
		cause = ctx.Err()
		return auth.Granted{}, ctx.Err()
	}}
	h := newHouse(t, func(o *bind.Options) { o.Authenticator = a })
	bob := func() string {
		return answer(h.Bind(t.Context(), bind.Request{DN: userDN("bob"), Password: []byte("secret"), Addr: nextcloud}))
	}
	h.want("login", bob(), byFlow)
	h.Advance(longAfter)
	h.want("served while it is asked", bob(), byMemory)
	<-started
	h.Pipeline.Close()
	if !errors.Is(cause, context.Canceled) {
		t.Errorf("the background ended by %v", cause)
	}
}

// Without a Sleep of a test's, a bind waits.
func TestWaitsByItself(t *testing.T) {
	h := newHouse(t, func(o *bind.Options) { o.Sleep = nil })
	h.want("somebody", h.plain(nextcloud, "alice", "secret"), missing)
	conn := h.search(nextcloud, "alice;111111")
	bound := h.begin(nextcloud, "alice", "secret")
	h.wantWaiting(1)
	h.logins.Closed(conn) // or it would be a long wait
	h.want("whose login is over", <-bound, missing)
}
