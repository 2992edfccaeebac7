package authentik

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unique"

	"ldapd/internal/directory"
	"ldapd/internal/schema"
)

// convertUser returns what is served of a user, but for the groups; the known
// one with the same PK if nothing changed, so that the memory is shared.
func convertUser(u *User, known []directory.User) directory.User {
	d := directory.User{
		UUID:            strings.ToLower(u.UUID),
		UID:             u.UID,
		PK:              int64(u.PK),
		Username:        u.Username,
		Name:            u.Name,
		Email:           u.Email,
		Active:          u.Active,
		Attrs:           convertAttributes(u.Attributes),
		PasswordChanged: u.Password.Time,
		Created:         u.Joined.Time,
		Updated:         u.LastUpdated.Time,
	}
	if i, ok := findUser(known, d.PK); ok && sameUser(&known[i], &d) {
		return known[i]
	}
	return d
}

func convertGroup(g *Group) memberGroup {
	m := memberGroup{
		Group: directory.Group{
			UUID:      strings.ToLower(g.PK),
			Name:      g.Name,
			NumPK:     int64(g.NumPK),
			Superuser: g.Superuser,
			Attrs:     convertAttributes(g.Attributes),
		},
		members: make([]int64, len(g.Users)),
	}
	for _, p := range g.ParentIDs() {
		m.Parents = append(m.Parents, strings.ToLower(p))
	}
	slices.Sort(m.Parents)
	for i, pk := range g.Users {
		m.members[i] = int64(pk)
	}
	slices.Sort(m.members)
	m.members = slices.Compact(m.members)
	return m
}

// convertAttributes reads free attributes, numbers as they are written.
func convertAttributes(raw json.RawMessage) map[string]any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var all map[string]any
	if d.Decode(&all) != nil {
		return nil
	}
	return intern(all)
}

// intern returns attributes whose keys share their memory with those of other
// entries. Those that hold passwords are left out: they are not served, and
// must not get into the snapshot on disk.
func intern(all map[string]any) map[string]any {
	if len(all) == 0 {
		return nil
	}
	attrs := make(map[string]any, len(all))
	for key, v := range all {
		if !secret(key) {
			attrs[unique.Make(key).Value()] = v
		}
	}
	return attrs
}

func secret(key string) bool {
	key = strings.ReplaceAll(strings.ReplaceAll(key, ".", ""), "/", "-")
	at, ok := schema.Builtin().Lookup([]byte(key))
	return ok && at.Secret
}
