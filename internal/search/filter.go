package search

import (
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/schema"
)

// node is a filter term made ready for one snapshot: its attribute looked up,
// its value in the normal form of its rule. Nodes are laid out like those of
// ldap.Filter.
type node struct {
	op        ldap.FilterOp
	next      int
	undefined bool // neither true nor false for any entry (RFC 4511 section 4.5.1.7)
	at        *schema.AttributeType
	rule      *schema.Rule // nil for presence
	value     []byte
	dn        bool   // extensible: the DN's attributes count, too
	chain     *chain // extensible, in-chain, in a tree

	// Of the planner: the candidates that an index names.
	posting directory.Posting
	indexed bool
	turn    turn // when an and that holds it asks for its candidates
	child   int  // of an and: the one whose candidates are taken
}

// query is one search being worked on. It is reused.
type query struct {
	schema  *schema.Schema
	snap    *directory.Snapshot // nil outside of the trees
	work    meter
	nodes   []node
	arena   []byte // holds the values of nodes
	base    []byte
	scratch []byte
	pieces  [][]byte
	ids     []directory.ID
	pick    selection

	chains     map[chainKey]*chain // nil: none
	chainedIDs int                 // how many they hold
	narrow     int                 // how many IDs the planner may still narrow
}

// compile makes the filter ready for the entries of a tree. What makes no
// sense is undefined. It fails only when the search is over.
func (q *query) compile(snap *directory.Snapshot, f ldap.Filter) error {
	q.schema, q.snap = snap.Schema, snap
	return q.terms(f)
}

// compileOutside makes the filter ready for an entry outside of the trees.
func (q *query) compileOutside(sch *schema.Schema, f ldap.Filter) error {
	q.schema, q.snap = sch, nil
	return q.terms(f)
}

// terms makes the terms of the filter ready. It looks nothing up but the
// schema.
func (q *query) terms(f ldap.Filter) error {
	q.nodes, q.arena = q.nodes[:0], q.arena[:0]
	parent := 0
	for i := range f {
		if !q.work.spend(nodeCost + len(f[i].Attr) + len(f[i].Value)) {
			return q.work.err
		}
		n := node{op: f[i].Op, next: f[i].Next}
		switch n.op {
		case ldap.FilterAnd, ldap.FilterOr, ldap.FilterNot:
		case ldap.SubInitial, ldap.SubAny, ldap.SubFinal:
			if sub := &q.nodes[parent]; !sub.undefined {
				var ok bool
				if n.value, ok = q.piece(sub.rule, &f[i]); !ok {
					sub.undefined = true
				}
			}
		default:
			parent = i
			q.leaf(&n, &f[i])
		}
		q.nodes = append(q.nodes, n)
	}
	if q.chains != nil {
		q.putOffChains()
	}
	return nil
}

// leaf resolves attribute, rule and value of a term.
func (q *query) leaf(n *node, f *ldap.FilterNode) {
	var known bool
	if f.Attr != nil {
		n.at, known = q.schema.Lookup(f.Attr)
		if !known || n.at.Secret {
			n.undefined = true
			return
		}
	}
	switch n.op {
	case ldap.FilterPresent:
		n.turn = last
		return
	case ldap.FilterEqual, ldap.FilterApprox:
		n.rule = n.at.Equality
	case ldap.FilterGreaterOrEqual, ldap.FilterLessOrEqual:
		n.rule = n.at.Ordering
	case ldap.FilterSubstrings:
		n.rule = n.at.Substr
	case ldap.FilterExtensible:
		n.dn = f.DN
		if f.Rule == nil {
			n.rule = n.at.Equality
		} else if n.rule, known = schema.LookupRule(f.Rule); !known || n.at != nil && !n.rule.AppliesTo(n.at) {
			n.rule = nil // RFC 4511 section 4.5.1.7.7: Undefined
		}
	}
	if n.rule == nil {
		n.undefined = true
		return
	}
	if n.op == ldap.FilterSubstrings {
		return // its pieces follow
	}
	n.value, n.undefined = q.normalize(n.rule, f.Value)
	if n.undefined || n.op != ldap.FilterExtensible {
		return
	}
	switch n.rule.Use {
	case schema.Substrings:
		n.undefined = true // an assertion of pieces has no form here
	case schema.Chain:
		switch {
		case n.at == nil || !n.at.Links():
			n.undefined = true
		case q.snap != nil:
			n.chain, n.turn = q.chain(n.at, n.value), late
		}
	}
}

func (q *query) normalize(r *schema.Rule, value []byte) (norm []byte, undefined bool) {
	start := len(q.arena)
	out, ok := r.Normalize(q.arena, value)
	if !ok {
		return nil, true
	}
	q.arena = out
	return out[start:len(out):len(out)], false
}

func (q *query) piece(r *schema.Rule, f *ldap.FilterNode) ([]byte, bool) {
	pos := schema.Any
	switch f.Op {
	case ldap.SubInitial:
		pos = schema.Initial
	case ldap.SubFinal:
		pos = schema.Final
	}
	start := len(q.arena)
	out, ok := r.NormalizePiece(q.arena, f.Value, pos)
	if !ok {
		return nil, false
	}
	q.arena = out
	return out[start:len(out):len(out)], true
}
