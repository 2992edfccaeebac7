package directory

import (
	"slices"

	"ldapd/internal/schema"
)

// Chain answers the in-chain rule: the entries from which an attribute that
// holds DNs leads, over any number of entries, to the one with a normalised
// DN; ascending, each once. A cycle does no harm. ok is false for attributes
// that cannot lead anywhere.
func (s *Snapshot) Chain(at *schema.AttributeType, norm []byte) (found []ID, ok bool) {
	dn := s.Schema.Type(schema.EntryDN)
	if at.Operational || at.Equality == nil || !at.Equality.AppliesTo(dn) {
		return nil, false
	}
	seen := make(map[ID]bool)
	target := slices.Clone(norm)
	for next := 0; ; next++ {
		p, _ := s.Equal(at, target)
		for id := range p.All() {
			if !seen[id] && s.has(id, at, target) {
				seen[id] = true
				found = append(found, id)
			}
		}
		if next == len(found) {
			slices.Sort(found)
			return found, true
		}
		target, _ = dn.Equality.Normalize(target[:0], s.Entry(found[next]).DNBytes())
	}
}
