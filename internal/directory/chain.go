package directory

import "ldapd/internal/schema"

// Chain answers the in-chain rule on member, uniqueMember and memberOf: the
// entries from which the attribute leads, over any number of groups, to the
// entry with a normalised DN. They are in ascending order of distance, each
// once; a cycle does no harm. Other attributes lead nowhere.
func (s *Snapshot) Chain(at *schema.AttributeType, norm []byte) []ID {
	switch at.ID {
	case schema.Member, schema.UniqueMember, schema.MemberOf:
	default:
		return nil
	}
	var found []ID
	seen := make(map[ID]bool)
	target := append([]byte(nil), norm...)
	for next := 0; ; next++ {
		p, _ := s.Equal(at, target)
		for id := range p.All() {
			if !seen[id] && s.has(id, at, target) {
				seen[id] = true
				found = append(found, id)
			}
		}
		if next == len(found) {
			return found
		}
		e := s.Entry(found[next])
		target, _ = s.Schema.Type(schema.EntryDN).Equality.Normalize(target[:0], e.DNBytes())
	}
}
