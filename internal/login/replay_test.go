package login_test

import (
	"bufio"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/local"
	"ldapd/internal/login"
	"ldapd/internal/search"
)

const (
	base     = "DC=ldap,DC=goauthentik,DC=io"
	searcher = "nextcloud"
)

// recorded is where the traces of Nextcloud are, in the format that readTrace
// of test/nextcloud describes, and the directory that answered them.
const recorded = "../../test/nextcloud/testdata/"

// TestReplay plays what Nextcloud was seen to send, and looks at each bind of
// a user for the login search it belongs to.
func TestReplay(t *testing.T) {
	file, err := local.Load(recorded+"users.yaml", local.UIDUsername)
	if err != nil {
		t.Fatal(err)
	}
	tree, problems := directory.Tree{BaseDN: base}.Build(file.Users(), file.Groups())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for path, binds := range map[string]int{
		recorded + "traces/03-login.tsv":           10,
		recorded + "traces/03b-revalidate.tsv":     2,
		recorded + "traces/04-apppassword.tsv":     10,
		recorded + "traces/12-costs-nocache.tsv":   11,
		"testdata/11b-loginname.tsv":               14,
		"testdata/15-apcu-ttl0.tsv":                5,
		"testdata/13-apcu-loginname.tsv with APCu": 19,
	} {
		path, cached, _ := strings.Cut(path, " ")
		t.Run(filepath.Base(path), func(t *testing.T) {
			p := newPlayer(t, tree)
			for _, line := range readLines(t, path) {
				p.play(line)
			}
			if cached == "" {
				if len(p.want) != binds || slices.Contains(p.want, "") {
					t.Errorf("%d binds of users: %q; want %d", len(p.want), p.want, binds)
				}
				if !slices.Equal(p.got, p.want) {
					t.Errorf("the binds are for\n%q, want\n%q", p.got, p.want)
				}
			} else {
				want := make([]string, binds)
				want[0], want[2], want[6], want[7] = "frank;888888", "frank;999999", "frank;121212", "frank;121212"
				if !slices.Equal(p.got, want) {
					t.Errorf("with a cache the binds are for\n%q, want\n%q", p.got, want)
				}
			}
			if n := p.tracker.Kept(); n > 0 {
				t.Errorf("left behind: %d", n)
			}
		})
	}
}

// readLines returns the lines of a trace, as fields.
func readLines(t *testing.T, path string) (out [][]string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lets []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		switch fields := strings.Split(lines.Text(), "\t"); {
		case strings.HasPrefix(fields[0], "# "), fields[0] == "-":
		case fields[0] == "let":
			lets = append(lets, fields[1], fields[2])
		default:
			out = append(out, strings.Split(strings.NewReplacer(lets...).Replace(lines.Text()), "\t"))
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

type player struct {
	t       *testing.T
	tree    *directory.Snapshot
	engine  *search.Engine
	tracker *login.Tracker
	agents  map[uint64]*search.Viewer

	typed     string   // the login name that was looked up last
	got, want []string // of each bind of a user, its login name with code
}

func newPlayer(t *testing.T, tree *directory.Snapshot) *player {
	forest := directory.NewForest(tree)
	now := time.Unix(0, 0)
	return &player{
		t: t, tree: tree, agents: map[uint64]*search.Viewer{},
		tracker: login.New(func() time.Time { return now }),
		engine: search.New(search.Config{
			Forest:    func() *directory.Forest { return forest },
			CookieKey: make([]byte, 32),
			Login:     login.Config{Attributes: []string{"cn", "uid", "sAMAccountName", "mail", "userPrincipalName"}, Separator: ";"},
		}),
	}
}

var loginFilter = regexp.MustCompile(`\(\|\(cn=([^)*]*)\)\(mail=`)

var scopes = map[string]ldap.Scope{"base": ldap.ScopeBase, "one": ldap.ScopeOne, "sub": ldap.ScopeSub}

func (p *player) play(f []string) {
	p.t.Helper()
	conn, err := strconv.ParseUint(f[0], 10, 64)
	if err != nil {
		p.t.Fatalf("%q: %v", f, err)
	}
	client := netip.MustParseAddr("192.0.2.7")
	switch f[1] {
	case "bind":
		p.bind(conn, client, f[2], f[4] == "0")
	case "unbind":
		p.tracker.Closed(conn)
	case "search":
		if m := loginFilter.FindStringSubmatch(f[4]); m != nil && f[3] == "sub" {
			p.typed = m[1]
		}
		p.search(conn, client, f[2], scopes[f[3]], f[4])
	}
}

func (p *player) bind(conn uint64, client netip.Addr, name string, granted bool) {
	p.t.Helper()
	dn, err := ldap.ParseDN(name)
	if err != nil {
		p.t.Fatal(err)
	}
	username, _ := p.tree.LoginName(dn)
	account, ok := p.tree.AccountByName(username)
	if !ok {
		p.t.Fatalf("nobody is %s", name)
	}
	if username == "ldapservice" {
		p.agents[conn] = search.NewViewer(base, account.UUID, true)
		return
	}
	got := ""
	b := p.tracker.Begin(p.tracker.Arrive(), client, account.Base, account.UUID)
	defer b.End()
	open, _ := b.Logins()
	for i, l := range open {
		if i > 0 {
			p.t.Errorf("another login search is open for %s", name)
		}
		if !l.Fresh || l.Searcher != searcher {
			p.t.Errorf("fresh: %v, searched by %q", l.Fresh, l.Searcher)
		}
		got = l.Name
		if l.Code != "" {
			got += ";" + string(l.Code)
			if !b.Take(l.ID) && granted {
				p.t.Errorf("the code of %s is not handed over", got)
			}
		}
		if granted {
			b.Serve(l.ID)
		}
	}
	p.got, p.want = append(p.got, got), append(p.want, p.typed)
}

func (p *player) search(conn uint64, client netip.Addr, base string, scope ldap.Scope, filter string) {
	p.t.Helper()
	packet, err := goldap.CompileFilter(filter)
	if err != nil {
		p.t.Fatal(err)
	}
	f, err := ldap.ParseFilter(packet.Bytes(), ldap.FilterLimits{})
	if err != nil {
		p.t.Fatal(err)
	}
	viewer := p.agents[conn]
	if viewer == nil {
		return // it was not bound
	}
	res, err := p.engine.Search(viewer, &ldap.SearchRequest{Base: []byte(base), Scope: scope, Filter: f}, discard{})
	if err != nil {
		p.t.Logf("%s %s: %v", base, filter, err)
	}
	p.tracker.Searched(conn, client, searcher, res.Login, res.Read)
}

// discard is a search.Writer for entries that nobody looks at.
type discard struct{}

func (discard) MessageID() int32    { return 1 }
func (discard) Buf() []byte         { return nil }
func (discard) Commit([]byte) error { return nil }
func (discard) Err() error          { return nil }
func (discard) Slow()               {}
