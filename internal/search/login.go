package search

import (
	"bytes"
	"strings"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/mfa"
	"ldapd/internal/schema"
	"ldapd/internal/secret"
)

// Login is a login search: somebody typed a login name into a program, and
// the program looks up by its service account whose it is.
//
// A search is one if it is no base read, if the equality assertions on login
// attributes all have one value, if no substring assertion has that value as
// a piece (a search in a share dialog has), and if it finds at most one entry.
// What stands below a not names nobody, so it is not looked at. For viewers
// that may not read the whole tree there are no login searches.
//
// A value that ends in a code, and that no entry has as it is, stands for the
// name before the code: the search finds what it would find for that name.
type Login struct {
	Name string        // as the client wrote it, without the code
	Code secret.String // empty: none
	Base string        // base DN of the tree
	User string        // UUID of the user that was found; empty: none, or another entry
}

// LoginConfig says what login searches look like.
type LoginConfig struct {
	Attributes []string // that a login name is looked up by; none: there are no login searches
	Separator  string   // between a login name and a code; empty: codes are not looked for
}

// maxLogin bounds the name that is kept of a login search, in octets. What
// characters the rules of matching ignore make it any length.
const maxLogin = 1 << 10

// loginAttributes are those of LoginConfig.
type loginAttributes struct {
	builtin []bool   // by ID
	others  []string // custom types, where a tree has them
}

func newLoginAttributes(names []string) loginAttributes {
	l := loginAttributes{builtin: make([]bool, len(schema.Builtin().Types()))}
	for _, name := range names {
		at, ok := schema.Builtin().Lookup([]byte(name))
		switch {
		case !ok:
			l.others = append(l.others, name)
		case !at.Secret:
			l.builtin[at.ID] = true
		}
	}
	return l
}

// has says whether a description, and what the schema has for it, is a login
// attribute. at is nil if the schema has nothing.
func (l *loginAttributes) has(at *schema.AttributeType, desc []byte) bool {
	if at != nil && !at.Custom {
		return l.builtin[at.ID]
	}
	if at == nil {
		desc, _, _ = bytes.Cut(desc, []byte{';'})
	}
	for _, name := range l.others {
		if at != nil && strings.EqualFold(at.Name, name) || at == nil && len(desc) == len(name) && strings.EqualFold(string(desc), name) {
			return true
		}
	}
	return false
}

// login returns the login search that the filter asks for, nil if it is none
// by its form. It leaves the query such that the bare name is looked for.
func (r *run) login() (*Login, error) {
	value := r.loginValue()
	if len(value) == 0 || len(value) > maxLogin {
		return nil, nil
	}
	login := &Login{Name: string(value), Base: r.snap.BaseDN}
	name, code, ok := mfa.Split(login.Name, r.e.cfg.Login.Separator)
	if !ok || r.owned(value) {
		return login, nil
	}
	r.setLogin(value, []byte(name))
	lo, hi := r.scope()
	err := r.matches(lo, hi, func(directory.ID, directory.Entry) bool { return r.found < 2 })
	if err != nil || r.found > 1 {
		r.setLogin(value, value)
		login = nil
	} else {
		login.Name, login.Code = name, secret.String(code)
	}
	r.found = 0
	return login, err
}

// loginValue returns the value of the equality assertions on login attributes,
// nil if there are none, if they differ, or if it is a piece of a substring
// assertion.
func (r *run) loginValue() (value []byte) {
	f := r.req.Filter
	pieces := false
	for i := 0; i < len(f); i++ {
		switch f[i].Op {
		case ldap.FilterNot:
			i = f[i].Next - 1
		case ldap.FilterSubstrings:
			pieces = true
		case ldap.FilterEqual:
			if !r.e.logins.has(r.q.nodes[i].at, f[i].Attr) {
				continue
			}
			if value == nil {
				value = f[i].Value
			} else if !r.q.same(f[i].Value, value) {
				return nil
			}
		}
	}
	if value == nil || !pieces || len(value) > maxLogin {
		return value // a long one is none all the same, and each piece would cost its length
	}
	for i := 0; i < len(f); i++ {
		switch f[i].Op {
		case ldap.FilterNot:
			i = f[i].Next - 1
		case ldap.SubInitial, ldap.SubAny, ldap.SubFinal:
			if r.q.same(f[i].Value, value) {
				return nil
			}
		}
	}
	return value
}

// same compares two values without regard to case.
func (q *query) same(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	out := ldap.Fold(q.scratch[:0], a)
	n := len(out)
	out = ldap.Fold(out, b)
	q.scratch = out[:0]
	return bytes.Equal(out[:n], out[n:])
}

// owned says whether an entry of the tree has the value in a login attribute.
// Those that are not indexed, times and the like, name nobody.
func (r *run) owned(value []byte) bool {
	for _, at := range r.snap.Schema.Types() {
		if at.Secret || at.Equality == nil || !r.e.logins.has(at, nil) {
			continue
		}
		want, castable := at.Equality.Normalize(nil, value)
		if !castable {
			continue
		}
		p, _ := r.snap.Equal(at, want)
		for id := range p.All() {
			a, ok := r.snap.Entry(id).Attr(at.ID)
			if ok && r.q.anyValue(a, at.Equality, func(v []byte) bool { return bytes.Equal(v, want) }) {
				return true
			}
		}
	}
	return false
}

// setLogin has name looked for where the request has value in an equality
// assertion on a login attribute.
func (r *run) setLogin(value, name []byte) {
	for i := range r.q.nodes {
		n, f := &r.q.nodes[i], &r.req.Filter[i]
		if n.op == ldap.FilterEqual && n.rule != nil && r.e.logins.has(n.at, f.Attr) && r.q.same(f.Value, value) {
			n.value, n.undefined = r.q.normalize(n.rule, name)
		}
	}
}

// user returns the UUID of a user's entry; nil for all other entries.
func (r *run) user(id directory.ID) []byte {
	e := r.snap.Entry(id)
	if !e.Has(schema.Active) {
		return nil
	}
	uuid, ok := e.Attr(schema.EntryUUID)
	if !ok {
		return nil
	}
	return uuid.First()
}
