package local

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"ldapd/internal/directory"
)

// inherit makes superusers of the members of superuser groups, and of the
// groups below those, as authentik does. Cycles of groups are legal.
func (f *File) inherit() {
	children := map[string][]string{}
	super := map[string]bool{}
	var todo []string
	for _, g := range f.groups {
		for _, p := range g.Parents {
			children[p] = append(children[p], g.UUID)
		}
		if g.Superuser {
			super[g.UUID] = true
			todo = append(todo, g.UUID)
		}
	}
	for len(todo) > 0 {
		last := len(todo) - 1
		id := todo[last]
		todo = todo[:last]
		for _, c := range children[id] {
			if !super[c] {
				super[c] = true
				todo = append(todo, c)
			}
		}
	}
	for i := range f.users {
		u := &f.users[i]
		u.Superuser = slices.ContainsFunc(u.Groups, func(id string) bool { return super[id] })
	}
}

// Numbers of users are below 1<<30, those of groups above, up to 1<<30 + 1<<29:
// so the group of a user (gidNumber is uidNumber) is none of the groups, and
// all fit into 31 bits with a start added.
const (
	userNumbers  = 1 << 30
	groupNumbers = 1 << 29
)

// number gives users and groups the numbers behind uidNumber and gidNumber.
// They are derived from the UUIDs, so they stay when others come and go. If
// two are the same, the lower UUID keeps it and the other takes the next free
// one; among 10 000 users that is so for one pair in every twentieth file.
// Who needs certainty sets the attribute uidNumber or gidNumber.
func (f *File) number() {
	slices.SortFunc(f.users, func(a, b directory.User) int { return cmp.Compare(a.UUID, b.UUID) })
	slices.SortFunc(f.groups, func(a, b directory.Group) int { return cmp.Compare(a.UUID, b.UUID) })
	slices.SortFunc(f.accounts, func(a, b account) int { return cmp.Compare(a.uuid, b.uuid) })
	taken := make(map[int64]bool, len(f.users)+len(f.groups))
	for i := range f.users {
		f.users[i].PK = free(taken, f.users[i].UUID, 0, userNumbers)
	}
	for i := range f.groups {
		f.groups[i].NumPK = free(taken, f.groups[i].UUID, userNumbers, groupNumbers)
	}
}

// free takes a number from start to start+n-1. There are more of them than
// entries in a file, so one is free.
func free(taken map[int64]bool, uuid string, start, n int64) int64 {
	sum := sha256.Sum256([]byte(uuid))
	i := int64(binary.BigEndian.Uint32(sum[:4])) % n
	for taken[start+i] {
		i = (i + 1) % n
	}
	taken[start+i] = true
	return start + i
}
