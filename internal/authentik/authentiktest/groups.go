package authentiktest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

type relatedGroup struct {
	PK          string          `json:"pk"`
	Name        string          `json:"name"`
	IsSuperuser bool            `json:"is_superuser"`
	Attributes  json.RawMessage `json:"attributes"`
	GroupUUID   string          `json:"group_uuid"`
}

type partialUser struct {
	PK         int             `json:"pk"`
	Username   string          `json:"username"`
	Name       string          `json:"name"`
	IsActive   bool            `json:"is_active"`
	LastLogin  *string         `json:"last_login"`
	Email      string          `json:"email"`
	Attributes json.RawMessage `json:"attributes"`
	UID        string          `json:"uid"`
}

// groupJSON is what the group objects of both versions share.
type groupJSON struct {
	PK          string          `json:"pk"`
	NumPK       int             `json:"num_pk"`
	Name        string          `json:"name"`
	IsSuperuser bool            `json:"is_superuser"`
	Users       []int           `json:"users"`
	UsersObj    []partialUser   `json:"users_obj"`
	Attributes  json.RawMessage `json:"attributes"`
	Roles       []string        `json:"roles"`
	RolesObj    []roleJSON      `json:"roles_obj"`
	Children    []string        `json:"children"`
	ChildrenObj []relatedGroup  `json:"children_obj"`
}

type groupJSON2025 struct {
	groupJSON
	Parent     *string `json:"parent"`
	ParentName *string `json:"parent_name"`
}

type groupJSON2026 struct {
	groupJSON
	Parents        []string       `json:"parents"`
	ParentsObj     []relatedGroup `json:"parents_obj"`
	InheritedRoles []roleJSON     `json:"inherited_roles_obj"`
}

// groupParts are the include_ switches.
type groupParts struct{ users, children, parents, roles bool }

func (q *query) groupParts() groupParts {
	return groupParts{
		users:    q.include("include_users", true),
		children: q.include("include_children", false),
		parents:  q.include("include_parents", false),
		roles:    q.include("include_inherited_roles", false),
	}
}

func related(groups []*group) (pks []string, objs []relatedGroup) {
	pks, objs = make([]string, len(groups)), make([]relatedGroup, len(groups))
	for i, g := range groups {
		pks[i] = g.PK
		objs[i] = relatedGroup{g.PK, g.Name, g.Superuser, g.attrs, g.PK}
	}
	return pks, objs
}

// parent is the one parent of 2025.10.
func (g *group) parent() (pk, name *string) {
	if len(g.parents) == 0 {
		return nil, nil
	}
	return &g.parents[0].PK, &g.parents[0].Name
}

// inheritedRoles are the roles of the ancestors.
func (g *group) inheritedRoles() []string {
	var names []string
	for _, a := range (&user{groups: g.parents}).effective() {
		names = append(names, a.Roles...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (s *Server) groupJSON(g *group, with groupParts) any {
	v := groupJSON{
		PK:          g.PK,
		NumPK:       g.numPK,
		Name:        g.Name,
		IsSuperuser: g.Superuser,
		Users:       make([]int, len(g.members)),
		Attributes:  g.attrs,
	}
	for i, u := range g.members {
		v.Users[i] = u.PK
	}
	if with.users {
		v.UsersObj = make([]partialUser, len(g.members))
		for i, u := range g.members {
			v.UsersObj[i] = partialUser{u.PK, u.Username, u.Name, !u.Inactive, stamp(u.LastLogin), u.Email, u.attrs, s.uid(u)}
		}
	}
	v.Roles, v.RolesObj = roles(g.Roles)
	v.Children, v.ChildrenObj = related(g.children)
	if !with.children {
		v.ChildrenObj = nil
	}
	if !s.is2026() {
		w := groupJSON2025{groupJSON: v}
		w.Parent, w.ParentName = g.parent()
		return w
	}
	w := groupJSON2026{groupJSON: v}
	w.Parents, w.ParentsObj = related(g.parents)
	if !with.parents {
		w.ParentsObj = nil
	}
	if with.roles {
		_, w.InheritedRoles = roles(g.inheritedRoles())
	}
	return w
}

func groupOrder(param string) func(a, b *group) int {
	columns := map[string]func(a, b *group) int{
		"pk":           func(a, b *group) int { return cmp.Compare(a.PK, b.PK) },
		"name":         func(a, b *group) int { return cmp.Compare(a.Name, b.Name) },
		"is_superuser": func(a, b *group) int { return compareBool(a.Superuser, b.Superuser) },
	}
	return ordering(param, "name", columns, columns["pk"])
}

// ordered returns all groups in an order that is kept until a group changes.
func (t *groupTable) ordered(param string) []*group {
	return t.orders.sorted(param, t.rows, groupOrder)
}

func (s *Server) groupFilters(q *query) []func(*group) bool {
	var keep []func(*group) bool
	add := func(f func(*group) bool) { keep = append(keep, f) }
	if want := q.Get("name"); want != "" {
		add(func(g *group) bool { return g.Name == want })
	}
	if want, set := q.boolean("is_superuser"); set {
		add(func(g *group) bool { return g.Superuser == want })
	}
	if want := q.attributes(); want != nil {
		add(func(g *group) bool { return hasAttributes(g.attrs, want) })
	}
	if want := q.Get("search"); want != "" {
		add(func(g *group) bool { return matches(want, g.Name) })
	}
	for _, members := range [][]*user{
		choices(q, "members_by_username", func(v string) (*user, bool) { u := s.users.byName[v]; return u, u != nil }),
		choices(q, "members_by_pk", func(v string) (*user, bool) {
			pk, err := strconv.Atoi(v)
			u := s.users.byPK[pk]
			return u, err == nil && u != nil
		}),
	} {
		if len(members) > 0 {
			add(func(g *group) bool {
				return slices.ContainsFunc(members, func(u *user) bool {
					_, found := slices.BinarySearchFunc(g.members, u.PK, byPK)
					return found
				})
			})
		}
	}
	return keep
}

func (s *Server) listGroups(c *call) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.reader(c) {
		return
	}
	q := newQuery(c)
	keep := s.groupFilters(q)
	if !q.ok(c) {
		return
	}
	rows := s.groups.ordered(q.Get("ordering"))
	if len(keep) > 0 {
		rows = selectRows(rows, keep)
	}
	w, ok := s.page(c, q.Values, len(rows))
	if !ok {
		return
	}
	with := q.groupParts()
	results := make([]any, 0, w.to-w.from)
	for _, g := range rows[w.from:w.to] {
		results = append(results, s.groupJSON(g, with))
	}
	c.json(http.StatusOK, s.envelope(w, results))
}

func (s *Server) oneGroup(c *call) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.reader(c) {
		return
	}
	g := s.groups.byPK[strings.ToLower(c.arg)]
	if g == nil {
		c.detail(http.StatusNotFound, "No Group matches the given query.")
		return
	}
	c.json(http.StatusOK, s.groupJSON(g, newQuery(c).groupParts()))
}
