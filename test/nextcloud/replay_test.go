package nextcloud

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/crypto/bcrypt"
)

// rule is a deliberate difference from the directory that was recorded.
type rule struct {
	name, reason string
	applies      func(r *request) bool
	answer       func(r *request) (code uint16, entries int)
}

var rules = []rule{
	{
		name:    "StartTLS is served",
		reason:  "the recorded directory had no certificate; ldapd always has one",
		applies: func(r *request) bool { return r.oid == oidStartTLS },
		answer:  func(*request) (uint16, int) { return ldap.LDAPResultSuccess, 0 },
	},
	{
		name:    "the in-chain rule works",
		reason:  "the recorded directory took it for undefined; all 30 users are in nextcloud-users",
		applies: func(r *request) bool { return strings.Contains(r.filter, "(memberof:1.2.840.113556.1.4.1941:=") },
		answer:  func(*request) (uint16, int) { return ldap.LDAPResultSuccess, 30 },
	},
	{
		name:    "groups have uniqueMember",
		reason:  "the recorded groups had member alone; bob is in three",
		applies: func(r *request) bool { return strings.Contains(r.filter, "(uniquemember=cn=bob,") },
		answer:  func(*request) (uint16, int) { return ldap.LDAPResultSuccess, 3 },
	},
}

// TestReplay plays all recorded requests, in their order and on connections of
// their own, and wants the result codes, numbers of entries and cookies that
// were recorded. What differs on purpose is a rule; one that nothing needs is
// an error.
//
// All requests of the traces are played. Where the owner of the directory
// changed a password, so does the test.
func TestReplay(t *testing.T) {
	traces, err := filepath.Glob("testdata/traces/*.tsv")
	if err != nil || len(traces) != 8 {
		t.Fatalf("%d traces, %v", len(traces), err)
	}
	used := map[string]bool{}
	for _, path := range traces {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".tsv"), func(t *testing.T) {
			p := &player{service: start(t, recorded(t)), users: recorded(t), used: used,
				conns: map[string]*ldap.Conn{}, cookies: map[string][]byte{}}
			for _, r := range readTrace(t, path) {
				for range r.times {
					p.play(t, r)
				}
			}
			for _, conn := range slices.Sorted(maps.Keys(p.conns)) {
				t.Errorf("connection %s has no unbind", conn)
			}
		})
	}
	for _, r := range rules {
		if !used[r.name] {
			t.Errorf("no recorded request needs the rule %q", r.name)
		}
	}
}

// player plays one trace.
type player struct {
	*service
	users   string // content of the users file
	used    map[string]bool
	conns   map[string]*ldap.Conn
	cookies map[string][]byte
}

func (p *player) play(t *testing.T, r *request) {
	t.Helper()
	if r.op == "password" {
		p.users = setPassword(t, p.users, r.dn, r.password)
		p.change(t, p.users)
		return
	}
	c := p.conns[r.conn]
	if c == nil {
		c = p.dial(t)
		p.conns[r.conn] = c
	}
	switch r.op {
	case "bind":
		p.judge(t, r, answer{code: code(t, c.Bind(r.dn, r.password))})
	case "extended":
		if r.oid != oidStartTLS {
			t.Fatalf("%v: unknown operation", r)
		}
		p.judge(t, r, answer{code: code(t, c.StartTLS(p.tls(t)))})
	case "unbind":
		if err := c.Unbind(); err != nil {
			t.Fatalf("%v: %v", r, err)
		}
		delete(p.conns, r.conn)
	case "search":
		q := r.query
		if r.useCookie != "" {
			if q.cookie = p.cookies[r.useCookie]; q.cookie == nil {
				t.Fatalf("%v: there is no cookie %s", r, r.useCookie)
			}
		}
		a := do(t, c, q)
		p.judge(t, r, a)
		if r.newCookie != "" {
			p.cookies[r.newCookie] = a.cookie
		}
		checkEntries(t, r, a.entries)
	}
}

const oidStartTLS = "1.3.6.1.4.1.1466.20037"

// judge compares an answer with the recorded one, or with that of a rule.
func (p *player) judge(t *testing.T, r *request, a answer) {
	t.Helper()
	got := outcome{a.code, len(a.entries), len(a.cookie) > 0}
	want := outcome{r.code, r.entries, r.newCookie != ""}
	if a.paged != (r.size > 0 && a.code == 0) {
		t.Errorf("%v: the answer has a paging control: %v", r, a.paged)
	}
	if got == want {
		return
	}
	for _, rule := range rules {
		if rule.applies(r) {
			p.used[rule.name] = true
			want.code, want.entries = rule.answer(r)
			if got != want {
				t.Errorf("%v: got %+v, the rule %q wants %+v\n%+v", r, got, rule.name, want, r.query)
			}
			return
		}
	}
	t.Errorf("%v: got %+v, recorded was %+v\n%+v", r, got, want, r.query)
}

type outcome struct {
	code    uint16
	entries int
	more    bool
}

// tls returns the client's side of StartTLS.
func (p *player) tls(t *testing.T) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(p.cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %s", p.cert)
	}
	return &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
}

// setPassword returns a users file where the user has another password.
func setPassword(t *testing.T, users, name, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(username: ` + name + `\n(?:    .*\n)*?    password: ).*\n`)
	if !line.MatchString(users) {
		t.Fatalf("no password of %s", name)
	}
	return line.ReplaceAllString(users, "${1}"+strings.ReplaceAll(string(hash), "$", "$$")+"\n")
}

// canonical are the attributes as Nextcloud's wizard compares them.
var canonical = []string{
	"objectClass", "cn", "uid", "displayName", "mail", "member", "memberOf", "memberUid", "uniqueMember",
	"gidNumber", "entryUUID", "sAMAccountName", "jpegPhoto",
}

// checkEntries fails if an entry is not where it was looked for or has what
// was not asked for, or has it by a name in another case.
func checkEntries(t *testing.T, r *request, entries []*ldap.Entry) {
	t.Helper()
	seen := map[string]bool{}
	for _, e := range entries {
		dn := strings.ToLower(e.DN)
		if seen[dn] {
			t.Errorf("%v: %s twice", r, e.DN)
		}
		seen[dn] = true
		if base := strings.ToLower(r.base); dn != base && (r.scope == ldap.ScopeBaseObject || !strings.HasSuffix(dn, ","+base)) {
			t.Errorf("%v: %s is not below %s", r, e.DN, r.base)
		}
		for _, a := range e.Attributes {
			asked := len(r.attrs) == 0 || slices.ContainsFunc(r.attrs, func(s string) bool { return strings.EqualFold(s, a.Name) })
			if !asked {
				t.Errorf("%v: %s has %s, which was not asked for", r, e.DN, a.Name)
			}
			if len(r.attrs) > 0 && !slices.Contains(canonical, a.Name) {
				t.Errorf("%v: %s has %s, no canonical name", r, e.DN, a.Name)
			}
			if r.types != (len(a.ByteValues) == 0) {
				t.Errorf("%v: %s has %s with %d values", r, e.DN, a.Name, len(a.ByteValues))
			}
		}
	}
}
