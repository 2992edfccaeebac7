package bind_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
	"ldapd/internal/verified"
)

// The backend, or the directory, is asked at the very moment that it is due, and
// not before.
func TestDueToTheMoment(t *testing.T) {
	const due = 4 * time.Nanosecond // so short that there is no spread
	for _, user := range []string{"bob", "alice;111111"} {
		asked := 0
		h := newHouse(t, func(o *bind.Options) {
			o.Rules.Reprove, o.Rules.Access = due, 0
			o.Synced = func() time.Time { asked++; return time.Time{} }
		})
		h.login(user, "secret")
		want := func(what string, flows, directory int) {
			t.Helper()
			h.login(user, "secret")
			h.wantFlows(user+" "+what, flows)
			if asked != directory {
				t.Errorf("%s %s: the directory was asked %d times, want %d", user, what, asked, directory)
			}
		}
		h.Advance(due - 1)
		want("before", 1, 0)
		h.Advance(1)
		if user == "bob" {
			want("due", 2, 0)
		} else {
			want("due", 1, 1)
		}
	}
}

// A denial that says nothing of the credential is an answer that could not be
// had: it is asked again after a pause, and the log says that all stays.
func TestPauseAfterADenialThatEndsNothing(t *testing.T) {
	h, a, said := newLoggedHouse(t, zap.NewAtomicLevelAt(zap.InfoLevel))
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	a.deny = func(auth.Attempt) error { return &auth.Denied{Reason: auth.NoAccess} }
	h.Advance(longAfter)
	for range 3 {
		h.want("meanwhile", h.plain(nextcloud, "bob", "secret"), byMemory)
	}
	h.wantFlows("asked once", 2)
	said("it stays", "verified bind not proved again, it stays for now")
}

// Who has gained a factor, and proved none, is asked for it, which ends the
// verified bind.
func TestLogOfAFactorThatIsDue(t *testing.T) {
	h, _, said := newLoggedHouse(t, zap.NewAtomicLevelAt(zap.InfoLevel))
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	h.change(func() { h.users["bob"].factor = auth.FactorTOTP })
	h.Advance(longAfter)
	h.want("meanwhile", h.plain(nextcloud, "bob", "secret"), byMemory)
	said("the factor is due", "verified bind ended")
	h.wantNothingKept("the factor is due")
}

// The backend is reminded of no proof that expired here, however long it would
// remember it itself.
func TestRemindsOfNothingExpired(t *testing.T) {
	h := newHouse(t, func(o *bind.Options) { o.Rules.Access = 0 })
	h.threshold = 90 * 24 * time.Hour
	h.want("one", h.login("alice;111111", "secret"), byCode)
	h.Advance(20 * 24 * time.Hour)
	h.want("two", h.login("alice;222222", "secret"), byCode)
	second := h.proofs("alice")[1].Cookie
	for h.flows.Now().Before(h.proofs("alice")[0].At.Add(30 * 24 * time.Hour)) {
		h.Advance(longAfter)
		h.want("validated", h.login("alice;222222", "secret"), byProof)
	}
	flows := h.count()
	for range 3 {
		h.Advance(longAfter)
		h.want("validated", h.login("alice;222222", "secret"), byProof)
	}
	h.wantFlows("validated", flows+3)
	for _, a := range h.ran[flows:] {
		if a.Cookie != second {
			t.Errorf("reminded by %q, want that of the second, %q", a.Cookie, second)
		}
	}
}

// While the store cannot be asked what others revoked, nothing is proved in the
// background.
func TestNothingIsAskedWhileTheStoreIsDown(t *testing.T) {
	h, _, said := newLoggedHouse(t, zap.NewAtomicLevelAt(zap.InfoLevel))
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	h.Advance(longAfter)
	h.want("meanwhile", h.plain(nextcloud, "bob", "secret"), byMemory)
	h.wantFlows("meanwhile", 1)
	said("meanwhile", "verified bind not proved again, it stays for now")
}

// A verified bind that ends, and cannot be removed, is no reason to deny.
func TestFactorDueWhileTheStoreIsDown(t *testing.T) {
	h, a := newAltered(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	a.factor = "another"
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	h.want("it is due", h.login("alice;111111", "secret"), "unknown unavailable 52")
}

// The log says what a sweep could not remove, and nothing of what it did.
func TestLogOfSweeps(t *testing.T) {
	h, _, said := newLoggedHouse(t, zap.NewAtomicLevelAt(zap.InfoLevel))
	for _, down := range []bool{false, true} {
		h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
		h.Advance(30 * 24 * time.Hour)
		if down {
			if err := h.store.Close(); err != nil {
				t.Fatal(err)
			}
		}
		h.Sweep(t.Context())
		if down {
			said("the store is down", "old verified bind not removed")
		} else {
			said("removed")
			h.wantNothingKept("removed")
		}
	}
}

// Run sweeps every hour, until it is ended.
func TestRunSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); h.Pipeline.Run(ctx) }()
		h.Advance(31 * 24 * time.Hour)
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		if n := len(h.options.Book.All()); n != 1 {
			t.Errorf("%d users before the hour, want 1", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		h.wantNothingKept("after an hour")
		cancel()
		<-ended
	})
}

// deaf returns a pipeline on the same store that hears of nothing that others
// do there.
func (h *house) deaf() *bind.Pipeline {
	o := h.options
	o.Book = openBook(h.T, h.store, h.flows.Now)
	for _, e := range o.Book.All() {
		if _, _, err := o.Book.Search(h.Context(), e.User, "", nextcloud); err != nil { // so that memory has it
			h.Fatal(err)
		}
	}
	p := bind.New(o)
	h.Cleanup(p.Close)
	return p
}

// wait waits for what runs in the background of another pipeline.
func (h *house) wait(p *bind.Pipeline) {
	for !p.Settled() {
		time.Sleep(time.Millisecond)
	}
}

// A sweep goes by what the store says, which others may have told meanwhile.
func TestSweepOfWhatOthersProved(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	other := h.deaf()
	h.Advance(29 * 24 * time.Hour)
	h.want("proved again", h.plain(nextcloud, "bob", "secret"), byMemory)
	h.Advance(2 * 24 * time.Hour)
	other.Sweep(t.Context())
	h.restart()
	h.want("after the sweep", h.plain(nextcloud, "bob", "secret"), byMemory)
}

// The end of a session that another replica superseded, or found to be gone, is
// no end.
func TestEndOfASessionThatOthersSuperseded(t *testing.T) {
	for name, meanwhile := range map[string]func(h *house){
		"superseded": func(h *house) {
			h.want("another login", h.login("alice;222222", "secret"), byCode)
		},
		"gone": func(h *house) {
			h.change(func() { clear(h.sessions) })
			h.Advance(time.Hour)
			h.want("validated", h.login("alice;111111", "secret"), byProof)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, nil)
			h.want("login", h.login("alice;111111", "secret"), byCode)
			other := h.deaf()
			meanwhile(h)
			other.SessionEnded("session1")
			h.wait(other)
			h.restart()
			h.want("after it", h.login("alice;111111", "secret"), byProof)
		})
	}
}

// counts returns how often something was counted, by its only label.
func counts(t *testing.T, reg *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range all {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return got
}

// What is asked in the background is counted by its outcome, and so are sessions
// that are ended.
func TestMetricsOfTheBackground(t *testing.T) {
	h, a := newAltered(t, nil)
	reg := prometheus.NewRegistry()
	h.Pipeline.Close()
	o := h.options
	o.Metrics = bind.NewMetrics(reg)
	h.Pipeline = bind.New(o)
	renewed := func(outcome string, want float64) {
		t.Helper()
		if got := counts(t, reg, "ldapd_verified_renewals_total")[outcome]; got != want {
			t.Errorf("%v renewals %s, want %v", got, outcome, want)
		}
	}
	ended := func(result string, want float64) {
		t.Helper()
		if got := counts(t, reg, "ldapd_verified_sessions_ended_total")[result]; got != want {
			t.Errorf("%v sessions ended %s, want %v", got, result, want)
		}
	}
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	h.Advance(longAfter)
	h.want("right still", h.plain(nextcloud, "bob", "secret"), byMemory)
	renewed("granted", 1)
	ended("ok", 1)
	a.end = func() error { return errors.New("connection refused") }
	h.Advance(longAfter)
	h.want("right still", h.plain(nextcloud, "bob", "secret"), byMemory)
	renewed("granted", 2)
	ended("failed", 1)
	h.Advance(longAfter)
	h.change(func() { h.down = true })
	h.want("trouble", h.plain(nextcloud, "bob", "secret"), byMemory)
	renewed("failed", 1)
	h.change(func() { h.users["bob"].password, h.down = "new", false })
	h.Advance(time.Hour)
	h.want("wrong by now", h.plain(nextcloud, "bob", "secret"), byMemory)
	renewed("denied", 1)
}

// A session that is over by itself is not asked with.
func TestNoAccessBySessionsThatAreOver(t *testing.T) {
	h := newHouse(t, func(o *bind.Options) { o.Rules.Reprove = 48 * time.Hour })
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	h.Advance(24*time.Hour - time.Second)
	h.want("its last second", h.plain(nextcloud, "bob", "secret"), byMemory)
	h.Advance(time.Hour)
	h.want("it is over", h.plain(nextcloud, "bob", "secret"), byMemory)
	if h.asked != 1 {
		t.Errorf("asked %d times, want once", h.asked)
	}
}

// Another session of the same state is another one.
func TestSessionOfTheSameState(t *testing.T) {
	h, a := newAltered(t, nil)
	a.grant = func(g *auth.Granted) { g.Session.State = "the same" }
	h.want("one", h.login("alice;111111", "secret"), byCode)
	h.want("two", h.login("alice;222222", "secret"), byCode)
	if s := h.credential("alice").Session; s.Hash != "session2" || !slices.Equal(h.ended, []string{"session1"}) {
		t.Errorf("kept %s, ended %q", s.Hash, h.ended)
	}
}

// An authenticator may leave sessions, and have nobody who asks with them or
// ends them.
func TestSessionsOfNoUse(t *testing.T) {
	h := newHouse(t, func(o *bind.Options) { o.Authenticator = struct{ auth.Authenticator }{o.Authenticator} })
	r := h.request("alice", "secret", "111111")
	r.Directories = append(r.Directories, branch{h.flows, "dc=other"})
	h.openWindows(r)
	if a, b := h.windows(base), h.windows("dc=other"); a != 1 || b != 1 {
		t.Errorf("%d and %d windows, want one each", a, b)
	}
	h.Advance(longAfter)
	h.want("in the window", h.plain(nextcloud, "alice", "secret"), byProof)
	h.want("another login", h.login("alice;222222", "secret"), byCode)
	if _, err := h.RevokeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.settle()
	if h.asked != 0 || len(h.ended) != 0 {
		t.Errorf("asked %d times, ended %q", h.asked, h.ended)
	}
}

// Nothing begins in the background of what is closed.
func TestNothingBeginsWhenClosed(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
	h.Pipeline.Close()
	h.SessionEnded("session1")
	if _, err := h.Revoke(t.Context(), verified.User{Base: base, UUID: "uuid-alice"}); err != nil {
		t.Fatal(err)
	}
	h.settle()
	if n := len(h.options.Book.All()); n != 1 {
		t.Errorf("%d users are kept, want 1", n)
	}
}

// endless is a backend whose sessions take for ever to end.
type endless struct {
	*flows
	begun chan struct{}
}

func (e *endless) EndSession(ctx context.Context, _ string, _ auth.Session, _ netip.Addr) error {
	close(e.begun)
	<-ctx.Done()
	return ctx.Err()
}

// What Close cuts short is no trouble that the log would tell of.
func TestLogOfClose(t *testing.T) {
	t.Run("a proof", func(t *testing.T) {
		h, _, said := newLoggedHouse(t, zap.NewAtomicLevelAt(zap.DebugLevel))
		h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
		h.Advance(longAfter)
		letGo := h.halt()
		defer letGo()
		h.want("meanwhile", <-h.begin(nextcloud, "bob", "secret"), byMemory)
		<-h.started
		h.Pipeline.Close()
		said("a proof")
	})
	t.Run("the end of a session", func(t *testing.T) {
		e := &endless{begun: make(chan struct{})}
		h, _, said := newLoggedHouse(t, zap.NewAtomicLevelAt(zap.DebugLevel))
		h.Pipeline.Close()
		e.flows = h.flows
		o := h.options
		o.Authenticator = e
		h.Pipeline = bind.New(o)
		h.want("login", h.plain(nextcloud, "bob", "secret"), byFlow)
		if _, err := h.RevokeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-e.begun
		h.Pipeline.Close()
		said("the end of a session")
	})
}
