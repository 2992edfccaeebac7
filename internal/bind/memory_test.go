package bind_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
	"ldapd/internal/cache"
	"ldapd/internal/login"
	"ldapd/internal/verified"
)

// watched is a store that counts what is read, and that may be slow or away.
type watched struct {
	*cache.Memory
	mu    sync.Mutex
	loads int
	away  bool
	hold  chan struct{} // not nil: reads wait until it is closed
}

func (w *watched) Load(ctx context.Context, key string) ([]byte, uint64, error) {
	w.mu.Lock()
	w.loads++
	away, hold := w.away, w.hold
	w.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if away {
		return nil, 0, errors.New("connection refused")
	}
	return w.Memory.Load(ctx, key)
}

// watch returns a replica of the house that does not know yet what the store
// has, and its store.
func (h *house) watch() (*house, *watched) {
	w := &watched{Memory: h.store}
	return h.replica(w), w
}

// A code that was wrong before is refused by memory alone, also elsewhere, where
// it is noted that the client may have moved.
func TestWrongAgainCostsNothing(t *testing.T) {
	h := newHouse(t, nil)
	h, store := h.watch()
	metrics := bind.NewMetrics(nil)
	h.options.Metrics = metrics
	h.Pipeline = bind.New(h.options)
	t.Cleanup(h.Pipeline.Close)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.want("elsewhere", h.plain(elsewhere, "alice;999999", "secret"), away)
	h.want("at home", h.login("alice;888888", "secret"), wrongCode)
	h.Advance(2 * time.Minute)
	flows, loads := h.count(), store.loads
	h.want("elsewhere, again", h.plain(elsewhere, "alice;999999", "secret"), away)
	h.want("at home, again", h.login("alice;888888", "secret"), wrongCode)
	h.wantFlows("again", flows)
	if store.loads != loads {
		t.Errorf("the store was asked %d times", store.loads-loads)
	}
	if at := metrics.Away()[elsewhere.String()]; !at.Equal(h.flows.Now()) {
		t.Errorf("away at %v, want %v", at, h.flows.Now())
	}
}

// What others learned while a bind waited for its turn is answered by memory
// alone.
func TestOthersWereFaster(t *testing.T) {
	var asleep []func() // what happens in each wait
	h := newHouse(t, func(o *bind.Options) {
		onePerMinute(o)
		o.Sleep = func(context.Context, time.Duration) error {
			if len(asleep) > 0 {
				f := asleep[0]
				asleep = asleep[1:]
				f()
			}
			return nil
		}
	})
	h, store := h.watch()
	h.want("bob is at home", h.plain(nextcloud, "bob", "secret"), byFlow)
	h.want("and somebody guesses", h.plain(nextcloud, "bob", "guess"), wrongPass)
	h.change(func() { h.users["bob"].password = "new" })
	loads := 0
	pause := func() {}
	turn := func() {
		got := h.begin(elsewhere, "bob", "new")
		h.want("another", <-got, byFlow)
		loads = store.loads
	}
	asleep = []func(){pause, turn}
	h.want("the one that waited", h.plain(nextcloud, "bob", "new"), byMemory)
	if store.loads != loads {
		t.Errorf("the store was asked %d times", store.loads-loads)
	}
}

// Of identical binds that wait for memory one is admitted by a login search.
func TestOneOfIdenticalBindsFromTheStore(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h, store := h.watch()
	defer h.logins.Closed(h.search(nextcloud, "alice;111111"))
	store.hold = make(chan struct{})
	one, other := h.begin(nextcloud, "alice", "secret"), h.begin(nextcloud, "alice", "secret")
	h.wantWaiting(2)
	close(store.hold)
	got := map[string]int{<-one: 1}
	got[<-other]++
	if got[byProof] != 1 || got[unpaired] != 1 {
		t.Errorf("%v, want one admitted and one undecided", got)
	}
}

// A bind without a login is remembered as such, also where its password had to
// be looked for in the store, so that the next one waits for it to come again.
func TestStrayFromTheStore(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.restart()
	h.want("alone", h.plain(nextcloud, "alice", "secret"), unpaired)
	defer h.logins.Closed(h.search(nextcloud, "alice;111111"))
	got, d := h.waits()
	h.want("she", got, byProof)
	if d != login.Hold {
		t.Errorf("she waited %v, want %v", d, login.Hold)
	}
}

// A bind that nobody waits for any more does not wait for other logins.
func TestGoneWhileItWaits(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	defer h.logins.Closed(h.search(nextcloud, "alice;999999"))
	defer h.logins.Closed(h.search(nextcloud, "alice;888888"))
	ctx, cancel := context.WithCancel(t.Context())
	h.asleep = func() {
		cancel()
		h.asleep = func() { t.Fatal("it waits on") }
	}
	_, err := h.Bind(ctx, bind.Request{DN: userDN("alice"), Password: []byte("secret"), Addr: nextcloud})
	h.want("gone", answer(nil, err), "unknown unavailable 52")
}

// A code that is remembered is no guess while its password is in doubt.
func TestNoGuessInDoubt(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.plain(elsewhere, "alice;111111", "secret"), byCode)
	for i := range 12 {
		h.change(func() { h.users["alice"].changed = i + 1 })
		h.want("in doubt", h.plain(elsewhere, "alice;111111", "secret"), byProof)
		if all := h.Guessed(); len(all) != 0 {
			t.Fatalf("guessed: %+v", all)
		}
	}
}

// What stands behind the name of a user without a factor is no guess.
func TestNoGuessWithoutAFactor(t *testing.T) {
	h, a := newAltered(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	for i := range 10 {
		h.plain(elsewhere, fmt.Sprint("alice;", 500000+i), "secret")
	}
	h.want("guessed", h.plain(elsewhere, "alice;600000", "secret"), codeLimit)
	a.factor = "none"
	h.change(func() { h.users["alice"].factor = auth.FactorNone })
	h.want("no factor any more", h.plain(nextcloud, "alice", "secret"), byMemory)
	h.want("what was a code", h.plain(elsewhere, "alice;600000", "secret"), byMemory)
}

// The unlock page asks nobody when who asked is gone.
func TestGoneFromThePage(t *testing.T) {
	h := newHouse(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.Unlock(ctx, h.request("alice", "secret", "111111"))
	h.want("gone", answer(nil, err), "unknown unavailable 52")
	h.wantFlows("gone", 0)
}

// Who asks for what guesses are forgiven need not know of changes.
func TestForgiveWithoutStamps(t *testing.T) {
	s := newServer(t, nil, func(o *bind.Options) { o.Authenticator = &scripted{} })
	account, _ := people(nil).AccountByName("alice")
	if n, err := s.Forgive(t.Context(), account); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// A password that was searched in vain is not searched again for a moment.
func TestSearchedInVain(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := newHouse(t, nil)
	book, err := verified.Open(t.Context(), verified.Options{
		Store: h.store, Keys: cheapKeys(t), Now: h.flows.Now, Metrics: verified.NewMetrics(reg),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.options.Book = book
	p := bind.New(h.options)
	t.Cleanup(p.Close)
	for _, tt := range []struct {
		name  string
		after time.Duration
		want  float64
	}{
		{"first", 0, 1},
		{"at once", 0, 0},
		{"a moment before", 3*time.Second - 1, 0},
		{"after it", 1, 1},
		{"when the clock was set back", -time.Second, 1},
	} {
		h.Advance(tt.after)
		before := counted(t, reg, "ldapd_verified_hashes_total")
		_, err := p.Bind(t.Context(), bind.Request{DN: userDN("bob"), Password: []byte("wrong"), Addr: nextcloud})
		h.want(tt.name, answer(nil, err), wrongPass)
		if n := counted(t, reg, "ldapd_verified_hashes_total") - before; n != tt.want {
			t.Errorf("%s: %v slow hashes, want %v", tt.name, n, tt.want)
		}
	}
}

// A search that failed says nothing of the next one.
func TestStoreIsBack(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	w := &watched{Memory: cache.NewMemory(h.flows.Now)}
	h = h.replica(w)
	w.away = true
	h.want("the store is away", h.login("alice;999999", "secret"), "unknown unavailable 52")
	w.away, w.Memory = false, h.store
	h.want("it is back", h.login("alice;111111", "secret"), byProof)
}

// What memory has by now counts more than that it was searched in vain.
func TestLearnedSinceSearchedInVain(t *testing.T) {
	h, _ := newTwoTrees(t, nil)
	h.change(func() { h.down = true })
	_, got := h.inOther("alice", "secret")
	h.want("searched in vain", got, "unknown unavailable 52")
	h.change(func() { h.down = false })
	if _, got := h.unlock("secret", "111111"); got != "open" {
		t.Fatal(got)
	}
	l := &login.Search{Name: "alice", Code: "999999", Base: otherBase, User: "uuid-alice"}
	h.conns++
	h.logins.Searched(h.conns, nextcloud, "uuid of service", l, nil)
	defer h.logins.Closed(h.conns)
	_, got = h.inOther("alice", "secret")
	h.want("in a window, with a wrong code", got, byProof)
}
