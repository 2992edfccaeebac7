package search

import (
	"slices"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

// The planner finds a set of candidates that holds every match of the filter,
// by the indexes of the snapshot. Candidates are checked against the whole
// filter all the same, so an index may promise too much, never too little.

// estimate bounds the number of candidates for the term at i; ok is false
// where no index helps.
func (q *query) estimate(i int) (size int, ok bool) {
	n := &q.nodes[i]
	if n.undefined {
		return 0, true // never true, so it selects nothing
	}
	if !q.work.spend(nodeCost) {
		return 0, false
	}
	switch n.op {
	case ldap.FilterAnd:
		n.child, size = q.cheapest(i)
		return size, size >= 0
	case ldap.FilterOr:
		for c := i + 1; c < n.next; c = q.nodes[c].next {
			s, ok := q.estimate(c)
			if !ok {
				return 0, false
			}
			size += s
		}
		return size, true
	case ldap.FilterEqual, ldap.FilterApprox:
		n.posting, n.indexed = q.snap.Equal(n.at, n.value)
	case ldap.FilterPresent:
		n.posting, n.indexed = q.snap.Present(n.at)
	case ldap.FilterSubstrings:
		n.posting, n.indexed = q.substringPosting(i)
	case ldap.FilterExtensible:
		if n.chain != nil {
			return len(q.chained(n)), true
		}
	}
	return n.posting.Len(), n.indexed
}

// substringPosting asks the index of pieces. To narrow what it answers is worth
// no more, for all terms together, than to look at every entry.
func (q *query) substringPosting(i int) (directory.Posting, bool) {
	n := &q.nodes[i]
	var initial, final []byte
	q.pieces = q.pieces[:0]
	for c := i + 1; c < n.next; c++ {
		switch piece := &q.nodes[c]; piece.op {
		case ldap.SubInitial:
			initial = piece.value
		case ldap.SubFinal:
			final = piece.value
		default:
			q.pieces = append(q.pieces, piece.value)
		}
	}
	p, ok := q.snap.Substrings(n.at, initial, q.pieces, final)
	if size := p.Len(); size <= q.narrow && q.work.spend(size*idCost) {
		q.narrow -= size
		p = p.Narrow()
	}
	return p, ok
}

// turn is when a term of an and is asked for its candidates.
type turn uint8

const (
	atOnce turn = iota
	late        // in-chain, or what holds such a term: if the others leave many, for it takes a walk
	last        // presence: if nothing else helps, for it narrows little
)

// putOffChains has what holds an in-chain term wait for its turn.
func (q *query) putOffChains() {
	for i := len(q.nodes) - 1; i >= 0; i-- {
		n := &q.nodes[i]
		for c := i + 1; c < n.next; c = q.nodes[c].next {
			if q.nodes[c].turn == late {
				n.turn = late
			}
		}
	}
}

// cheapest returns the child of the and at i with the fewest candidates, and
// -1 for their number if no index helps any.
func (q *query) cheapest(i int) (child, size int) {
	const few = 32
	size = -1
	for turn := atOnce; turn <= last; turn++ {
		if size >= 0 && (size <= few || turn == last) {
			break
		}
		for c := i + 1; c < q.nodes[i].next; c = q.nodes[c].next {
			if q.nodes[c].turn != turn {
				continue
			}
			if s, ok := q.estimate(c); ok && (size < 0 || s < size) {
				child, size = c, s
			}
		}
	}
	return child, size
}

// collect appends the candidates in [lo, hi) for the term at i, for which
// estimate said ok. They come in no order and more than once.
func (q *query) collect(dst []directory.ID, i int, lo, hi directory.ID) []directory.ID {
	n, had := &q.nodes[i], len(dst)
	if n.undefined || q.work.err != nil {
		return dst
	}
	switch n.op {
	case ldap.FilterAnd:
		return q.collect(dst, n.child, lo, hi)
	case ldap.FilterOr:
		for c := i + 1; c < n.next; c = q.nodes[c].next {
			dst = q.collect(dst, c, lo, hi)
		}
		return dst
	case ldap.FilterExtensible:
		ids := q.chained(n)
		from, _ := slices.BinarySearch(ids, lo)
		to, _ := slices.BinarySearch(ids, hi)
		dst = append(dst, ids[from:max(from, to)]...)
	default:
		dst = n.posting.Append(dst, lo, hi)
	}
	q.work.spend(nodeCost + (len(dst)-had)*idCost)
	return dst
}

// candidates returns the IDs in [lo, hi) to look at, ascending. all means
// every one of them, because that is no more work.
func (q *query) candidates(lo, hi directory.ID) (ids []directory.ID, all bool) {
	q.narrow = int(hi - lo)
	for i := range q.nodes {
		q.nodes[i].indexed = false // of an earlier plan, with other values
	}
	size, ok := q.estimate(0)
	if !ok || size >= int(hi-lo) {
		return nil, true
	}
	q.ids = q.collect(q.ids[:0], 0, lo, hi)
	if !slices.IsSorted(q.ids) {
		slices.Sort(q.ids)
	}
	q.ids = slices.Compact(q.ids)
	return q.ids, false
}
