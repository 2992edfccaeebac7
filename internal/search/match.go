package search

import (
	"bytes"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/schema"
)

// truth is the three-valued logic of filters (RFC 4511 section 4.5.1.7).
type truth int8

const (
	no truth = iota
	yes
	undefined
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// match evaluates the filter term at i for an entry. It means nothing once
// q.work.err is set.
func (q *query) match(i int, id directory.ID, e directory.Entry) truth {
	n := &q.nodes[i]
	if n.undefined {
		return undefined
	}
	switch n.op {
	case ldap.FilterAnd:
		t := yes
		for c := i + 1; c < n.next; c = q.nodes[c].next {
			switch q.match(c, id, e) {
			case no:
				return no
			case undefined:
				t = undefined
			}
		}
		return t
	case ldap.FilterOr:
		t := no
		for c := i + 1; c < n.next; c = q.nodes[c].next {
			switch q.match(c, id, e) {
			case yes:
				return yes
			case undefined:
				t = undefined
			}
		}
		return t
	case ldap.FilterNot:
		switch q.match(i+1, id, e) {
		case yes:
			return no
		case no:
			return yes
		}
		return undefined
	case ldap.FilterPresent:
		return truthOf(e.Has(n.at.ID))
	case ldap.FilterExtensible:
		return truthOf(q.extensible(n, id, e))
	}
	if n.indexed && n.posting.Exact() {
		return truthOf(n.posting.Has(id))
	}
	a, ok := e.Attr(n.at.ID)
	if !ok {
		return no
	}
	if n.rule.Names() {
		return truthOf(q.work.spend(valueCost+a.Size()/8) && a.Has(n.value))
	}
	return truthOf(q.anyValue(a, n.rule, func(v []byte) bool { return q.holds(n, i, v) }))
}

// anyValue says whether ok holds for a value of the attribute, in the rule's
// normal form.
func (q *query) anyValue(a directory.Attr, r *schema.Rule, ok func([]byte) bool) bool {
	for raw := range a.Values() {
		v, castable := r.Normalize(q.scratch[:0], raw)
		q.scratch = v[:0]
		if !q.work.spend(valueCost + len(v)) {
			return false
		}
		if castable && ok(v) {
			return true
		}
	}
	return false
}

// holds decides a simple term for one normalised value.
func (q *query) holds(n *node, i int, v []byte) bool {
	switch n.op {
	case ldap.FilterGreaterOrEqual:
		return n.rule.Compare(v, n.value) >= 0
	case ldap.FilterLessOrEqual:
		return n.rule.Compare(v, n.value) <= 0
	case ldap.FilterSubstrings:
		return q.substrings(n, i, v)
	}
	// Equal, and approximate, which RFC 4511 lets us take for the same.
	return bytes.Equal(v, n.value)
}

func (q *query) substrings(n *node, i int, v []byte) bool {
	for c := i + 1; c < n.next; c++ {
		piece := &q.nodes[c]
		switch piece.op {
		case ldap.SubInitial:
			if !bytes.HasPrefix(v, piece.value) {
				return false
			}
			v = v[len(piece.value):]
		case ldap.SubAny:
			at := bytes.Index(v, piece.value)
			if at < 0 {
				return false
			}
			v = v[at+len(piece.value):]
		case ldap.SubFinal:
			if !bytes.HasSuffix(v, piece.value) {
				return false
			}
		}
	}
	return true
}

// extensible decides an extensible match (RFC 4511 section 4.5.1.7.7).
func (q *query) extensible(n *node, id directory.ID, e directory.Entry) bool {
	if n.rule.Use == schema.Chain {
		return q.inChain(n, id, e)
	}
	holds := func(v []byte) bool { return n.rule.Matches(v, n.value) }
	if n.at != nil {
		if a, ok := e.Attr(n.at.ID); ok && q.anyValue(a, n.rule, holds) {
			return true
		}
	} else {
		for a := range e.Attrs() {
			if !q.work.spend(nodeCost) {
				return false
			}
			if n.rule.AppliesTo(a.Type) && q.anyValue(a, n.rule, holds) {
				return true
			}
		}
	}
	return n.dn && q.inDN(n, e, holds)
}

// inDN matches the attributes that an entry's DN is made of.
func (q *query) inDN(n *node, e directory.Entry, holds func([]byte) bool) bool {
	dn, err := ldap.ParseDN(e.DN())
	if err != nil || !q.work.spend(nodeCost+len(e.DNBytes())) {
		return false
	}
	for _, rdn := range dn {
		for _, ava := range rdn {
			at, ok := q.schema.Lookup([]byte(ava.Type))
			if !ok || n.at != nil && at != n.at || n.at == nil && !n.rule.AppliesTo(at) {
				continue
			}
			if v, castable := n.rule.Normalize(nil, []byte(ava.Value)); castable && holds(v) {
				return true
			}
		}
	}
	return false
}
