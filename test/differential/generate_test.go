package differential

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/directory"
)

// generator makes queries from what a directory holds: values that are there,
// and values that nearly are.
type generator struct {
	*rand.Rand
	attrs  []string
	values map[string][]string // by attribute
	dns    []string
}

func newGenerator(seed uint64, s *directory.Snapshot) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), values: map[string][]string{}}
	for i := range s.Len() {
		e := s.Entry(directory.ID(i))
		g.dns = append(g.dns, e.DN())
		for a := range e.Attrs() {
			name := a.Type.Name
			if g.values[name] == nil {
				g.attrs = append(g.attrs, name)
			}
			for v := range a.Values() {
				g.values[name] = append(g.values[name], string(v))
			}
		}
	}
	return g
}

func pick[T any](g *generator, list []T) T { return list[g.IntN(len(list))] }

// one returns true once in n times.
func (g *generator) one(n int) bool { return g.IntN(n) == 0 }

func (g *generator) query() query {
	q := query{
		base:   g.base(),
		scope:  pick(g, []int{ldap.ScopeWholeSubtree, ldap.ScopeWholeSubtree, ldap.ScopeSingleLevel, ldap.ScopeBaseObject}),
		filter: g.filter(3),
		attrs:  g.selection(),
		types:  g.one(12),
	}
	switch {
	case g.one(6):
		q.size = pick(g, []int{1, 2, 5, 100})
	case g.one(4):
		q.page = pick(g, []uint32{1, 2, 7, 50})
		if g.one(5) {
			q.size = pick(g, []int{1, 3, 10})
		}
	}
	// slapd counts sorted pages wrongly against the limit.
	if (q.page == 0 || q.size == 0) && g.one(10) {
		q.sort = g.keys()
	}
	if g.one(4) { // much to list and to sort
		q.filter = anyOf(q.filter, eq("objectClass", pick(g, []string{"person", "group", "top", "posixGroup"})))
	}
	return q
}

// keys end with one that no two entries share, so that there is one order.
func (g *generator) keys() []*ldap.SortKey {
	var keys []*ldap.SortKey
	if g.one(2) {
		keys = append(keys, &ldap.SortKey{AttributeType: pick(g, []string{"gidNumber", "displayName", "sn", "TITLE", "createTimestamp"}), Reverse: g.one(2)})
	}
	return append(keys, &ldap.SortKey{AttributeType: "entryUUID", Reverse: g.one(3)})
}

func (g *generator) base() string {
	switch g.IntN(12) {
	case 0, 1, 2, 3, 4:
		return baseDN
	case 5, 6:
		return "ou=users," + lower
	case 7:
		return "ou=groups," + lower
	case 8:
		return pick(g, []string{
			"ou=virtual-groups," + lower, "ou=nowhere," + lower, "cn=nobody,ou=users," + lower, "cn=x,cn=bob.Builder1,ou=users," + lower,
			"dc=example,dc=org", "dc=io", "cn=alice,dc=elsewhere", "no dn at all", "cn=a,,dc=b",
		})
	}
	dn := pick(g, g.dns)
	if g.one(2) {
		dn = g.respell(dn)
	}
	return dn
}

// respell writes a DN in another way.
func (g *generator) respell(s string) string {
	dn, err := ldap.ParseDN(s)
	if err != nil {
		return s
	}
	rdns := make([]string, len(dn.RDNs))
	for i, rdn := range dn.RDNs {
		ava := rdn.Attributes[0]
		name := ava.Type
		switch g.IntN(5) {
		case 0:
			name = strings.ToUpper(name)
		case 1:
			name = map[string]string{"cn": "2.5.4.3", "ou": "2.5.4.11", "dc": "0.9.2342.19200300.100.1.25"}[strings.ToLower(name)]
		case 2:
			name = map[string]string{"cn": "commonName", "ou": "organizationalUnitName", "dc": "domainComponent"}[strings.ToLower(name)]
		}
		rdns[i] = pick(g, []string{"", "", " "}) + name + pick(g, []string{"=", "=", " = "}) + g.escape(g.mangle(ava.Value))
	}
	return strings.TrimSpace(strings.Join(rdns, pick(g, []string{",", ", ", " ,"})))
}

// escape writes a value of a DN, some octets of it in hex.
func (g *generator) escape(v string) string {
	var b strings.Builder
	for i := range len(v) {
		switch c := v[i]; {
		case strings.IndexByte(`,+"\<>;=`, c) >= 0 && g.one(2):
			b.WriteString(`\` + string(c))
		case strings.IndexByte(`,+"\<>;=#`, c) >= 0, c < ' ', (i == 0 || i == len(v)-1) && c == ' ', g.one(8):
			fmt.Fprintf(&b, `\%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// mangle changes a value without making another one of it where case and
// repeated blanks do not count.
func (g *generator) mangle(v string) string {
	switch g.IntN(6) {
	case 0:
		return strings.ToUpper(v)
	case 1:
		return strings.ToLower(v)
	case 2:
		return strings.ReplaceAll(v, " ", "   ")
	}
	return v
}

// attr returns the name of an attribute that is there.
func (g *generator) attr() string { return pick(g, g.attrs) }

// spell writes the name of an attribute in another way now and then.
func (g *generator) spell(name string) string {
	switch g.IntN(6) {
	case 0:
		return strings.ToUpper(name)
	case 1:
		return strings.ToLower(name)
	}
	return name
}

// value returns an assertion value that an attribute may have.
func (g *generator) value(attr string) string {
	if g.one(12) {
		return pick(g, g.values[g.attr()])
	}
	v := pick(g, g.values[attr])
	switch {
	case dnValued[strings.ToLower(attr)] && g.one(2):
		return g.respell(v)
	case g.one(12):
		return v + "x"
	case g.one(20):
		return " " + v + " "
	case g.one(40):
		return ""
	}
	return g.mangle(v)
}

func (g *generator) filter(depth int) filter {
	if depth > 0 && g.one(2) {
		switch g.IntN(5) {
		case 0, 1:
			return all(g.filters(depth - 1)...)
		case 2, 3:
			return anyOf(g.filters(depth - 1)...)
		default:
			return no(g.filter(depth - 1))
		}
	}
	attr := g.attr()
	name := g.spell(attr)
	switch g.IntN(16) {
	case 0, 1:
		return has(name)
	case 2, 3, 4:
		return sub(name, g.pieces(g.value(attr))...)
	case 5:
		return ge(name, g.value(attr))
	case 6:
		return le(name, g.value(attr))
	case 7:
		return about(name, g.value(attr))
	case 8:
		return filter{op: extensible, attr: name, value: g.value(attr), dn: g.one(3), rule: pick(g, []string{
			"", "", "caseIgnoreMatch", "caseExactMatch", "2.5.13.2", "distinguishedNameMatch", "integerMatch",
		})}
	case 9:
		return eq(pick(g, []string{"noSuchAttribute", "x-unknown", "computer"}), g.value(attr))
	}
	return eq(name, g.value(attr))
}

func (g *generator) filters(depth int) []filter {
	kids := make([]filter, 1+g.IntN(3))
	for i := range kids {
		kids[i] = g.filter(depth)
	}
	return kids
}

// pieces cuts a value into those of a substring assertion, which match it.
func (g *generator) pieces(v string) []string {
	if v == "" {
		v = "x"
	}
	r := []rune(v)
	cuts := []int{0, len(r)}
	for range 1 + g.IntN(4) {
		cuts = append(cuts, g.IntN(len(r)+1))
	}
	slices.Sort(cuts)
	var pieces []string
	for i := 1; i < len(cuts); i++ {
		p := string(r[cuts[i-1]:cuts[i]])
		switch {
		case g.one(3): // leave out
		case p != "":
			pieces = append(pieces, p)
		}
	}
	if len(pieces) == 0 {
		return []string{v, ""}
	}
	if g.one(2) || !strings.HasPrefix(v, pieces[0]) {
		pieces = append([]string{""}, pieces...)
	}
	if len(pieces) == 1 || g.one(2) {
		pieces = append(pieces, "")
	}
	if len(pieces) == 2 && pieces[0] == "" && pieces[1] == "" {
		return []string{v, ""}
	}
	return pieces
}

func (g *generator) selection() []string {
	switch g.IntN(8) {
	case 0:
		return nil
	case 1:
		return []string{"*"}
	case 2:
		return []string{"+"}
	case 3:
		return []string{"*", "+"}
	case 4:
		return []string{"1.1"}
	}
	names := make([]string, 1+g.IntN(4))
	for i := range names {
		names[i] = g.spell(g.attr())
		if g.one(10) {
			names[i] = pick(g, []string{"dn", "", "noSuchAttribute", "1.1", "2.5.4.3", "0.9.2342.19200300.100.1.3", "commonName", "surname", "+", "*"})
		}
	}
	return names
}
