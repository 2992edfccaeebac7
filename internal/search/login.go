package search

import (
	"bytes"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/login"
	"ldapd/internal/mfa"
	"ldapd/internal/schema"
	"ldapd/internal/secret"
)

// login returns the login search that the filter asks for, nil if it is none
// by its form. It leaves the query such that the bare name is looked for.
func (r *run) login() (*login.Search, error) {
	value := r.e.logins.Value(r.req.Filter, func(i int) *schema.AttributeType { return r.q.nodes[i].at })
	if len(value) == 0 {
		return nil, nil
	}
	found := &login.Search{Name: string(value), Base: r.snap.BaseDN}
	name, code, ok := mfa.Split(found.Name, r.e.cfg.Login.Separator)
	if !ok || r.owned(value) {
		return found, nil
	}
	r.setLogin(value, []byte(name))
	lo, hi := r.scope()
	err := r.matches(lo, hi, func(directory.ID, directory.Entry) bool { return r.found < 2 })
	if err != nil || r.found > 1 {
		r.setLogin(value, value)
		found = nil
	} else {
		found.Name, found.Code = name, secret.String(code)
	}
	r.found = 0
	return found, err
}

// same compares two values without regard to case.
func (q *query) same(a, b []byte) (equal bool) {
	equal, q.scratch = ldap.EqualFold(q.scratch, a, b)
	return equal
}

// owned says whether an entry of the tree has the value in a login attribute.
// Those that are not indexed, times and the like, name nobody.
func (r *run) owned(value []byte) bool {
	for _, at := range r.snap.Schema.Types() {
		if at.Secret || at.Equality == nil || !r.e.logins.Has(at, nil) {
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
		if n.op == ldap.FilterEqual && n.rule != nil && r.e.logins.Has(n.at, f.Attr) && r.q.same(f.Value, value) {
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
