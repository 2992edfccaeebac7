package bind_test

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
	"ldapd/internal/cache"
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/login"
	"ldapd/internal/password"
	"ldapd/internal/policy"
	"ldapd/internal/secret"
	"ldapd/internal/verified"
	"ldapd/internal/verified/keyring"
)

// flows is a backend like authentik: it has sessions, and remembers factors by
// a cookie where threshold says so.
type flows struct {
	*clock
	mu        sync.Mutex
	users     map[string]*flowUser
	threshold time.Duration // 0: authentik remembers no factor
	down      bool
	hold      chan struct{} // not nil: flows wait until it is closed
	started   chan struct{} // gets one for each flow that waits
	ran       []auth.Attempt
	sessions  map[string]string // hash to user name
	ended     []string
	asked     int // for access
}

type flowUser struct {
	password string
	factor   auth.Factor
	codes    map[string]bool // good for one flow each
	inactive bool
	noAccess bool
	search   bool
	changed  int
}

func (f *flows) Authenticate(ctx context.Context, a auth.Attempt) (auth.Granted, error) {
	f.mu.Lock()
	hold := f.hold
	f.mu.Unlock()
	if hold != nil {
		f.started <- struct{}{}
		select {
		case <-hold:
		case <-ctx.Done():
			return auth.Granted{}, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return auth.Granted{}, errors.New("connection refused")
	}
	f.ran = append(f.ran, a)
	u := f.users[strings.ToLower(a.Name)]
	switch {
	case u == nil:
		return auth.Granted{}, &auth.Denied{Reason: auth.UnknownUser, Password: auth.Wrong}
	case u.inactive || string(a.Password) != u.password:
		return auth.Granted{}, &auth.Denied{Reason: auth.WrongPassword, Password: auth.Wrong}
	}
	g := auth.Granted{Source: auth.SourceFlow, Factor: auth.FactorNone, Search: u.search}
	reminded := false
	if until, err := strconv.ParseInt(string(a.Cookie), 10, 64); err == nil {
		reminded = f.Now().Unix() < until
	}
	switch {
	case u.factor == auth.FactorNone || reminded:
		g.Cookie = a.Cookie
	case a.Quiet || u.factor == auth.FactorTOTP && a.Code == "":
		return auth.Granted{}, &auth.Denied{Reason: auth.CodeMissing, Password: auth.Right, Final: true}
	case u.factor == auth.FactorTOTP && !u.codes[string(a.Code)]:
		return auth.Granted{}, &auth.Denied{Reason: auth.WrongCode, Password: auth.Right, Final: true}
	default:
		delete(u.codes, string(a.Code))
		g.Factor = u.factor
		if f.threshold > 0 {
			g.Cookie = auth.Secret(strconv.FormatInt(f.Now().Add(f.threshold).Unix(), 10))
		}
	}
	if u.noAccess {
		return auth.Granted{}, &auth.Denied{Reason: auth.NoAccess, Password: auth.Right, Final: true}
	}
	hash := "session" + strconv.Itoa(len(f.ran))
	f.sessions[hash] = a.Name
	g.Session = &auth.Session{Hash: hash, State: auth.Secret("state of " + hash)}
	return g, nil
}

func (f *flows) Stamps(a directory.Account) (password, factor string) { return a.Changed, "" }

func (f *flows) Access(_ context.Context, _ string, s auth.Session, _ netip.Addr) (search bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	name, ok := f.sessions[s.Hash]
	switch {
	case f.down:
		return false, errors.New("connection refused")
	case !ok:
		return false, auth.ErrSessionGone
	case f.users[name].noAccess:
		return false, &auth.Denied{Reason: auth.NoAccess, Password: auth.Right}
	}
	return f.users[name].search, nil
}

func (f *flows) EndSession(_ context.Context, _ string, s auth.Session, _ netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sessions, s.Hash)
	f.ended = append(f.ended, s.Hash)
	return nil
}

// change runs under the lock of the backend.
func (f *flows) change(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *flows) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.ran)
}

// directory of the backend's users, as it was synced.
func (f *flows) LoginName(dn ldap.DN) (string, bool) { return people(nil).LoginName(dn) }

func (f *flows) AccountByName(name string) (directory.Account, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name = strings.ToLower(name)
	u := f.users[name]
	if u == nil {
		return directory.Account{Base: base}, false
	}
	return directory.Account{
		UUID: "uuid-" + name, Username: name, DN: userDN(name), Base: base,
		Active: !u.inactive, Changed: strconv.Itoa(u.changed),
	}, true
}

// house is a pipeline with everything around it.
type house struct {
	*testing.T
	*flows
	*bind.Pipeline
	store   *cache.Memory
	logins  *login.Tracker
	metrics *bind.Metrics
	options bind.Options
	conns   uint64
	stop    func()
	asleep  func() // what happens while the next bind waits
}

func newHouse(t *testing.T, change func(*bind.Options)) *house {
	c := newClock()
	h := &house{T: t, store: cache.NewMemory(c.Now), logins: login.New(c.Now)}
	h.flows = &flows{clock: c, sessions: map[string]string{}, started: make(chan struct{}, 1000), users: map[string]*flowUser{
		"alice":   {password: "secret", factor: auth.FactorTOTP, codes: map[string]bool{"111111": true, "222222": true, "333333": true}},
		"bob":     {password: "secret", factor: auth.FactorNone},
		"dora":    {password: "secret", factor: auth.FactorDuo},
		"service": {password: "service", factor: auth.FactorNone, search: true},
	}}
	h.options = bind.Options{
		Directory:      func(ldap.DN) (bind.Directory, error) { return h.flows, nil },
		Authenticator:  h.flows,
		CodeInPassword: true, Separator: ";",
		Rules: policy.Rules{
			Reprove: 12 * time.Hour, Access: time.Hour, StaleFor: 7 * 24 * time.Hour, MaxAge: 30 * 24 * time.Hour,
			Scope: policy.ScopeLogin, Remember: 30 * 24 * time.Hour, CodeInUsername: true,
		},
		Logins: h.logins,
		Client: func(a netip.Addr) bind.Client {
			if a == elsewhere {
				return bind.Client{}
			}
			return bind.Client{Name: "client " + a.String(), PerUserKeys: a == marked}
		},
		Now: h.flows.Now,
		Sleep: func(ctx context.Context, d time.Duration) error {
			if f := h.asleep; f != nil {
				h.asleep = nil
				f()
			}
			return h.flows.sleep(ctx, d)
		},
	}
	if change != nil {
		change(&h.options)
	}
	h.open()
	t.Cleanup(func() { h.close() })
	return h
}

// cheapKeys returns keys whose hashes cost little.
func cheapKeys(t testing.TB) keyring.Ring {
	t.Helper()
	keys, err := keyring.Parse(strings.Repeat("0f", 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	return keys.WithCost(password.Cost{Memory: 8, Time: 1, Threads: 1})
}

func openBook(t testing.TB, store verified.Store, now func() time.Time) *verified.Book {
	t.Helper()
	keys := cheapKeys(t)
	b, err := verified.Open(t.Context(), verified.Options{Store: store, Keys: keys, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// remembering gives a pipeline verified binds in memory.
func remembering(t testing.TB) func(*bind.Options) {
	return func(o *bind.Options) {
		o.Book = openBook(t, cache.NewMemory(o.Now), o.Now)
		o.Rules = policy.Rules{Reprove: time.Hour, StaleFor: time.Hour, MaxAge: time.Hour, Scope: policy.ScopeLogin, Remember: time.Hour, CodeInUsername: true}
	}
}

var (
	nextcloud = netip.MustParseAddr("192.0.2.1")
	elsewhere = netip.MustParseAddr("192.0.2.2")
	marked    = netip.MustParseAddr("192.0.2.3")
)

// open starts the pipeline on the store.
func (h *house) open() {
	h.Helper()
	h.options.Book = openBook(h.T, h.store, h.flows.Now)
	o := h.options
	h.metrics = bind.NewMetrics(nil)
	o.Metrics = h.metrics
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); o.Book.Run(ctx) }()
	h.Pipeline = bind.New(o)
	h.stop = func() { h.Pipeline.Close(); cancel(); <-done }
}

func (h *house) close() { h.stop() }

func (h *house) restart() {
	h.close()
	h.open()
}

// settle waits for what runs in the background.
func (h *house) settle() {
	h.Helper()
	for range 2000 {
		if h.Settled() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	h.Fatal("the background does not come to rest")
}

// plain binds on a connection of its own, with nothing before it.
func (h *house) plain(addr netip.Addr, user, password string) string {
	h.Helper()
	return h.bindAs(addr, user, password)
}

func (h *house) bindAs(addr netip.Addr, user, password string) string {
	h.Helper()
	id, err := h.Bind(h.Context(), bind.Request{DN: userDN(user), Password: []byte(password), Addr: addr})
	h.settle()
	if err == nil {
		return "granted " + string(id.Source) + " " + string(id.Factor)
	}
	return words(id, err)
}

// search opens a login search, as Nextcloud does, and returns its connection.
func (h *house) search(addr netip.Addr, loginName string) uint64 {
	h.conns++
	name, code, _ := strings.Cut(loginName, ";")
	l := &login.Search{Name: name, Code: secret.String(code), Base: base}
	if a, ok := h.AccountByName(name); ok {
		l.User = a.UUID
	}
	h.logins.Searched(h.conns, addr, "uuid of service", l, nil)
	return h.conns
}

// login is one request of Nextcloud that checks a password.
func (h *house) login(loginName, password string) string {
	h.Helper()
	conn := h.search(nextcloud, loginName)
	defer h.logins.Closed(conn)
	name, _, _ := strings.Cut(loginName, ";")
	return h.bindAs(nextcloud, name, password)
}

func (h *house) want(what, have, want string) {
	h.Helper()
	if have != want {
		h.Errorf("%s: %s, want %s", what, have, want)
	}
}

func (h *house) wantFlows(what string, want int) {
	h.Helper()
	if n := h.count(); n != want {
		h.Errorf("%s: %d flows so far, want %d", what, n, want)
	}
}

const (
	byFlow   = "granted flow none"
	byCode   = "granted flow totp"
	byMemory = "granted memory none"
	byProof  = "granted memory totp"
)

func TestVerifiedBind(t *testing.T) {
	h := newHouse(t, nil)
	h.want("first", h.login("bob", "secret"), byFlow)
	h.want("again", h.login("bob", "secret"), byMemory)
	h.want("alone", h.plain(elsewhere, "bob", "secret"), byMemory)
	h.restart()
	h.want("after a restart", h.plain(nextcloud, "bob", "secret"), byMemory)
	h.wantFlows("all", 1)
	h.want("another password", h.login("bob", "wrong"), "denied wrong_password 49")
	h.want("and the right one", h.login("bob", "secret"), byMemory)
	h.wantFlows("all", 2)
}

func TestCodeOnTheLoginName(t *testing.T) {
	h := newHouse(t, nil)
	h.want("no code", h.login("alice", "secret"), "denied code_missing 49")
	h.want("login", h.login("alice;111111", "secret"), byCode)
	for range 3 {
		h.Advance(5 * time.Minute)
		h.want("validated again", h.login("alice;111111", "secret"), byProof)
	}
	h.restart()
	h.want("after a restart", h.login("ALICE;111111", "secret"), byProof)
	h.want("without the code", h.login("alice", "secret"), "denied code_missing 49")
	h.want("another code", h.login("alice;999999", "secret"), "denied wrong_code 49")
	h.want("another password", h.login("alice;111111", "wrong"), "denied wrong_password 49")
	h.want("a second device", h.login("alice;222222", "secret"), byCode)
	h.want("the first one", h.login("alice;111111", "secret"), byProof)
	h.want("the second one", h.login("alice;222222", "secret"), byProof)
	h.want("code in the bind DN", h.plain(elsewhere, "alice;333333", "secret"), byCode)
	h.want("again", h.plain(elsewhere, "alice;333333", "secret"), byProof)
	h.want("unproved in the bind DN", h.plain(elsewhere, "alice;444444", "secret"), "denied wrong_code 49")
}

func TestUndecided(t *testing.T) {
	h := newHouse(t, nil)
	h.want("alone and unknown", h.plain(nextcloud, "alice", "secret"), "denied code_missing 49")
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.want("alone, with a login that could be meant", h.plain(nextcloud, "alice", "secret"), "unknown undecided 52")
	h.want("alone and wrong", h.plain(nextcloud, "alice", "wrong"), "denied wrong_password 49")

	// An attacker with the password, at the same time as the user.
	attacker := h.search(nextcloud, "alice")
	h.want("the user beside him", h.login("alice;111111", "secret"), "unknown undecided 52")
	user := h.search(nextcloud, "alice;111111")
	h.asleep = func() { h.want("the user after him", h.plain(nextcloud, "alice", "secret"), "unknown undecided 52") }
	h.want("he beside the user", h.plain(nextcloud, "alice", "secret"), "unknown undecided 52")
	h.logins.Closed(user)
	h.want("he alone", h.plain(nextcloud, "alice", "secret"), "denied code_missing 49")
	h.logins.Closed(attacker)
	h.want("the user after him", h.login("alice;111111", "secret"), byProof)

	// Two devices at a time: both are proved, so it does not matter.
	h.want("second device", h.login("alice;222222", "secret"), byCode)
	one, two := h.search(nextcloud, "alice;111111"), h.search(nextcloud, "alice;222222")
	h.want("one of two", h.plain(nextcloud, "alice", "secret"), byProof)
	h.want("the other", h.plain(nextcloud, "alice", "secret"), byProof)
	h.want("a third bind", h.plain(nextcloud, "alice", "secret"), "unknown undecided 52")
	h.logins.Closed(one)
	h.logins.Closed(two)

	// Two apps with one login name at a time: either bind may belong to either.
	one, two = h.search(nextcloud, "alice;111111"), h.search(nextcloud, "alice;111111")
	h.want("the app of the second search", h.plain(nextcloud, "alice", "secret"), byProof)
	h.logins.Closed(two)
	h.want("the app of the first", h.plain(nextcloud, "alice", "secret"), byProof)
	h.logins.Closed(one)

	u := h.metrics.Undecided()
	if len(u) != 1 || u[0].Count != 5 || u[0].Client != "client 192.0.2.1" {
		t.Errorf("undecided: %+v", u)
	}
}

func TestProvedAgain(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("bob", "secret"), byFlow)
	h.Advance(11 * time.Hour)
	h.want("before the time", h.login("bob", "secret"), byMemory)
	h.wantFlows("before the time", 1)
	for range 10 * 24 * 12 { // ten days, every five minutes
		h.Advance(5 * time.Minute)
		h.want("validated", h.login("bob", "secret"), byMemory)
	}
	if n := h.count() - 1; n < 10 || n > 20 {
		t.Errorf("%d flows in ten days, want at most two a day", n)
	}
	if n := len(h.sessions); n != 1 {
		t.Errorf("%d sessions are left behind, want the last one", n)
	}
	for _, a := range h.ran[1:] {
		if !a.Quiet {
			t.Error("a flow that nobody waits for may bother the user")
		}
	}
}

// A user whose factor the backend does not remember is not proved by flows,
// which would need a code.
func TestFactorRemembered(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	for range 29 * 24 {
		h.Advance(time.Hour)
		h.want("validated", h.login("alice;111111", "secret"), byProof)
	}
	h.wantFlows("29 days", 1)
	h.Advance(24 * time.Hour)
	h.want("after 30 days", h.login("alice;111111", "secret"), "denied wrong_code 49")
	h.want("with a new code", h.login("alice;222222", "secret"), byCode)
	h.want("validated", h.login("alice;222222", "secret"), byProof)
}

// With a threshold, the backend says when the factor is due, for each login by
// the cookie that it earned.
func TestCookie(t *testing.T) {
	h := newHouse(t, nil)
	h.threshold = 3 * 24 * time.Hour
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.want("without its code", h.login("alice", "secret"), "denied code_missing 49")
	flows := h.count()
	for range 3*24 - 1 {
		h.Advance(time.Hour)
		h.want("validated", h.login("alice;111111", "secret"), byProof)
	}
	if n := h.count() - flows; n < 3 || n > 6 {
		t.Errorf("%d flows in three days, want at most two a day", n)
	}
	for _, a := range h.ran[flows:] {
		if a.Cookie == "" || a.Code != "" || !a.Quiet {
			t.Errorf("proved again by %+v, want the cookie and no code", a)
		}
	}
	h.Advance(24 * time.Hour) // the cookie has expired
	h.want("served while it is asked", h.login("alice;111111", "secret"), byProof)
	h.want("the factor is due", h.login("alice;111111", "secret"), "denied wrong_code 49")
}

func TestEnds(t *testing.T) {
	tests := []struct {
		name string
		end  func(h *house)
		want string
	}{
		{"password changed", func(h *house) { h.users["alice"].password, h.users["alice"].changed = "new", 1 }, "denied wrong_password 49"},
		{"disabled", func(h *house) { h.users["alice"].inactive = true }, "denied wrong_password 49"},
		{"disabled for a while", func(h *house) {
			h.users["alice"].inactive = true
			h.mu.Unlock()
			defer h.mu.Lock()
			h.want("while", h.login("alice;111111", "secret"), "denied wrong_password 49")
			h.change(func() { h.users["alice"].inactive = false })
		}, "denied wrong_code 49"},
		{"deleted", func(h *house) { delete(h.users, "alice") }, "denied unknown_user 49"},
		{"another password", func(h *house) {
			h.users["alice"].password = "new"
			h.mu.Unlock()
			defer h.mu.Lock()
			h.want("with the new password", h.login("alice;222222", "new"), byCode)
		}, "denied wrong_password 49"},
		{"session ended", func(h *house) {
			h.mu.Unlock()
			defer h.mu.Lock()
			h.SessionEnded("session1")
			h.settle()
		}, "denied wrong_code 49"},
		{"revoked", func(h *house) {
			h.mu.Unlock()
			defer h.mu.Lock()
			n, err := h.Revoke(h.Context(), verified.User{Base: base, UUID: "uuid-alice"})
			if n != 1 || err != nil {
				h.Errorf("revoked %d, %v", n, err)
			}
		}, "denied wrong_code 49"},
		{"all revoked", func(h *house) {
			h.mu.Unlock()
			defer h.mu.Lock()
			if _, err := h.RevokeAll(h.Context()); err != nil {
				h.Error(err)
			}
		}, "denied wrong_code 49"},
		{"access withdrawn", func(h *house) {
			h.users["alice"].noAccess = true
			h.mu.Unlock()
			defer h.mu.Lock()
			h.Advance(time.Hour)
			h.want("served while it is asked", h.login("alice;111111", "secret"), byProof)
		}, "denied wrong_code 49"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, nil)
			h.want("login", h.login("alice;111111", "secret"), byCode)
			h.want("validated", h.login("alice;111111", "secret"), byProof)
			h.change(func() { tt.end(h) })
			h.want("after it", h.login("alice;111111", "secret"), tt.want)
			h.restart()
			h.want("after a restart", h.login("alice;111111", "secret"), tt.want)
		})
	}
}

// What only looks like an end.
func TestStays(t *testing.T) {
	tests := []struct {
		name   string
		happen func(h *house)
	}{
		{"another session ended", func(h *house) { h.SessionEnded("session99") }},
		{"session cleaned up", func(h *house) { h.Advance(24 * time.Hour); h.SessionEnded("session1") }},
		{"session gone", func(h *house) {
			h.change(func() { clear(h.sessions) })
			h.Advance(time.Hour)
			h.want("asked", h.login("alice;111111", "secret"), byProof)
		}},
		{"password date moved", func(h *house) { h.change(func() { h.users["alice"].changed = 1 }) }},
		{"outage", func(h *house) {
			h.change(func() { h.down = true })
			for range 6 * 24 {
				h.Advance(time.Hour)
				h.want("during it", h.login("alice;111111", "secret"), byProof)
			}
			h.change(func() { h.down = false })
		}},
		{"outage and restart", func(h *house) {
			h.change(func() { h.down = true })
			h.restart()
			h.Advance(24 * time.Hour)
			h.want("during it", h.login("alice;111111", "secret"), byProof)
			h.restart()
			h.change(func() { h.down = false })
		}},
		{"wrong passwords", func(h *house) {
			for i := range 100 {
				h.login("alice;111111", "wrong"+strconv.Itoa(i))
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, nil)
			h.want("login", h.login("alice;111111", "secret"), byCode)
			tt.happen(h)
			h.settle()
			h.want("after it", h.login("alice;111111", "secret"), byProof)
		})
	}
}

// Nothing that was not heard of for long answers, and nobody is denied for it.
func TestStale(t *testing.T) {
	h := newHouse(t, func(o *bind.Options) {
		start := time.Unix(1_700_000_010, 0)
		o.Synced = func() time.Time { return start }
	})
	h.want("bob", h.login("bob", "secret"), byFlow)
	h.want("alice", h.login("alice;111111", "secret"), byCode)
	h.change(func() { h.down = true })
	h.Advance(7 * 24 * time.Hour)
	h.want("bob after it", h.login("bob", "secret"), "unknown unavailable 52")
	h.want("alice after it", h.login("alice;111111", "secret"), "unknown unavailable 52")
	h.change(func() { h.down = false })
	h.want("bob again", h.login("bob", "secret"), byMemory)
	h.want("alice again", h.login("alice;111111", "secret"), byProof)
}

func TestScopes(t *testing.T) {
	proved := func(scope policy.Scope) *house {
		h := newHouse(t, func(o *bind.Options) { o.Rules.Scope = scope })
		h.want("login", h.login("alice;111111", "secret"), byCode)
		return h
	}
	h := proved(policy.ScopeClient)
	h.want("client: same client", h.plain(nextcloud, "alice", "secret"), byProof)
	h.want("client: its login search", h.login("alice", "secret"), byProof)
	h.want("client: the same code", h.login("alice;111111", "secret"), byProof)
	h.want("client: another", h.plain(elsewhere, "alice", "secret"), "denied code_missing 49")
	h.want("client: wrong password", h.plain(nextcloud, "alice", "wrong"), "denied wrong_password 49")
	h = proved(policy.ScopeUser)
	h.want("user: same client", h.plain(nextcloud, "alice", "secret"), byProof)
	h.want("user: another", h.plain(elsewhere, "alice", "secret"), byProof)
	h = proved(policy.ScopeOff)
	h.want("off: plain", h.plain(nextcloud, "alice", "secret"), "denied code_missing 49")
	h.want("off: the same code", h.login("alice;111111", "secret"), "denied wrong_code 49")
	h.want("off: a new one", h.login("alice;222222", "secret"), byCode)
	h.want("off: who has no factor", h.login("bob", "secret"), byFlow)
	h.want("off: again", h.login("bob", "secret"), byMemory)
}

func TestCodeOnThePassword(t *testing.T) {
	for _, scope := range []policy.Scope{policy.ScopeLogin, policy.ScopeClient, policy.ScopeUser} {
		h := newHouse(t, func(o *bind.Options) { o.Rules.Scope = scope })
		h.want("login", h.login("alice", "secret;111111"), byCode)
		h.want("validated", h.login("alice", "secret;111111"), byProof)
		h.want("alone", h.plain(nextcloud, "alice", "secret;111111"), byProof)
		h.want("from elsewhere", h.plain(elsewhere, "alice", "secret;111111"), away)
		h.want("another code", h.login("alice", "secret;999999"), "denied wrong_code 49")
		h.want("another password", h.login("alice", "other;111111"), "denied wrong_password 49")
		if scope == policy.ScopeLogin {
			h.want("the code on the name", h.login("alice;111111", "secret"), away)
		}
	}
	h := newHouse(t, func(o *bind.Options) { o.Rules.Scope = policy.ScopeOff })
	h.want("login", h.login("alice", "secret;111111"), byCode)
	h.want("off", h.login("alice", "secret;111111"), "denied wrong_code 49")
}

func TestGuard(t *testing.T) {
	h := newHouse(t, nil)
	h.want("unmarked", h.plain(nextcloud, "alice", "secret;111111"), byCode)
	h.want("marked", h.plain(marked, "alice", "secret;222222"), "denied code_guarded 49")
	h.want("marked, proved elsewhere", h.plain(marked, "alice", "secret;111111"), "denied code_guarded 49")
	_, err := h.Bind(t.Context(), bind.Request{DN: userDN("alice"), Password: []byte("nonsense;222222"), Addr: marked})
	var e *ldap.Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, "name;123456") {
		t.Errorf("the text does not say what to do: %v", err)
	}
	h.want("a password that ends so", h.plain(marked, "bob", "secret"), byFlow)
	h.change(func() { h.users["bob"].password, h.users["bob"].changed = "secret;123456", 1 })
	h.want("is one", h.plain(marked, "bob", "secret;123456"), byFlow)
}

func TestUnlock(t *testing.T) {
	h := newHouse(t, nil)
	r := bind.UnlockRequest{Directories: []bind.Directory{h.flows}, Name: "alice", Password: "secret", Code: "111111",
		Clients: []string{"client " + nextcloud.String()}, Addr: elsewhere}
	wrong := r
	wrong.Code = "999999"
	if _, err := h.Unlock(t.Context(), wrong); err == nil {
		t.Fatal("unlocked by a wrong code")
	}
	h.want("before", h.login("alice", "secret"), "denied code_missing 49")
	w, err := h.Unlock(t.Context(), r)
	if err != nil || !w.Until.Equal(h.flows.Now().Add(30*24*time.Hour)) {
		t.Fatalf("%+v, %v", w, err)
	}
	h.want("plain name", h.login("alice", "secret"), byProof)
	h.want("alone", h.plain(nextcloud, "alice", "secret"), byProof)
	h.want("another client", h.plain(elsewhere, "alice", "secret"), "denied code_missing 49")
	h.restart()
	h.want("after a restart", h.login("alice", "secret"), byProof)
}

// A window ends with max_age, and whoever opens it is told so.
func TestWindowEndsWithMaxAge(t *testing.T) {
	h := newHouse(t, func(o *bind.Options) { o.Rules.MaxAge = 24 * time.Hour })
	w, err := h.Unlock(t.Context(), bind.UnlockRequest{
		Directories: []bind.Directory{h.flows}, Name: "alice", Password: "secret", Code: "111111",
		Clients: []string{"client " + nextcloud.String()}, Addr: elsewhere,
	})
	if err != nil || !w.Until.Equal(h.flows.Now().Add(24*time.Hour)) {
		t.Fatalf("%+v, %v", w, err)
	}
	h.Advance(w.Until.Sub(h.flows.Now()) - time.Second)
	h.want("open", h.login("alice", "secret"), byProof)
	h.Advance(time.Second)
	h.want("over", h.login("alice", "secret"), "denied code_missing 49")
}

// A crowd of identical binds is one slow hash and one flow, and what is
// repeated at once is no further hash.
func TestSearchesAreShared(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := newClock()
	keys := cheapKeys(t)
	book, err := verified.Open(t.Context(), verified.Options{Store: cache.NewMemory(c.Now), Keys: keys, Now: c.Now, Metrics: verified.NewMetrics(reg)})
	if err != nil {
		t.Fatal(err)
	}
	f := &flows{clock: c, sessions: map[string]string{}, users: map[string]*flowUser{"bob": {password: "secret", factor: auth.FactorNone}}}
	p := bind.New(bind.Options{
		Directory: func(ldap.DN) (bind.Directory, error) { return f, nil }, Authenticator: f,
		Book: book, Rules: policy.Rules{Reprove: time.Hour, StaleFor: time.Hour, MaxAge: time.Hour, Scope: policy.ScopeLogin}, Now: c.Now,
	})
	defer p.Close()
	hashes := func() float64 {
		t.Helper()
		all, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			if m.GetName() == "ldapd_verified_hashes_total" {
				return m.GetMetric()[0].GetCounter().GetValue()
			}
		}
		t.Fatal("no metric for the hashes")
		return 0
	}
	crowd := func(user, password string) {
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, _ = p.Bind(t.Context(), bind.Request{DN: userDN(user), Password: []byte(password), Addr: nextcloud})
			})
		}
		wg.Wait()
	}
	for _, tt := range []struct{ user, password string }{{"bob", "wrong"}, {"nobody", "wrong"}, {"bob", "secret"}} {
		before := hashes()
		crowd(tt.user, tt.password)
		if n := hashes() - before; n != 1 {
			t.Errorf("%s with %s, 100 times: %v slow hashes, want 1", tt.user, tt.password, n)
		}
	}
}

// What can never answer again is removed, and nothing else.
func TestSweep(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.Advance(29 * 24 * time.Hour)
	h.want("login", h.login("bob", "secret"), byFlow)
	h.Sweep(t.Context())
	if n := len(h.options.Book.All()); n != 2 {
		t.Fatalf("%d users, want both", n)
	}
	h.Advance(2 * 24 * time.Hour)
	h.Sweep(t.Context())
	if all := h.options.Book.All(); len(all) != 1 || all[0].Record.Username != "bob" {
		t.Errorf("left: %+v, want bob", all)
	}
}

// The right to search is known within the hour, in both directions.
func TestSearchRight(t *testing.T) {
	h := newHouse(t, nil)
	may := func() bool {
		t.Helper()
		id, err := h.Bind(t.Context(), bind.Request{DN: userDN("service"), Password: []byte("service"), Addr: nextcloud})
		if err != nil {
			t.Fatal(err)
		}
		h.settle()
		return id.Search
	}
	for _, want := range []bool{true, false, true} {
		h.change(func() { h.users["service"].search = want })
		h.Advance(time.Hour)
		may() // is asked about behind it
		if got := may(); got != want {
			t.Errorf("may search: %v, want %v", got, want)
		}
	}
}

// One login search admits one bind at most, however many ask at the same
// instant: none, where each saw another that may be the one.
func TestOneBindForALoginSearch(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	for range 20 {
		conn := h.search(nextcloud, "alice;111111")
		var granted, undecided atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				_, err := h.Bind(t.Context(), bind.Request{DN: userDN("alice"), Password: []byte("secret"), Addr: nextcloud})
				switch outcome, reason := bind.Classify(err); {
				case outcome == bind.OutcomeGranted:
					granted.Add(1)
				case reason == bind.Unpaired:
					undecided.Add(1)
				}
			})
		}
		wg.Wait()
		h.logins.Closed(conn)
		if g, u := granted.Load(), undecided.Load(); g > 1 || g+u != 8 {
			t.Fatalf("%d granted and %d undecided, want 1 at most, and all others", g, u)
		}
		h.want("the next login", h.login("alice;111111", "secret"), byProof)
	}
}

// A code that comes while the password is enough is proved all the same, so
// that its login outlives that. One that is wrong is judged once.
func TestCodeInAWindow(t *testing.T) {
	h := newHouse(t, nil)
	unlock := bind.UnlockRequest{Directories: []bind.Directory{h.flows}, Name: "alice", Password: "secret", Code: "111111",
		Clients: []string{"client " + nextcloud.String()}, Addr: elsewhere}
	if _, err := h.Unlock(t.Context(), unlock); err != nil {
		t.Fatal(err)
	}
	h.Advance(20 * 24 * time.Hour)
	h.want("plain", h.login("alice", "secret"), byProof)
	flows := h.count()
	h.want("a new code", h.login("alice;222222", "secret"), byCode)
	h.want("again", h.login("alice;222222", "secret"), byProof)
	h.wantFlows("a new code", flows+1)
	h.want("a wrong code", h.login("alice;999999", "secret"), byProof)
	h.want("again", h.login("alice;999999", "secret"), byProof)
	h.wantFlows("a wrong code", flows+2)
	h.want("a wrong password", h.login("alice;333333", "wrong"), "denied wrong_password 49")
	h.change(func() { h.down = true })
	h.want("in an outage", h.login("alice;333333", "secret"), byProof)
	h.change(func() { h.down = false })
	h.want("after it", h.login("alice;333333", "secret"), byCode)

	h.Advance(10 * 24 * time.Hour)
	h.want("plain, when the window is over", h.login("alice", "secret"), "denied code_missing 49")
	h.want("the wrong code", h.login("alice;999999", "secret"), "denied wrong_code 49")
	h.want("the new code", h.login("alice;222222", "secret"), byProof)
}

// A push leaves nothing to recognise its login by, unless the user puts a mark
// behind the name.
func TestPush(t *testing.T) {
	const byPush = "granted flow duo"
	h := newHouse(t, nil)
	h.want("plain", h.login("dora", "secret"), byPush)
	h.want("plain again asks again", h.login("dora", "secret"), byPush)
	h.wantFlows("plain", 2)
	h.want("with a mark", h.login("dora;271828", "secret"), byPush)
	h.want("validated", h.login("dora;271828", "secret"), "granted memory duo")
	h.wantFlows("with a mark", 3)
	h.want("another mark asks", h.login("dora;000000", "secret"), byPush)
	h.wantFlows("another mark", 4)
	h = newHouse(t, func(o *bind.Options) { o.Rules.Scope = policy.ScopeClient })
	h.want("scope client", h.login("dora", "secret"), byPush)
	h.want("again", h.login("dora", "secret"), "granted memory duo")
	h.wantFlows("scope client", 1)
}

// A window does not make up for a password that may have been changed.
func TestWindowInDoubt(t *testing.T) {
	h := newHouse(t, nil)
	unlock := bind.UnlockRequest{Directories: []bind.Directory{h.flows}, Name: "alice", Password: "secret", Code: "111111",
		Clients: []string{"client " + nextcloud.String()}, Addr: elsewhere}
	if _, err := h.Unlock(t.Context(), unlock); err != nil {
		t.Fatal(err)
	}
	h.change(func() { h.users["alice"].password, h.users["alice"].changed, h.down = "new", 1, true })
	h.want("plain", h.login("alice", "secret"), "unknown unavailable 52")
	h.want("with a new code", h.login("alice;222222", "secret"), "unknown unavailable 52")
	h.change(func() { h.down = false })
	h.want("plain, when it can be told", h.login("alice", "secret"), "denied wrong_password 49")
}
