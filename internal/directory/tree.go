package directory

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"ldapd/internal/ldap"
	"ldapd/internal/schema"
)

// Tree is what users and groups are hung into.
type Tree struct {
	// BaseDN is the name of the root entry, served as it is written. The
	// entries below have it in lower case.
	BaseDN string
	// UIDStart and GIDStart are added to the numbers of users and groups
	// for uidNumber and gidNumber.
	UIDStart, GIDStart int64
}

// The containers below the base, in their order.
var containers = [...]string{"users", "groups", "virtual-groups"}

const (
	users = iota
	groups
	virtualGroups
)

// node is a user or group that will be served.
type node struct {
	index    int    // in the input
	dn, norm string // norm orders the siblings
	uuid     string // lower-case
}

// tree is the state of one Build.
type tree struct {
	Tree
	*builder
	problems problems
	customs  customs

	containerDN [len(containers)]string
	users       []node
	groups      []node
	groupByUUID map[string]int // index into groups
	gid         []string       // of each of users, once encoded

	userKind, groupKind, virtualKind *kind
}

// Build makes the snapshot of users and groups. What cannot be served is left
// out and named in the problems; only a base DN that is empty or does not
// parse makes the snapshot empty. The input is not kept.
func (t Tree) Build(users []User, groups []Group) (*Snapshot, []Problem) {
	b := &tree{Tree: t}
	base, err := ldap.ParseDN(t.BaseDN)
	if err != nil || len(base) == 0 {
		b.problems.add("base DN "+t.BaseDN, "the directory is empty: not a valid name")
		s := &Snapshot{}
		s.take(newBuilder(schema.Builtin(), 0), t.BaseDN, nil)
		s.subschema = newSubschema(s.Schema, s.Built)
		return s, b.problems.list
	}
	sch := extendSchema(users, groups)
	b.builder = newBuilder(sch, 4+2*len(users)+len(groups))
	b.customs = customs{schema: sch, types: make(map[string]*schema.AttributeType), problems: &b.problems}
	b.newKinds()
	suffix := lowerDN(t.BaseDN)
	for i, name := range containers {
		b.containerDN[i] = "ou=" + name + "," + suffix
	}
	b.placeGroups(groups)
	b.placeUsers(users)

	b.encodeBase(base)
	members := b.members(users)
	s := &Snapshot{}
	s.containers[0] = b.encodeContainer(0, len(b.users) > 0)
	b.gid = make([]string, len(b.users))
	first := ID(len(b.records))
	for i, n := range b.users {
		b.gid[i] = b.encodeUser(n, &users[n.index])
	}
	s.containers[1] = b.encodeContainer(1, len(b.groups) > 0)
	children := b.children(groups)
	for i, n := range b.groups {
		b.encodeGroup(n, &groups[n.index], groups, users, members[i], children[i], first)
	}
	s.containers[2] = b.encodeContainer(2, len(b.users) > 0)
	for i, n := range b.users {
		b.encodeVirtual(&users[n.index], b.gid[i], first+ID(i))
	}
	s.take(b.builder, t.BaseDN, base)
	s.subschema = newSubschema(s.Schema, s.Built)
	return s, b.problems.list
}

func (b *tree) newKinds() {
	b.userKind = b.newKind("inetOrgPerson",
		"top", "person", "organizationalPerson", "inetOrgPerson", "user", "posixAccount", schema.ClassUser)
	group := []string{"group", "groupOfUniqueNames", "groupOfNames", schema.ClassGroup, "posixGroup"}
	b.groupKind = b.newKind("groupOfNames", append(group[:5:5], "top")...)
	b.virtualKind = b.newKind("groupOfNames", append(group[:5:5], schema.ClassVirtualGroup, "top")...)
}

// lowerDN returns a DN in lower case, unless that makes another name of it.
func lowerDN(dn string) string {
	lower := strings.ToLower(dn)
	a, err1 := ldap.NormalizeDN(nil, []byte(dn))
	b, err2 := ldap.NormalizeDN(nil, []byte(lower))
	if err1 != nil || err2 != nil || string(a) != string(b) {
		return dn
	}
	return lower
}

// place makes the node of an entry, or says why it cannot be served.
func place(container string, index int, name, id string) (node, string) {
	if !utf8.ValidString(name) || len(ldap.Fold(nil, []byte(name))) == 0 {
		return node{}, "left out: not a valid name"
	}
	if _, err := uuid.Parse(id); err != nil || len(id) != 36 {
		return node{}, "left out: its UUID is not one"
	}
	dn := ldap.RDN{{Type: "cn", Value: name}}.String() + "," + container
	norm, err := ldap.NormalizeDN(nil, []byte(dn))
	if err != nil {
		return node{}, "left out: not a valid name"
	}
	return node{index: index, dn: dn, norm: string(norm), uuid: strings.ToLower(id)}, ""
}

// order sorts nodes as the tree does and drops all but one of each name; the
// lowest number, so the oldest entry, stays. Of two with one UUID the one
// with the lower number stays as well.
func (b *tree) order(nodes []node, label string, name func(i int) string, number func(i int) int64) []node {
	byNumber := func(x, y node) int {
		return cmp.Or(cmp.Compare(number(x.index), number(y.index)), cmp.Compare(x.index, y.index))
	}
	slices.SortFunc(nodes, func(x, y node) int {
		return cmp.Or(strings.Compare(x.uuid, y.uuid), byNumber(x, y))
	})
	nodes = b.distinct(nodes, label, "UUID", name, func(x, y node) bool { return x.uuid == y.uuid })
	slices.SortFunc(nodes, func(x, y node) int {
		return cmp.Or(strings.Compare(x.norm, y.norm), byNumber(x, y))
	})
	return b.distinct(nodes, label, "DN", name, func(x, y node) bool { return x.norm == y.norm })
}

// distinct keeps the first of each run of sorted nodes that are the same.
func (b *tree) distinct(nodes []node, label, what string, name func(i int) string, same func(x, y node) bool) []node {
	kept := nodes[:0]
	for _, n := range nodes {
		if len(kept) > 0 && same(kept[len(kept)-1], n) {
			b.problems.add(label+name(n.index), "left out: another one has the same %s", what)
			continue
		}
		kept = append(kept, n)
	}
	return kept
}

func (b *tree) placeUsers(list []User) {
	b.users = make([]node, 0, len(list))
	for i := range list {
		n, reason := place(b.containerDN[users], i, list[i].Username, list[i].UUID)
		if reason != "" {
			b.problems.add("user "+list[i].Username, "%s", reason)
			continue
		}
		b.users = append(b.users, n)
	}
	b.users = b.order(b.users, "user ",
		func(i int) string { return list[i].Username },
		func(i int) int64 { return list[i].PK })
}

func (b *tree) placeGroups(list []Group) {
	b.groups = make([]node, 0, len(list))
	for i := range list {
		n, reason := place(b.containerDN[groups], i, list[i].Name, list[i].UUID)
		if reason != "" {
			b.problems.add("group "+list[i].Name, "%s", reason)
			continue
		}
		b.groups = append(b.groups, n)
	}
	b.groups = b.order(b.groups, "group ",
		func(i int) string { return list[i].Name },
		func(i int) int64 { return list[i].NumPK })
	b.groupByUUID = make(map[string]int, len(b.groups))
	for i, n := range b.groups {
		b.groupByUUID[list[n.index].UUID] = i
	}
}

// members returns, for each group, the places of its direct users.
func (b *tree) members(list []User) [][]int32 {
	members := make([][]int32, len(b.groups))
	for i, n := range b.users {
		u := &list[n.index]
		for j, id := range u.Groups {
			g, ok := b.groupByUUID[id]
			if !ok {
				b.problems.add("user "+u.Username, "group %q is not known", id)
			} else if !slices.Contains(u.Groups[:j], id) {
				members[g] = append(members[g], int32(i))
			}
		}
	}
	return members
}

// children returns, for each group, the places of its direct child groups.
func (b *tree) children(list []Group) [][]int32 {
	children := make([][]int32, len(b.groups))
	for i, n := range b.groups {
		g := &list[n.index]
		for j, id := range g.Parents {
			p, ok := b.groupByUUID[id]
			if !ok {
				b.problems.add("group "+g.Name, "parent group %q is not known", id)
			} else if !slices.Contains(g.Parents[:j], id) {
				children[p] = append(children[p], int32(i))
			}
		}
	}
	return children
}
