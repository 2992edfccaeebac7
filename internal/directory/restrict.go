package directory

import (
	"slices"

	"ldapd/internal/schema"
)

// Restrict returns what a user without the right to search sees: the base,
// the containers, their own entry and virtual group, and the groups they are
// a direct member of, with nobody else in them and only such groups as
// parents. It takes time by the number of those groups.
func (s *Snapshot) Restrict(userUUID string) (*Snapshot, bool) {
	user, n := s.userWith(schema.EntryUUID, userUUID)
	if n != 1 {
		return nil, false
	}
	own := s.ownGroups(user)
	virtual := s.virtualGroup(user)

	b := newBuilder(s.Schema, len(own)+6)
	encodeBase(b, s.BaseDN, s.base)
	out := &Snapshot{}
	for i, c := range s.containers {
		dn := s.Entry(c).DN()
		switch i {
		case users:
			out.containers[i] = encodeContainer(b, dn, containers[i], true)
			b.copy(s.Entry(user))
		case groups:
			out.containers[i] = encodeContainer(b, dn, containers[i], len(own) > 0)
			for _, g := range own {
				b.copyGroup(s.Entry(g), s.Entry(user), own)
			}
		case virtualGroups:
			out.containers[i] = encodeContainer(b, dn, containers[i], len(virtual) > 0)
			for _, v := range virtual {
				b.copy(s.Entry(v))
			}
		}
	}
	out.take(b, s.BaseDN, s.base)
	out.Built, out.subschema = s.Built, s.subschema
	return out, true
}

// ownGroups returns the groups that a user names in memberOf.
func (s *Snapshot) ownGroups(user ID) []ID {
	var own []ID
	if a, ok := s.Entry(user).Attr(schema.MemberOf); ok {
		for dn := range a.Values() {
			if id, ok := s.findRaw(dn); ok {
				own = append(own, id)
			}
		}
	}
	slices.Sort(own)
	return own
}

// virtualGroup returns the virtual group of a user: as a list, since a group
// made elsewhere might not be there.
func (s *Snapshot) virtualGroup(user ID) []ID {
	first, end := s.containers[virtualGroups]+1, s.Entry(s.containers[virtualGroups]).End()
	if id := first + (user - s.containers[users] - 1); id < end {
		return []ID{id}
	}
	return nil
}

// findRaw finds an entry by a DN that is not normalised.
func (s *Snapshot) findRaw(dn []byte) (ID, bool) {
	var buf [256]byte
	norm, ok := s.Schema.Type(schema.EntryDN).Equality.Normalize(buf[:0], dn)
	if !ok {
		return 0, false
	}
	return s.Find(norm)
}

// copy stores an entry of another snapshot with the same schema.
func (b *builder) copy(e Entry) {
	f := e.form()
	n := slices.Index(b.forms, f)
	if n < 0 {
		n = len(b.forms)
		b.forms = append(b.forms, f)
	}
	r := e.record()
	b.store(e.bytes(), uint32(n), int(r.oper), int(r.dn))
}

// copyGroup stores a group of another snapshot with a user who is in it as its
// only member, and of its parents only the groups that are visible. However
// many members there are, it looks at none of them.
func (b *builder) copyGroup(e, user Entry, visible []ID) {
	b.begin(e.form().kind)
	for a := range e.Attrs() {
		id := a.Type.ID
		if !a.Type.InStar() || id == schema.ObjectClass || id == schema.UniqueMember {
			continue
		}
		b.attr(id)
		switch id {
		case schema.Member:
			b.valueBytes(user.DNBytes())
		case schema.MemberUID:
			if cn, ok := user.Attr(schema.CN); ok {
				b.valueBytes(cn.First())
			}
		case schema.MemberOf:
			for v := range a.Values() {
				parent, ok := e.s.findRaw(v)
				if _, see := slices.BinarySearch(visible, parent); ok && see {
					b.valueBytes(v)
				}
			}
		default:
			for v := range a.Values() {
				b.valueBytes(v)
			}
		}
		b.end()
	}
	uuid, _ := e.Attr(schema.EntryUUID)
	b.finish(e.DN(), string(uuid.First()), false)
}
