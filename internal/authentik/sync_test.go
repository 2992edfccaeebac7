package authentik

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/directory"
)

// isPage matches a page of a whole list; a change of it is no look for changes.
func isPage(number string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		q := r.URL.Query()
		return q.Get("page") == number && q.Get("page_size") == "100" && !q.Has("last_updated__gt")
	}
}

func TestRow5CappedPageSize(t *testing.T) {
	for _, size := range []int{1, 7, 30, 100, 1000} {
		r := newRig(t, authentiktest.Options{MaxPageSize: size, PageSize: 5})
		r.fake.Populate(60, 41, 3)
		r.started()
		r.wantLen(61, 41)
	}
}

func TestRow5Autocomplete(t *testing.T) {
	for _, none := range []bool{false, true} {
		r := newRig(t, authentiktest.Options{NoAutocomplete: none})
		r.fake.Populate(10, 3, 1)
		r.started()
		r.wantLen(11, 3)
	}
}

func TestRow5PageDrift(t *testing.T) {
	for name, drift := range map[string]func(*authentiktest.Server){
		"delete": func(s *authentiktest.Server) { s.RemoveUser("user000003") },
		"create": func(s *authentiktest.Server) { s.AddUser(authentiktest.User{Username: "new"}) },
		"delete and create": func(s *authentiktest.Server) {
			s.RemoveUser("user000003")
			s.AddUser(authentiktest.User{Username: "new"})
		},
		"delete the last": func(s *authentiktest.Server) { s.RemoveUser("user000450") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, authentiktest.Options{})
			r.fake.Populate(451, 5, 2)
			users := 452
			r.fake.Inject(authentiktest.Fault{Endpoint: authentiktest.Users, Match: isPage("3"), Times: 1, Do: func() { drift(r.fake) }})
			r.started()
			if strings.Contains(name, "delete") {
				users--
				if _, ok := r.entry("users", "user000003"); ok != (name == "delete the last") {
					t.Errorf("user000003: %v", ok)
				}
			}
			if strings.Contains(name, "create") {
				users++
				if _, ok := r.entry("users", "new"); !ok {
					t.Error("the new user is missing")
				}
			}
			r.wantLen(users, 5)
			for _, edge := range []string{"user000099", "user000100", "user000199", "user000200"} {
				if _, ok := r.entry("users", edge); !ok {
					t.Errorf("%s is missing", edge)
				}
			}
		})
	}
}

func TestRow5PageDriftWithoutEnd(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	r.fake.Populate(451, 5, 2)
	var mu sync.Mutex
	n := 0
	f := r.fake.Inject(authentiktest.Fault{Endpoint: authentiktest.Users, Match: isPage("3"), Do: func() {
		mu.Lock()
		defer mu.Unlock()
		r.fake.RemoveUser(fmt.Sprintf("user%06d", n))
		n++
	}})
	r.run()
	r.clock.await(t, retryMin)
	if r.drain() || r.errorKind() != "drift" {
		t.Errorf("published %d, error %v", len(r.last), r.c.State().Err)
	}
	if n != scanRounds {
		t.Errorf("%d rounds", n)
	}
	f.Remove()
	r.clock.fire(t, retryMin)
	r.next()
	r.wantLen(452-n, 5)
}

func TestRow5BadGatewayInTheMiddle(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	r.fake.Populate(451, 5, 2)
	once := r.fake.Inject(authentiktest.Fault{Endpoint: authentiktest.Users, Match: isPage("3"), Times: 1, Status: http.StatusBadGateway})
	r.started()
	r.wantLen(452, 5)
	if once.Hits() != 1 {
		t.Errorf("%d faults", once.Hits())
	}

	r.fake.RemoveUser("user000007")
	always := r.fake.Inject(authentiktest.Fault{Endpoint: authentiktest.Users, Match: isPage("3"), Status: http.StatusBadGateway})
	r.c.Refresh()
	r.clock.await(t, retryMin)
	if r.drain() || r.errorKind() != "status" {
		t.Errorf("a part of the list is published, or error %q", r.errorKind())
	}
	always.Remove()
	r.clock.fire(t, retryMin)
	r.next()
	r.wantLen(451, 5)
}

func TestRow5TokenRotation(t *testing.T) {
	r := newRig(t, authentiktest.Options{}).started()
	token := r.fake.RotateToken()
	if r.look() || r.errorKind() != "token" {
		t.Errorf("error %q", r.errorKind())
	}
	r.c.Refresh()
	r.clock.await(t, retryMin)
	if r.drain() || r.errorKind() != "token" {
		t.Errorf("error %q", r.errorKind())
	}
	r.token.Store(&token) // as from a file
	r.fake.AddUser(authentiktest.User{Username: "later"})
	if !r.look() || r.errorKind() != "" {
		t.Errorf("error %q", r.errorKind())
	}
}

func TestRow5TokenRotationInTheMiddle(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	r.fake.Populate(451, 5, 2)
	var token string
	r.fake.Inject(authentiktest.Fault{Endpoint: authentiktest.Users, Match: isPage("3"), Times: 1, Do: func() { token = r.fake.RotateToken() }})
	r.run()
	r.clock.await(t, retryMin)
	if r.drain() || r.errorKind() != "token" {
		t.Errorf("error %q", r.errorKind())
	}
	r.token.Store(&token)
	r.clock.fire(t, retryMin)
	r.next()
	r.wantLen(452, 5)
}

func TestRow8Directory(t *testing.T) {
	for _, v := range versions {
		t.Run(v, func(t *testing.T) {
			r := newRig(t, authentiktest.Options{Version: v})
			f := r.fake
			at := time.Date(2025, 3, 4, 5, 6, 7, 891_000_000, time.UTC)
			f.AddGroup(authentiktest.Group{Name: "top", Superuser: true})
			f.AddGroup(authentiktest.Group{Name: "below", Parents: []string{"top"}, Attributes: map[string]any{"gidNumber": "777", "note": "n"}})
			f.AddGroup(authentiktest.Group{Name: "empty"})
			// Two with one number, and a cycle.
			f.AddGroup(authentiktest.Group{PK: "11111111-1111-4111-8111-111111111111", Name: "twin a"})
			f.AddGroup(authentiktest.Group{PK: "11111111-1111-4111-8111-111111111112", Name: "twin b", Parents: []string{"twin a"}})
			f.SetGroup(authentiktest.Group{PK: "11111111-1111-4111-8111-111111111111", Name: "twin a", Parents: []string{"twin b"}})
			f.AddUser(authentiktest.User{Username: `Doe, "J" + <x>;y=\z#`, Name: "Jöhn  Doe", Groups: []string{"below", "twin a"},
				DateJoined: at, PasswordChanged: at, LastUpdated: at})
			f.AddUser(authentiktest.User{Username: "ünïcode ", Inactive: true})
			f.AddUser(authentiktest.User{Username: "attrs", Email: "a@example.org", Attributes: map[string]any{
				"s": "text", "b": true, "i": 12345678901, "f": 1.5, "l": []any{"x", nil, 2}, "z": nil, "o": map[string]any{"k": "v"},
				"goauthentik.io/user/sources": "ldap", "homeDirectory": "/srv/%s", "uidNumber": "4242", "mail": "other@example.org", "password": "p", "userPassword": "secret",
			}})
			r.started()
			r.wantLen(4, 5)

			if e, ok := r.entry("users", `Doe, "J" + <x>;y=\z#`); !ok {
				t.Error("no entry of the user with special characters")
			} else {
				for attr, want := range map[string][]string{
					"displayName": {"Jöhn  Doe"}, "ak-superuser": {"TRUE"}, "ak-active": {"TRUE"},
					"pwdChangedTime": {"20250304050607Z"}, "modifyTimestamp": {"20250304050607Z"},
					"mail": nil,
				} {
					if got := r.valuesOf(e, attr); !slices.Equal(got, want) {
						t.Errorf("%s: %q, want %q", attr, got, want)
					}
				}
				if got := r.valuesOf(e, "memberOf"); len(got) != 2 {
					t.Errorf("memberOf %q", got)
				}
				if got := r.valuesOf(e, "uid"); len(got) != 1 || len(got[0]) != 64 {
					t.Errorf("uid %q", got)
				}
			}
			if e, ok := r.entry("users", "ünïcode "); !ok {
				t.Error("no entry of the user with a blank")
			} else if got := r.valuesOf(e, "ak-active"); !slices.Equal(got, []string{"FALSE"}) {
				t.Errorf("ak-active %q", got)
			}
			for attr, want := range map[string][]string{
				"s": {"text"}, "b": {"true"}, "i": {"12345678901"}, "f": {"1.5"}, "l": {"x", "2"}, "z": nil, "o": {`{"k":"v"}`},
				"goauthentikio-user-sources": {"ldap"}, "homeDirectory": {"/srv/attrs"}, "uidNumber": {"4242"}, "gidNumber": {"4242"},
				"mail": {"other@example.org"}, "userPassword": nil,
			} {
				if got := r.values("users", "attrs", attr); !slices.Equal(got, want) {
					t.Errorf("%s: %q, want %q", attr, got, want)
				}
			}
			if a, b := r.values("groups", "twin a", "gidNumber"), r.values("groups", "twin b", "gidNumber"); !slices.Equal(a, b) {
				t.Errorf("gidNumbers %q and %q", a, b)
			}
			if got := r.values("groups", "below", "gidNumber"); !slices.Equal(got, []string{"777"}) {
				t.Errorf("gidNumber %q", got)
			}
			if got := r.values("groups", "top", "ak-superuser"); !slices.Equal(got, []string{"true"}) {
				t.Errorf("ak-superuser %q", got)
			}
			if got := r.values("groups", "empty", "member"); got != nil {
				t.Errorf("member %q", got)
			}
		})
	}
}

// TestChanges says what a change costs until it is served.
func TestChanges(t *testing.T) {
	for _, v := range versions {
		r := newRig(t, authentiktest.Options{Version: v})
		f := r.fake
		f.Populate(700, 150, 3)
		f.AddGroup(authentiktest.Group{Name: "admins", Superuser: true})
		f.AddMember("admins", "user000500")
		r.started()
		users, groups := 701, 151
		r.clock.Advance(time.Hour) // long enough for nothing to be recent
		r.look()
		for _, tt := range []struct {
			name    string
			change  func()
			check   func() bool
			users   int // requests
			onePage int // of single users
			groups  int
		}{
			{"nothing", func() {}, func() bool { return true }, 2, 0, 2},
			{"disabled user", func() { f.Deactivate("user000007") },
				func() bool { return r.values("users", "user000007", "ak-active")[0] == "FALSE" }, 2, 0, 2},
			{"changed password", func() { f.EditUser("user000008", func(u *authentiktest.User) { u.Password = "new" }) },
				func() bool {
					return r.values("users", "user000008", "pwdChangedTime")[0] == r.clock.Now().Add(-testInterval).Format("20060102150405Z")
				}, 2, 0, 2},
			{"removed membership", func() { f.RemoveMember("admins", "user000500") },
				func() bool {
					return r.values("groups", "admins", "member") == nil && r.values("users", "user000500", "ak-superuser")[0] == "FALSE"
				}, 2, 0, 2},
			{"new parent", func() {
				g := authentiktest.Group{Name: "group00003", Parents: []string{"admins"}}
				g.PK = groupPK(r, "group00003")
				f.SetGroup(g)
			}, func() bool { return len(r.values("groups", "group00003", "memberOf")) == 1 }, 2, 0, 2},
			{"created", func() { f.AddUser(authentiktest.User{Username: "new", Groups: []string{"admins"}}); users++ },
				func() bool { return slices.Equal(r.values("groups", "admins", "memberUid"), []string{"new"}) }, 2, 0, 2},
			{"deleted", func() { f.RemoveUser("user000600"); users-- },
				func() bool { _, ok := r.entry("users", "user000600"); return !ok }, 2 + 10, 1, 2},
			{"deleted last", func() { f.RemoveUser("new"); users-- },
				func() bool { _, ok := r.entry("users", "new"); return !ok }, 2 + 10, 1, 2},
			{"deleted and created", func() {
				f.RemoveUser("user000001")
				f.RemoveUser("user000690")
				f.AddUser(authentiktest.User{Username: "newer"})
				users--
			}, func() bool {
				_, a := r.entry("users", "user000001")
				_, b := r.entry("users", "user000690")
				_, c := r.entry("users", "newer")
				return !a && !b && c
			}, 2 + 20, 2, 2},
			{"deleted group", func() { f.RemoveGroup("group00009"); groups-- },
				func() bool { _, ok := r.entry("groups", "group00009"); return !ok }, 2, 0, 2},
		} {
			f.ResetCounters()
			tt.change()
			if published := r.look(); published == (tt.name == "nothing") {
				t.Errorf("%s: %s: published %v", v, tt.name, published)
			}
			if !tt.check() {
				t.Errorf("%s: %s: not in effect", v, tt.name)
			}
			r.wantLen(users, groups)
			n := f.Counters().Requests
			if n[authentiktest.Users] > tt.users || n[authentiktest.OneUser] != tt.onePage || n[authentiktest.Groups] != tt.groups {
				t.Errorf("%s: %s: %d requests of users, %d of one, %d of groups; want at most %d, %d, %d", v, tt.name,
					n[authentiktest.Users], n[authentiktest.OneUser], n[authentiktest.Groups], tt.users, tt.onePage, tt.groups)
			}
		}
		if err := r.c.State().Err; err != nil {
			t.Error(err)
		}
	}
}

// TestManyGroups says that many groups are read at every second look only, but
// at once if a user changed.
func TestManyGroups(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	r.fake.Populate(10, 450, 3)
	r.started()
	r.clock.Advance(time.Hour)
	r.look()
	reads := func(change func()) int {
		r.fake.ResetCounters()
		change()
		r.look()
		return r.fake.Counters().Requests[authentiktest.Groups]
	}
	none := func() {}
	a, b := reads(none), reads(none)
	if a+b != 5 || a*b != 0 {
		t.Errorf("%d and %d reads", a, b)
	}
	edit := func() { r.fake.EditUser("user000001", func(u *authentiktest.User) { u.Name += "x" }) }
	if a, b := reads(edit), reads(edit); a != 5 || b != 5 {
		t.Errorf("%d and %d reads", a, b)
	}
}

// TestFewUsersDeleted says that a short list is read as a whole.
func TestFewUsersDeleted(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	r.fake.Populate(50, 3, 1)
	r.started()
	r.fake.RemoveUser("user000010")
	r.clock.fire(t, testInterval)
	r.next() // without the membership
	r.next()
	r.wantLen(50, 3)
}

func TestManyDeleted(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	r.fake.Populate(1000, 3, 1)
	r.started()
	for i := range maxProbed + 1 {
		r.fake.RemoveUser(fmt.Sprintf("user%06d", i*50))
	}
	r.clock.fire(t, testInterval)
	r.next() // without their memberships
	r.next()
	r.wantLen(1001-maxProbed-1, 3)
}

// TestChangeDuringRefresh says that looks go on while everything is read, and
// that what they found is not lost to what was read before.
func TestChangeDuringRefresh(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	r.fake.Populate(700, 10, 2)
	r.started()
	r.clock.Advance(time.Hour)
	release := make(chan struct{})
	f := r.fake.Inject(authentiktest.Fault{Endpoint: authentiktest.Users, Match: isPage("6"), Times: 1, Until: release})
	r.c.Refresh()
	if err := r.fake.Wait(t.Context(), func() bool { return f.Hits() == 1 }); err != nil {
		t.Fatal(err)
	}
	r.fake.Deactivate("user000003") // on the first page, which was read
	r.fake.RemoveMember("group00001", r.memberOf("group00001"))
	left := len(r.values("groups", "group00001", "member")) - 1
	if !r.look() {
		t.Error("no look during the refresh")
	}
	check := func(when string) {
		if got := r.values("users", "user000003", "ak-active")[0]; got != "FALSE" {
			t.Errorf("%s: ak-active %s", when, got)
		}
		if got := len(r.values("groups", "group00001", "member")); got != left {
			t.Errorf("%s: %d members, want %d", when, got, left)
		}
	}
	check("during")
	before := r.last[0].Snapshot
	close(release)
	r.clock.mu.Lock()
	delete(r.clock.waiting, testRefresh)
	r.clock.mu.Unlock()
	r.clock.await(t, testRefresh)
	r.drain()
	check("after")
	if r.last[0].Snapshot != before {
		t.Error("built again, though the look had it all")
	}
}

func TestDoubtedLists(t *testing.T) {
	t.Run("no users", func(t *testing.T) {
		r := newRig(t, authentiktest.Options{})
		r.fake.Populate(50, 3, 1)
		r.started()
		f := r.fake.Inject(authentiktest.Fault{Endpoint: authentiktest.Users, Status: http.StatusOK, Body: emptyPage})
		r.look()
		r.c.Refresh()
		r.clock.await(t, retryMin)
		for range 8 { // never, however long it stays so
			r.clock.Advance(testRefresh)
			r.look()
		}
		if r.drain() || r.errorKind() != "doubted" {
			t.Errorf("error %v", r.c.State().Err)
		}
		r.wantLen(51, 3)
		f.Remove()
		if r.look(); r.errorKind() != "" {
			t.Errorf("error %v", r.c.State().Err)
		}
	})
	t.Run("half of the users", func(t *testing.T) {
		r := newRig(t, authentiktest.Options{})
		r.fake.Populate(50, 3, 1)
		r.started()
		for i := range 40 {
			r.fake.RemoveUser(fmt.Sprintf("user%06d", i))
		}
		r.c.Refresh()
		r.clock.await(t, retryMin)
		if r.drain() || r.errorKind() != "doubted" {
			t.Errorf("error %v", r.c.State().Err)
		}
		r.clock.Advance(testRefresh)
		r.clock.fire(t, retryMin)
		r.next()
		r.wantLen(11, 3)
	})
	t.Run("groups", func(t *testing.T) {
		r := newRig(t, authentiktest.Options{})
		r.fake.Populate(50, 30, 1)
		r.started()
		f := r.fake.Inject(authentiktest.Fault{Endpoint: authentiktest.Groups, Status: http.StatusOK, Body: emptyPage})
		r.fake.EditUser("user000001", func(u *authentiktest.User) { u.Name = "still known" })
		r.look()
		if r.errorKind() != "doubted" {
			t.Errorf("error %v", r.c.State().Err)
		}
		r.wantLen(51, 30)
		if got := r.values("users", "user000001", "displayName"); got[0] != "still known" {
			t.Errorf("displayName %q", got)
		}
		f.Remove()
		if r.look(); r.errorKind() != "" {
			t.Errorf("error %v", r.c.State().Err)
		}
	})
}

func TestUnchangedIsNotBuilt(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	r.fake.Populate(150, 3, 1)
	r.started()
	for range 3 {
		if r.look() || r.refresh() {
			t.Error("published without a change")
		}
	}
	if at := r.c.State().LastSync; !at.After(r.last[0].SyncedAt) {
		t.Errorf("last sync %v", at)
	}
}

// Each look that succeeds says that all is known, and no other does.
func TestLastSync(t *testing.T) {
	eachVersion(t, func(t *testing.T, o authentiktest.Options) {
		r := newRig(t, o)
		r.fake.Populate(150, 3, 1)
		r.started()
		at := r.c.State().LastSync
		look := func(what string, later time.Duration) {
			t.Helper()
			r.look()
			was := at
			if at = r.c.State().LastSync; at.Sub(was) != later {
				t.Errorf("%s: the last sync is %v later, want %v", what, at.Sub(was), later)
			}
		}
		look("nothing changed", testInterval)
		look("still nothing", testInterval)
		down := r.fake.Inject(authentiktest.Fault{Endpoint: authentiktest.Users, Status: 500})
		look("users cannot be read", 0)
		down.Remove()
		r.fake.AddUser(authentiktest.User{Username: "alice"})
		look("a change, after a failure", 2*testInterval)
		down = r.fake.Inject(authentiktest.Fault{Endpoint: authentiktest.Groups, Status: 500})
		look("groups cannot be read", 0)
		down.Remove()
		look("all is well", 2*testInterval)
	})
}

// TestScanKeepsAll reads a list that changes between any two pages: what was
// there all the time must be in the result, or there is none.
func TestScanKeepsAll(t *testing.T) {
	type row struct{ id int }
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var mu sync.Mutex
		var rows []row
		next := 0
		add := func() { rows = append(rows, row{next}); next++ }
		for range 5 + rnd.IntN(60) {
			add()
		}
		stayed := make(map[int]bool)
		for _, r := range rows {
			stayed[r.id] = true
		}
		size, rate := 1+rnd.IntN(10), rnd.IntN(30)
		s := scan[row]{
			appends: true,
			compare: func(a, b *row) int { return cmp.Compare(a.id, b.id) },
			fetch: func(_ context.Context, number int) (page[row], error) {
				mu.Lock()
				defer mu.Unlock()
				for range 2 {
					if rnd.IntN(100) < rate {
						add()
					}
					if rnd.IntN(100) < rate && len(rows) > 0 {
						i := rnd.IntN(len(rows))
						delete(stayed, rows[i].id)
						rows = slices.Delete(slices.Clone(rows), i, i+1)
					}
				}
				from, to := (number-1)*size, min(number*size, len(rows))
				if from >= to && number > 1 {
					return page[row]{}, &APIError{Status: http.StatusNotFound, Detail: "Invalid page."}
				}
				p := page[row]{count: len(rows), results: slices.Clone(rows[from:to])}
				if to < len(rows) {
					p.next = number + 1
				}
				return p, nil
			},
		}
		got, err := s.read(t.Context())
		if err != nil {
			if !errors.Is(err, errDrift) || rate == 0 {
				t.Fatalf("seed %d: %v", seed, err)
			}
			continue
		}
		have := make(map[int]bool)
		for i, r := range got {
			if have[r.id] || i > 0 && got[i-1].id > r.id {
				t.Fatalf("seed %d: twice or out of order: %d", seed, r.id)
			}
			have[r.id] = true
		}
		for id := range stayed {
			if !have[id] {
				t.Fatalf("seed %d: %d is missing", seed, id)
			}
		}
	}
}

func TestScanRefusesNonsense(t *testing.T) {
	fetch := func(p page[int]) scan[int] {
		return scan[int]{
			compare: func(a, b *int) int { return cmp.Compare(*a, *b) },
			fetch:   func(context.Context, int) (page[int], error) { return p, nil },
		}
	}
	for name, p := range map[string]page[int]{
		"empty page in between": {next: 2, count: 5},
		"next is the same":      {next: 1, count: 2, results: []int{1}},
		"very many pages":       {next: 2, count: 1 << 40, results: []int{1}},
		"same page again":       {next: 2, count: 3, results: []int{1}},
		"fewer than told":       {count: 3, results: []int{1}},
		"more than told":        {count: 1, results: []int{1, 2}},
		"twice":                 {count: 2, results: []int{1, 1}},
	} {
		s := fetch(p)
		if got, err := s.read(t.Context()); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestHorizon(t *testing.T) {
	ours := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	theirs := ours.Add(-time.Hour) // their clock is behind
	var h horizon
	h.saw(theirs, ours)
	if got := h.now(ours.Add(time.Minute)); !got.Equal(theirs.Add(time.Minute)) {
		t.Errorf("a minute later it is %v", got)
	}
	h.saw(theirs.Add(30*time.Second), ours.Add(time.Minute)) // an old one
	if got := h.now(ours.Add(time.Minute)); !got.Equal(theirs.Add(time.Minute)) {
		t.Errorf("an old time moved it to %v", got)
	}
	h.saw(theirs.Add(2*time.Minute), ours.Add(time.Minute))
	if got := h.now(ours.Add(time.Minute)); !got.Equal(theirs.Add(2 * time.Minute)) {
		t.Errorf("a later time moved it to %v", got)
	}
	if got := h.now(ours); !got.Equal(theirs.Add(2 * time.Minute)) {
		t.Errorf("our clock going back moves it to %v", got)
	}
}

func TestMerge(t *testing.T) {
	users := []directory.User{{PK: 1}, {PK: 3, Name: "c"}, {PK: 5}}
	for _, tt := range []struct {
		changed []directory.User
		want    string
	}{
		{nil, "1:,3:c,5:"},
		{[]directory.User{{PK: 3, Name: "c"}}, "1:,3:c,5:"},
		{[]directory.User{{PK: 3, Name: "C"}}, "1:,3:C,5:"},
		{[]directory.User{{PK: 0}, {PK: 1, Name: "a"}, {PK: 2}, {PK: 9}}, "0:,1:a,2:,3:c,5:,9:"},
	} {
		var got []string
		for _, u := range merge(users, tt.changed) {
			got = append(got, fmt.Sprintf("%d:%s", u.PK, u.Name))
		}
		if s := strings.Join(got, ","); s != tt.want {
			t.Errorf("%s, want %s", s, tt.want)
		}
	}
}

func TestUserQuery(t *testing.T) {
	r := newRig(t, authentiktest.Options{}).started()
	r.look()
	for _, q := range r.fake.Requests() {
		v, err := url.ParseQuery(q.RawQuery)
		if err != nil {
			t.Fatal(err)
		}
		switch q.Endpoint {
		case authentiktest.Users:
			if v.Get("include_groups") != "false" || v.Get("include_roles") != "false" || v.Get("ordering") == "" {
				t.Errorf("users %s", q.RawQuery)
			}
		case authentiktest.Groups:
			if v.Get("include_users") != "false" || v.Get("include_children") != "false" || v.Get("include_parents") != "false" {
				t.Errorf("groups %s", q.RawQuery)
			}
		}
	}
	if c := r.fake.Complaints(); len(c) > 0 {
		t.Errorf("complaints: %q", c)
	}
}

// TestImport says that users who are saved by the hundred, faster than they can
// be read, are found, and are not read again at each look.
func TestImport(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	r.fake.Populate(20, 3, 1)
	r.started()
	users := 21
	add := func(n int) {
		for range n {
			r.fake.AddUser(authentiktest.User{Username: fmt.Sprintf("import%d", users)})
			users++
		}
	}
	add(250)
	f := r.fake.Inject(authentiktest.Fault{Endpoint: authentiktest.Users, Match: func(r *http.Request) bool {
		return r.URL.Query().Has("last_updated__gt") && r.URL.Query().Get("page") == "2"
	}, Do: func() {
		add(30)
		r.fake.EditUser("import21", func(u *authentiktest.User) { u.Name += "x" })
	}})
	for range 3 {
		r.look()
		if err := r.c.State().Err; err != nil {
			t.Error(err)
		}
	}
	f.Remove()
	r.look()
	r.wantLen(users, 3)
	if got := r.values("users", "import21", "displayName"); got[0] != r.fake.User("import21").Name {
		t.Errorf("displayName %v", got)
	}
	r.fake.ResetCounters()
	if r.look() {
		t.Error("published without a change")
	}
	if n := r.fake.Counters().Requests[authentiktest.Users]; n != 3 { // recent ones, later ones, the number of all
		t.Errorf("%d requests though nothing changed", n)
	}
	r.clock.Advance(time.Minute)
	r.look()
	r.fake.ResetCounters()
	r.look()
	if n := r.fake.Counters().Requests[authentiktest.Users]; n != 2 {
		t.Errorf("%d requests a minute later", n)
	}

	// More than are read in turn are read as a whole.
	add(maxChanged + 1)
	r.clock.fire(t, testInterval)
	for r.next(); r.last[0].Snapshot.Len() != entries(users, 3); {
		r.next()
	}
}
