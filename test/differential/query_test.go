package differential

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// query is one search, as both servers are asked it.
type query struct {
	base   string
	scope  int
	filter filter
	attrs  []string
	size   int
	types  bool
	page   uint32 // 0: no paging
	sort   []*ldap.SortKey
}

func (q query) String() string {
	s := fmt.Sprintf("base %q, %s, %s, attributes %q", q.base, ldap.ScopeMap[q.scope], q.filter, q.attrs)
	if q.size > 0 {
		s += fmt.Sprintf(", size limit %d", q.size)
	}
	if q.types {
		s += ", types only"
	}
	if q.page > 0 {
		s += fmt.Sprintf(", pages of %d", q.page)
	}
	for _, k := range q.sort {
		s += fmt.Sprintf(", sorted by %s:%s", k.AttributeType, k.MatchingRule)
		if k.Reverse {
			s += " in reverse"
		}
	}
	return s
}

func (q query) clone() query {
	q.filter = q.filter.clone()
	q.attrs = slices.Clone(q.attrs)
	q.sort = slices.Clone(q.sort)
	for i, k := range q.sort {
		c := *k
		q.sort[i] = &c
	}
	return q
}

// op is the kind of a filter.
type op byte

const (
	and op = iota
	or
	not
	equal
	approx
	greater
	less
	present
	substring
	extensible
)

// filter is a filter term that can be looked into and changed.
type filter struct {
	op     op
	attr   string
	value  string
	pieces []string // substring: initial, any number of inner ones, final; "" for none at an end
	rule   string
	dn     bool
	kids   []filter
}

func (f filter) clone() filter {
	f.pieces = slices.Clone(f.pieces)
	f.kids = slices.Clone(f.kids)
	for i := range f.kids {
		f.kids[i] = f.kids[i].clone()
	}
	return f
}

// each calls do for every term.
func (f *filter) each(do func(*filter)) {
	do(f)
	for i := range f.kids {
		f.kids[i].each(do)
	}
}

// String returns the filter as RFC 4515 writes it.
func (f filter) String() string {
	switch f.op {
	case and, or, not:
		var b strings.Builder
		for _, k := range f.kids {
			b.WriteString(k.String())
		}
		return "(" + string("&|!"[f.op]) + b.String() + ")"
	case present:
		return "(" + f.attr + "=*)"
	case substring:
		escaped := make([]string, len(f.pieces))
		for i, p := range f.pieces {
			escaped[i] = ldap.EscapeFilter(p)
		}
		return "(" + f.attr + "=" + strings.Join(escaped, "*") + ")"
	case extensible:
		s := "(" + f.attr
		if f.dn {
			s += ":dn"
		}
		if f.rule != "" {
			s += ":" + f.rule
		}
		return s + ":=" + ldap.EscapeFilter(f.value) + ")"
	}
	return "(" + f.attr + map[op]string{equal: "=", approx: "~=", greater: ">=", less: "<="}[f.op] + ldap.EscapeFilter(f.value) + ")"
}

func eq(attr, value string) filter { return filter{op: equal, attr: attr, value: value} }
func has(attr string) filter       { return filter{op: present, attr: attr} }
func sub(attr string, pieces ...string) filter {
	return filter{op: substring, attr: attr, pieces: pieces}
}
func ge(attr, value string) filter    { return filter{op: greater, attr: attr, value: value} }
func le(attr, value string) filter    { return filter{op: less, attr: attr, value: value} }
func about(attr, value string) filter { return filter{op: approx, attr: attr, value: value} }
func ext(attr, rule, value string) filter {
	return filter{op: extensible, attr: attr, rule: rule, value: value}
}
func extDN(attr, rule, value string) filter {
	return filter{op: extensible, attr: attr, rule: rule, value: value, dn: true}
}
func all(kids ...filter) filter   { return filter{op: and, kids: kids} }
func anyOf(kids ...filter) filter { return filter{op: or, kids: kids} }
func no(kid filter) filter        { return filter{op: not, kids: []filter{kid}} }

// answer is what a server said.
type answer struct {
	code     uint16
	matched  string
	entries  []entry // in the order of their arrival
	unsorted bool    // although the query sorts
	some     bool    // cut by a limit: which entries these are is the server's choice
}

type entry struct {
	dn    string
	attrs map[string][]string // sorted values
}

// busyTries bounds how often a query is sent again to a server that is busy.
const busyTries = 1000

// ask sends a query, all its pages if it has some.
func ask(c *ldap.Conn, q query) (answer, error) {
	req := ldap.NewSearchRequest(q.base, q.scope, ldap.NeverDerefAliases, q.size, 0, q.types, q.filter.String(), q.attrs, nil)
	if len(q.sort) > 0 {
		req.Controls = append(req.Controls, ldap.NewControlServerSideSortingWithSortKeys(q.sort))
	}
	var paging *ldap.ControlPaging
	if q.page > 0 {
		paging = ldap.NewControlPaging(q.page)
		req.Controls = append(req.Controls, paging)
	}
	var a answer
	for tries := 0; ; tries++ {
		res, err := c.Search(req)
		var le *ldap.Error
		switch {
		case ldap.IsErrorWithCode(err, ldap.LDAPResultBusy) && tries < busyTries:
			// slapd may not be done with the last sorted page yet.
			continue
		case errors.As(err, &le) && le.ResultCode >= ldap.ErrorNetwork:
			return a, err // the client's, not the server's
		case errors.As(err, &le):
			a.code, a.matched = le.ResultCode, canonicalDN(le.MatchedDN)
			a.some = a.code == ldap.LDAPResultSizeLimitExceeded
		case err != nil:
			return a, err
		}
		if res == nil {
			return a, nil
		}
		if paging != nil && len(res.Entries) > int(q.page) {
			return a, fmt.Errorf("a page of %d has %d entries", q.page, len(res.Entries))
		}
		for _, e := range res.Entries {
			a.entries = append(a.entries, newEntry(e))
		}
		if paging == nil || err != nil {
			return a, nil
		}
		next, ok := ldap.FindControl(res.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok || len(next.Cookie) == 0 {
			return a, nil
		}
		paging.SetCookie(next.Cookie)
	}
}

func newEntry(e *ldap.Entry) entry {
	out := entry{canonicalDN(e.DN), map[string][]string{}}
	for _, a := range e.Attributes {
		values := make([]string, len(a.ByteValues))
		for i, v := range a.ByteValues {
			values[i] = string(v)
			if dnValued[strings.ToLower(a.Name)] {
				values[i] = canonicalDN(values[i])
			}
		}
		slices.Sort(values)
		out.attrs[a.Name] = append(out.attrs[a.Name], values...)
	}
	return out
}

// dnValued are the attributes whose values are written in more than one way.
var dnValued = map[string]bool{
	"member": true, "memberof": true, "uniquemember": true, "manager": true,
	"distinguishedname": true, "entrydn": true, "subschemasubentry": true,
}

// shortType has the other names of the types that the directory's DNs use.
var shortType = map[string]string{
	"commonname": "cn", "2.5.4.3": "cn", "organizationalunitname": "ou", "2.5.4.11": "ou",
	"domaincomponent": "dc", "0.9.2342.19200300.100.1.25": "dc",
}

// canonicalDN writes a DN in one way, by go-ldap's reading of it: the code
// under test has no say here.
func canonicalDN(s string) string {
	dn, err := ldap.ParseDN(s)
	if err != nil {
		return "not a DN: " + s
	}
	rdns := make([]string, len(dn.RDNs))
	for i, rdn := range dn.RDNs {
		avas := make([]string, len(rdn.Attributes))
		for j, ava := range rdn.Attributes {
			name := strings.ToLower(ava.Type)
			if short, ok := shortType[name]; ok {
				name = short
			}
			avas[j] = fmt.Sprintf("%s=%q", name, strings.ToLower(strings.Join(strings.Fields(ava.Value), " ")))
		}
		slices.Sort(avas)
		rdns[i] = strings.Join(avas, "+")
	}
	return strings.Join(rdns, ",")
}

// difference says how an answer differs from what was expected, "" if it
// does not. The order of entries counts where the query sorts.
func difference(q query, want, got answer) string {
	if want.code != got.code {
		return fmt.Sprintf("result %d, want %d; %d entries, want %d", got.code, want.code, len(got.entries), len(want.entries))
	}
	if want.matched != got.matched {
		return fmt.Sprintf("matched DN %s, want %s", got.matched, want.matched)
	}
	if len(q.sort) > 0 && !want.unsorted {
		for i := range min(len(want.entries), len(got.entries)) {
			if want.entries[i].dn != got.entries[i].dn {
				return fmt.Sprintf("entry %d is %s, want %s", i, got.entries[i].dn, want.entries[i].dn)
			}
		}
	}
	w, g := byDN(want), byDN(got)
	if len(g) != len(got.entries) {
		return "an entry came twice"
	}
	if want.some {
		if len(w) != len(g) {
			return fmt.Sprintf("%d entries, want %d", len(g), len(w))
		}
		return ""
	}
	var b strings.Builder
	for dn := range w {
		if _, ok := g[dn]; !ok {
			fmt.Fprintf(&b, "  misses %s\n", dn)
		}
	}
	for dn, e := range g {
		if _, ok := w[dn]; !ok {
			fmt.Fprintf(&b, "  has %s\n", dn)
			continue
		}
		for name, values := range e.attrs {
			if want, ok := w[dn].attrs[name]; !ok {
				fmt.Fprintf(&b, "  %s: has %s %q\n", dn, name, values)
			} else if !slices.Equal(want, values) {
				fmt.Fprintf(&b, "  %s: %s is %q, want %q\n", dn, name, values, want)
			}
		}
		for name, values := range w[dn].attrs {
			if _, ok := e.attrs[name]; !ok {
				fmt.Fprintf(&b, "  %s: misses %s %q\n", dn, name, values)
			}
		}
	}
	return shorten(b.String())
}

// shorten leaves out most of a long list.
func shorten(s string) string {
	const most = 6
	lines := strings.SplitAfter(s, "\n")
	if len(lines) <= most+1 {
		return s
	}
	return strings.Join(lines[:most], "") + fmt.Sprintf("  and %d more\n", len(lines)-1-most)
}

func byDN(a answer) map[string]entry {
	m := make(map[string]entry, len(a.entries))
	for _, e := range a.entries {
		m[e.dn] = e
	}
	return m
}
