package bind_test

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/prometheus/client_golang/prometheus"

	"ldapd/internal/auth/guard"
	"ldapd/internal/bind"
	"ldapd/internal/cache"
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/local"
	"ldapd/internal/login"
	"ldapd/internal/password"
	"ldapd/internal/policy"
	"ldapd/internal/search"
	"ldapd/internal/verified"
	"ldapd/internal/verified/keyring"
)

// TestWorkTellsNothing: a wrong password costs the same slow hashes and flows,
// whoever it is for. That is counted, since time would be a guess.
func TestWorkTellsNothing(t *testing.T) {
	h := newHouse(t, nil)
	h.change(func() {
		h.users["idle"] = &flowUser{password: "secret", inactive: true}
		h.users["left"] = &flowUser{password: "secret"}
		h.users["fresh"] = &flowUser{password: "secret"}
	})
	for _, user := range []string{"alice;111111", "bob", "left"} {
		if got := h.plain(elsewhere, user, "secret"); !strings.HasPrefix(got, "granted") {
			t.Fatal(user, got)
		}
	}
	h.change(func() { h.users["left"].inactive = true })

	reg := prometheus.NewRegistry()
	keys, err := keyring.Parse(strings.Repeat("0f", 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	book, err := verified.Open(t.Context(), verified.Options{Store: h.store, Keys: keys, Now: h.flows.Now, Metrics: verified.NewMetrics(reg)})
	if err != nil {
		t.Fatal(err)
	}
	o := h.options
	o.Book = book
	p := bind.New(o)
	defer p.Close()
	work := func(user, password string, addr netip.Addr) string {
		hashes, flows := counted(t, reg, "ldapd_verified_hashes_total"), h.count()
		id, err := p.Bind(t.Context(), bind.Request{DN: userDN(user), Password: []byte(password), Addr: addr})
		outcome, _ := bind.Classify(err)
		var e *ldap.Error
		if id != nil || !errors.As(err, &e) {
			t.Fatalf("%s with %s: %v", user, password, err)
		}
		return fmt.Sprintf("%s %d %q, %v hashes, %d flows", outcome, e.Code, e.Message,
			counted(t, reg, "ldapd_verified_hashes_total")-hashes, h.count()-flows)
	}
	for _, shape := range []struct {
		suffix, password string
		addr             netip.Addr
	}{
		{"", "wrong", nextcloud}, {"", "wrong;123456", nextcloud}, {";999999", "wrong", nextcloud}, {"", "wrong", marked}, {"", "wrong;123456", marked},
	} {
		try := func(user string, n int) string {
			return work(user+shape.suffix, fmt.Sprint(n)+shape.password, shape.addr)
		}
		want := try("zoe", 0)
		for n, user := range []string{"alice", "bob", "fresh", "idle", "left", "dora", "zoe", "yves"} {
			if got := try(user, n+1); got != want { // the records of alice, bob and left are cold
				t.Errorf("%s%s with %s: %s, for nobody %s", user, shape.suffix, shape.password, got, want)
			}
			again, nobody := try(user, n+1), try("zoe", 0)
			if again != nobody {
				t.Errorf("%s%s with %s again: %s, for nobody %s", user, shape.suffix, shape.password, again, nobody)
			}
		}
	}
	for _, user := range []string{"alice;111111", "bob"} { // warm now
		if _, err := p.Bind(t.Context(), bind.Request{DN: userDN(user), Password: []byte("secret"), Addr: elsewhere}); err != nil {
			t.Fatal(err)
		}
	}
	want := work("zoe", "another", nextcloud)
	for _, user := range []string{"alice", "bob", "fresh"} {
		if got := work(user, "another", nextcloud); got != want {
			t.Errorf("%s, warm: %s, for nobody %s", user, got, want)
		}
	}
}

func counted(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.GetName() == name {
			return m.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestManyWrongPasswords: ten thousand cost no more flows than limits and pace
// allow, no memory to speak of, and nobody a login that was proved.
func TestManyWrongPasswords(t *testing.T) {
	const n = 10_000
	anywhere := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}) }
	few := func(i int) string { return fmt.Sprint("wrong", i%5) } // each new one costs a slow hash
	for _, tt := range []struct {
		name   string
		attack func(i int) (user, password string, from netip.Addr)
		flows  int // at most
	}{
		{name: "one user, one address", flows: 10, attack: func(i int) (string, string, netip.Addr) {
			return "alice", fmt.Sprint("wrong", i), elsewhere
		}},
		{name: "one user, every address", flows: 60, attack: func(i int) (string, string, netip.Addr) {
			return "alice", few(i), anywhere(i)
		}},
		{name: "many users, one address", flows: 30, attack: func(i int) (string, string, netip.Addr) {
			return fmt.Sprint("user", i), fmt.Sprint("wrong", i), elsewhere
		}},
		{name: "code shapes", flows: 2 * 10, attack: func(i int) (string, string, netip.Addr) {
			return "alice", fmt.Sprintf("wrong;%06d", i), elsewhere
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, func(o *bind.Options) {
				o.Limits = guard.Limits{FailuresPerUser: 10, FailuresPerAddress: 30}
				backend := o.Authenticator.(*flows)
				o.Authenticator = &tampered{backend, guard.NewPace(backend, 60, 0, o.Now).Authenticate}
			})
			h.change(func() {
				for i := range n {
					h.users[fmt.Sprint("user", i)] = &flowUser{password: "secret"}
				}
			})
			h.want("she", h.login("alice;111111", "secret"), byCode)
			h.want("he", h.login("bob", "secret"), byFlow)
			flows, before := h.count(), heap()
			for i := range n {
				user, password, from := tt.attack(i)
				_, err := h.Bind(t.Context(), bind.Request{DN: userDN(user), Password: []byte(password), Addr: from})
				if outcome, _ := bind.Classify(err); outcome != bind.OutcomeDenied && outcome != bind.OutcomeLimited {
					t.Fatalf("%s with %s: %v", user, password, err)
				}
				if i%1000 == 0 {
					h.want("she meanwhile", h.login("alice;111111", "secret"), byProof)
					h.want("he meanwhile", h.login("bob", "secret"), byMemory)
				}
			}
			if got := h.count() - flows; got > tt.flows {
				t.Errorf("%d flows, want at most %d", got, tt.flows)
			}
			if grown := int64(heap()) - int64(before); grown > 32<<20 {
				t.Errorf("%d bytes more are in use", grown)
			}
			if all := h.options.Book.All(); len(all) != 2 {
				t.Errorf("verified binds of %d users, want 2", len(all))
			}
			t.Logf("%d wrong passwords, %d flows", n, h.count()-flows)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestPairingConfusion has searches of every kind come before the bind of bob,
// with a code that would be right: only his own login search hands it over.
func TestPairingConfusion(t *testing.T) {
	const other = "dc=other,dc=example"
	text := usersFile + `
  - {username: twin1, password: "` + cheap + `", email: twin@example.org, totp: {secret: ` + totpSecret + `}}
  - {username: twin2, password: "` + cheap + `", email: twin@example.org}
groups:
  - {name: team}
`
	file, err := local.Parse("users.yaml", []byte(text), "")
	if err != nil {
		t.Fatal(err)
	}
	var trees []*directory.Snapshot
	for _, dn := range []string{base, other} {
		tree, problems := directory.Tree{BaseDN: dn}.Build(file.Users(), file.Groups())
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		trees = append(trees, tree)
	}
	forest := directory.NewForest(trees...)
	c := newClock()
	engine := search.New(search.Config{
		Forest: func() *directory.Forest { return forest }, CookieKey: make([]byte, 32),
		Login: login.Config{Attributes: []string{"cn", "uid", "sAMAccountName", "mail"}, Separator: ";"},
	})
	logins := login.New(c.Now)
	code := (&server{clock: c}).code(t)
	uuid := func(name string) string {
		a, ok := trees[0].AccountByName(name)
		if !ok {
			t.Fatal(name)
		}
		return a.UUID
	}
	agent, alice := search.NewViewer(base, uuid("service"), true), search.NewViewer(base, uuid("alice"), false)
	users := "ou=users," + base
	filter := func(name string) string {
		return fmt.Sprintf("(&(objectclass=user)(|(cn=%[1]s)(mail=%[1]s)))", name)
	}
	type sent struct {
		viewer       *search.Viewer
		base, filter string
		from         netip.Addr
		scope        ldap.Scope
	}
	own := sent{agent, users, filter("bob;" + code), nextcloud, ldap.ScopeSub}
	with := func(change func(*sent)) sent { s := own; change(&s); return s }
	read := func(name string) sent {
		return sent{agent, "cn=" + name + "," + users, "(objectclass=*)", nextcloud, ldap.ScopeBase}
	}
	for _, tt := range []struct {
		name string
		sent []sent
		user string
		want string
	}{
		{"his own", []sent{own}, "bob", "granted hash totp"},
		{"his own, and reads of his entry", []sent{own, read("bob"), read("bob")}, "bob", "granted hash totp"},
		{"his own in other case", []sent{with(func(s *sent) { s.filter = filter("BOB;" + code) })}, "bob", "granted hash totp"},
		{"none", nil, "bob", missing},
		{"of another user", []sent{with(func(s *sent) { s.filter = filter("eve;" + code) })}, "bob", missing},
		{"his own for another user", []sent{own}, "eve", missing},
		{"followed by another user's", []sent{own, with(func(s *sent) { s.filter = filter("eve;" + code) })}, "bob", missing},
		{"followed by his without", []sent{own, with(func(s *sent) { s.filter = filter("bob") })}, "bob", missing},
		{"followed by nobody's", []sent{own, with(func(s *sent) { s.filter = filter("zoe;" + code) })}, "bob", missing},
		{"followed by a list", []sent{own, with(func(s *sent) { s.filter = "(objectclass=user)" })}, "bob", missing},
		{"followed by a read of another", []sent{own, read("eve")}, "bob", missing},
		{"of a group", []sent{with(func(s *sent) { s.base, s.filter = base, "(cn=team;"+code+")" })}, "bob", missing},
		{"of two users", []sent{with(func(s *sent) { s.filter = filter("twin@example.org;" + code) })}, "twin1", missing},
		{"excluded", []sent{with(func(s *sent) { s.filter = "(&(objectclass=user)(!(cn=bob;" + code + ")))" })}, "bob", missing},
		{"beside another name", []sent{with(func(s *sent) { s.filter = "(|(cn=bob;" + code + ")(cn=eve))" })}, "bob", missing},
		{"with another code", []sent{with(func(s *sent) { s.filter = "(|(cn=bob;" + code + ")(mail=bob;000000))" })}, "bob", missing},
		{"of a share dialog", []sent{with(func(s *sent) { s.filter = "(&(objectclass=user)(|(cn=bob;" + code + ")(cn=bob;" + code + "*)))" })}, "bob", missing},
		{"on no login attribute", []sent{with(func(s *sent) { s.filter = "(displayName=bob;" + code + ")" })}, "bob", missing},
		{"by who may not search", []sent{with(func(s *sent) { s.viewer = alice })}, "bob", missing},
		{"by himself", []sent{with(func(s *sent) { s.viewer = search.NewViewer(base, uuid("bob"), false) })}, "bob", missing},
		{"in another tree", []sent{with(func(s *sent) { s.base, s.viewer = "ou=users,"+other, search.NewViewer(other, uuid("service"), true) })}, "bob", missing},
		{"in a tree that the agent does not see", []sent{with(func(s *sent) { s.base = "ou=users," + other })}, "bob", missing},
		{"from elsewhere", []sent{with(func(s *sent) { s.from = elsewhere })}, "bob", missing},
		{"of a name that ends like a code", []sent{with(func(s *sent) { s.filter = filter("eve;123456") })}, "eve", missing},
		{"that name itself", []sent{with(func(s *sent) { s.filter = filter("eve;123456") })}, "eve;123456", "granted hash none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := bind.New(bind.Options{
				Directory:      func(ldap.DN) (bind.Directory, error) { return trees[0], nil },
				Authenticator:  local.NewAuthenticator(file, cache.NewMemory(c.Now), password.NewQueue(), c.Now),
				CodeInPassword: true, Separator: ";",
				Rules: policy.Rules{Scope: policy.ScopeLogin, CodeInUsername: true}, Logins: logins, Now: c.Now,
			})
			defer p.Close()
			const conn = 1
			defer logins.Closed(conn)
			for _, s := range tt.sent {
				res := found(t, engine, s.viewer, s.base, s.scope, s.filter)
				if s.viewer == agent || res.Login != nil {
					logins.Searched(conn, s.from, "uuid of service", res.Login, res.Read)
				}
			}
			got := answer(p.Bind(t.Context(), bind.Request{DN: userDN(tt.user), Password: []byte("secret"), Addr: nextcloud}))
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// found searches, and returns what is known of it afterwards.
func found(t *testing.T, e *search.Engine, v *search.Viewer, base string, scope ldap.Scope, filter string) search.Result {
	t.Helper()
	packet, err := goldap.CompileFilter(filter)
	if err != nil {
		t.Fatal(err)
	}
	f, err := ldap.ParseFilter(packet.Bytes(), ldap.FilterLimits{})
	if err != nil {
		t.Fatal(err)
	}
	res, err := e.Search(v, &ldap.SearchRequest{Base: []byte(base), Scope: scope, Filter: f}, noEntries{})
	if err != nil {
		t.Logf("%s: %v", filter, err)
	}
	return res
}

// noEntries is for entries that nobody looks at.
type noEntries struct{}

func (noEntries) MessageID() int32    { return 1 }
func (noEntries) Buf() []byte         { return nil }
func (noEntries) Commit([]byte) error { return nil }
func (noEntries) Err() error          { return nil }
func (noEntries) Slow()               {}
