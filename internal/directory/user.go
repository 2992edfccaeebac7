package directory

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"ldapd/internal/schema"
)

// override adds an attribute with its free values, if it has some, or else
// with the one given.
func (b *tree) override(free []custom, id uint16, v string) {
	values := find(free, id)
	if values == nil {
		b.add(id, v)
		return
	}
	b.attr(id)
	for _, v := range values {
		b.value(v)
	}
	b.end()
}

// rest adds the free attributes that replace none of those added.
func (b *tree) rest(free []custom) {
	for _, c := range free {
		if !slices.Contains(b.ids, c.at.ID) {
			b.override(free, c.at.ID, "")
		}
	}
}

// number returns the free value that authentik takes for a number that others
// are derived from: one that the source has as a string.
func number(free []custom, attrs map[string]any, id uint16) string {
	name := schema.Builtin().Type(id).Name
	for key, v := range attrs {
		if _, ok := v.(string); ok && strings.EqualFold(attrName(key), name) {
			if values := find(free, id); values != nil {
				return values[0]
			}
		}
	}
	return ""
}

// encodeUser stores a user and returns its gidNumber.
func (b *tree) encodeUser(n node, u *User) string {
	free := b.customs.of("user "+u.Username, u.Username, u.Attrs)
	name := u.Name
	if strings.TrimSpace(name) == "" {
		name = u.Username // Nextcloud does not show users without a displayName
	}
	uid := u.UID
	if uid == "" {
		uid = u.Username
	}
	uidNumber := number(free, u.Attrs, schema.UIDNumber)
	if uidNumber == "" {
		uidNumber = strconv.FormatInt(b.UIDStart+u.PK, 10)
	}
	gidNumber := number(free, u.Attrs, schema.GIDNumber)
	if gidNumber == "" {
		gidNumber = uidNumber
	}

	b.begin(b.userKind)
	b.add(schema.CN, u.Username)
	b.override(free, schema.SAMAccountName, u.Username)
	b.override(free, schema.UID, uid)
	b.override(free, schema.Name, name)
	b.override(free, schema.DisplayName, name)
	b.override(free, schema.SN, name)
	b.override(free, schema.GivenName, givenName(u.Name))
	b.override(free, schema.Mail, strings.TrimSpace(u.Email))
	b.memberOf(u.Groups)
	b.add(schema.Active, upperBool(u.Active))
	b.add(schema.SuperUser, upperBool(u.Superuser))
	b.override(free, schema.UIDNumber, uidNumber)
	b.override(free, schema.GIDNumber, gidNumber)
	b.override(free, schema.HomeDirectory, "/home/"+u.Username)
	b.time(schema.PwdChangedTime, u.PasswordChanged)
	b.time(schema.CreateTimestamp, u.Created)
	b.time(schema.ModifyTimestamp, u.Updated)
	b.rest(free)
	b.finish(n.dn, strings.ToLower(u.UUID), false)

	if values := find(free, schema.GIDNumber); values != nil {
		return values[0]
	}
	return gidNumber
}

// memberOf adds the DNs of the groups that are known.
func (b *tree) memberOf(ids []string) {
	b.attr(schema.MemberOf)
	for i, id := range ids {
		if g, ok := b.groupByUUID[id]; ok && !slices.Contains(ids[:i], id) {
			b.value(b.groups[g].dn)
		}
	}
	b.end()
}

func (b *tree) time(id uint16, t time.Time) {
	b.attr(id)
	if !t.IsZero() {
		b.valueBytes(schema.AppendTime(nil, t))
	}
	b.end()
}

// givenName returns the first word of a name, or, of "Liddell, Alice", the
// first one behind the comma.
func givenName(name string) string {
	if _, after, ok := strings.Cut(name, ","); ok && strings.TrimSpace(after) != "" {
		name = after
	}
	if words := strings.Fields(name); len(words) > 0 {
		return strings.TrimRight(words[0], ",")
	}
	return ""
}

func upperBool(v bool) string {
	if v {
		return "TRUE"
	}
	return "FALSE"
}
