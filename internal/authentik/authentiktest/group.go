package authentiktest

import (
	"cmp"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
)

// Group is a row of authentik's group table.
type Group struct {
	PK        string // a UUID, derived from Name if empty
	Name      string
	Superuser bool
	// Parents are names or pks of existing groups; 2025.10 has at most one.
	Parents    []string
	Attributes map[string]any
	Roles      []string // names
}

type group struct {
	Group    // without Parents and Attributes
	attrs    json.RawMessage
	numPK    int
	parents  []*group
	children []*group
	members  []*user // by pk
}

type groupTable struct {
	rows   []*group // by name
	byPK   map[string]*group
	byName map[string]*group

	orders orders[group]
}

func (t *groupTable) init() {
	t.byPK = make(map[string]*group)
	t.byName = make(map[string]*group)
}

func (t *groupTable) find(ref string) *group {
	if g := t.byName[ref]; g != nil {
		return g
	}
	return t.byPK[strings.ToLower(ref)]
}

func (t *groupTable) add(g *group) {
	i, _ := slices.BinarySearchFunc(t.rows, g.Name, func(g *group, name string) int { return cmp.Compare(g.Name, name) })
	t.rows = slices.Insert(t.rows, i, g)
	t.byPK[g.PK] = g
	t.byName[g.Name] = g
	t.orders.by = nil
}

func (t *groupTable) remove(g *group) {
	t.rows = slices.DeleteFunc(t.rows, func(other *group) bool { return other == g })
	delete(t.byPK, g.PK)
	delete(t.byName, g.Name)
	t.orders.by = nil
}

// AddGroup adds a group and returns it with every default filled in.
func (s *Server) AddGroup(g Group) Group {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.PK == "" {
		g.PK = uuidOf("group", g.Name)
	}
	g.PK = strings.ToLower(g.PK)
	if s.groups.byPK[g.PK] != nil {
		s.tb.Fatalf("authentiktest: group pk %s is taken", g.PK)
	}
	row := &group{}
	s.fillGroup(row, g)
	s.groups.add(row)
	return row.view()
}

// SetGroup saves a group over the one with the same PK, which must exist. Its
// members stay; parents may form cycles.
func (s *Server) SetGroup(g Group) Group {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	row := s.groups.byPK[strings.ToLower(g.PK)]
	if row == nil {
		s.tb.Fatalf("authentiktest: no group with pk %q", g.PK)
	}
	g.PK = row.PK
	s.groups.remove(row)
	row.orphan()
	s.fillGroup(row, g)
	s.groups.add(row)
	return row.view()
}

// RemoveGroup deletes a group, its memberships and its place among parents.
func (s *Server) RemoveGroup(ref string) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.mustGroup(ref)
	for _, u := range g.members {
		u.groups = slices.DeleteFunc(u.groups, func(other *group) bool { return other == g })
	}
	g.orphan()
	for _, child := range g.children {
		child.parents = slices.DeleteFunc(child.parents, func(other *group) bool { return other == g })
	}
	s.groups.remove(g)
}

// AddMember adds direct members to a group. As in authentik no LastUpdated
// moves.
func (s *Server) AddMember(ref string, usernames ...string) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.mustGroup(ref)
	for _, name := range usernames {
		u := s.mustUser(name)
		if !slices.Contains(u.groups, g) {
			u.groups = append(u.groups, g)
			g.join(u)
		}
	}
}

// RemoveMember removes direct members from a group.
func (s *Server) RemoveMember(ref string, usernames ...string) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.mustGroup(ref)
	for _, name := range usernames {
		u := s.mustUser(name)
		u.groups = slices.DeleteFunc(u.groups, func(other *group) bool { return other == g })
		g.leave(u)
	}
}

func (s *Server) mustGroup(ref string) *group {
	s.tb.Helper()
	g := s.groups.find(ref)
	if g == nil {
		s.tb.Fatalf("authentiktest: no group %q", ref)
	}
	return g
}

// fillGroup writes everything but the memberships.
func (s *Server) fillGroup(row *group, g Group) {
	s.tb.Helper()
	if g.Name == "" || s.groups.byName[g.Name] != nil {
		s.tb.Fatalf("authentiktest: group name %q is empty or taken", g.Name)
	}
	n, ok := numPK(g.PK)
	if !ok {
		s.tb.Fatalf("authentiktest: %q is not a UUID", g.PK)
	}
	if !s.is2026() && len(g.Parents) > 1 {
		s.tb.Fatalf("authentiktest: group %q: one parent at most in %s", g.Name, s.o.Version)
	}
	row.Group, row.numPK, row.attrs, row.parents = g, n, s.attributes(g.Attributes), nil
	for _, ref := range g.Parents {
		p := row // which may be its own parent
		if ref != g.Name && ref != g.PK {
			p = s.mustGroup(ref)
		}
		if !slices.Contains(row.parents, p) {
			row.parents = append(row.parents, p)
			p.children = append(p.children, row)
		}
	}
	row.Parents, row.Attributes = nil, nil
}

func (g *group) orphan() {
	for _, p := range g.parents {
		p.children = slices.DeleteFunc(p.children, func(other *group) bool { return other == g })
	}
	g.parents = nil
}

func (g *group) join(u *user) {
	i, found := slices.BinarySearchFunc(g.members, u.PK, byPK)
	if !found {
		g.members = slices.Insert(g.members, i, u)
	}
}

func (g *group) leave(u *user) {
	if i, found := slices.BinarySearchFunc(g.members, u.PK, byPK); found {
		g.members = slices.Delete(g.members, i, i+1)
	}
}

func (g *group) view() Group {
	v := g.Group
	v.Attributes = decodeAttributes(g.attrs)
	for _, p := range g.parents {
		v.Parents = append(v.Parents, p.PK)
	}
	return v
}

// numPK is the first five decimal digits of the UUID taken as a number.
func numPK(pk string) (int, bool) {
	hex := strings.ReplaceAll(pk, "-", "")
	n, ok := new(big.Int).SetString(hex, 16)
	if !ok || len(hex) != 32 {
		return 0, false
	}
	text := n.String()
	m := 0
	for _, c := range text[:min(5, len(text))] {
		m = m*10 + int(c-'0')
	}
	return m, true
}

// effective returns direct groups and their ancestors; cycles end it.
func (u *user) effective() []*group {
	all := slices.Clone(u.groups)
	seen := make(map[*group]bool, len(all))
	for _, g := range all {
		seen[g] = true
	}
	for i := 0; i < len(all); i++ {
		for _, p := range all[i].parents {
			if !seen[p] {
				seen[p] = true
				all = append(all, p)
			}
		}
	}
	return all
}

func (u *user) superuser() bool {
	return slices.ContainsFunc(u.effective(), func(g *group) bool { return g.Superuser })
}
