// Package differential asks ldapd and slapd the same questions about the same
// directory and compares their answers. Where they are meant to differ, a
// named rule says how and why.
package differential

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/directory"
	wire "ldapd/internal/ldap"
	"ldapd/internal/schema"
	"ldapd/internal/search"
	"ldapd/internal/server"
	"ldapd/test/slapdtest"
)

const (
	seed      = 20261122
	generated = 2000
)

func TestDifferential(t *testing.T) {
	snap := sampleTree(t)
	d := newDiffer(t, snap)
	queries := handPicked()
	g := newGenerator(seed, snap)
	for range generated {
		queries = append(queries, g.query())
	}
	entries, failed := 0, 0
	for _, q := range queries {
		n, diff := d.compare(t, q)
		entries += n
		if diff != "" {
			t.Errorf("%s\n%s", q, diff)
			if failed++; failed == 20 {
				t.Fatal("and perhaps more")
			}
		}
	}
	for i, r := range rules {
		if !d.needed[i] {
			t.Errorf("rule %q is never needed", r.name)
		}
	}
	t.Logf("%d searches, %d entries, %d rules", len(queries), entries, len(rules))
	if entries < 10*len(queries) {
		t.Errorf("%d searches found %d entries: too few to show much", len(queries), entries)
	}
}

// TestRulesAreDocumented keeps the list for the reader complete.
func TestRulesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/decisions.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if !strings.Contains(string(doc), "**"+strings.ReplaceAll(r.name, "*", `\*`)+"**") {
			t.Errorf("docs/decisions.md lacks **%s**", r.name)
		}
	}
}

// differ compares the two servers.
type differ struct {
	snap    *directory.Snapshot
	schema  *schema.Schema
	classes map[string]bool // names and OIDs of all object classes, in lower case
	needed  []bool          // by rule

	ldapd, slapd *ldap.Conn
}

func newDiffer(t *testing.T, snap *directory.Snapshot) *differ {
	d := &differ{snap: snap, schema: snap.Schema, classes: map[string]bool{}, needed: make([]bool, len(rules))}
	for _, c := range schema.Classes() {
		for _, name := range []string{c.Name, c.Printed, c.OID} {
			d.classes[strings.ToLower(name)] = true
		}
	}
	var types []string
	for _, name := range mirrored {
		types = append(types, mirrorType(snap.Schema, name))
	}
	types = append(types, textType(mirrorExact, "1", "caseExact"))
	slapd := slapdtest.Run(t, slapdtest.Config{Snapshot: snap, Extra: mirrors, Types: types})
	d.slapd = dial(t, slapd.Addr, slapdtest.RootDN, slapdtest.RootPassword)
	d.ldapd = dial(t, serve(t, snap), "cn="+reader+",ou=users,"+baseDN, "any")
	return d
}

const (
	directoryString = "1.3.6.1.4.1.1466.115.121.1.15"
	ia5String       = "1.3.6.1.4.1.1466.115.121.1.26"
)

// mirrorType defines the type of a mirror: that of the attribute, but for any
// text, and with an order.
func mirrorType(s *schema.Schema, name string) string {
	at, _ := s.Lookup([]byte(name))
	rule := "caseIgnore"
	if strings.HasPrefix(at.Equality.Name, "caseExact") {
		rule = "caseExact"
	}
	return textType(mirror+name, at.OID, rule)
}

func textType(name, oid, rule string) string {
	return "( 1.3.6.1.4.1.26027.99." + strings.ReplaceAll(oid, ".", "0") + " NAME '" + name + "' EQUALITY " + rule + "Match ORDERING " +
		rule + "OrderingMatch SUBSTR " + rule + "SubstringsMatch SYNTAX " + directoryString + " )"
}

// mirrors returns the mirrors of an entry. Their class is one that allows all
// attributes.
func mirrors(e directory.Entry) []directory.Values {
	out := []directory.Values{{Name: "objectClass", Values: []string{mirrorClass}}}
	for a := range e.Attrs() {
		if slices.Contains(mirrored, a.Type.Name) {
			out = append(out, directory.Values{Name: mirror + a.Type.Name, Values: texts(a)})
		}
		if a.Type.Name == "displayName" {
			out = append(out, directory.Values{Name: mirrorExact, Values: texts(a)})
		}
	}
	return out
}

func texts(a directory.Attr) []string {
	var out []string
	for v := range a.Values() {
		out = append(out, string(v))
	}
	return out
}

const mirrorClass = "extensibleObject"

// serve serves the snapshot by ldapd until the test ends.
func serve(t *testing.T, snap *directory.Snapshot) string {
	account, ok := snap.AccountByName(reader)
	if !ok {
		t.Fatalf("no user %s", reader)
	}
	engine := search.New(search.Config{
		Forest:    func() *directory.Forest { return directory.NewForest(snap) },
		CookieKey: []byte("differential"),
	})
	srv := server.New(server.Config{Handler: &handler{engine, search.NewViewer(baseDN, account.UUID, true)}})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; !errors.Is(err, server.ErrServerClosed) {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// handler lets everybody in and shows everything.
type handler struct {
	engine *search.Engine
	viewer *search.Viewer
}

type anyone struct{}

func (anyone) DN() string { return "cn=" + reader + ",ou=users," + lower }

func (h *handler) Bind(context.Context, *server.Conn, *wire.BindRequest) (server.Identity, error) {
	return anyone{}, nil
}

func (h *handler) Search(_ *server.Conn, req *wire.SearchRequest, w *server.SearchWriter) ([]byte, error) {
	res, err := h.engine.Search(h.viewer, req, w)
	return res.Controls, err
}

func (h *handler) Compare(_ *server.Conn, req *wire.CompareRequest) (bool, error) {
	return h.engine.Compare(h.viewer, req)
}

func dial(t *testing.T, addr, dn, password string) *ldap.Conn {
	c, err := ldap.DialURL("ldap://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetTimeout(10 * time.Second)
	if err := c.Bind(dn, password); err != nil {
		t.Fatal(err)
	}
	return c
}

// compare asks both servers, and notes which rules it took to explain the
// difference. It returns how many entries ldapd found.
func (d *differ) compare(t *testing.T, q query) (entries int, diff string) {
	got, err := ask(d.ldapd, q)
	if err != nil {
		t.Fatalf("%s\nldapd: %v", q, err)
	}
	want, applied := d.expected(t, q, -1)
	if diff := difference(q, want, got); diff != "" {
		return len(got.entries), diff
	}
	for _, i := range applied {
		if !d.needed[i] {
			without, _ := d.expected(t, q, i)
			d.needed[i] = difference(q, without, got) != ""
		}
	}
	return len(got.entries), ""
}

// expected returns slapd's answer with all rules but one applied to it, and
// which of them changed something.
func (d *differ) expected(t *testing.T, q query, but int) (a answer, applied []int) {
	asked := q.clone()
	changed := make([]bool, len(rules))
	for i, r := range rules {
		changed[i] = i != but && r.ask != nil && r.ask(d, &asked)
	}
	a, err := ask(d.slapd, asked)
	if err != nil {
		t.Fatalf("%s\nslapd: %v", asked, err)
	}
	for i, r := range rules {
		if i != but && r.expect != nil && r.expect(d, q, &a) {
			changed[i] = true
		}
		if changed[i] {
			applied = append(applied, i)
		}
	}
	a.dropMirrors()
	return a, applied
}

// dropMirrors takes away what slapd was given besides the directory.
func (a *answer) dropMirrors() {
	for _, e := range a.entries {
		for name, values := range e.attrs {
			switch {
			case strings.HasPrefix(name, mirror):
				delete(e.attrs, name)
			case name == "objectClass":
				kept := values[:0:0]
				for _, v := range values {
					if v != mirrorClass {
						kept = append(kept, v)
					}
				}
				e.attrs[name] = kept
			}
		}
	}
}
