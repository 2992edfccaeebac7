package search

import (
	"slices"

	"ldapd/internal/directory"
	"ldapd/internal/schema"
)

// chain is the entries that an in-chain assertion selects, which takes a walk
// through the tree to find. Assertions that are the same share one.
type chain struct {
	found bool // ids is known
	ids   []directory.ID
}

type chainKey struct {
	at *schema.AttributeType
	dn string // normalised
}

// maxChained bounds the IDs that the chains of one search hold, in all.
const maxChained = 1 << 22

// chain returns the chain for an assertion. Nothing is looked for yet.
func (q *query) chain(at *schema.AttributeType, dn []byte) *chain {
	c := q.chains[chainKey{at, string(dn)}]
	if c == nil {
		if q.chains == nil {
			q.chains = make(map[chainKey]*chain)
		}
		c = new(chain)
		q.chains[chainKey{at, string(dn)}] = c
	}
	return c
}

// chained returns the entries that an in-chain assertion selects, ascending.
// They are looked for when they are needed for the first time: what else the
// filter says often makes that never.
func (q *query) chained(n *node) []directory.ID {
	c := n.chain
	if !c.found {
		c.found, c.ids = true, q.snap.Chain(n.at, n.value, q.work.spend)
		if q.chainedIDs += len(c.ids); q.chainedIDs > maxChained {
			q.work.fail(errCostly)
		}
	}
	return c.ids
}

// inChain decides an in-chain assertion for an entry. One outside of the tree
// leads to nothing but what it names itself.
func (q *query) inChain(n *node, id directory.ID, e directory.Entry) bool {
	if n.chain == nil {
		a, ok := e.Attr(n.at.ID)
		return ok && a.Has(n.value)
	}
	_, ok := slices.BinarySearch(q.chained(n), id)
	return ok
}
