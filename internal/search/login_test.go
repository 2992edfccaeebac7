package search

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/login"
)

// loginEngine has users whose names are apt to be taken for something else.
func loginEngine(t testing.TB) *Engine {
	t.Helper()
	group := directory.Group{UUID: "00000000-0000-4000-8000-000000000001", Name: "team;abcd1234"}
	var list []directory.User
	for i, name := range []string{"service", "alice", "bob", "carol", "carol;123456", "Zoë Müller", "twin1", "twin2", "erin"} {
		u := directory.User{
			UUID: fmt.Sprintf("10000000-0000-4000-8000-%012d", i), PK: int64(i), Username: name, UID: fmt.Sprintf("uid-%d", i),
			Name: "Person " + name, Email: strings.ReplaceAll(name, " ", ".") + "@example.org", Active: true, Groups: []string{group.UUID},
			Attrs: map[string]any{"userPrincipalName": name + "@corp", "nickname": name},
		}
		switch name {
		case "twin1", "twin2":
			u.Email = "twins@example.org"
		case "erin":
			u.Attrs["login"] = "Erin"
		}
		list = append(list, u)
	}
	s, problems := directory.Tree{BaseDN: base}.Build(list, []directory.Group{group})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	forest := directory.NewForest(s)
	return New(Config{
		Forest:    func() *directory.Forest { return forest },
		CookieKey: []byte("0123456789abcdef0123456789abcdef"),
		Login: login.Config{
			Attributes: []string{"commonName", "uid", "sAMAccountName", "mail", "userprincipalname", "LOGIN", "userPassword", "x-login"},
			Separator:  ";",
		},
	})
}

func uuidOf(i int) string { return fmt.Sprintf("10000000-0000-4000-8000-%012d", i) }

func TestLoginSearch(t *testing.T) {
	e := loginEngine(t)
	const filter = "(&(objectclass=user)(memberof=cn=team\\3babcd1234,ou=groups," + base + ")(|(cn=%s)(mail=%s)))"
	nextcloud := func(name string) string { return strings.ReplaceAll(filter, "%s", name) }
	for _, tt := range []struct {
		name, filter string
		found        string // first RDN values
		login        string // name/code, or none
		user         int    // 0: none
	}{
		{"plain", nextcloud("alice"), "alice", "alice/", 1},
		{"other case", nextcloud("ALICE"), "alice", "ALICE/", 1},
		{"by mail", nextcloud("alice@example.org"), "alice", "alice@example.org/", 1},
		{"code", nextcloud("alice;123456"), "alice", "alice/123456", 1},
		{"code, other case", nextcloud("Alice;123456"), "alice", "Alice/123456", 1},
		{"code behind mail", nextcloud("alice@example.org;123456"), "alice", "alice@example.org/123456", 1},
		{"static code", nextcloud("alice;aB3dE6gH"), "alice", "alice/aB3dE6gH", 1},
		{"long static code", nextcloud("alice;abcdef123456"), "alice", "alice/abcdef123456", 1},
		{"not ASCII, escaped", nextcloud(`zo\c3\ab m\c3\bcller;123456`), "Zoë Müller", "zoë müller/123456", 5},
		{"no code by its shape", nextcloud("alice;12345"), "", "alice;12345/", 0},
		{"other separator", nextcloud("alice+123456"), "", "alice+123456/", 0},
		{"nobody", nextcloud("ghost"), "", "ghost/", 0},
		{"nobody with a code", nextcloud("ghost;123456"), "", "ghost/123456", 0},
		{"filter does not let in", "(&(objectclass=user)(title=boss)(cn=alice;123456))", "", "alice/123456", 0},
		{"several", nextcloud("twins@example.org"), "twin1 twin2", "", 0},
		{"several with a code", nextcloud("twins@example.org;123456"), "", "", 0},

		{"name with a code in it", nextcloud("carol;123456"), "carol;123456", "carol;123456/", 4},
		{"the same in other case", nextcloud("CAROL;123456"), "carol;123456", "CAROL;123456/", 4},
		{"its mail", nextcloud("carol;123456@example.org"), "carol;123456", "carol;123456@example.org/", 4},
		{"code behind such a name", nextcloud("carol;123456;654321"), "carol;123456", "carol;123456/654321", 4},
		{"other code", nextcloud("carol;654321"), "carol", "carol/654321", 3},
		{"name of an entry that the filter does not find", nextcloud("team;abcd1234"), "", "team;abcd1234/", 0},

		{"one attribute", "(uid=uid-1;123456)", "alice", "uid-1/123456", 1},
		{"by alias and OID", "(|(2.5.4.3=uid-1;123456)(userid=uid-1;123456)(commonName=uid-1;123456))", "alice", "uid-1/123456", 1},
		{"with options", "(uid;x-a=uid-1;123456)", "alice", "uid-1/123456", 1},
		{"custom attribute", "(userPrincipalName=alice@corp;123456)", "alice", "alice@corp/123456", 1},
		{"custom attribute that few have", "(login=ERIN;123456)", "erin", "ERIN/123456", 8},
		{"attribute that nobody has", "(|(X-LOGIN=uid-1;123456)(uid=uid-1;123456))", "alice", "uid-1/123456", 1},
		{"it alone", "(x-login;opt=uid-1;123456)", "", "uid-1/123456", 0},
		{"values that fold to one", "(|(uid=UID-1;123456 )(uid= uid-1;123456))", "", "UID-1;123456 /", 0},
		{"the same, the first with a code", "(|(uid=UID-1;123456)(uid= uid-1;123456 ))", "alice", "UID-1/123456", 1},
		{"other attributes unchanged", "(|(uid=uid-1;123456)(displayName=person alice;123456))", "alice", "uid-1/123456", 1},
		{"no login attribute", "(displayName=person alice;123456)", "", "", 0},
		{"no login attribute, plain", "(displayName=person alice)", "alice", "", 0},
		{"custom attribute that is none", "(nickname=alice;123456)", "", "", 0},
		{"custom attribute that is none, plain", "(nickname=alice)", "alice", "", 0},
		{"custom attribute that is none beside", "(|(nickname=bob)(uid=uid-1;123456))", "bob", "", 0},
		{"attribute that nobody has and that is none", "(y-login=alice;123456)", "", "", 0},
		{"two names", "(|(uid=uid-1)(uid=uid-2))", "alice bob", "", 0},
		{"two names, one found", "(|(uid=uid-1)(uid=ghost))", "alice", "", 0},
		{"two names with codes", "(|(uid=uid-1;123456)(uid=uid-2;123456))", "", "", 0},
		{"two codes", "(|(uid=uid-1;123456)(mail=uid-1;654321))", "", "", 0},
		{"no value", "(uid=)", "", "", 0},
		{"password", "(userPassword=alice;123456)", "", "", 0},
		{"approximate", "(uid~=uid-1;123456)", "", "", 0},
		{"extensible", "(uid:=uid-1;123456)", "", "", 0},
		{"extensible beside", "(|(uid=uid-1;123456)(mail:=uid-1;123456))", "alice", "uid-1/123456", 1},
		{"presence", "(&(uid=*)(cn=*)(mail=alice@*))", "alice", "", 0},
		{"presence beside", "(&(mail=*)(uid=uid-1;123456))", "alice", "uid-1/123456", 1},

		{"share dialog", "(&(objectclass=user)(|(uid=uid-1)(uid=uid-1*)))", "alice", "", 0},
		{"share dialog on another attribute", "(&(objectclass=user)(|(uid=uid-1)(displayName=uid-1*)))", "alice", "", 0},
		{"share dialog in other case", "(&(objectclass=user)(|(uid=UID-1)(displayName=uid-1*)))", "alice", "", 0},
		{"share dialog with a code", "(&(objectclass=user)(|(uid=uid-1;123456)(uid=uid-1;123456*)))", "", "", 0},
		{"medial share dialog", "(&(objectclass=user)(|(uid=uid-1)(displayName=*uid-1*)))", "alice", "", 0},
		{"share dialog, final", "(&(objectclass=user)(|(uid=uid-1)(displayName=*uid-1)))", "alice", "", 0},
		{"constant substring", "(&(objectclass=user)(mail=*@example.org)(uid=uid-1;123456))", "alice", "uid-1/123456", 1},
		{"constant substring excluded", "(&(objectclass=user)(uid=uid-1;123456)(!(mail=*@guests.org)))", "alice", "uid-1/123456", 1},
		{"login name excluded as a substring", "(&(objectclass=user)(uid=uid-1;123456)(!(title=uid-1;123456*)))", "alice", "uid-1/123456", 1},

		{"constant name excluded", "(&(objectclass=user)(!(uid=uid-2))(uid=uid-1;123456))", "alice", "uid-1/123456", 1},
		{"login name excluded elsewhere", "(&(uid=uid-1;123456)(!(cn=uid-1;123456)))", "alice", "uid-1/123456", 1},
		{"login name excluded", "(&(objectclass=user)(uid=uid-1;123456)(!(uid=uid-1;123456)))", "", "uid-1/123456", 0},
		{"only excluded", "(&(objectclass=user)(cn=alice)(!(uid=uid-1;123456)))", "alice", "alice/", 1},
		{"nothing but excluded", "(&(objectclass=user)(mail=alice*)(!(uid=uid-2;123456)))", "alice", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, scope := range []ldap.Scope{ldap.ScopeSub, ldap.ScopeOne} {
				req := request(t, users, scope, tt.filter)
				sent := string(req.Filter.AppendText(nil, nil))
				w := &recorder{t: t}
				res, err := e.Search(admin(), req, w)
				if err != nil {
					t.Fatal(err)
				}
				var found []string
				for _, dn := range w.dns {
					d, err := ldap.ParseDN(dn)
					if err != nil {
						t.Fatal(err)
					}
					found = append(found, d[0][0].Value)
				}
				if got := strings.Join(found, " "); got != tt.found {
					t.Errorf("%v: found %q, want %q", scope, got, tt.found)
				}
				login, user := "", ""
				if l := res.Login; l != nil {
					login, user = l.Name+"/"+string(l.Code), l.User
					if l.Base != base {
						t.Errorf("%v: base %q", scope, l.Base)
					}
				}
				want := ""
				if tt.user > 0 {
					want = uuidOf(tt.user)
				}
				if login != tt.login || user != want {
					t.Errorf("%v: login %q of %q, want %q of %q", scope, login, user, tt.login, want)
				}
				if got := string(req.Filter.AppendText(nil, nil)); got != sent {
					t.Errorf("the request was changed to %s", got)
				}
				if res.Read != nil {
					t.Errorf("%v: read %q", scope, res.Read)
				}
			}
		})
	}
}

// Beside the user's entry there is a virtual group with the same names.
func TestLoginSearchOfTheWholeTree(t *testing.T) {
	e := loginEngine(t)
	for filter, want := range map[string]string{
		"(cn=alice)":                              "2",
		"(cn=alice;123456)":                       "0",
		"(&(objectClass=user)(cn=alice;123456))":  "1 alice/123456 " + uuidOf(1),
		"(&(objectClass=group)(cn=alice;123456))": "1 alice/123456 ",
	} {
		w := &recorder{t: t}
		res, err := e.Search(admin(), request(t, base, ldap.ScopeSub, filter), w)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(len(w.dns))
		if l := res.Login; l != nil {
			got += " " + l.Name + "/" + string(l.Code) + " " + l.User
		}
		if got != want {
			t.Errorf("%s: %s, want %s", filter, got, want)
		}
	}
}

func TestLoginSearchOnlyWithTheRight(t *testing.T) {
	e := loginEngine(t)
	for _, filter := range []string{"(uid=uid-1;123456)", "(uid=uid-1)"} {
		w := &recorder{t: t}
		res, err := e.Search(NewViewer(base, uuidOf(1), false), request(t, base, ldap.ScopeSub, filter), w)
		if err != nil || res.Login != nil || (len(w.dns) > 0) != (filter == "(uid=uid-1)") {
			t.Errorf("%s: %q, %+v, %v", filter, w.dns, res.Login, err)
		}
	}
	res, err := e.Search(NewViewer(base, uuidOf(1), false), request(t, "cn=alice,ou=users,"+base, ldap.ScopeBase, "(cn=*)"), &recorder{t: t})
	if err != nil || res.Read != nil {
		t.Errorf("read: %q, %v", res.Read, err)
	}
	if res, err := e.Search(nil, request(t, users, ldap.ScopeSub, "(uid=uid-1)"), &recorder{t: t}); err == nil || res.Login != nil {
		t.Errorf("unbound: %+v, %v", res, err)
	}
}

func TestLoginSearchWithoutConfig(t *testing.T) {
	e := loginEngine(t)
	with := e.cfg.Login
	for _, tt := range []struct {
		config login.Config
		login  bool
	}{
		{login.Config{Attributes: with.Attributes}, true},
		{login.Config{Separator: ";"}, false},
		{login.Config{}, false},
	} {
		e.cfg.Login = tt.config
		w := &recorder{t: t}
		res, err := New(e.cfg).Search(admin(), request(t, users, ldap.ScopeSub, "(uid=uid-1;123456)"), w)
		if err != nil || len(w.dns) > 0 || (res.Login != nil) != tt.login || tt.login && (res.Login.Code != "" || res.Login.Name != "uid-1;123456") {
			t.Errorf("%+v: %q, %+v, %v", tt.config, w.dns, res.Login, err)
		}
	}
}

func TestRead(t *testing.T) {
	e := loginEngine(t)
	for _, tt := range []struct {
		dn     string
		scope  ldap.Scope
		filter string
		want   string
	}{
		{"cn=alice,ou=users," + base, ldap.ScopeBase, "(objectClass=*)", uuidOf(1)},
		{"CN=Alice, OU=users," + base, ldap.ScopeBase, "(cn=nobody)", uuidOf(1)},
		{"cn=alice,ou=users," + base, ldap.ScopeBase, "(cn=bob)", uuidOf(1)},
		{"cn=alice,ou=users," + base, ldap.ScopeSub, "(objectClass=*)", ""},
		{"cn=alice,ou=users," + base, ldap.ScopeOne, "(objectClass=*)", ""},
		{"cn=alice,ou=virtual-groups," + base, ldap.ScopeBase, "(objectClass=*)", ""},
		{`cn=team\;abcd1234,ou=groups,` + base, ldap.ScopeBase, "(objectClass=*)", ""},
		{"ou=users," + base, ldap.ScopeBase, "(objectClass=*)", ""},
		{base, ldap.ScopeBase, "(objectClass=*)", ""},
		{"", ldap.ScopeBase, "(objectClass=*)", ""},
		{"cn=subschema", ldap.ScopeBase, "(objectClass=*)", ""},
	} {
		res, err := e.Search(admin(), request(t, tt.dn, tt.scope, tt.filter), &recorder{t: t})
		if err != nil || string(res.Read) != tt.want || res.Login != nil {
			t.Errorf("%s %v %s: read %q, %+v, %v; want %q", tt.dn, tt.scope, tt.filter, res.Read, res.Login, err, tt.want)
		}
	}
}

// A base read is never rewritten, whatever is asserted.
func TestBaseReadIsNoLoginSearch(t *testing.T) {
	e := loginEngine(t)
	w := &recorder{t: t}
	res, err := e.Search(admin(), request(t, "cn=alice,ou=users,"+base, ldap.ScopeBase, "(cn=alice;123456)"), w)
	if err != nil || len(w.dns) > 0 || res.Login != nil {
		t.Errorf("%q, %+v, %v", w.dns, res.Login, err)
	}
}

// The limits and controls of a login search are those of the search for the
// bare name, and say nothing else of how many there are.
func TestLoginSearchWithControls(t *testing.T) {
	e := loginEngine(t)
	code := func(filter string, change func(*ldap.SearchRequest)) (dns int, found *login.Search) {
		t.Helper()
		req := request(t, users, ldap.ScopeSub, filter)
		change(req)
		w := &recorder{t: t}
		res, _ := e.Search(admin(), req, w)
		return len(w.dns), res.Login
	}
	paged := func(size int) func(*ldap.SearchRequest) {
		return func(r *ldap.SearchRequest) { r.Controls = []ldap.Control{pagedControl(size, nil)} }
	}
	for _, tt := range []struct {
		name, filter string
		change       func(*ldap.SearchRequest)
		dns          int
		login        bool
	}{
		{"a page", "(mail=alice@example.org;123456)", paged(500), 1, true},
		{"a page of one", "(mail=alice@example.org;123456)", paged(1), 1, true},
		{"a page of one of two", "(mail=twins@example.org)", paged(1), 1, false},
		{"a page of one of two, with a code", "(mail=twins@example.org;123456)", paged(1), 0, false},
		{"limit", "(mail=alice@example.org;123456)", func(r *ldap.SearchRequest) { r.SizeLimit = 1 }, 1, true},
		{"limit below", "(mail=twins@example.org)", func(r *ldap.SearchRequest) { r.SizeLimit = 1 }, 1, false},
		{"sorted", "(mail=alice@example.org;123456)", func(r *ldap.SearchRequest) { r.Controls = []ldap.Control{sortControl("cn")} }, 1, true},
		{"two, sorted", "(mail=twins@example.org)", func(r *ldap.SearchRequest) { r.Controls = []ldap.Control{sortControl("cn")} }, 2, false},
		{"types only", "(mail=alice@example.org;123456)", func(r *ldap.SearchRequest) { r.TypesOnly = true }, 1, true},
	} {
		if dns, login := code(tt.filter, tt.change); dns != tt.dns || (login != nil) != tt.login || login != nil && login.User == "" {
			t.Errorf("%s: %d entries, %+v", tt.name, dns, login)
		}
	}
}

// The cookie belongs to the request as it was sent. A later page is of a
// search that found more than one.
func TestLoginSearchInPages(t *testing.T) {
	e := loginEngine(t)
	req := request(t, users, ldap.ScopeSub, "(mail=twins@example.org)")
	req.Controls = []ldap.Control{pagedControl(1, nil)}
	w := &recorder{t: t}
	first, err := e.Search(admin(), req, w)
	if err != nil {
		t.Fatal(err)
	}
	req.Controls = []ldap.Control{pagedControl(1, cookieOf(t, first.Controls))}
	second, err := e.Search(admin(), req, w)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"cn=twin1,ou=users," + base, "cn=twin2,ou=users," + base}; !slices.Equal(w.dns, want) {
		t.Errorf("pages: %q", w.dns)
	}
	if len(cookieOf(t, second.Controls)) > 0 {
		t.Error("there is a third page")
	}
	if first.Login != nil || second.Login != nil {
		t.Errorf("login searches: %+v, %+v", first.Login, second.Login)
	}
	// Codes that differ make different searches, though both find the same.
	a := fingerprint(nil, request(t, users, ldap.ScopeSub, "(uid=uid-1;111111)"))
	b := fingerprint(nil, request(t, users, ldap.ScopeSub, "(uid=uid-1;222222)"))
	if a == b {
		t.Error("a fingerprint is of what was made of the request")
	}
}

func TestLoginNameIsBounded(t *testing.T) {
	e := loginEngine(t)
	pad := strings.Repeat("\u200b", login.MaxName) // no character at all to the rules of matching
	w := &recorder{t: t}
	res, err := e.Search(admin(), request(t, users, ldap.ScopeSub, "(uid=uid-1"+pad+")"), w)
	if err != nil || len(w.dns) != 1 || res.Login != nil {
		t.Errorf("%q, %v, %v", w.dns, res.Login != nil, err)
	}
}

// A query that was rewritten must leave nothing for the next one.
func TestLoginSearchThenAnother(t *testing.T) {
	e := loginEngine(t)
	for range 3 {
		if w, _, _ := find(t, e, admin(), request(t, users, ldap.ScopeSub, "(uid=uid-1;123456)")); len(w.dns) != 1 {
			t.Errorf("login search: %q", w.dns)
		}
		if w, _, _ := find(t, e, admin(), request(t, base, ldap.ScopeSub, "(displayName=person bob)")); len(w.dns) != 1 {
			t.Errorf("another: %q", w.dns)
		}
	}
}

func TestOtherSearchesDoNotAllocateForLogins(t *testing.T) {
	e := loginEngine(t)
	snap := e.cfg.Forest().Trees()[0]
	for _, filter := range []string{
		"(&(objectClass=user)(displayName=Person alice))",
		"(&(objectClass=user)(|(uid=UID-1)(uid=uid-2)))",
		"(&(objectClass=user)(|(uid=UID-1)(displayName=uid-1*)))",
		"(&(objectClass=user)(|(nosuch=UID-1)(login=x)(login=y)))",
	} {
		r := run{e: e, q: new(query), snap: snap, all: true, req: request(t, base, ldap.ScopeSub, filter)}
		r.q.compile(snap, r.req.Filter)
		allocs := testing.AllocsPerRun(100, func() {
			if l, err := r.login(); l != nil || err != nil {
				t.Fatalf("%s: %+v, %v", filter, l, err)
			}
		})
		if allocs > 0 {
			t.Errorf("%s: %v allocations", filter, allocs)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() {
		r := run{snap: snap}
		for id := range directory.ID(snap.Len()) {
			r.user(id)
		}
	}); allocs > 0 {
		t.Errorf("base reads: %v allocations", allocs)
	}
}

// FuzzLogin looks users up by any name in Nextcloud's way. Whoever is found
// has that name, or the name in front of the code.
func FuzzLogin(f *testing.F) {
	for _, s := range []string{"alice", "alice;123456", "carol;123456", "carol;123456;654321", "ALICE ;123456", "\xff;123456", ";123456", "a;b;abcdefgh"} {
		f.Add(s)
	}
	e := loginEngine(f)
	plain := loginEngine(f)
	plain.cfg.Login.Separator = ""
	f.Fuzz(func(t *testing.T, name string) {
		req := request(t, users, ldap.ScopeSub, "(&(objectClass=user)(|(cn=x)(mail=x)))")
		for i := range req.Filter {
			if string(req.Filter[i].Value) == "x" {
				req.Filter[i].Value = []byte(name)
			}
		}
		w := &recorder{t: t}
		res, err := e.Search(admin(), req, w)
		if err != nil {
			t.Fatal(err)
		}
		l := res.Login
		if l == nil {
			if len(w.dns) == 1 && len(name) <= login.MaxName {
				t.Fatalf("%q finds %q and is no login search", name, w.dns)
			}
			return
		}
		if whole := l.Name + string(l.Code); l.Code != "" && l.Name+";"+string(l.Code) != name || l.Code == "" && whole != name {
			t.Fatalf("%q is taken apart as %q and %q", name, l.Name, string(l.Code))
		}
		for i := range req.Filter {
			if string(req.Filter[i].Value) == name {
				req.Filter[i].Value = []byte(l.Name)
			}
		}
		same := &recorder{t: t}
		if _, err := plain.Search(admin(), req, same); err != nil || !slices.Equal(same.dns, w.dns) {
			t.Fatalf("%q finds %q, %q finds %q (%v)", name, w.dns, l.Name, same.dns, err)
		}
	})
}
