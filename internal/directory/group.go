package directory

import (
	"strconv"
	"strings"

	"github.com/google/uuid"

	"ldapd/internal/ldap"
	"ldapd/internal/schema"
)

// encodeGroup stores a group. firstUser is the ID of the first of b.users,
// whose entries are stored already.
func (b *tree) encodeGroup(n node, g *Group, groups []Group, list []User, members, children []int32, firstUser ID) {
	free := b.customs.of("group "+g.Name, "", g.Attrs)
	gidNumber := number(free, g.Attrs, schema.GIDNumber)
	if gidNumber == "" {
		gidNumber = strconv.FormatInt(b.GIDStart+g.NumPK, 10)
	}
	b.begin(b.groupKind)
	b.add(schema.CN, g.Name)
	b.override(free, schema.SAMAccountName, g.Name)
	b.override(free, schema.UID, strings.ToLower(g.UUID))
	b.attr(schema.Member)
	for _, u := range members {
		b.encoded(b.encodedDN(firstUser + ID(u)))
	}
	for _, c := range children {
		b.value(b.groups[c].dn)
	}
	b.end()
	b.attr(schema.MemberUID)
	for _, u := range members {
		b.value(list[b.users[u].index].Username)
	}
	b.end()
	b.memberOf(g.Parents)
	b.override(free, schema.GIDNumber, gidNumber)
	b.add(schema.SuperUser, strconv.FormatBool(g.Superuser))
	b.rest(free)
	b.finish(n.dn, strings.ToLower(g.UUID), false)
}

// encodeVirtual stores the group that only one user is in, the primary one of
// the POSIX account.
func (b *tree) encodeVirtual(u *User, gidNumber string, user ID) {
	uid := u.UID
	if uid == "" {
		uid = u.Username
	}
	b.begin(b.virtualKind)
	b.add(schema.CN, u.Username)
	b.add(schema.SAMAccountName, u.Username)
	b.add(schema.UID, uid)
	b.attr(schema.Member)
	b.encoded(b.encodedDN(user))
	b.end()
	b.add(schema.MemberUID, u.Username)
	b.add(schema.GIDNumber, gidNumber)
	b.add(schema.SuperUser, "false")
	dn := ldap.RDN{{Type: "cn", Value: u.Username}}.String() + "," + b.containerDN[virtualGroups]
	b.finish(dn, derivedUUID(u.UUID), false)
}

// derivedUUID returns the UUID of the virtual group of a user. It outlives a
// change of name.
func derivedUUID(user string) string {
	space, err := uuid.Parse(user)
	if err != nil {
		space = uuid.NameSpaceX500
	}
	return uuid.NewSHA1(space, []byte("virtual-group")).String()
}

// encodedDN returns the DN of a stored entry as an OCTET STRING.
func (b *builder) encodedDN(id ID) []byte {
	r := b.records[id]
	return b.chunks[r.chunk][r.start+r.dn : r.start+r.size]
}
