package directory

import (
	"slices"

	"ldapd/internal/schema"
)

// Chain answers the in-chain rule: the entries from which an attribute that
// links (schema.AttributeType.Links) leads, over any number of entries, to the
// one with a normalised DN; ascending, each once. A cycle does no harm. spend
// is told of the work, in octets looked at; when it says no, the answer is
// left unfinished.
func (s *Snapshot) Chain(at *schema.AttributeType, norm []byte, spend func(octets int) bool) []ID {
	dn := s.Schema.Type(schema.EntryDN).Equality
	seen := make([]uint64, (len(s.records)+63)/64)
	var found []ID
	target := slices.Clone(norm)
	for next := 0; ; next++ {
		p, _ := s.Equal(at, target)
		for id := range p.All() {
			if seen[id/64]&(1<<(id%64)) != 0 {
				continue
			}
			a, ok := s.Entry(id).Attr(at.ID)
			if !ok {
				continue
			}
			if !spend(a.cost()) {
				return nil
			}
			if a.Has(target) {
				seen[id/64] |= 1 << (id % 64)
				found = append(found, id)
			}
		}
		if next == len(found) {
			slices.Sort(found)
			return found
		}
		if !spend(lookupCost) {
			return nil
		}
		target, _ = dn.Normalize(target[:0], s.Entry(found[next]).DNBytes())
	}
}

// lookupCost is what looking for a name by the index costs, in octets looked
// at.
const lookupCost = 128
