package sse

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/config"
)

// TestWire compares what nextcloud.php sends with what Nextcloud 32 was
// recorded to send: operations, filters, attributes, controls, and the order of
// connections.
func TestWire(t *testing.T) {
	const (
		traces  = "../nextcloud/testdata/traces/"
		names   = "../../internal/login/testdata/"
		fetched = "the-app-token" // in 04
	)
	type m = map[string]any
	login := func(how, name, password string) m { return m{"do": how, "name": name, "password": password} }
	again := func(how, uid, name, password string) m {
		return m{"do": how, "uid": uid, "check": m{"name": name, "password": password}, "token": fetched}
	}
	site := func(codeIn ...string) *site {
		s := newSite(t, siteOptions{config: func(cfg *config.Config) {
			cfg.Limits.FailuresPerUser = 0
			cfg.MFA.CodeIn = codeIn
			cfg.MFA.Remember.Scope = config.ScopeClient // for memory caches
		}})
		codes := func(tokens ...string) []authentiktest.Device {
			return []authentiktest.Device{{Class: authentiktest.ClassStatic, Tokens: tokens}}
		}
		s.addUser(authentiktest.User{Username: "carol", Groups: []string{"nextcloud-users", "staff"}, Attributes: number("2003")})
		s.addUser(authentiktest.User{Username: "dave", Devices: codes("111111"), Groups: []string{"nextcloud-users", "dev"}, Attributes: number("2004")})
		s.addUser(authentiktest.User{Username: "frank", Devices: codes("111111", "222222", "333333", "888888", "999999"), Groups: []string{"nextcloud-users"}, Attributes: number("2006")})
		s.authentik.EditUser(bob, func(u *authentiktest.User) { u.Attributes = number("2002") })
		s.synced()
		return s
	}
	// Who was seen by Nextcloud before.
	known := m{}
	for _, name := range []string{"bob", "carol", "dave", "frank"} {
		known[name] = "cn=" + name + "," + strings.ToLower(usersDN)
	}
	one, other := site(config.CodeInPassword, config.CodeInUsername), site(config.CodeInPassword)
	for _, tt := range []struct {
		trace, under string
		do           m
		nth          int    // request of those below the comment
		admins       bool   // Nextcloud has an LDAP group of admins
		before       []m    // not nil: there is a memory cache
		literal      bool   // a code on the login name is a part of it
		changed      string // password of bob
	}{
		{trace: traces + "03-login", under: "web form first login bob", do: login("web", "bob", "Passw0rd-bob")},
		{trace: traces + "03-login", under: "web login by mail bob@example.org", do: login("web", "bob@example.org", "Passw0rd-bob")},
		{trace: traces + "03-login", under: "webdav basic first login carol PROPFIND", do: login("basic", "carol", "Passw0rd-carol")},
		{trace: traces + "03-login", under: "wrong password web bob", do: login("web", "bob", "wrong")},
		{trace: traces + "03-login", under: "unknown user web", do: login("web", "nosuchuser", "wrong")},
		{trace: traces + "03-login", under: "wrong password webdav carol", do: login("basic", "carol", "wrong")},
		{trace: traces + "03-login", under: "empty password webdav carol", do: login("basic", "carol", "")},
		{trace: traces + "03b-revalidate", under: "GET ocs user with session bob (last_check fresh)", do: m{"do": "page", "uid": "bob", "check": nil}},
		{trace: traces + "03b-revalidate", under: "GET ocs user session bob after last_check -600s", do: again("page", "bob", "bob", "Passw0rd-bob")},
		{trace: traces + "03b-revalidate", under: "GET ocs user session logged in by mail, last_check -600", do: again("page", "bob", "bob@example.org", "Passw0rd-bob")},
		{trace: traces + "04-apppassword", under: "use app password, webdav", do: m{"do": "app", "uid": "bob", "check": nil}},
		{trace: traces + "04-apppassword", under: "use app password after last_check-600 (revalidation)", do: again("app", "bob", "bob", "Passw0rd-bob")},
		{trace: "testdata/11-sse", under: "SSE dave: web login P;111111", do: login("web", "dave", "Passw0rd-dave;111111"), admins: true},
		{trace: "testdata/11-sse", under: "SSE dave: revalidation after code expiry, session P;333333", do: again("page", "dave", "dave", "Passw0rd-dave;333333"), admins: true},
		{trace: names + "11b-loginname", under: "SSE frank: first web login with name 'frank;111111' and password P", do: login("web", "frank;111111", "Passw0rd-frank"), admins: true},
		{trace: names + "11b-loginname", under: "SSE frank: Basic 'frank;333333'", do: login("basic", "frank;333333", "Passw0rd-frank")},
		{trace: names + "11b-loginname", under: "REVALIDATE web session frank;111111", do: again("page", "frank", "frank;111111", "Passw0rd-frank"), admins: true},
		{trace: names + "11b-loginname", under: "REVALIDATE app password frank;222222", do: again("app", "frank", "frank;222222", "Passw0rd-frank")},
		{trace: names + "11b-loginname", under: "REVALIDATE when the server no longer resolves frank;CODE (0 entries)", do: again("page", "frank", "frank;111111", "Passw0rd-frank"), literal: true},
		{trace: names + "11b-loginname", under: "REVALIDATE when the server no longer resolves frank;CODE (0 entries)", do: again("app", "frank", "frank;222222", "Passw0rd-frank"), nth: 1, literal: true},
		{trace: names + "13-apcu-loginname", under: "APCu: login 'frank;888888' (1st)", do: login("web", "frank;888888", "Passw0rd-frank"), before: []m{}},
		{trace: names + "13-apcu-loginname", under: "APCu: login 'frank;888888' (2nd within ldapCacheTTL)", do: login("web", "frank;888888", "Passw0rd-frank"), before: []m{login("web", "frank;888888", "Passw0rd-frank")}},
		{trace: names + "13-apcu-loginname", under: "APCu: login 'frank;999999' (new code)", do: login("web", "frank;999999", "Passw0rd-frank"), before: []m{login("web", "frank;888888", "Passw0rd-frank")}},
		{trace: names + "13-apcu-loginname", under: "APCu: re-validation of the 'frank;888888' session", do: again("page", "frank", "frank;888888", "Passw0rd-frank"), before: []m{login("web", "frank;888888", "Passw0rd-frank")}},
		{trace: names + "13-apcu-loginname", under: "APCu: wrong password 'frank;999999'", do: login("web", "frank;999999", "nope"), before: []m{login("web", "frank;999999", "Passw0rd-frank")}},
		{trace: names + "13-apcu-loginname", under: "APCu: wrong password, new code 'frank;121212'", do: login("web", "frank;121212", "nope"), before: []m{}},
		{trace: names + "13-apcu-loginname", under: "APCu: unknown user", do: login("web", "nosuch;121212", "nope"), before: []m{}},
		{trace: names + "15-apcu-ttl0", under: "login frank;111111 first", do: login("web", "frank;111111", "Passw0rd-frank"), admins: true},
		{trace: names + "15-apcu-ttl0", under: "revalidate session 1", do: again("page", "frank", "frank;111111", "Passw0rd-frank"), admins: true},
		{trace: traces + "04-apppassword", under: "after LDAP pw change, last_check old: app password", do: again("app", "bob", "bob", "Passw0rd-bob"), changed: "New-bob"},
	} {
		s := one
		if tt.literal {
			s = other
		}
		if tt.changed != "" {
			s.authentik.EditUser(bob, func(u *authentiktest.User) { u.Password = tt.changed })
			s.synced()
		}
		var w wire
		p := s.nextcloud(s.road("127.0.0.2", w.see))
		settings := m{"do": "config", "adminGroup": tt.admins, "mapped": known}
		if tt.before != nil {
			settings["ttl"] = 600
		}
		p.do(settings)
		for _, r := range tt.before {
			r["now"] = 0
			p.do(r)
		}
		s.connections(0)
		w.reset()
		tt.do["now"] = 0
		p.do(tt.do)
		s.connections(0)
		want := excerpt(t, tt.trace+".tsv", tt.under, tt.nth)
		got, bad := w.lines()
		if !slices.Equal(sorted(got), sorted(want)) || bad != nil {
			t.Errorf("%s: %s: nextcloud.php sends\n%s\n%s\nNextcloud sent\n%s", tt.trace, tt.under,
				strings.Join(got, "\n"), strings.Join(bad, "\n"), strings.Join(want, "\n"))
		}
	}
}

func number(n string) map[string]any { return map[string]any{"uidNumber": n, "gidNumber": n} }

// excerpt returns the requests of the nth HTTP request below a comment from a trace, in the format
// of readTrace in test/nextcloud, without answers and unbinds. Connections are
// numbered from 1.
func excerpt(t *testing.T, path, under string, nth int) (out []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lets []string
	conns := map[string]int{}
	service, here := "", false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Split(lines.Text(), "\t")
		if fields[0] == "let" {
			lets = append(lets, fields[1], fields[2])
			continue
		}
		if note, ok := strings.CutPrefix(lines.Text(), "# "); ok {
			here = note == under
			continue
		}
		if !here {
			continue
		}
		fields = strings.Split(strings.NewReplacer(lets...).Replace(lines.Text()), "\t")
		if service == "" && fields[1] == "bind" && strings.HasPrefix(fields[2], "cn="+agent+",") {
			service = fields[0]
		}
		if fields[1] == "unbind" {
			if fields[0] == service {
				if nth == 0 {
					return out
				}
				nth, service, out, conns = nth-1, "", nil, map[string]int{}
			}
			continue
		}
		if conns[fields[0]] == 0 {
			conns[fields[0]] = len(conns) + 1
		}
		times, n := 1, map[string]int{"bind": 4, "search": 7}[fields[1]]
		if last := fields[len(fields)-1]; len(fields) == 9 {
			if times, err = strconv.Atoi(last[1:]); err != nil {
				t.Fatal(err)
			}
		}
		fields[0] = strconv.Itoa(conns[fields[0]])
		for range times {
			out = append(out, strings.Join(fields[:n], "\t"))
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s has no %q", path, under)
	}
	return out
}

// sorted sorts the reads of groups that follow each other: the order of
// memberOf is the directory's.
func sorted(lines []string) []string {
	lines = slices.Clone(lines)
	group := func(l string) bool { return strings.HasSuffix(l, "\tbase\t(objectclass=group)\t\"\"\t-") }
	for from := 0; from < len(lines); from++ {
		to := from
		for to < len(lines) && group(lines[to]) {
			to++
		}
		half := to // a round of reads may be followed by the same again
		for i := from + 1; i < to; i++ {
			if lines[i] == lines[from] {
				half = i
				break
			}
		}
		slices.Sort(lines[from:half])
		slices.Sort(lines[half:to])
		from = max(from, to)
	}
	return lines
}

// wire is what goes over the connections of a road.
type wire struct {
	mu   sync.Mutex
	seen []string
	ends map[int]bool // by connection: unbound
	bad  []string
	base int // number of connections before
	last int
}

func (w *wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen, w.ends, w.bad, w.base = nil, nil, nil, w.last
}

// lines returns the requests, like excerpt, and what Nextcloud never sends.
func (w *wire) lines() (seen, bad []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	bad = w.bad
	for c, ended := range w.ends {
		if !ended {
			bad = append(bad, fmt.Sprintf("no unbind on connection %d", c))
		}
	}
	return w.seen, bad
}

func (w *wire) see(conn int, p *ber.Packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = max(w.last, conn)
	n := conn - w.base
	if w.ends == nil {
		w.ends = map[int]bool{}
	}
	op := p.Children[1]
	switch op.Tag {
	case ldap.ApplicationUnbindRequest:
		w.ends[n] = true
		return
	case ldap.ApplicationBindRequest:
		w.seen = append(w.seen, fmt.Sprintf("%d\tbind\t%s\t%s", n, text(op.Children[1]), text(op.Children[2])))
	case ldap.ApplicationSearchRequest:
		w.seen = append(w.seen, w.search(n, p))
	default:
		w.bad = append(w.bad, fmt.Sprintf("operation %d", op.Tag))
	}
	w.ends[n] = false
}

func text(p *ber.Packet) string { return p.Data.String() }

func (w *wire) search(n int, p *ber.Packet) string {
	f := p.Children[1].Children
	filter, err := ldap.DecompileFilter(f[6])
	if err != nil {
		w.bad = append(w.bad, err.Error())
	}
	// Dereferencing, size and time limit, types only.
	if rest := fmt.Sprint(f[2].Value, f[3].Value, f[4].Value, f[5].Value); rest != "0 0 0 false" {
		w.bad = append(w.bad, filter+" with "+rest)
	}
	var attrs []string
	for _, a := range f[7].Children {
		attrs = append(attrs, text(a))
	}
	names := strings.Join(attrs, ",")
	if names == "" {
		names = `""`
	}
	page := "-"
	if len(p.Children) > 2 {
		for _, c := range p.Children[2].Children {
			control, err := ldap.DecodeControl(c)
			paging, ok := control.(*ldap.ControlPaging)
			if err != nil || !ok || len(paging.Cookie) > 0 || len(c.Children) > 2 && c.Children[1].Value == true {
				w.bad = append(w.bad, fmt.Sprintf("%s with control %v %v", filter, control, err))
				continue
			}
			page = fmt.Sprintf("page=%d", paging.PagingSize)
		}
	}
	return strings.Join([]string{strconv.Itoa(n), "search", text(f[0]), []string{"base", "one", "sub"}[f[1].Value.(int64)], filter, names, page}, "\t")
}
