package search

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/login"
)

const base = "dc=ldap,dc=goauthentik,dc=io"

// recorder is a Writer that decodes what it is given.
type recorder struct {
	t       testing.TB
	dns     []string
	entries []*goldap.Entry
	slow    bool
	stopAt  int // Commit fails from this entry on; 0: never
}

func (r *recorder) MessageID() int32 { return 7 }
func (r *recorder) Buf() []byte      { return nil }
func (r *recorder) Slow()            { r.slow = true }

var errStop = errors.New("stop")

func (r *recorder) Err() error {
	if r.stopAt > 0 && len(r.dns) >= r.stopAt {
		return errStop
	}
	return nil
}

func (r *recorder) Commit(b []byte) error {
	p, err := ber.DecodePacketErr(b)
	if err != nil {
		r.t.Fatalf("entry is no BER: %v", err)
	}
	if got := len(p.Bytes()); got != len(b) {
		r.t.Fatalf("entry is %d bytes, its BER %d", len(b), got)
	}
	body := p.Children[1]
	e := &goldap.Entry{DN: body.Children[0].Value.(string)}
	for _, a := range body.Children[1].Children {
		attr := &goldap.EntryAttribute{Name: a.Children[0].Value.(string)}
		for _, v := range a.Children[1].Children {
			attr.Values = append(attr.Values, v.Data.String())
		}
		e.Attributes = append(e.Attributes, attr)
	}
	r.dns = append(r.dns, e.DN)
	r.entries = append(r.entries, e)
	return r.Err()
}

// newTree makes n users, user0 being in every group and userN in group N%5.
func newTree(t testing.TB, n int) *directory.Snapshot {
	t.Helper()
	groups := make([]directory.Group, 5)
	for i := range groups {
		groups[i] = directory.Group{UUID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Name: fmt.Sprintf("group%d", i), NumPK: int64(i)}
	}
	groups[0].Parents = []string{groups[1].UUID}
	groups[1].Parents = []string{groups[2].UUID}
	users := make([]directory.User, n)
	for i := range users {
		users[i] = directory.User{
			UUID: fmt.Sprintf("10000000-0000-4000-8000-%012d", i), PK: int64(i),
			Username: fmt.Sprintf("user%d", i), UID: fmt.Sprintf("uid-%d", i),
			Name: fmt.Sprintf("Person %c%d", 'A'+i%7, i), Email: fmt.Sprintf("user%d@example.org", i), Active: true,
			Groups: []string{groups[i%5].UUID},
			Attrs:  map[string]any{"title": fmt.Sprintf("T%d", i%3)},
		}
		if i%4 == 0 {
			users[i].Attrs["description"] = []any{"first", fmt.Sprintf("Second  %d", i)}
		}
	}
	users[0].Groups = nil
	for _, g := range groups {
		users[0].Groups = append(users[0].Groups, g.UUID)
	}
	s, problems := directory.Tree{BaseDN: base, UIDStart: 2000, GIDStart: 4000}.Build(users, groups)
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	return s
}

func newEngine(s *directory.Snapshot) *Engine {
	var forest *directory.Forest
	if s != nil {
		forest = directory.NewForest(s)
	}
	return New(Config{
		Forest:    func() *directory.Forest { return forest },
		CookieKey: []byte("0123456789abcdef0123456789abcdef"),
		Version:   "test",
		Login:     login.Config{Attributes: []string{"cn", "uid", "sAMAccountName", "mail", "userPrincipalName"}, Separator: ";"},
	})
}

var admin = func() *Viewer { return NewViewer(base, "10000000-0000-4000-8000-000000000000", true) }

func request(t testing.TB, dn string, scope ldap.Scope, filter string, attrs ...string) *ldap.SearchRequest {
	t.Helper()
	p, err := goldap.CompileFilter(filter)
	if err != nil {
		t.Fatalf("%s: %v", filter, err)
	}
	f, err := ldap.ParseFilter(p.Bytes(), ldap.FilterLimits{})
	if err != nil {
		t.Fatalf("%s: %v", filter, err)
	}
	req := &ldap.SearchRequest{Base: []byte(dn), Scope: scope, Filter: f}
	for _, a := range attrs {
		req.Attributes = append(req.Attributes, []byte(a))
	}
	return req
}

func find(t testing.TB, e *Engine, v *Viewer, req *ldap.SearchRequest) (*recorder, ldap.ResultCode, []byte) {
	t.Helper()
	w := &recorder{t: t}
	found, err := e.Search(v, req, w)
	controls := found.Controls
	var res *ldap.Error
	switch {
	case errors.As(err, &res):
		return w, res.Code, controls
	case err != nil:
		t.Fatalf("search: %v", err)
	}
	return w, ldap.ResultSuccess, controls
}

func pagedControl(size int, cookie []byte) ldap.Control {
	c := goldap.NewControlPaging(uint32(size))
	c.SetCookie(cookie)
	p := c.Encode()
	r, err := ldap.ParseControls(nil, p.Bytes())
	if err != nil {
		panic(err)
	}
	return r[0]
}

// cookieOf returns the cookie in the response controls.
func cookieOf(t testing.TB, controls []byte) []byte {
	t.Helper()
	list, err := ldap.ParseControls(nil, controls)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if string(c.OID) == ldap.OIDPagedResults {
			p, err := ldap.ParsePagedResults(c.Value)
			if err != nil {
				t.Fatal(err)
			}
			return p.Cookie
		}
	}
	t.Fatal("no paging control in the response")
	return nil
}

func TestScopes(t *testing.T) {
	e := newEngine(newTree(t, 10))
	for _, tt := range []struct {
		base   string
		scope  ldap.Scope
		filter string
		want   int
		code   ldap.ResultCode
	}{
		{base, ldap.ScopeBase, "(objectClass=*)", 1, 0},
		{base, ldap.ScopeOne, "(objectClass=*)", 3, 0},
		{base, ldap.ScopeSub, "(objectClass=*)", 4 + 10 + 5 + 10, 0},
		{"OU=Users , " + base, ldap.ScopeSub, "(objectClass=user)", 10, 0},
		{"ou=users," + base, ldap.ScopeOne, "(objectClass=*)", 10, 0},
		{"ou=users," + base, ldap.ScopeSub, "(objectClass=*)", 11, 0},
		{"cn=user3,ou=users," + base, ldap.ScopeSub, "(objectClass=*)", 1, 0},
		{"cn=user3,ou=users," + base, ldap.ScopeOne, "(objectClass=*)", 0, 0},
		{`cn=\75ser3,ou=users,` + base, ldap.ScopeBase, "(objectClass=*)", 1, 0},
		{"cn=nobody,ou=users," + base, ldap.ScopeBase, "(objectClass=*)", 0, ldap.ResultNoSuchObject},
		{"dc=elsewhere", ldap.ScopeSub, "(objectClass=*)", 0, ldap.ResultNoSuchObject},
		{"no DN", ldap.ScopeSub, "(objectClass=*)", 0, ldap.ResultInvalidDNSyntax},
		{"", ldap.ScopeBase, "(objectClass=*)", 1, 0},
		{"", ldap.ScopeOne, "(objectClass=*)", 0, 0},
		{"cn=subschema", ldap.ScopeBase, "(objectClass=subschema)", 1, 0},
		{"cn=subschema", ldap.ScopeBase, "(objectClass=person)", 0, 0},
	} {
		w, code, _ := find(t, e, admin(), request(t, tt.base, tt.scope, tt.filter))
		if len(w.dns) != tt.want || code != tt.code {
			t.Errorf("%q %v %s: %d entries, %v; want %d, %v", tt.base, tt.scope, tt.filter, len(w.dns), code, tt.want, tt.code)
		}
	}
}

func TestNoSuchObjectNamesTheNearestEntry(t *testing.T) {
	e := newEngine(newTree(t, 2))
	for dn, want := range map[string]string{
		"cn=a,":                        "",
		"cn=a,ou=users,":               "ou=users,",
		"cn=a,cn=b,ou=users,":          "ou=users,",
		"cn=a,cn=user1,ou=users,":      "cn=user1,ou=users,",
		"cn=a,cn=b,cn=user1,ou=users,": "cn=user1,ou=users,",
		"cn=a,cn=b,cn=c,":              "",
		strings.Repeat("cn=a,", 200):   "",
		strings.Repeat("cn=a,", 200) + "cn=user1,ou=users,": "cn=user1,ou=users,",
	} {
		_, err := e.Search(admin(), request(t, dn+base, ldap.ScopeBase, "(cn=*)"), &recorder{t: t})
		var res *ldap.Error
		if !errors.As(err, &res) || res.Code != ldap.ResultNoSuchObject || res.MatchedDN != want+base {
			t.Errorf("%.40s: %v, matched %q", dn, err, res.MatchedDN)
		}
	}
}

func TestUnboundSeesOnlyWhatIsPublic(t *testing.T) {
	e := newEngine(newTree(t, 2))
	for dn, want := range map[string]ldap.ResultCode{
		"": 0, "cn=subschema": 0, base: ldap.ResultOperationsError, "cn=nobody": ldap.ResultOperationsError,
	} {
		if _, code, _ := find(t, e, nil, request(t, dn, ldap.ScopeBase, "(objectClass=*)")); code != want {
			t.Errorf("%q: %v, want %v", dn, code, want)
		}
	}
}

func TestDirectoryNeverLoaded(t *testing.T) {
	e := newEngine(nil)
	if _, code, _ := find(t, e, admin(), request(t, base, ldap.ScopeSub, "(cn=*)")); code != ldap.ResultUnavailable {
		t.Errorf("search: %v, want unavailable", code)
	}
	if _, err := e.Compare(admin(), &ldap.CompareRequest{}); !errors.Is(err, errNotLoaded) {
		t.Errorf("compare: %v, want unavailable", err)
	}
}

func TestViewerWithoutSearchRight(t *testing.T) {
	e := newEngine(newTree(t, 10))
	v := NewViewer(base, "10000000-0000-4000-8000-000000000003", false)
	w, _, _ := find(t, e, v, request(t, base, ldap.ScopeSub, "(objectClass=*)"))
	want := []string{
		base, "ou=users," + base, "cn=user3,ou=users," + base, "ou=groups," + base, "cn=group3,ou=groups," + base,
		"ou=virtual-groups," + base, "cn=user3,ou=virtual-groups," + base,
	}
	if !slices.Equal(w.dns, want) {
		t.Errorf("sees %q", w.dns)
	}
	for _, g := range w.entries {
		if m := g.GetAttributeValues("member"); len(m) > 0 && !slices.Equal(m, want[2:3]) {
			t.Errorf("%s shows members %q", g.DN, m)
		}
	}
	if _, code, _ := find(t, e, v, request(t, "cn=user4,ou=users,"+base, ldap.ScopeBase, "(objectClass=*)")); code != ldap.ResultNoSuchObject {
		t.Errorf("another user: %v, want noSuchObject", code)
	}
}

func TestViewerThatIsGone(t *testing.T) {
	e := newEngine(newTree(t, 2))
	v := NewViewer(base, "10000000-0000-4000-8000-00000000ffff", true)
	if _, code, _ := find(t, e, v, request(t, base, ldap.ScopeSub, "(cn=*)")); code != ldap.ResultOperationsError {
		t.Errorf("got %v, want operationsError", code)
	}
}

func TestFilters(t *testing.T) {
	e := newEngine(newTree(t, 20))
	for filter, want := range map[string]int{
		"(cn=user1)":      1,
		"(CN=USER1)":      1,
		"(2.5.4.3=user1)": 1,
		"(|(cn=user1)(mail=user2@example.org)(cn=user1))": 2,
		"(&(objectClass=user)(cn=user1*))":                11,
		"(cn=*1)":                                         2,
		"(cn=u*e*1*)":                                     11,
		"(cn=use*ser1)":                                   0, // pieces do not overlap
		"(displayName=person a*)":                         3,
		"(displayName=*a1*)":                              1, // A14
		"(description=second 4)":                          1,
		"(description=*ND  4)":                            1,
		"(description=*)":                                 5,
		"(!(description=*))":                              15,
		"(title>=t1)":                                     13,
		"(uidNumber>=2018)":                               2,
		"(uidNumber<=2001)":                               2,
		"(uidNumber=02001)":                               1,
		"(uidNumber=x)":                                   0,
		"(!(uidNumber=x))":                                0, // undefined, not false
		"(nosuch=x)":                                      0,
		"(!(nosuch=x))":                                   0,
		"(!(nosuch=*))":                                   0,
		"(|(nosuch=x)(cn=user1))":                         1,
		"(&(nosuch=x)(cn=user1))":                         0,
		"(cn~=USER1)":                                     1,
		"(cn:=user1)":                                     1,
		"(cn:caseExactMatch:=USER1)":                      0,
		"(cn:caseExactMatch:=user1)":                      1,
		"(:caseIgnoreMatch:=user1)":                       1,
		"(ou:dn:=users)":                                  20,
		"(cn:2.5.13.99:=user1)":                           0,
		"(memberOf=cn=group1,ou=groups," + base + ")":     5,
		"(memberOf= CN=Group1 , OU=groups," + base + ")":  5,
		"(memberOf=nonsense)":                             0,
		"(memberOf:1.2.840.113556.1.4.1941:=cn=group2,ou=groups," + base + ")": 12, // those of group0, whose parent is group1, whose parent is group2
		"(&)":                      20, // RFC 4526: true
		"(|)":                      0,
		"(&(|(objectclass=user)))": 20,
		"(entryDN=cn=user7,ou=users," + base + ")":         1,
		"(entryUUID=10000000-0000-4000-8000-000000000007)": 1,
		"(userPassword=*)": 0,
	} {
		w, code, _ := find(t, e, admin(), request(t, "ou=users,"+base, ldap.ScopeOne, filter))
		if len(w.dns) != want || code != 0 {
			t.Errorf("%s: %d entries, %v; want %d", filter, len(w.dns), code, want)
		}
	}
}

// A candidate set by index must never lose a match: every filter finds what
// a full scan finds.
func TestPlanEqualsScan(t *testing.T) {
	s := newTree(t, 200)
	e := newEngine(s)
	rnd := rand.New(rand.NewPCG(1, 2))
	leaf := func() string {
		n := rnd.IntN(220)
		return []string{
			fmt.Sprintf("(cn=user%d)", n), fmt.Sprintf("(cn=user%d*)", n), fmt.Sprintf("(displayName=*%d)", n),
			fmt.Sprintf("(mail=*er%d@*)", n), fmt.Sprintf("(title=t%d)", n%4), "(description=*)", "(mail=*)", "(x=1)",
			fmt.Sprintf("(memberOf=cn=group%d,ou=groups,%s)", n%6, base), "(objectClass=user)", "(objectClass=group)",
			fmt.Sprintf("(uidNumber>=%d)", 2000+n), fmt.Sprintf("(cn=*s*r%d)", n), "(cn=u*)", "(sn=*e*)",
			fmt.Sprintf("(memberOf:1.2.840.113556.1.4.1941:=cn=group%d,ou=groups,%s)", n%6, base),
		}[rnd.IntN(16)]
	}
	var tree func(depth int) string
	tree = func(depth int) string {
		if depth == 0 || rnd.IntN(3) == 0 {
			return leaf()
		}
		if rnd.IntN(5) == 0 {
			return "(!" + tree(depth-1) + ")"
		}
		var b strings.Builder
		b.WriteString("(" + []string{"&", "|"}[rnd.IntN(2)])
		for range 1 + rnd.IntN(3) {
			b.WriteString(tree(depth - 1))
		}
		return b.String() + ")"
	}
	found := 0
	for range 2000 {
		filter := tree(3)
		req := request(t, base, ldap.ScopeSub, filter, "1.1")
		w, _, _ := find(t, e, admin(), req)
		q := new(query)
		if err := q.compile(s, req.Filter); err != nil {
			t.Fatal(err)
		}
		var want []string
		for id := range directory.ID(s.Len()) {
			if q.match(0, id, s.Entry(id)) == yes {
				want = append(want, s.Entry(id).DN())
			}
		}
		if !slices.Equal(w.dns, want) {
			t.Fatalf("%s: %d entries, a scan finds %d", filter, len(w.dns), len(want))
		}
		found += len(want)
	}
	if found < 10_000 {
		t.Errorf("the filters found %d entries in all: too few to mean much", found)
	}
}

func TestSelection(t *testing.T) {
	e := newEngine(newTree(t, 4))
	for _, tt := range []struct {
		attrs []string
		want  string // names, as sent
	}{
		{[]string{"cn"}, "cn"},
		{[]string{"CN", "2.5.4.3", "commonName"}, "cn"},
		{[]string{"cn;lang-de", "mail;binary"}, "cn mail"},
		{[]string{"cn,mail"}, "cn mail"},
		{[]string{"1.1"}, ""},
		{[]string{""}, ""},
		{[]string{"nosuch", "dn"}, ""},
		{[]string{"1.1", "cn"}, "cn"},
		{[]string{"entryuuid", "sn"}, "sn entryUUID"},
		{[]string{"userPassword"}, ""},
	} {
		req := request(t, "cn=user1,ou=users,"+base, ldap.ScopeBase, "(objectClass=*)", tt.attrs...)
		for _, typesOnly := range []bool{false, true} {
			req.TypesOnly = typesOnly
			w, _, _ := find(t, e, admin(), req)
			var names []string
			for _, a := range w.entries[0].Attributes {
				names = append(names, a.Name)
				if (len(a.Values) == 0) != typesOnly {
					t.Errorf("%q typesOnly=%v: %s has %d values", tt.attrs, typesOnly, a.Name, len(a.Values))
				}
			}
			if got := strings.Join(names, " "); got != tt.want {
				t.Errorf("%q typesOnly=%v: %q, want %q", tt.attrs, typesOnly, got, tt.want)
			}
		}
	}
	all := func(attrs ...string) *goldap.Entry {
		w, _, _ := find(t, e, admin(), request(t, "cn=user1,ou=users,"+base, ldap.ScopeBase, "(objectClass=*)", attrs...))
		return w.entries[0]
	}
	none, star, plus, both := all(), all("*"), all("+"), all("*", "+")
	if len(none.Attributes) != len(star.Attributes) || star.GetAttributeValue("entryUUID") != "" || star.GetAttributeValue("cn") == "" {
		t.Errorf("* gives %d attributes, an empty list %d", len(star.Attributes), len(none.Attributes))
	}
	if plus.GetAttributeValue("cn") != "" || plus.GetAttributeValue("entryUUID") == "" {
		t.Error("+ gives user attributes or lacks entryUUID")
	}
	if both.GetAttributeValue("cn") == "" || both.GetAttributeValue("entryUUID") == "" {
		t.Error("* and + together lack something")
	}
}

func TestSizeLimit(t *testing.T) {
	e := newEngine(newTree(t, 10))
	for limit, want := range map[int]struct {
		entries int
		code    ldap.ResultCode
	}{0: {10, 0}, 1: {1, 4}, 9: {9, 4}, 10: {10, 0}, 11: {10, 0}} {
		req := request(t, "ou=users,"+base, ldap.ScopeOne, "(objectClass=user)")
		req.SizeLimit = limit
		if w, code, _ := find(t, e, admin(), req); len(w.dns) != want.entries || code != want.code {
			t.Errorf("limit %d: %d entries, %v", limit, len(w.dns), code)
		}
	}
	e.cfg.Entries = 3
	req := request(t, "ou=users,"+base, ldap.ScopeOne, "(objectClass=user)")
	if w, code, _ := find(t, e, admin(), req); len(w.dns) != 3 || code != ldap.ResultSizeLimitExceeded {
		t.Errorf("server limit: %d entries, %v", len(w.dns), code)
	}
	req.Controls = []ldap.Control{pagedControl(100, nil)}
	if w, code, controls := find(t, e, admin(), req); len(w.dns) != 3 || code != 0 || len(cookieOf(t, controls)) == 0 {
		t.Errorf("server limit, paged: %d entries, %v; want a page of 3 and a cookie", len(w.dns), code)
	}
}

func TestTimeLimit(t *testing.T) {
	e := newEngine(newTree(t, 300))
	now := time.Unix(0, 0)
	e.cfg.Now = func() time.Time { now = now.Add(2 * time.Second); return now }
	req := request(t, base, ldap.ScopeSub, "(!(cn=nobody))")
	req.TimeLimit = 1
	if _, code, _ := find(t, e, admin(), req); code != ldap.ResultTimeLimitExceeded {
		t.Errorf("got %v, want timeLimitExceeded", code)
	}
}

func TestSearchStopsWhenNotWanted(t *testing.T) {
	e := newEngine(newTree(t, 50))
	w := &recorder{t: t, stopAt: 5}
	if _, err := e.Search(admin(), request(t, base, ldap.ScopeSub, "(objectClass=*)"), w); !errors.Is(err, errStop) || len(w.dns) != 5 {
		t.Errorf("%d entries, %v", len(w.dns), err)
	}
}

func TestManyCandidatesAreSlow(t *testing.T) {
	e := newEngine(newTree(t, slowSearch+1))
	w := &recorder{t: t}
	if _, err := e.Search(admin(), request(t, base, ldap.ScopeSub, "(!(cn=*))"), w); err != nil || !w.slow {
		t.Errorf("slow %v, %v", w.slow, err)
	}
	w = &recorder{t: t}
	if _, err := e.Search(admin(), request(t, base, ldap.ScopeSub, "(cn=user1)"), w); err != nil || w.slow {
		t.Errorf("an indexed search says that it is slow (%v)", err)
	}
}

func TestCriticalControls(t *testing.T) {
	e := newEngine(newTree(t, 2))
	for _, tt := range []struct {
		control ldap.Control
		want    ldap.ResultCode
	}{
		{ldap.Control{OID: []byte("1.2.3")}, 0},
		{ldap.Control{OID: []byte("1.2.3"), Critical: true}, ldap.ResultUnavailableCritical},
		{ldap.Control{OID: []byte(ldap.OIDManageDsaIT), Critical: true}, 0},
		{ldap.Control{OID: []byte(ldap.OIDPagedResults)}, ldap.ResultProtocolError}, // no value
		{ldap.Control{OID: []byte(ldap.OIDSortRequest)}, ldap.ResultProtocolError},
	} {
		req := request(t, base, ldap.ScopeSub, "(cn=user1)")
		req.Controls = []ldap.Control{tt.control}
		if _, code, _ := find(t, e, admin(), req); code != tt.want {
			t.Errorf("%s critical=%v: %v, want %v", tt.control.OID, tt.control.Critical, code, tt.want)
		}
	}
}

func TestCompare(t *testing.T) {
	e := newEngine(newTree(t, 4))
	for _, tt := range []struct {
		dn, attr, value string
		holds           bool
		code            ldap.ResultCode
	}{
		{"cn=user1,ou=users," + base, "CN", "USER1", true, 0},
		{"cn=user1,ou=users," + base, "cn", "user2", false, 0},
		{"cn=user1,ou=users," + base, "memberOf", "CN=group1, ou=groups," + base, true, 0},
		{"cn=user1,ou=users," + base, "uidNumber", "x", false, 0},
		{"cn=user1,ou=users," + base, "description", "x", false, ldap.ResultNoSuchAttribute},
		{"cn=user1,ou=users," + base, "nosuch", "x", false, ldap.ResultUndefinedAttributeType},
		{"cn=user1,ou=users," + base, "userPassword", "x", false, ldap.ResultUndefinedAttributeType},
		{"cn=nobody,ou=users," + base, "cn", "x", false, ldap.ResultNoSuchObject},
		{"nonsense", "cn", "x", false, ldap.ResultInvalidDNSyntax},
	} {
		holds, err := e.Compare(admin(), &ldap.CompareRequest{Entry: []byte(tt.dn), Attribute: []byte(tt.attr), Value: []byte(tt.value)})
		var res *ldap.Error
		code := ldap.ResultSuccess
		if errors.As(err, &res) {
			code = res.Code
		}
		if holds != tt.holds || code != tt.code {
			t.Errorf("%s %s=%s: %v, %v", tt.dn, tt.attr, tt.value, holds, err)
		}
	}
	if _, err := e.Compare(nil, &ldap.CompareRequest{}); !errors.Is(err, errUnbound) {
		t.Errorf("unbound: %v", err)
	}
}
