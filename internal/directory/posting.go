package directory

import (
	"iter"
	"slices"
	"sort"
)

// Span is the IDs from Lo up to, but not including, Hi.
type Span struct{ Lo, Hi ID }

// Posting is the entries that an index names for one assertion, ascending,
// without repetition: all that match. Unless it is Exact it may name others as
// well, so each has to be checked. It refers to memory of its snapshot.
type Posting struct {
	run    []uint64 // IDs in the low halves
	ids    []ID
	spans  []Span
	narrow [][]ID // lists that have to name an entry of ids, too
	exact  bool
}

// Exact reports that every entry named does match.
func (p Posting) Exact() bool { return p.exact }

// Len returns the number of entries.
func (p Posting) Len() int {
	n := len(p.run) + len(p.ids)
	for _, s := range p.spans {
		n += int(s.Hi - s.Lo)
	}
	return n
}

// All yields the entries.
func (p Posting) All() iter.Seq[ID] {
	return func(yield func(ID) bool) {
		for _, v := range p.run {
			if !yield(ID(v)) {
				return
			}
		}
		for _, id := range p.ids {
			if !yield(id) {
				return
			}
		}
		for _, s := range p.spans {
			for id := s.Lo; id < s.Hi; id++ {
				if !yield(id) {
					return
				}
			}
		}
	}
}

// Append appends the entries with lo <= ID < hi.
func (p Posting) Append(dst []ID, lo, hi ID) []ID {
	from := sort.Search(len(p.run), func(i int) bool { return ID(p.run[i]) >= lo })
	for _, v := range p.run[from:] {
		if ID(v) >= hi {
			break
		}
		dst = append(dst, ID(v))
	}
	from, _ = slices.BinarySearch(p.ids, lo)
	to, _ := slices.BinarySearch(p.ids, hi)
	if from < to {
		dst = append(dst, p.ids[from:to]...)
	}
	for _, s := range p.spans {
		for id := max(s.Lo, lo); id < min(s.Hi, hi); id++ {
			dst = append(dst, id)
		}
	}
	return dst
}

// Has reports whether an entry is named.
func (p Posting) Has(id ID) bool {
	i := sort.Search(len(p.run), func(i int) bool { return ID(p.run[i]) >= id })
	if i < len(p.run) && ID(p.run[i]) == id {
		return true
	}
	if _, ok := slices.BinarySearch(p.ids, id); ok {
		return true
	}
	for _, s := range p.spans {
		if id >= s.Lo && id < s.Hi {
			return true
		}
	}
	return false
}
