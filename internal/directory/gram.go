package directory

import (
	"math/bits"
	"slices"

	"ldapd/internal/schema"
)

// grams finds entries by the three-byte pieces of their name-like values, of
// all those attributes together, and by the first one to three bytes. Pieces
// fall into buckets; a bucket's IDs are ascending.
type grams struct {
	shift  uint
	start  []uint32 // where the IDs of a bucket begin
	ids    []ID
	bucket []uint32 // those of the entry at hand
	last   []uint32 // while building: the entry, from 1, that named a bucket last
	entry  uint32
}

// Marks of pieces at the start of a value.
const (
	gramInner uint32 = iota << 24
	gramStart1
	gramStart2
	gramStart3
)

func newGrams(entries int) *grams {
	n := min(max(bits.Len(uint(entries)*32), 8), 18)
	return &grams{shift: uint(32 - n), start: make([]uint32, 1<<n+1), last: make([]uint32, 1<<n)}
}

func (g *grams) of(piece uint32) uint32 { return piece * 2654435761 >> g.shift }

// begin begins the next entry.
func (g *grams) begin() {
	g.bucket = g.bucket[:0]
	g.entry++
}

func (g *grams) note(piece uint32) {
	if b := g.of(piece); g.last[b] != g.entry {
		g.last[b] = g.entry
		g.bucket = append(g.bucket, b)
	}
}

// add notes the pieces of a normalised value.
func (g *grams) add(at *schema.AttributeType, v []byte) {
	if at.PrefixLike {
		for n := 1; n <= min(len(v), 3); n++ {
			g.note(startGram(v, n))
		}
	}
	if at.NameLike {
		for i := 0; i+3 <= len(v); i++ {
			g.note(innerGram(v[i:]))
		}
	}
}

func startGram(v []byte, n int) uint32 {
	switch n {
	case 1:
		return gramStart1 | uint32(v[0])
	case 2:
		return gramStart2 | uint32(v[0]) | uint32(v[1])<<8
	default:
		return gramStart3 | uint32(v[0]) | uint32(v[1])<<8 | uint32(v[2])<<16
	}
}

func innerGram(v []byte) uint32 {
	return gramInner | uint32(v[0]) | uint32(v[1])<<8 | uint32(v[2])<<16
}

// count is the first pass over an entry: start[b+1] becomes the number of IDs
// in bucket b.
func (g *grams) count() {
	for _, b := range g.bucket {
		g.start[b+1]++
	}
}

// allocate makes room; start[b+1] becomes where bucket b begins, which store
// moves to where it ends.
func (g *grams) allocate() {
	total := uint32(0)
	for i, n := range g.start {
		g.start[i] = total
		total += n
	}
	g.ids = make([]ID, total)
	g.entry = 0
	clear(g.last)
}

// store is the second pass over an entry.
func (g *grams) store(id ID) {
	for _, b := range g.bucket {
		g.ids[g.start[b+1]] = id
		g.start[b+1]++
	}
}

// done frees what only building needs.
func (g *grams) done() { g.bucket, g.last = nil, nil }

func (g *grams) find(piece uint32) []ID {
	b := g.of(piece)
	return g.ids[g.start[b]:g.start[b+1]]
}

// Substrings returns the entries that may have a value of an attribute with
// these pieces, all normalised (schema.Rule.NormalizePiece); or that the
// index does not help. Posting.Narrow makes fewer of them.
func (s *Snapshot) Substrings(at *schema.AttributeType, initial []byte, inner [][]byte, final []byte) (p Posting, ok bool) {
	if s.grams == nil || !at.PrefixLike {
		return Posting{}, false
	}
	lists := make([][]ID, 0, 1+maxGrams)
	if n := min(len(initial), 3); n > 0 {
		lists = append(lists, s.grams.find(startGram(initial, n)))
	}
	if at.NameLike {
		lists = s.grams.appendInner(lists, initial)
		for _, piece := range inner {
			lists = s.grams.appendInner(lists, piece)
		}
		lists = s.grams.appendInner(lists, final)
	}
	if len(lists) == 0 {
		return Posting{}, false
	}
	slices.SortFunc(lists, func(a, b []ID) int { return len(a) - len(b) })
	return Posting{ids: lists[0], narrow: slices.Clone(lists[1:min(len(lists), maxNarrow)])}, true
}

// maxGrams bounds the lists that one assertion looks up.
const maxGrams = 64

func (g *grams) appendInner(lists [][]ID, piece []byte) [][]ID {
	for i := 0; i+3 <= len(piece) && len(lists) < maxGrams; i++ {
		lists = append(lists, g.find(innerGram(piece[i:])))
	}
	return lists
}

// maxNarrow is how many lists are worth intersecting; enough, how many entries
// may as well be checked.
const (
	maxNarrow = 4
	enough    = 32
)

// Narrow returns the posting with fewer entries, where more can be ruled out by
// the index. It takes time and memory by Len.
func (p Posting) Narrow() Posting {
	lists := p.narrow
	p.narrow = nil
	owned := false
	for _, other := range lists {
		if len(p.ids) <= enough {
			break
		}
		kept := p.ids[:0]
		if !owned {
			kept, owned = make([]ID, 0, len(p.ids)), true
		}
		for _, id := range p.ids {
			i, found := slices.BinarySearch(other, id)
			if found {
				kept = append(kept, id)
			}
			other = other[i:]
		}
		p.ids = kept
	}
	return p
}
