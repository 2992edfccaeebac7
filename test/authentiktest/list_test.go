package authentiktest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	ak "ldapd/internal/authentik/authentiktest"
	"ldapd/internal/testclock"
)

func addUsers(s *ak.Server, n int) {
	for i := range n {
		s.AddUser(ak.User{Username: fmt.Sprintf("u%03d", i)})
	}
}

func TestPageSizes(t *testing.T) {
	for _, test := range []struct {
		o         ak.Options
		query     string
		size, all int // rows on the page, pages
	}{
		{ak.Options{Version: ak.V2026_5}, "", 20, 13},
		{ak.Options{Version: ak.V2026_5}, "?page_size=50", 50, 6},
		{ak.Options{Version: ak.V2026_5}, "?page_size=500", 100, 3},
		{ak.Options{Version: ak.V2026_5}, "?page_size=0", 20, 13},
		{ak.Options{Version: ak.V2026_5}, "?page_size=x", 20, 13},
		{ak.Options{Version: ak.V2026_5}, "?page=last", 11, 13},
		{ak.Options{Version: ak.V2026_5, PageSize: 7, MaxPageSize: 9}, "", 7, 36},
		{ak.Options{Version: ak.V2026_5, PageSize: 7, MaxPageSize: 9}, "?page_size=100", 9, 28},
		{ak.Options{Version: ak.V2025_10}, "", 100, 3},
		{ak.Options{Version: ak.V2025_10}, "?page_size=500", 251, 1},
	} {
		t.Run(test.o.Version+test.query, func(t *testing.T) {
			s := ak.New(t, test.o)
			addUsers(s, 250)
			c := newClient(t, s)
			c.check.lax = true
			a := c.get("core/users/" + test.query)
			want(t, "rows", len(a.results()), test.size)
			want(t, "pages", a.pagination("total_pages"), test.all)
			want(t, "count", a.pagination("count"), 251)
		})
	}
}

func TestPaging(t *testing.T) {
	s := ak.New(t, ak.Options{})
	addUsers(s, 44)
	c := newClient(t, s)
	var seen []any
	for page, w := range [][5]int{{2, 0, 1, 1, 20}, {3, 1, 2, 21, 40}, {0, 2, 3, 41, 45}} {
		a := c.get(fmt.Sprintf("core/users/?page=%d&ordering=pk", page+1))
		var have [5]int
		for i, name := range []string{"next", "previous", "current", "start_index", "end_index"} {
			have[i] = a.pagination(name)
		}
		want(t, "pagination", have, w)
		seen = append(seen, a.column("pk")...)
		if _, ok := a.m["autocomplete"].(map[string]any); !ok {
			t.Error("no autocomplete")
		}
	}
	want(t, "rows", len(seen), 45)
	c.check.lax = true
	for _, page := range []string{"4", "0", "-1", "x"} {
		a := c.get("core/users/?page=" + page)
		want(t, page, []any{a.status, a.m["detail"]}, []any{404, "Invalid page."})
	}
	a := c.get("core/groups/")
	want(t, "empty", string(a.body),
		`{"pagination":{"next":0,"previous":0,"count":0,"current":1,"total_pages":1,"start_index":0,"end_index":0},"results":[],"autocomplete":{}}`)
}

func TestNoAutocomplete(t *testing.T) {
	s := ak.New(t, ak.Options{NoAutocomplete: true})
	c := newClient(t, s)
	for _, name := range []string{"PaginatedUserList", "PaginatedGroupList"} {
		v := *c.check.spec.doc.Components.Schemas[name].Value
		if v.Required[len(v.Required)-1] != "autocomplete" {
			t.Fatalf("%s requires %q", name, v.Required)
		}
	}
	r := c.request("GET", "/api/v3/core/users/", "")
	r.Header.Set("Authorization", "Bearer "+s.Token)
	resp, err := c.check.base.RoundTrip(r) // unchecked, the description wants it
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var m map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		t.Fatal(err)
	}
	if _, ok := m["autocomplete"]; ok || m["results"] == nil {
		t.Errorf("got %v", m)
	}
}

func TestPageDrift(t *testing.T) {
	s := ak.New(t, ak.Options{PageSize: 2})
	addUsers(s, 5)
	c := newClient(t, s)
	s.Inject(ak.Fault{Endpoint: ak.Users, Skip: 1, Times: 1, Do: func() { s.RemoveUser("u000") }})
	var seen []any
	for page := 1; page != 0; {
		a := c.get(fmt.Sprintf("core/users/?ordering=username&page=%d", page))
		seen = append(seen, a.column("username")...)
		page = a.pagination("next")
	}
	// The service account comes first; u001 was skipped.
	want(t, "seen", seen[1:], []string{"u000", "u002", "u003", "u004"})
}

func TestUserFilters(t *testing.T) {
	now := testclock.At(began)
	s := ak.New(t, ak.Options{Now: now.Now})
	all := s.AddGroup(ak.Group{Name: "all", Superuser: true})
	s.AddGroup(ak.Group{Name: "staff", Parents: []string{"all"}})
	s.AddGroup(ak.Group{Name: "loop"})
	alice := s.AddUser(ak.User{Username: "alice", Name: "Alice A", Email: "a@example.org", Groups: []string{"staff"}, Roles: []string{"helper"},
		Attributes: map[string]any{"a": map[string]any{"b": 1.0}, "upn": "x"}})
	now.Advance(time.Second)
	s.AddUser(ak.User{Username: "Bob", Name: "Bob B", Email: "b@example.org", Inactive: true, Path: "users/ext", Type: ak.External, Groups: []string{"all"},
		LastLogin: now.Now()})
	at := now.Now().Format("2006-01-02T15:04:05.000000Z")
	now.Advance(time.Second)
	s.AddUser(ak.User{Username: "carol", Type: ak.ServiceAccount, Path: "goauthentik.io/x"})
	const outpost = "ak-outpost-99999999999949998999999999999999"
	c := newClient(t, s)
	for _, test := range []struct {
		query string
		want  []string
	}{
		{"", []string{"Bob", outpost, "alice", "carol"}},
		{"ordering=pk", []string{outpost, "alice", "Bob", "carol"}},
		{"ordering=-pk", []string{"carol", "Bob", "alice", outpost}},
		{"ordering=nothing", []string{"Bob", outpost, "alice", "carol"}},
		{"ordering=nothing,-is_active,email,-username", []string{"carol", outpost, "alice", "Bob"}},
		{"ordering=-last_updated", []string{"carol", "Bob", outpost, "alice"}},
		{"username=alice", []string{"alice"}},
		{"username=ALICE", nil},
		{"email=b%40example.org", []string{"Bob"}},
		{"name=Alice+A", []string{"alice"}},
		{"path=users", []string{"alice"}},
		{"path_startswith=users", []string{"Bob", "alice"}},
		{"is_active=false", []string{"Bob"}},
		{"is_active=true", []string{outpost, "alice", "carol"}},
		{"is_superuser=true", []string{"Bob", "alice"}},
		{"type=external&type=service_account", []string{"Bob", "carol"}},
		{"uuid=" + alice.UUID, []string{"alice"}},
		{"groups_by_name=staff", []string{"alice"}},
		{"groups_by_name=staff&groups_by_name=all", []string{"Bob", "alice"}},
		{"groups_by_pk=" + all.PK, []string{"Bob"}},
		{"roles_by_name=helper", []string{"alice"}},
		{"attributes=" + url.QueryEscape(`{"a__b":1}`), []string{"alice"}},
		{"attributes=" + url.QueryEscape(`{"a":{"b":1},"upn":"x"}`), []string{"alice"}},
		{"attributes=" + url.QueryEscape(`{"a":1}`), nil},
		{"search=EXAMPLE", []string{"Bob", "alice"}},
		{"search=alice+a", []string{"alice"}},
		{"last_updated__gt=" + at, []string{"carol"}},
		{"last_updated__lt=" + at, []string{outpost, "alice"}},
		{"last_updated=" + at, []string{"Bob"}},
		{"date_joined__gt=" + at, []string{"carol"}},
		{"last_login__isnull=false", []string{"Bob"}},
		{"last_login__lt=" + at, nil},
	} {
		var have []string
		for _, name := range c.get("core/users/?" + test.query).column("username") {
			have = append(have, name.(string))
		}
		want(t, test.query, have, test.want)
	}
	c.check.lax = true
	for query, msg := range map[string]string{
		"groups_by_name=x": `{"groups_by_name":["Select a valid choice. x is not one of the available choices."]}`,
		"type=robot":       `{"type":["Select a valid choice. robot is not one of the available choices."]}`,
		"attributes=x":     `{"attributes":["Value must be valid JSON."]}`,
		"uuid=x":           `{"uuid":["Enter a valid UUID."]}`,
		"last_updated__gt=2026-02-03T00:00:00+00": `{"last_updated__gt":["Enter a valid date/time."]}`,
	} {
		a := c.get("core/users/?" + query)
		want(t, query, []any{a.status, string(a.body)}, []any{400, msg})
	}
}

func TestUserObject(t *testing.T) {
	versions(t, func(t *testing.T, version string) {
		s := ak.New(t, ak.Options{Version: version})
		s.AddGroup(ak.Group{Name: "all", PK: "22222222-2222-4222-8222-222222222222"})
		s.AddGroup(ak.Group{Name: "staff", PK: "11111111-1111-4111-8111-111111111111", Parents: []string{"all"}})
		u := s.AddUser(ak.User{Username: "alice", Groups: []string{"staff"}, Roles: []string{"r"}})
		c := newClient(t, s)
		row := c.get(fmt.Sprintf("core/users/%d/", u.PK)).m
		g := row["groups_obj"].([]any)[0].(map[string]any)
		want(t, "num_pk", g["num_pk"], 22685)
		want(t, "direct groups", row["groups"], []string{"11111111-1111-4111-8111-111111111111"})
		_, roles := row["roles_obj"]
		want(t, "roles", roles, version == ak.V2026_5)
		want(t, "parent_name", g["parent_name"], map[string]any{ak.V2026_5: nil, ak.V2025_10: "all"}[version])
		row = c.get("core/users/?include_groups=false&include_roles=false&username=alice").results()[0].(map[string]any)
		want(t, "groups_obj", row["groups_obj"], nil)
		want(t, "roles_obj", row["roles_obj"], nil)
		want(t, "groups", len(row["groups"].([]any)), 1)
	})
}

func TestGroupObject(t *testing.T) {
	versions(t, func(t *testing.T, version string) {
		s := ak.New(t, ak.Options{Version: version})
		s.AddGroup(ak.Group{Name: "all", Roles: []string{"reader"}})
		g := s.AddGroup(ak.Group{Name: "staff", Parents: []string{"all"}})
		s.AddGroup(ak.Group{Name: "sub", Parents: []string{"staff"}})
		alice := s.AddUser(ak.User{Username: "alice", Groups: []string{"staff"}})
		c := newClient(t, s)
		row := c.get("core/groups/?name=staff").results()[0].(map[string]any)
		want(t, "users", row["users"], []int{alice.PK})
		want(t, "users_obj", row["users_obj"].([]any)[0].(map[string]any)["username"], "alice")
		want(t, "children", len(row["children"].([]any)), 1)
		want(t, "children_obj", row["children_obj"], nil)
		row = c.get("core/groups/" + g.PK + "/?include_users=false&include_children=true&include_parents=true&include_inherited_roles=true").m
		want(t, "users", row["users"], []int{alice.PK})
		want(t, "users_obj", row["users_obj"], nil)
		want(t, "child", row["children_obj"].([]any)[0].(map[string]any)["name"], "sub")
		if version == ak.V2026_5 {
			want(t, "parent", row["parents_obj"].([]any)[0].(map[string]any)["name"], "all")
			want(t, "inherited", row["inherited_roles_obj"].([]any)[0].(map[string]any)["name"], "reader")
		} else {
			want(t, "parent", row["parent_name"], "all")
		}
		for query, names := range map[string][]string{
			"members_by_username=alice":                     {"staff"},
			fmt.Sprintf("members_by_pk=%d", alice.PK):       {"staff"},
			"ordering=-name":                                {"sub", "staff", "all"},
			"search=s":                                      {"staff", "sub"},
			"members_by_username=" + serviceAccount + "&a=": nil,
		} {
			c.check.lax = strings.HasSuffix(query, "&a=")
			want(t, query, c.get("core/groups/?"+query).column("name"), names)
		}
		want(t, "unknown member", c.get("core/groups/?members_by_username=x").status, 400)
	})
}

const serviceAccount = "ak-outpost-99999999999949998999999999999999"

func TestOddDirectory(t *testing.T) {
	s := ak.New(t, ak.Options{})
	names := []string{`a,b`, `a+b`, `"q"`, `a;123456`, ` lead`, `Jürgen`, `日本`, `a\b`, `<&>`}
	for _, name := range names {
		s.AddUser(ak.User{Username: name, Name: name})
	}
	a := s.AddGroup(ak.Group{Name: "a", PK: "11111111-1111-4111-8111-111111111111"})
	b := s.AddGroup(ak.Group{Name: "b", PK: "11111111-1111-4111-8111-111111111112", Parents: []string{"a"}})
	a.Parents = []string{"b"}
	s.SetGroup(a)
	b.Parents = []string{"a", "b"}
	s.SetGroup(b)
	s.AddMember("a", `a,b`)
	attrs := map[string]any{"s": "x", "n": 12, "f": 1.5, "b": true, "z": nil, "l": []any{"x", nil, 1}, "o": map[string]any{"k": "v"}, "mail": "other@x"}
	s.EditUser(`"q"`, func(u *ak.User) { u.Attributes = attrs })

	c := newClient(t, s)
	have := make(map[string]bool)
	for _, name := range c.get("core/users/").column("username") {
		have[name.(string)] = true
	}
	for _, name := range names {
		if !have[name] {
			t.Errorf("%q is missing", name)
		}
	}
	groups := c.get("core/groups/?include_parents=true&include_children=true")
	want(t, "num_pk", groups.column("num_pk"), []int{22685, 22685})
	want(t, "parents", groups.column("parents"), [][]string{{b.PK}, {a.PK, b.PK}})
	row := c.get("core/users/?username=%22q%22").results()[0].(map[string]any)
	want(t, "attributes", row["attributes"], attrs)
	want(t, "email", row["email"], "")
	clear(attrs) // the server keeps its own
	want(t, "kept", len(s.User(`"q"`).Attributes), 8)
	c.login(`a;123456`, "x")
	want(t, "superuser in a cycle", c.get("core/users/?is_superuser=true").pagination("count"), 0)
}

func TestState(t *testing.T) {
	now := testclock.At(began)
	s := ak.New(t, ak.Options{Now: now.Now})
	s.AddGroup(ak.Group{Name: "staff"})
	u := s.AddUser(ak.User{Username: "alice", Password: "one", Devices: []ak.Device{{Class: ak.ClassStatic, Tokens: []string{"a", "b"}}}})
	now.Advance(time.Second)
	s.AddMember("staff", "alice")
	want(t, "membership moves nothing", s.User("alice").LastUpdated, u.LastUpdated)
	v := s.EditUser("alice", func(u *ak.User) { u.Email = "a@x" })
	want(t, "saved", v.LastUpdated, now.Now())
	want(t, "password date", v.PasswordChanged, u.PasswordChanged)
	want(t, "groups", len(v.Groups), 1)
	now.Advance(time.Second)
	v = s.EditUser("alice", func(u *ak.User) { u.Password = "two"; u.Username = "alicia" })
	want(t, "password date", v.PasswordChanged, now.Now())
	c := newClient(t, s)
	want(t, "renamed", c.get("core/groups/").results()[0].(map[string]any)["users_obj"].([]any)[0].(map[string]any)["username"], "alicia")
	s.RemoveMember("staff", "alicia")
	want(t, "left", c.get("core/users/?groups_by_name=staff").pagination("count"), 0)
	s.AddMember("staff", "alicia")
	s.RemoveGroup("staff")
	want(t, "no groups", len(s.User("alicia").Groups), 0)
	s.RemoveUser("alicia")
	want(t, "gone", c.get(fmt.Sprintf("core/users/%d/", u.PK)).status, 404)

	s.AllowSetPassword(true)
	w := s.AddUser(ak.User{Username: "bob", Password: "one"})
	now.Advance(time.Second)
	for body, status := range map[string]int{`{"password":" two "}`: 204, `{"password":"  "}`: 400, `{}`: 400} {
		c.check.lax = status == 400
		r := c.request("POST", fmt.Sprintf("/api/v3/core/users/%d/set_password/", w.PK), body)
		r.Header.Set("Authorization", "Bearer "+s.Token)
		want(t, body, c.do(r).status, status)
	}
	want(t, "password", s.User("bob").Password, "two")
	want(t, "date", s.User("bob").PasswordChanged, now.Now())
}

func TestOutposts(t *testing.T) {
	s := ak.New(t, ak.Options{})
	s.SetOutpost(ak.Outpost{PK: "11111111-1111-4111-8111-111111111111", Name: "A proxy", Type: "proxy"})
	s.SetProvider(ak.Provider{PK: 8, Name: "a second", BindFlow: "x", Application: "b", NoMFA: true, BindMode: "cached"})
	s.SetProvider(ak.Provider{PK: 9, Name: "not attached", BindFlow: "x"})
	s.SetProvider(ak.Provider{PK: 10, Name: "of nobody", BindFlow: "x", Application: "c"})
	s.SetOutpost(ak.Outpost{PK: ak.DefaultOutpost, Name: "LDAP", Providers: []int{7, 8, 9}, Config: map[string]any{"log_level": "trace", "docker_network": nil}})
	c := newClient(t, s)
	a := c.get("outposts/instances/")
	want(t, "own outpost", a.column("pk"), []string{ak.DefaultOutpost})
	config := a.column("config")[0].(map[string]any)
	_, network := config["docker_network"]
	want(t, "config", []any{config["log_level"], network}, []any{"trace", false})
	a = c.get("outposts/ldap/?page=1&page_size=100")
	want(t, "providers", a.column("pk"), []int{8, 7})
	want(t, "mfa", a.column("mfa_support"), []bool{false, true})
	want(t, "unbind", a.column("unbind_flow_slug"), []any{nil, ak.DefaultInvalidation})
	s.RemoveProvider(8)
	want(t, "removed", c.get("outposts/ldap/").column("pk"), []int{7})
	s.RemoveOutpost(ak.DefaultOutpost)
	want(t, "no outpost", len(c.get("outposts/instances/").results()), 0)

	s = ak.New(t, ak.Options{Admin: true})
	s.SetOutpost(ak.Outpost{PK: "11111111-1111-4111-8111-111111111111", Name: "A proxy", Type: "proxy"})
	want(t, "an administrator's", newClient(t, s).get("outposts/instances/").column("type"), []string{"proxy", "ldap"})
}

func TestKeyPairs(t *testing.T) {
	s := ak.New(t, ak.Options{})
	pk := s.SetKeyPair(ak.NewCertificate(t, "ldap", "ldap.example.org"))
	c := newClient(t, s)
	path := "crypto/certificatekeypairs/" + pk + "/"
	first := c.get(path).m
	if cert, _ := c.get(path + "view_certificate/").m["data"].(string); !strings.HasPrefix(cert, "-----BEGIN CERTIFICATE-----") {
		t.Errorf("certificate %q", cert)
	}
	if key, _ := c.get(path + "view_private_key/").m["data"].(string); !strings.HasPrefix(key, "-----BEGIN PRIVATE KEY-----") {
		t.Errorf("key of %d bytes", len(key))
	}
	s.SetKeyPair(ak.NewCertificate(t, "ldap", "ldap.example.org"))
	if c.get(path).m["fingerprint_sha256"] == first["fingerprint_sha256"] {
		t.Error("the fingerprint did not change")
	}
	s.SetKeyPair(ak.KeyPairData{PK: pk, Name: "ldap", NoFingerprint: true})
	want(t, "no fingerprint", c.get(path).m["fingerprint_sha256"], nil)
	want(t, "no key", c.get(path + "view_private_key/").m["data"], "")
	s.SetKeyPair(ak.KeyPairData{PK: pk, Name: "ldap", KeyForbidden: true})
	want(t, "forbidden", c.get(path+"view_private_key/").status, 403)
	s.RemoveKeyPair(pk)
	want(t, "removed", c.get(path).status, 404)
}

func TestTokens(t *testing.T) {
	s := ak.New(t, ak.Options{})
	c := newClient(t, s)
	want(t, "good", c.get("core/users/").status, 200)
	next := s.RotateToken()
	a := c.get("core/users/")
	want(t, "old", []any{a.status, string(a.body)}, []any{403, `{"detail":"Token invalid/expired"}`})
	c.token = next
	want(t, "new", c.get("core/users/").status, 200)
	want(t, "none", string(c.do(c.request("GET", "/api/v3/core/users/", "")).body), `{"detail":"Authentication credentials were not provided."}`)
	if id := c.get("root/config/").header.Get("X-authentik-id"); len(id) != 32 {
		t.Errorf("request id %q", id)
	}
}

func TestPaths(t *testing.T) {
	s := ak.New(t, ak.Options{BasePath: "/auth/"})
	if !strings.HasSuffix(s.URL, "/auth/") {
		t.Fatalf("URL %q", s.URL)
	}
	s.AddUser(ak.User{Username: "alice", Password: "secret"})
	c := newClient(t, s)
	c.check.lax = true
	want(t, "with slash", c.get("core/users/").status, 200)
	want(t, "without", c.get("core/users").status, 404)
	want(t, "complaints", len(s.Complaints()), 1)
	r := c.request("DELETE", "/api/v3/core/users/", "")
	want(t, "method", c.do(r).m["detail"], `Method "DELETE" not allowed.`)
	a := c.asUser("POST", "/api/v3/flows/executor/"+ak.DefaultFlow+"/"+outpostQuery, `{"component":"ak-stage-identification","uid_field":"alice"}`)
	want(t, "location", a.header.Get("Location"), "/auth/api/v3/flows/executor/"+ak.DefaultFlow+"/"+outpostQuery)
	want(t, "cookie path", c.cookies[ak.CookieSession].Path, "/auth/")
}
