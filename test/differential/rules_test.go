package differential

import (
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/directory"
	"ldapd/internal/schema"
	"ldapd/test/slapdtest"
)

// rule is a deliberate difference between ldapd and slapd: what slapd is asked
// in place of a query, or what its answer lacks, so that the rest can be
// compared. Both report whether they changed something. A rule without which
// no answer would differ fails the test.
type rule struct {
	name, reason string

	ask    func(d *differ, q *query) bool
	expect func(d *differ, q query, a *answer) bool
}

// mirrored are attributes whose type is not the same with slapd. It is given
// their values once more under another name and ldapd's type.
var mirrored = []string{"cn", "name", "uid", "description", "memberUid", "mail", "loginShell", "telephoneNumber"}

const (
	mirror      = "x-mirror-"
	mirrorExact = mirror + "exact" // displayName, where case counts
)

var rules = []rule{
	{
		name:   "blanks around class names",
		reason: "they do not make another class of it; slapd takes them for no class at all",
		ask: func(d *differ, q *query) bool {
			return q.filter.change(func(f *filter) bool {
				old := f.value
				if d.is(f.attr, "objectClass", "structuralObjectClass") {
					f.value = strings.TrimSpace(old)
				}
				return f.value != old
			})
		},
	},
	{
		name:   "names with a slash",
		reason: "authentik's classes and some attributes have a '/' in their names, which slapd takes for no names at all; ldapd's subschema prints others",
		ask: func(d *differ, q *query) bool {
			renamed := q.rename(func(name string, _ *filter) string {
				if at, ok := d.schema.Lookup([]byte(name)); ok && strings.Contains(name, "/") {
					return at.Name
				}
				return name
			})
			return renamed || q.filter.change(func(f *filter) bool {
				if f.op != equal && f.op != approx && f.op != extensible || !d.is(f.attr, "objectClass", "structuralObjectClass") {
					return false
				}
				name := slapdtest.ClassName(f.value)
				changed := name != f.value
				f.value = name
				return changed
			})
		},
		expect: func(d *differ, q query, a *answer) bool {
			return a.change("objectClass", func(_ entry, v string) string {
				for _, c := range schema.Classes() {
					if c.Printed == v {
						return c.Name
					}
				}
				return v
			})
		},
	},
	{
		name:   "text beyond ASCII",
		reason: "user names may have any letter, and so may memberUid and mail; by the RFCs these, and telephone numbers, are ASCII, so that slapd finds nothing by (!(mail=ü))",
		ask: func(d *differ, q *query) bool {
			return q.filter.change(func(f *filter) bool {
				if isASCII(f.value + strings.Join(f.pieces, "")) {
					return false
				}
				return f.op != greater && f.op != less && d.askMirror(f, "memberUid", "mail", "loginShell", "telephoneNumber")
			})
		},
	},
	{
		name:   "no text is not text",
		reason: "RFC 4517 lets an ASCII string, unlike others, be empty, so that slapd finds all entries by (!(mail=)); here no text can be",
		ask: func(d *differ, q *query) bool {
			return q.filter.change(func(f *filter) bool {
				return (f.op == equal || f.op == extensible) && f.value == "" && d.askMirror(f, "memberUid", "mail", "loginShell")
			})
		},
	},
	{
		name:   "blanks at the ends of pieces",
		reason: "RFC 4518 section 2.6.1 keeps one of them, so that (cn=* b*) finds a second word; slapd does so for some syntaxes only",
		ask: func(d *differ, q *query) bool {
			return q.filter.change(func(f *filter) bool {
				blank := func(p string) bool { return strings.TrimSpace(p) != p }
				return f.op == substring && slices.ContainsFunc(f.pieces, blank) && d.askMirror(f, "memberUid", "mail", "loginShell")
			})
		},
	},
	{
		name:   "blanks in telephone numbers",
		reason: "they and hyphens count for nothing (RFC 4518 section 2.6.3), also where a piece has nothing else",
		ask: func(d *differ, q *query) bool {
			return q.filter.change(func(f *filter) bool {
				if f.op != substring || !d.is(f.attr, "telephoneNumber", "x121Address") {
					return false
				}
				last := len(f.pieces) - 1
				inner := slices.DeleteFunc(slices.Clone(f.pieces[1:last]), func(p string) bool { return strings.Trim(p, " -") == "" })
				old := f.pieces
				f.pieces = append(append([]string{strings.TrimLeft(old[0], " -")}, inner...), strings.TrimRight(old[last], " -"))
				return !slices.Equal(f.pieces, old)
			})
		},
	},
	{
		name:   "rules fit what they can compare",
		reason: "RFC 4517 gives ASCII strings and uniqueMember rules of their own; clients that name another one mean to say whether case counts, or that it is a DN",
		ask: func(d *differ, q *query) bool {
			return q.filter.change(func(f *filter) bool {
				old := f.rule
				at, ok := d.schema.Lookup([]byte(f.attr))
				if f.op == extensible && ok && at.Name == "uniqueMember" && old == "distinguishedNameMatch" {
					f.rule = "uniqueMemberMatch"
				}
				if f.op == extensible && ok && at.Syntax == ia5String {
					switch old {
					case "caseIgnoreMatch", "2.5.13.2":
						f.rule = "caseIgnoreIA5Match"
					case "caseExactMatch", "2.5.13.5":
						f.rule = "caseExactIA5Match"
					}
				}
				return f.rule != old
			})
		},
	},
	{
		name:   "string preparation",
		reason: "RFC 4518 folds letters by the tables of Unicode, takes a tab for a blank and a soft hyphen for nothing, and RFC 4517 the blanks at the ends of an address's lines; slapd does not, or not in pieces",
		ask: func(d *differ, q *query) bool {
			prepare := strings.NewReplacer("gross", "groß", "İ", "i\u0307", "tab here", "tab\there", "\u00ad", "", " $ ", "$").Replace
			changed := q.filter.change(func(f *filter) bool {
				old := f.value
				f.value = prepare(old)
				changed := f.value != old
				for i, old := range f.pieces {
					f.pieces[i] = prepare(old)
					changed = changed || f.pieces[i] != old
				}
				return changed
			})
			old := q.base
			q.base = prepare(old)
			return changed || q.base != old
		},
	},
	{
		name:   "leading zeros",
		reason: "02005 is a number for everybody but RFC 4517",
		ask: func(d *differ, q *query) bool {
			return q.filter.change(func(f *filter) bool {
				old := f.value
				if d.is(f.attr, "uidNumber", "gidNumber") && len(old) > 1 {
					f.value = strings.TrimLeft(old, "0")
				}
				return f.value != old
			})
		},
	},
	{
		name:   "names in hex",
		reason: "RFC 4514 section 2.4 has values as #hex; slapd does not read it",
		ask: func(d *differ, q *query) bool {
			old := q.base
			q.base = strings.Replace(old, "dc=#04046c646170,", "dc=ldap,", 1)
			return q.base != old
		},
	},
	{
		name:   "empty names",
		reason: "by the grammar of RFC 4514 a value may be empty, so that nobody has the name; to slapd it is no name",
		expect: func(d *differ, q query, a *answer) bool {
			changed := strings.HasSuffix(q.base, "=") && a.code == ldap.LDAPResultInvalidDNSyntax
			if changed {
				a.code = ldap.LDAPResultNoSuchObject
			}
			return changed
		},
	},
	{
		name:   "underscores",
		reason: "nextcloud_quota and the like are what authentik's users have; RFC 4512 and slapd know no '_' in names",
		ask: func(d *differ, q *query) bool {
			return q.rename(func(name string, _ *filter) string { return slapdtest.AttributeName(name) })
		},
		expect: func(d *differ, q query, a *answer) bool {
			return a.rename("nextcloud-quota", "nextcloud_quota")
		},
	},
	{
		name:   "false in lower case",
		reason: "authentik writes ak-superuser of groups in lower case, and clients look for it in both; slapd takes only TRUE and FALSE",
		ask: func(d *differ, q *query) bool {
			return q.filter.change(func(f *filter) bool {
				old := f.value
				if d.is(f.attr, "ak-superuser", "ak-active", "hasSubordinates") {
					f.value = strings.ToUpper(old)
				}
				return f.value != old
			})
		},
		expect: func(d *differ, q query, a *answer) bool {
			return a.change("ak-superuser", func(e entry, v string) string {
				if strings.Contains(e.dn, `ou="users"`) {
					return v
				}
				return strings.ToLower(v)
			})
		},
	},
	{
		name:   "name has no subtypes",
		reason: "slapd takes cn for a kind of name, as RFC 4519 does; with authentik name is the full name and nothing else",
		ask: func(d *differ, q *query) bool {
			return q.rename(func(name string, _ *filter) string {
				if d.is(name, "name") {
					return mirror + "name"
				}
				return name
			})
		},
		expect: func(d *differ, q query, a *answer) bool { return a.rename(mirror+"name", "name") },
	},
	{
		name:   "ordering of names",
		reason: "RFC 4519 gives cn, uid and description no ordering rule, so that slapd finds nothing by >= and <= and cannot sort; ldapd orders them like other text",
		ask: func(d *differ, q *query) bool {
			changed := q.filter.change(func(f *filter) bool {
				return (f.op == greater || f.op == less) && d.askMirror(f, "cn", "uid", "description")
			})
			for _, k := range q.sort {
				if d.is(k.AttributeType, "cn", "uid", "description", "mail") {
					k.AttributeType = d.mirror(k.AttributeType)
					changed = true
				}
			}
			return changed
		},
	},
	{
		name:   "sorting with regard to case",
		reason: "slapd sorts by the normal form of the attribute, which has no case, also where a rule with case is asked for",
		ask: func(d *differ, q *query) bool {
			changed := false
			for _, k := range q.sort {
				if k.MatchingRule == "2.5.13.6" {
					k.AttributeType, changed = mirrorExact, true
				}
			}
			return changed
		},
	},
	{
		name:   "sorting is not critical",
		reason: "RFC 2891 section 2: where the control is not critical and its keys make no sense, the entries come unsorted; slapd refuses",
		ask: func(d *differ, q *query) bool {
			changed := slices.ContainsFunc(q.sort, senseless)
			if changed {
				q.sort = nil
			}
			return changed
		},
		expect: func(d *differ, q query, a *answer) bool {
			a.unsorted = slices.ContainsFunc(q.sort, senseless)
			return a.unsorted
		},
	},
	{
		name:   "approximate is equal",
		reason: "slapd compares by sound; RFC 4511 section 4.5.1.7.6 lets a server take it for equality, which surprises nobody",
		ask: func(d *differ, q *query) bool {
			return q.filter.change(func(f *filter) bool {
				changed := f.op == approx
				if changed {
					f.op = equal
				}
				return changed
			})
		},
	},
	{
		name:   "timestamps with *",
		reason: "clients of authentik's outpost get createTimestamp, modifyTimestamp and pwdChangedTime without asking for operational attributes",
		ask: func(d *differ, q *query) bool {
			if len(q.attrs) == 0 {
				q.attrs = []string{"*"}
			}
			if !slices.Contains(q.attrs, "*") {
				return false
			}
			q.attrs = append(q.attrs, "createTimestamp", "modifyTimestamp", "pwdChangedTime")
			return true
		},
	},
	{
		name:   "in chain",
		reason: "slapd does not have Active Directory's rule, by which clients find members of nested groups in one search",
		ask: func(d *differ, q *query) bool {
			return q.filter.change(func(f *filter) bool {
				if f.op != extensible || f.rule != inChain {
					return false
				}
				*f = d.chain(f.attr, f.value)
				return true
			})
		},
	},
	{
		name:   "unknown class",
		reason: "a class that no schema has is one that no entry has, as with authentik and Active Directory: (!(objectClass=computer)) finds all entries, where slapd finds none",
		ask: func(d *differ, q *query) bool {
			return q.filter.change(func(f *filter) bool {
				if f.op != equal && f.op != extensible || !d.is(f.attr, "objectClass", "structuralObjectClass") || d.classes[strings.ToLower(f.value)] || f.value == "" {
					return false
				}
				f.value = "country" // known, and nowhere
				return true
			})
		},
	},
	{
		name:   "no size limit exceeded on pages",
		reason: "Nextcloud takes a page with result 4 for no page at all, so a search in pages ends at its size limit with result 0",
		expect: func(d *differ, q query, a *answer) bool {
			if q.page == 0 || a.code != ldap.LDAPResultSizeLimitExceeded {
				return false
			}
			a.code = ldap.LDAPResultSuccess
			return true
		},
	},
	{
		name:   "secrets are not there",
		reason: "userPassword and its like are unknown to searches, so that no filter can feel for them; to slapd's administrator they are only absent",
		ask: func(d *differ, q *query) bool {
			return q.rename(func(name string, f *filter) string {
				if f != nil && d.is(name, "userPassword") {
					return "noSuchAttribute"
				}
				return name
			})
		},
	},
	{
		name:   "options",
		reason: "no attribute has options here, and clients that ask for jpegPhoto;binary mean jpegPhoto",
		ask: func(d *differ, q *query) bool {
			return q.rename(func(name string, _ *filter) string {
				name, _, _ = strings.Cut(name, ";")
				return name
			})
		},
	},
	{
		name:   "filters see what entries show",
		reason: "slapd makes subschemaSubentry and hasSubordinates up as it answers, and finds them, and entryUUID, by some filters only",
		ask: func(d *differ, q *query) bool {
			return q.filter.change(func(f *filter) bool {
				switch {
				case f.op > not && d.is(f.attr, "subschemaSubentry"):
					isIt := canonicalDN(f.value) == canonicalDN(directory.SubschemaDN) &&
						(f.op == equal || f.op == extensible && (f.rule == "" || f.rule == "distinguishedNameMatch"))
					if f.op == present || isIt {
						*f = has("objectClass")
					} else {
						f.attr = "seeAlso" // a DN as well, and nowhere
					}
				case f.op == extensible && d.is(f.attr, "hasSubordinates") && f.rule == "":
					*f = eq(f.attr, f.value)
				case f.op == extensible && d.is(f.attr, "entryUUID") && (f.rule == "" || f.rule == "uuidMatch"):
					*f = eq(f.attr, f.value)
				default:
					return false
				}
				return true
			})
		},
	},
	{
		name:   "no attributes by class",
		reason: "RFC 4529's @person is not implemented, nor announced, and so an unknown name",
		ask: func(d *differ, q *query) bool {
			return q.rename(func(name string, _ *filter) string {
				if strings.HasPrefix(name, "@") {
					return "noSuchAttribute"
				}
				return name
			})
		},
	},
	{
		name:   "whole tree from the root",
		reason: "authentik's outpost answers any search with an empty base with the root DSE; slapd has nothing there but the root DSE itself",
		ask: func(d *differ, q *query) bool {
			changed := q.base == "" && q.scope == ldap.ScopeWholeSubtree
			if changed {
				q.scope = ldap.ScopeBaseObject
			}
			return changed
		},
	},
	{
		name:   "nothing below the root",
		reason: "as authentik's outpost: one level below the root DSE there is nothing, and that is no error",
		expect: func(d *differ, q query, a *answer) bool {
			changed := q.base == "" && q.scope == ldap.ScopeSingleLevel && a.code == ldap.LDAPResultNoSuchObject
			if changed {
				*a = answer{}
			}
			return changed
		},
	},
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f })
}

const inChain = "1.2.840.113556.1.4.1941"

// change calls do for every term and reports whether one of them changed.
func (f *filter) change(do func(*filter) bool) bool {
	changed := false
	f.each(func(f *filter) {
		if do(f) {
			changed = true
		}
	})
	return changed
}

// rename gives attributes another name wherever the query names them: in the
// filter, where do is given the term, among those asked for and in sort keys.
func (q *query) rename(do func(name string, f *filter) string) bool {
	changed := q.filter.change(func(f *filter) bool {
		if f.op <= not {
			return false
		}
		old := f.attr
		f.attr = do(old, f)
		return f.attr != old
	})
	for i, old := range q.attrs {
		q.attrs[i] = do(old, nil)
		changed = changed || q.attrs[i] != old
	}
	for _, k := range q.sort {
		old := k.AttributeType
		k.AttributeType = do(old, nil)
		changed = changed || k.AttributeType != old
	}
	return changed
}

// rename gives an attribute of the entries another name, unless they have
// that one already.
func (a *answer) rename(old, name string) bool {
	changed := false
	for _, e := range a.entries {
		values, ok := e.attrs[old]
		if _, have := e.attrs[name]; !ok || have {
			continue
		}
		delete(e.attrs, old)
		e.attrs[name] = values
		changed = true
	}
	return changed
}

// change changes values of an attribute.
func (a *answer) change(name string, do func(e entry, v string) string) bool {
	changed := false
	for _, e := range a.entries {
		if e.attrs[name] == nil {
			continue
		}
		values := slices.Clone(e.attrs[name])
		for i, v := range values {
			values[i] = do(e, v)
			changed = changed || values[i] != v
		}
		slices.Sort(values)
		e.attrs[name] = values
	}
	return changed
}

// is reports whether a name means one of these attributes.
func (d *differ) is(name string, canonical ...string) bool {
	at, ok := d.schema.Lookup([]byte(name))
	return ok && slices.Contains(canonical, at.Name)
}

// mirror returns the name of the mirror of an attribute.
func (d *differ) mirror(name string) string {
	at, _ := d.schema.Lookup([]byte(name))
	return mirror + at.Name
}

// askMirror has a term ask for the mirror of its attribute, if that is one of
// some.
func (d *differ) askMirror(f *filter, canonical ...string) bool {
	if !d.is(f.attr, canonical...) {
		return false
	}
	f.attr = d.mirror(f.attr)
	return true
}

// senseless reports whether nothing can be sorted by a key.
func senseless(k *ldap.SortKey) bool {
	return k.AttributeType == "noSuchAttribute" || k.MatchingRule == "noSuchRule"
}

// chain returns the filter that finds what leads to a DN by an attribute, over
// any number of entries.
func (d *differ) chain(attr, dn string) filter {
	at, ok := d.schema.Lookup([]byte(attr))
	if _, err := ldap.ParseDN(dn); !ok || err != nil || dn == "" {
		return eq("noSuchAttribute", "")
	}
	found := filter{op: or}
	seen := map[string]bool{}
	for todo := []string{canonicalDN(dn)}; len(todo) > 0; todo = todo[1:] {
		for i := range d.snap.Len() {
			e := d.snap.Entry(directory.ID(i))
			a, ok := e.Attr(at.ID)
			if name := canonicalDN(e.DN()); ok && !seen[name] {
				for v := range a.Values() {
					if canonicalDN(string(v)) == todo[0] {
						seen[name] = true
						todo = append(todo, name)
						found.kids = append(found.kids, eq("entryDN", e.DN()))
						break
					}
				}
			}
		}
	}
	return found
}
