package authentik

import (
	"reflect"
	"runtime/debug"
	"slices"

	"go.uber.org/zap"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

// local is users and groups that are not authentik's.
type local struct {
	users  []directory.User
	groups []directory.Group
}

// SetLocal adds users and groups of another source, which must not be changed
// afterwards. Of a user or group that both have, the local one is served. It
// may be called at any time.
func (c *Controller) SetLocal(users []directory.User, groups []directory.Group) {
	c.local.Store(&local{users, groups})
	poke(c.locals)
}

// trees are the snapshots built of one state.
type trees struct {
	mirror *mirror
	local  *local
	built  map[directory.Tree]*directory.Snapshot
}

// publish passes on what is to be served, if it changed.
func (c *Controller) publish() {
	if c.mirror == nil || c.settings == nil {
		return
	}
	local := c.local.Load()
	old := c.trees
	next := trees{c.mirror, local, make(map[directory.Tree]*directory.Snapshot)}
	fresh := old.mirror != c.mirror || old.local != local
	var users []directory.User
	var groups []directory.Group
	found := make(map[string]bool) // problems
	var list []Published
	for _, p := range c.settings.providers {
		t := directory.Tree{BaseDN: p.BaseDN, UIDStart: int64(p.UIDStart), GIDStart: int64(p.GIDStart)}
		snapshot := next.built[t]
		if snapshot == nil && !fresh {
			snapshot = old.built[t]
		}
		if snapshot == nil {
			if users == nil {
				users, groups = c.entries(local, found)
				defer thrift()()
			}
			var problems []directory.Problem
			snapshot, problems = t.Build(users, groups)
			for _, problem := range problems {
				c.problem(found, problem.String())
			}
		}
		next.built[t] = snapshot
		if snapshot.Len() == 0 {
			c.log.Error("provider not served: its base DN cannot be used", zap.String("provider", p.Name), zap.String("base_dn", p.BaseDN))
			continue
		}
		list = append(list, Published{Provider: p, Snapshot: snapshot, SyncedAt: c.synced, Stale: !c.live})
	}
	c.trees = next
	if users != nil {
		c.problems = found
	}
	c.note(len(c.mirror.users), len(c.mirror.groups))
	if len(list) == 0 || slices.EqualFunc(list, c.published, samePublished) {
		return
	}
	c.published = list
	c.o.Publish(slices.Clone(list))
}

// thrift makes the collector leave little garbage until the function that it
// returns is called: a snapshot is built beside the one in use, and with those
// of many users garbage would take as much memory again.
func thrift() func() {
	const percent = 10
	old := debug.SetGCPercent(percent)
	if old < percent { // or off, which GOMEMLIMIT makes sense of
		debug.SetGCPercent(old)
	}
	return func() { debug.SetGCPercent(old) }
}

func samePublished(a, b Published) bool {
	return a.Snapshot == b.Snapshot && a.Stale == b.Stale && reflect.DeepEqual(a.Provider, b.Provider)
}

// problem logs what was not so when the snapshots were built before.
func (c *Controller) problem(found map[string]bool, text string) {
	found[text] = true
	if !c.problems[text] {
		c.log.Warn("not served as it is in authentik", zap.String("problem", text))
	}
}

// entries returns all users and groups to serve.
func (c *Controller) entries(l *local, found map[string]bool) ([]directory.User, []directory.Group) {
	names := make(map[string]bool, len(l.users))
	for _, u := range l.users {
		names[fold(u.Username)] = true
	}
	shadowed := func(u directory.User) bool { return u.Username == anonymous || names[fold(u.Username)] }
	users := c.mirror.users
	if slices.ContainsFunc(users, shadowed) {
		users = slices.Clone(users)
		for _, u := range users {
			if shadowed(u) && u.Username != anonymous {
				c.problem(found, "user "+u.Username+": hidden by the local one of this name")
			}
		}
		users = slices.DeleteFunc(users, shadowed)
	}
	clear(names)
	for _, g := range l.groups {
		names[fold(g.Name)] = true
	}
	groups := slices.DeleteFunc(c.mirror.list(), func(g directory.Group) bool {
		if !names[fold(g.Name)] {
			return false
		}
		c.problem(found, "group "+g.Name+": hidden by the local one of this name")
		return true
	})
	users = withUID(users, c.o.UID)
	if len(l.users) > 0 {
		users = append(slices.Clip(users), l.users...)
	}
	return users, append(groups, l.groups...)
}

// withUID returns the users with the uid that is asked for.
func withUID(users []directory.User, from string) []directory.User {
	if from != "username" && from != "uuid" {
		return users
	}
	users = slices.Clone(users)
	for i := range users {
		u := &users[i]
		if u.UID = u.UUID; from == "username" {
			u.UID = u.Username
		}
	}
	return users
}

func fold(name string) string { return string(ldap.Fold(nil, []byte(name))) }
