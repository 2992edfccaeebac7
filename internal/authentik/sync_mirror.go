package authentik

import (
	"cmp"
	"maps"
	"reflect"
	"slices"

	"ldapd/internal/directory"
)

// anonymous is a user that each authentik has and that is nobody.
const anonymous = "AnonymousUser"

// mirror is what authentik has, as far as is known. It is immutable, and so
// is all that it refers to.
type mirror struct {
	users  []directory.User // by PK
	groups []memberGroup    // by UUID
}

// memberGroup is a group and who is in it. Memberships come from groups only:
// saving one does not change its user's last_updated.
type memberGroup struct {
	directory.Group
	members []int64 // PKs of the direct ones, in order
}

// newMirror completes users, which it takes over, by their groups.
func newMirror(users []directory.User, groups []memberGroup) *mirror {
	m := &mirror{users, groups}
	m.link()
	return m
}

// link sets Groups and Superuser of all users. Groups of all users share one
// array.
func (m *mirror) link() {
	total := 0
	for i := range m.groups {
		total += len(m.groups[i].members)
	}
	super := m.superusers()
	places := make([]int32, 0, total) // of members in users, -1: none
	ends := make([]int, len(m.users)) // number of groups, then their end in ids
	for i := range m.groups {
		from := 0
		for _, pk := range m.groups[i].members {
			n, ok := findUser(m.users[from:], pk)
			from += n
			if !ok {
				places = append(places, -1) // created a moment ago
				continue
			}
			places = append(places, int32(from))
			ends[from]++
		}
	}
	sum := 0
	for i, n := range ends {
		ends[i] = sum
		sum += n
	}
	ids := make([]string, sum)
	next := places
	for i := range m.users {
		m.users[i].Superuser = false
	}
	for i := range m.groups {
		g := &m.groups[i]
		for _, at := range next[:len(g.members)] {
			if at < 0 {
				continue
			}
			ids[ends[at]] = g.UUID
			ends[at]++
			m.users[at].Superuser = m.users[at].Superuser || super[g.UUID]
		}
		next = next[len(g.members):]
	}
	start := 0
	for i, end := range ends {
		m.users[i].Groups = ids[start:end:end]
		start = end
	}
}

// superusers returns the groups that make superusers: those that say so and
// all below them. Cycles are possible.
func (m *mirror) superusers() map[string]bool {
	children := make(map[string][]string)
	super := make(map[string]bool)
	var todo []string
	for i := range m.groups {
		g := &m.groups[i]
		for _, p := range g.Parents {
			children[p] = append(children[p], g.UUID)
		}
		if g.Superuser {
			super[g.UUID] = true
			todo = append(todo, g.UUID)
		}
	}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, c := range children[id] {
			if !super[c] {
				super[c] = true
				todo = append(todo, c)
			}
		}
	}
	return super
}

// list returns the groups without their members.
func (m *mirror) list() []directory.Group {
	groups := make([]directory.Group, len(m.groups))
	for i := range m.groups {
		groups[i] = m.groups[i].Group
	}
	return groups
}

// equal reports whether both would be served alike.
func (m *mirror) equal(o *mirror) bool {
	return slices.EqualFunc(m.users, o.users, func(a, b directory.User) bool {
		return sameUser(&a, &b) && a.Superuser == b.Superuser && slices.Equal(a.Groups, b.Groups)
	}) && sameGroups(m.groups, o.groups)
}

// sameUser compares all but what comes from groups.
func sameUser(a, b *directory.User) bool {
	return a.PK == b.PK && a.UUID == b.UUID && a.UID == b.UID && a.Username == b.Username &&
		a.Name == b.Name && a.Email == b.Email && a.Active == b.Active &&
		a.PasswordChanged.Equal(b.PasswordChanged) && a.Created.Equal(b.Created) && a.Updated.Equal(b.Updated) &&
		sameAttrs(a.Attrs, b.Attrs)
}

func sameGroups(a, b []memberGroup) bool {
	return slices.EqualFunc(a, b, func(a, b memberGroup) bool {
		return a.UUID == b.UUID && a.Name == b.Name && a.NumPK == b.NumPK && a.Superuser == b.Superuser &&
			slices.Equal(a.Parents, b.Parents) && slices.Equal(a.members, b.members) && sameAttrs(a.Attrs, b.Attrs)
	})
}

func sameAttrs(a, b map[string]any) bool {
	return maps.EqualFunc(a, b, func(x, y any) bool { return reflect.DeepEqual(x, y) })
}

func byPK(a, b *directory.User) int { return cmp.Compare(a.PK, b.PK) }

func byUUID(a, b *memberGroup) int { return cmp.Compare(a.UUID, b.UUID) }

// findUser returns the place of a user, or where he would be.
func findUser(users []directory.User, pk int64) (int, bool) {
	return slices.BinarySearchFunc(users, pk, func(u directory.User, pk int64) int { return cmp.Compare(u.PK, pk) })
}

// merge returns users with some changed or added, both by PK; the same slice
// if that makes no difference.
func merge(users, changed []directory.User) []directory.User {
	changed = slices.DeleteFunc(changed, func(u directory.User) bool {
		i, ok := findUser(users, u.PK)
		return ok && sameUser(&users[i], &u)
	})
	if len(changed) == 0 {
		return users
	}
	out := make([]directory.User, 0, len(users)+len(changed))
	for i := range changed {
		n, ok := findUser(users, changed[i].PK)
		out = append(append(out, users[:n]...), changed[i])
		if ok {
			n++
		}
		users = users[n:]
	}
	return append(out, users...)
}
