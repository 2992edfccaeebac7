package authentik

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/certs"
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/testclock"
)

// clock is a test's clock that others can wait for.
type clock struct {
	*testclock.Clock

	mu      sync.Mutex
	waiting map[time.Duration][]chan time.Time
	changed chan struct{} // closed when somebody begins to wait
}

func newClock() *clock {
	return &clock{Clock: testclock.At(time.Now()), waiting: make(map[time.Duration][]chan time.Time), changed: make(chan struct{})}
}

func (c *clock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan time.Time, 1)
	c.waiting[d] = append(c.waiting[d], ch)
	close(c.changed)
	c.changed = make(chan struct{})
	return ch
}

// await blocks until somebody waits for d.
func (c *clock) await(t *testing.T, d time.Duration) {
	t.Helper()
	for {
		c.mu.Lock()
		n, changed := len(c.waiting[d]), c.changed
		c.mu.Unlock()
		if n > 0 {
			return
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("nobody waits for %v", d)
		}
	}
}

// fire lets d pass for those that wait for it, once there are some.
func (c *clock) fire(t *testing.T, d time.Duration) {
	t.Helper()
	c.await(t, d)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Advance(d)
	for _, ch := range c.waiting[d] {
		ch <- c.Now()
	}
	delete(c.waiting, d)
}

// round fires d and waits until somebody waits for it again.
func (c *clock) round(t *testing.T, d time.Duration) {
	t.Helper()
	c.fire(t, d)
	c.await(t, d)
}

// The times that tests let pass. No two are the same.
const (
	testInterval = 7 * time.Second
	testSpread   = 3 * time.Second
	testRefresh  = 5 * time.Minute
)

// rig is a controller of a fake authentik.
type rig struct {
	t     *testing.T
	fake  *authentiktest.Server
	clock *clock
	token atomic.Pointer[string]
	dir   string
	logs  *observer.ObservedLogs
	c     *Controller

	published chan []Published
	certs     chan []certs.Named
	sessions  chan string
	last      []Published
	stop      func()
}

func newRig(t *testing.T, o authentiktest.Options) *rig {
	t.Helper()
	r := &rig{t: t, clock: newClock(), dir: t.TempDir()}
	if o.Now == nil {
		o.Now = r.clock.Now
	}
	r.fake = authentiktest.New(t, o)
	r.token.Store(&r.fake.Token)
	r.open()
	return r
}

// open makes a new controller, as a restart does.
func (r *rig) open() {
	r.t.Helper()
	client := newClient(r.t, Config{Host: r.fake.URL, Token: func() (string, error) { return *r.token.Load(), nil }})
	core, logs := observer.New(zapcore.DebugLevel)
	r.logs = logs
	r.published = make(chan []Published, 1000)
	r.certs = make(chan []certs.Named, 1000)
	r.sessions = make(chan string, 1000)
	r.c = NewController(ControllerOptions{
		Client: client, Version: "1.2.3", StateDir: r.dir, Interval: testInterval,
		Log:          zap.New(core),
		Publish:      func(p []Published) { r.published <- p },
		Certificates: func(n []certs.Named) { r.certs <- n },
		SessionEnd:   func(hash string) { r.sessions <- hash },
		Now:          r.clock.Now, After: r.clock.After, Spread: func() time.Duration { return testSpread }, Rand: func() float64 { return 0 },
	})
}

// run starts the controller. It ends with the test, or by stop.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.c.Run(ctx)
	}()
	r.stop = func() {
		cancel()
		<-done
	}
	r.t.Cleanup(r.stop)
}

// next waits for what is published next.
func (r *rig) next() []Published {
	r.t.Helper()
	select {
	case r.last = <-r.published:
	case <-r.t.Context().Done():
		r.t.Fatal("nothing is published")
	}
	return r.last
}

// look lets the controller look for changes once, and reports whether it
// published something.
func (r *rig) look() bool {
	r.t.Helper()
	r.clock.round(r.t, testInterval)
	return r.drain()
}

// refresh lets the controller read everything, and reports whether it published
// something.
func (r *rig) refresh() bool {
	r.t.Helper()
	r.clock.await(r.t, testInterval) // it is done with what it did before
	r.clock.mu.Lock()
	delete(r.clock.waiting, testInterval)
	r.clock.mu.Unlock()
	r.c.Refresh()
	r.clock.await(r.t, testInterval)
	return r.drain()
}

// drain takes what was published until now.
func (r *rig) drain() bool {
	some := false
	for {
		select {
		case r.last = <-r.published:
			some = true
		default:
			return some
		}
	}
}

// started runs the controller until it has read everything.
func (r *rig) started() *rig {
	r.t.Helper()
	r.run()
	r.next()
	r.clock.await(r.t, testInterval)
	return r
}

// entry finds an entry of the first provider; its kind is users or groups.
func (r *rig) entry(kind, name string) (directory.Entry, bool) {
	r.t.Helper()
	if len(r.last) == 0 {
		r.t.Fatal("nothing was published")
	}
	s := r.last[0].Snapshot
	dn := ldap.RDN{{Type: "cn", Value: name}}.String() + ",ou=" + kind + "," + r.last[0].Provider.BaseDN
	norm, err := ldap.NormalizeDN(nil, []byte(dn))
	if err != nil {
		r.t.Fatal(err)
	}
	id, ok := s.Find(norm)
	if !ok {
		return directory.Entry{}, false
	}
	return s.Entry(id), true
}

// values returns the values of an attribute.
func (r *rig) values(kind, name, attr string) []string {
	r.t.Helper()
	e, ok := r.entry(kind, name)
	if !ok {
		r.t.Fatalf("no entry %s in %s", name, kind)
	}
	return r.valuesOf(e, attr)
}

func (r *rig) valuesOf(e directory.Entry, attr string) []string {
	r.t.Helper()
	at, ok := r.last[0].Snapshot.Schema.Lookup([]byte(attr))
	if !ok {
		return nil
	}
	a, ok := e.Attr(at.ID)
	if !ok {
		return nil
	}
	var out []string
	for v := range a.Values() {
		out = append(out, string(v))
	}
	return out
}

// groupPK returns the UUID of a group.
func groupPK(r *rig, name string) string { return r.values("groups", name, "entryUUID")[0] }

// memberOf returns the name of one member of a group.
func (r *rig) memberOf(group string) string { return r.values("groups", group, "memberUid")[0] }

// entries is the number of entries that n users and m groups make.
func entries(n, m int) int { return 4 + 2*n + m }

func (r *rig) wantLen(users, groups int) {
	r.t.Helper()
	if got := r.last[0].Snapshot.Len(); got != entries(users, groups) {
		r.t.Errorf("%d entries, want %d", got, entries(users, groups))
	}
}

func (r *rig) errorKind() string {
	if err := r.c.State().Err; err != nil {
		return errorKind(err)
	}
	return ""
}

var versions = []string{authentiktest.V2025_10, authentiktest.V2026_5}

func TestStart(t *testing.T) {
	for _, v := range versions {
		t.Run(v, func(t *testing.T) {
			r := newRig(t, authentiktest.Options{Version: v})
			r.fake.Populate(250, 20, 3)
			r.fake.SetProvider(authentiktest.Provider{
				PK: 8, Name: "second", BaseDN: "dc=second,dc=org", BindFlow: authentiktest.DefaultFlow,
				Application: "second", UIDStart: 50_000, NoMFA: true,
			})
			r.fake.SetOutpost(authentiktest.Outpost{PK: authentiktest.DefaultOutpost, Name: "LDAP", Providers: []int{authentiktest.DefaultProvider, 8}, Interval: 120})
			r.fake.SetOutpost(authentiktest.Outpost{PK: "88888888-8888-4888-8888-888888888888", Name: "A proxy", Type: "proxy"})
			r.run()
			list := r.next()
			if len(list) != 2 || list[0].Provider.Name != "ldap" || list[1].Provider.Name != "second" {
				t.Fatalf("published %+v", list)
			}
			for _, p := range list {
				if p.Stale || p.SyncedAt.IsZero() || p.Snapshot.Len() != entries(251, 20) {
					t.Errorf("%s: stale %v, synced %v, %d entries", p.Provider.Name, p.Stale, p.SyncedAt, p.Snapshot.Len())
				}
			}
			if got := r.values("users", "user000000", "uidNumber"); got[0] != fmt.Sprint(2000+r.fake.User("user000000").PK) {
				t.Errorf("uidNumber %v", got)
			}
			r.last = list[1:]
			if got := r.values("users", "user000000", "uidNumber"); got[0] != fmt.Sprint(50_000+r.fake.User("user000000").PK) {
				t.Errorf("uidNumber of the second provider %v", got)
			}
			if got := r.values("users", "user000000", "memberOf"); len(got) != 3 {
				t.Errorf("memberOf %v", got)
			}
			if got := r.values("groups", "group00010", "memberOf"); len(got) != 1 {
				t.Errorf("memberOf of a group %v", got)
			}
			r.clock.await(t, 2*time.Minute)
			s := r.c.State()
			if s.Generation != v || s.Outpost.Name != "LDAP" || len(s.Providers) != 2 || s.Users != 251 || s.Groups != 20 || s.Stale || s.Err != nil {
				t.Errorf("state %+v", s)
			}
		})
	}
}

func TestGeneration(t *testing.T) {
	for _, v := range versions {
		fake := authentiktest.New(t, authentiktest.Options{Version: v})
		c := newClient(t, Config{Host: fake.URL, Token: StaticToken(fake.Token)})
		if got, err := c.Generation(t.Context()); got != v || err != nil {
			t.Errorf("%s, %v, want %s", got, err, v)
		}
	}
}

// oldUsers is a list of users as 2025.6 sends it.
const oldUsers = `{"pagination":{"next":0,"count":1},"results":[{"pk":5,"username":"old","name":"","uid":"x",
	"uuid":"00000000-0000-4000-8000-000000000005","attributes":{},"groups":[]}]}`

func TestWithoutLastUpdated(t *testing.T) {
	r := newRig(t, authentiktest.Options{Version: authentiktest.V2025_10})
	r.fake.Inject(authentiktest.Fault{Endpoint: authentiktest.Users, Status: http.StatusOK, Body: oldUsers})
	r.run()
	r.next()
	r.clock.await(t, testRefresh)
	if s := r.c.State(); s.Generation != Version2025_6 || s.Users != 1 {
		t.Errorf("state %+v", s)
	}
	for _, q := range r.fake.Requests() {
		if strings.Contains(q.RawQuery, "last_updated__gt") {
			t.Errorf("asked for what it does not know: %s", q.RawQuery)
		}
	}
	r.fake.ResetCounters()
	r.clock.fire(t, testRefresh)
	r.clock.await(t, testRefresh)
	if n := r.fake.Counters().Requests[authentiktest.Groups]; n != 1 {
		t.Errorf("%d reads of groups at the refresh", n)
	}
}

func TestRow7DownAtStart(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	r.fake.Populate(30, 5, 2)
	r.fake.Stop()
	if r.c.Restore() {
		t.Fatal("something was on disk")
	}
	r.run()
	for _, d := range []time.Duration{1, 2, 4, 5, 5} {
		r.clock.fire(t, d*time.Second)
	}
	r.clock.await(t, retryMax)
	if r.drain() || r.errorKind() != "unreachable" {
		t.Errorf("published %v, error %q", r.last, r.errorKind())
	}
	r.fake.Start()
	r.clock.fire(t, retryMax)
	r.next()
	r.wantLen(31, 5)
	if r.last[0].Stale || r.errorKind() != "" {
		t.Errorf("stale %v, error %q", r.last[0].Stale, r.errorKind())
	}
	r.stop()

	// The second start finds the snapshot of the first.
	r.fake.Stop()
	synced := r.last[0].SyncedAt
	r.clock.Advance(time.Hour)
	r.open()
	if !r.c.Restore() {
		t.Fatalf("nothing on disk: %v", r.logs.All())
	}
	r.next()
	r.wantLen(31, 5)
	if p := r.last[0]; !p.Stale || p.SyncedAt.Before(synced) || p.Provider.BindFlow != authentiktest.DefaultFlow || !r.c.State().Stale {
		t.Errorf("from disk: %+v", p)
	}
	before := r.last[0].Snapshot
	r.run()
	r.clock.await(t, retryMin)
	r.fake.Start()
	r.clock.fire(t, retryMin)
	r.next()
	if r.last[0].Stale || r.last[0].Snapshot != before {
		t.Error("still stale, or built again without a change")
	}
}

func TestRow7DownLater(t *testing.T) {
	r := newRig(t, authentiktest.Options{}).started()
	r.fake.Stop()
	for range 3 {
		if r.look() {
			t.Error("published something while authentik is down")
		}
	}
	if r.errorKind() != "unreachable" || r.c.State().ErrSince.IsZero() {
		t.Errorf("state %+v", r.c.State())
	}
	r.clock.fire(t, testRefresh)
	r.clock.await(t, retryMin)
	if n := r.logs.FilterMessage("authentik cannot be read, what was read before stays in use").Len(); n != 1 {
		t.Errorf("said %d times", n)
	}
	r.fake.Start()
	r.fake.AddUser(authentiktest.User{Username: "later"})
	if !r.look() || r.errorKind() != "" {
		t.Errorf("nothing new, error %q", r.errorKind())
	}
	if _, ok := r.entry("users", "later"); !ok {
		t.Error("the new user is missing")
	}
	if n := r.logs.FilterMessage("authentik can be read again").Len(); n != 1 {
		t.Errorf("said %d times", n)
	}
}

func TestNoOutpostOrProvider(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	r.fake.RemoveOutpost(authentiktest.DefaultOutpost)
	r.run()
	r.clock.await(t, retryMin)
	if r.errorKind() != "settings" {
		t.Errorf("error %v", r.c.State().Err)
	}
	r.fake.SetOutpost(authentiktest.Outpost{PK: authentiktest.DefaultOutpost, Name: "LDAP"})
	r.clock.fire(t, retryMin)
	r.clock.await(t, 2*retryMin)
	if r.errorKind() != "settings" {
		t.Errorf("error %v", r.c.State().Err)
	}
	r.fake.SetOutpost(authentiktest.Outpost{PK: authentiktest.DefaultOutpost, Name: "LDAP", Providers: []int{authentiktest.DefaultProvider}})
	r.clock.fire(t, 2*retryMin)
	r.next()
	// An outpost that lost its provider keeps serving the one it had.
	r.fake.SetOutpost(authentiktest.Outpost{PK: authentiktest.DefaultOutpost, Name: "LDAP"})
	r.clock.await(t, testRefresh)
	r.c.Refresh()
	r.clock.await(t, retryMin)
	if r.drain() || r.errorKind() != "settings" {
		t.Errorf("published something, or error %q", r.errorKind())
	}
}

func TestBaseDNChanges(t *testing.T) {
	r := newRig(t, authentiktest.Options{}).started()
	p := authentiktest.Provider{PK: authentiktest.DefaultProvider, Name: "ldap", BindFlow: "other-flow", Application: "ldap"}
	r.fake.SetProvider(p)
	before := r.last[0].Snapshot
	if !r.refresh() || r.last[0].Provider.BindFlow != "other-flow" || r.last[0].Snapshot != before {
		t.Error("another flow built the snapshot again, or is not known")
	}
	p.BaseDN = "dc=new"
	r.fake.SetProvider(p)
	if !r.refresh() || r.last[0].Snapshot.BaseDN != "dc=new" {
		t.Errorf("base DN %q", r.last[0].Snapshot.BaseDN)
	}
	p.BaseDN = "not a name"
	r.fake.SetProvider(p)
	if r.refresh() || r.logs.FilterMessage("provider not served: its base DN cannot be used").Len() == 0 {
		t.Error("a base DN that is none is served")
	}
}

func TestLocalEntries(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	r.fake.AddUser(authentiktest.User{Username: "Nextcloud", Name: "of authentik"})
	r.fake.AddUser(authentiktest.User{Username: "alice"})
	r.fake.AddGroup(authentiktest.Group{Name: "staff"})
	r.started()
	users := []directory.User{{UUID: "10000000-0000-4000-8000-000000000001", PK: 1 << 20, Username: "nextcloud", Name: "of the file", Active: true}}
	groups := []directory.Group{{UUID: "10000000-0000-4000-8000-000000000002", Name: "Staff", NumPK: 1 << 20}}
	r.c.SetLocal(users, groups)
	r.next()
	r.wantLen(3, 1)
	if got := r.values("users", "nextcloud", "displayName"); got[0] != "of the file" {
		t.Errorf("displayName %v", got)
	}
	if n := r.logs.FilterMessage("not served as it is in authentik").Len(); n != 2 {
		t.Errorf("%d problems in the log: %v", n, r.logs.All())
	}
	r.fake.EditUser("alice", func(u *authentiktest.User) { u.Name = "Alice" })
	r.look()
	if n := r.logs.FilterMessage("not served as it is in authentik").Len(); n != 2 {
		t.Errorf("problems are repeated: %d", n)
	}
	r.c.SetLocal(nil, nil)
	r.next()
	if got := r.values("users", "nextcloud", "displayName"); got[0] != "of authentik" {
		t.Errorf("displayName %v", got)
	}
}

func TestNoSecretOnDiskOrInLog(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	planted := []string{"planted-hash", "planted-password", r.fake.Token}
	r.fake.AddUser(authentiktest.User{Username: "alice", Password: "planted-password", Attributes: map[string]any{
		"userPassword": "planted-hash", "kept": "kept-value"}})
	pair := authentiktest.NewCertificate(t, "ldap.example.org")
	id := r.fake.SetKeyPair(pair)
	r.fake.SetProvider(authentiktest.Provider{PK: authentiktest.DefaultProvider, Name: "ldap", Application: "ldap", Certificate: id})
	planted = append(planted, strings.Split(strings.TrimSpace(pair.KeyPEM), "\n")[1])
	r.started()
	r.stop()
	path := filepath.Join(r.dir, SnapshotFile)
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", st, err)
	}
	content := unpacked(t, path)
	if !strings.Contains(content, "kept-value") {
		t.Errorf("not what it should be: %s", content)
	}
	for _, e := range r.logs.All() {
		content += fmt.Sprintln(e.Message, e.ContextMap())
	}
	for _, secret := range planted {
		if strings.Contains(content, secret) {
			t.Errorf("%q is on disk or in the log", secret)
		}
	}
}

// value returns what a counter or gauge shows.
func value(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var v dto.Metric
	if err := m.Write(&v); err != nil {
		t.Fatal(err)
	}
	return v.GetCounter().GetValue() + v.GetGauge().GetValue()
}

func TestSyncMetrics(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	r.fake.Populate(10, 2, 1)
	r.started()
	m := r.c.o.Metrics
	if n := value(t, m.users); n != 11 {
		t.Errorf("%v users", n)
	}
	if at := value(t, m.lastSync); int64(at) != r.c.State().LastSync.Unix() {
		t.Errorf("last sync %v", at)
	}
	requests := value(t, m.requests.WithLabelValues("users"))
	if n := r.fake.Counters().Requests[authentiktest.Users]; int(requests) != n {
		t.Errorf("%v requests of users are counted, %d were sent", requests, n)
	}
	r.fake.Stop()
	r.look()
	if n := value(t, m.errors.WithLabelValues("unreachable")); n != 1 {
		t.Errorf("%v errors", n)
	}
	if n := value(t, m.syncs.WithLabelValues("changes", "failed")); n != 1 {
		t.Errorf("%v failed looks", n)
	}
	kinds := make([]string, 0, len(errorKinds))
	for _, err := range []error{errDrift, errDoubted, ErrNoOutpost, &APIError{Status: 500}, &APIError{Status: 403, Detail: "Token invalid/expired"}, &connError{}, fmt.Errorf("x")} {
		kinds = append(kinds, errorKind(err))
	}
	if want := []string{"drift", "doubted", "settings", "status", "token", "unreachable", "other"}; !slices.Equal(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
}
