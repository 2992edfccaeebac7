package authentiktest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

type roleJSON struct {
	PK   string `json:"pk"`
	Name string `json:"name"`
}

// userJSON is the user object of 2025.10.
type userJSON struct {
	PK          int             `json:"pk"`
	Username    string          `json:"username"`
	Name        string          `json:"name"`
	IsActive    bool            `json:"is_active"`
	LastLogin   *string         `json:"last_login"`
	DateJoined  *string         `json:"date_joined"`
	IsSuperuser bool            `json:"is_superuser"`
	Groups      []string        `json:"groups"`
	GroupsObj   any             `json:"groups_obj"`
	Email       string          `json:"email"`
	Avatar      string          `json:"avatar"`
	Attributes  json.RawMessage `json:"attributes"`
	UID         string          `json:"uid"`
	Path        string          `json:"path"`
	Type        string          `json:"type"`
	UUID        string          `json:"uuid"`
	Password    *string         `json:"password_change_date"`
	LastUpdated *string         `json:"last_updated"`
}

// userJSON2026 adds what 2026.5 has.
type userJSON2026 struct {
	userJSON
	Roles    []string   `json:"roles"`
	RolesObj []roleJSON `json:"roles_obj"`
}

type partialGroup struct {
	PK          string          `json:"pk"`
	NumPK       int             `json:"num_pk"`
	Name        string          `json:"name"`
	IsSuperuser bool            `json:"is_superuser"`
	Attributes  json.RawMessage `json:"attributes"`
}

type partialGroup2025 struct {
	partialGroup
	Parent     *string `json:"parent"`
	ParentName *string `json:"parent_name"`
}

func rolePK(name string) string { return uuidOf("role", name) }

func roles(names []string) (pks []string, objs []roleJSON) {
	pks, objs = []string{}, []roleJSON{}
	for _, name := range names {
		pks = append(pks, rolePK(name))
		objs = append(objs, roleJSON{rolePK(name), name})
	}
	return pks, objs
}

func (s *Server) userJSON(u *user, withGroups, withRoles bool) any {
	v := userJSON{
		PK:          u.PK,
		Username:    u.Username,
		Name:        u.Name,
		IsActive:    !u.Inactive,
		LastLogin:   stamp(u.LastLogin),
		DateJoined:  stamp(u.DateJoined),
		IsSuperuser: u.superuser(),
		Groups:      make([]string, len(u.groups)),
		Email:       u.Email,
		Avatar:      avatar(u),
		Attributes:  u.attrs,
		UID:         s.uid(u),
		Path:        u.Path,
		Type:        u.Type,
		UUID:        u.UUID,
		Password:    stamp(u.PasswordChanged),
		LastUpdated: stamp(u.LastUpdated),
	}
	for i, g := range u.groups {
		v.Groups[i] = g.PK
	}
	if withGroups {
		v.GroupsObj = s.partialGroups(u.groups)
	}
	if !s.is2026() {
		return v
	}
	w := userJSON2026{userJSON: v}
	w.Roles, w.RolesObj = roles(u.Roles)
	if !withRoles {
		w.RolesObj = nil
	}
	return w
}

func (s *Server) partialGroups(groups []*group) any {
	out := make([]partialGroup, len(groups))
	for i, g := range groups {
		out[i] = partialGroup{g.PK, g.numPK, g.Name, g.Superuser, g.attrs}
	}
	if s.is2026() {
		return out
	}
	old := make([]partialGroup2025, len(groups))
	for i, g := range groups {
		old[i].partialGroup = out[i]
		old[i].Parent, old[i].ParentName = g.parent()
	}
	return old
}

// userColumns are the columns that users can be ordered by.
func userColumns() map[string]func(a, b *user) int {
	return map[string]func(a, b *user) int{
		"pk":                   func(a, b *user) int { return cmp.Compare(a.PK, b.PK) },
		"username":             func(a, b *user) int { return cmp.Compare(a.Username, b.Username) },
		"name":                 func(a, b *user) int { return cmp.Compare(a.Name, b.Name) },
		"email":                func(a, b *user) int { return cmp.Compare(a.Email, b.Email) },
		"uuid":                 func(a, b *user) int { return cmp.Compare(a.UUID, b.UUID) },
		"path":                 func(a, b *user) int { return cmp.Compare(a.Path, b.Path) },
		"type":                 func(a, b *user) int { return cmp.Compare(a.Type, b.Type) },
		"is_active":            func(a, b *user) int { return compareBool(!a.Inactive, !b.Inactive) },
		"last_login":           func(a, b *user) int { return a.LastLogin.Compare(b.LastLogin) },
		"date_joined":          func(a, b *user) int { return a.DateJoined.Compare(b.DateJoined) },
		"password_change_date": func(a, b *user) int { return a.PasswordChanged.Compare(b.PasswordChanged) },
		"last_updated":         func(a, b *user) int { return a.LastUpdated.Compare(b.LastUpdated) },
	}
}

func userOrder(param string) func(a, b *user) int {
	columns := userColumns()
	return ordering(param, "username,date_joined,last_updated", columns, columns["pk"])
}

// ordered returns all users in an order that is kept until a user changes.
func (t *userTable) ordered(param string) []*user {
	return t.orders.sorted(param, t.rows, userOrder)
}

// userFilters reads the filters of the users list.
func (s *Server) userFilters(q *query) []func(*user) bool {
	var keep []func(*user) bool
	add := func(f func(*user) bool) { keep = append(keep, f) }
	exact := func(name string, column func(*user) string) {
		if want := q.Get(name); want != "" {
			add(func(u *user) bool { return column(u) == want })
		}
	}
	exact("username", func(u *user) string { return u.Username })
	exact("email", func(u *user) string { return u.Email })
	exact("name", func(u *user) string { return u.Name })
	exact("path", func(u *user) string { return u.Path })
	if want := q.Get("path_startswith"); want != "" {
		add(func(u *user) bool { return strings.HasPrefix(u.Path, want) })
	}
	if want := q.uuid("uuid"); want != "" {
		add(func(u *user) bool { return strings.ReplaceAll(u.UUID, "-", "") == strings.ReplaceAll(want, "-", "") })
	}
	if want, set := q.boolean("is_active"); set {
		add(func(u *user) bool { return !u.Inactive == want })
	}
	if want, set := q.boolean("is_superuser"); set {
		add(func(u *user) bool { return u.superuser() == want })
	}
	types := choices(q, "type", func(v string) (string, bool) {
		return v, slices.Contains([]string{Internal, External, ServiceAccount, InternalServiceAccount}, v)
	})
	if len(types) > 0 {
		add(func(u *user) bool { return slices.Contains(types, u.Type) })
	}
	for _, groups := range [][]*group{
		choices(q, "groups_by_name", func(v string) (*group, bool) { g := s.groups.byName[v]; return g, g != nil }),
		choices(q, "groups_by_pk", func(v string) (*group, bool) { g := s.groups.byPK[strings.ToLower(v)]; return g, g != nil }),
	} {
		if len(groups) > 0 {
			add(func(u *user) bool { return overlap(u.groups, groups) })
		}
	}
	if want := q.attributes(); want != nil {
		add(func(u *user) bool { return hasAttributes(u.attrs, want) })
	}
	if want := q.Get("search"); want != "" {
		add(func(u *user) bool { return matches(want, u.Username, u.Name, u.Email, u.UUID) })
	}
	keep = between(q, "date_joined", func(u *user) time.Time { return u.DateJoined }, keep)
	keep = between(q, "last_updated", func(u *user) time.Time { return u.LastUpdated }, keep)
	if s.is2026() {
		keep = between(q, "last_login", func(u *user) time.Time { return u.LastLogin }, keep)
		if want, set := q.boolean("last_login__isnull"); set {
			add(func(u *user) bool { return u.LastLogin.IsZero() == want })
		}
		keep = s.roleFilters(q, keep)
	}
	return keep
}

func (s *Server) roleFilters(q *query, keep []func(*user) bool) []func(*user) bool {
	if !q.Has("roles_by_name") && !q.Has("roles_by_pk") {
		return keep
	}
	known := make(map[string]string) // by pk
	for _, u := range s.users.rows {
		for _, name := range u.Roles {
			known[rolePK(name)] = name
		}
	}
	for _, names := range [][]string{
		choices(q, "roles_by_name", func(v string) (string, bool) { _, ok := known[rolePK(v)]; return v, ok }),
		choices(q, "roles_by_pk", func(v string) (string, bool) { name, ok := known[strings.ToLower(v)]; return name, ok }),
	} {
		if len(names) > 0 {
			keep = append(keep, func(u *user) bool { return overlap(u.Roles, names) })
		}
	}
	return keep
}

func overlap[T comparable](a, b []T) bool {
	return slices.ContainsFunc(a, func(v T) bool { return slices.Contains(b, v) })
}

func (s *Server) listUsers(c *call) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.reader(c) {
		return
	}
	q := newQuery(c)
	keep := s.userFilters(q)
	if !q.ok(c) {
		return
	}
	var rows []*user
	if len(keep) == 0 {
		rows = s.users.ordered(q.Get("ordering"))
	} else {
		rows = selectRows(s.users.rows, keep)
		slices.SortFunc(rows, userOrder(q.Get("ordering")))
	}
	w, ok := s.page(c, q.Values, len(rows))
	if !ok {
		return
	}
	withGroups, withRoles := q.include("include_groups", true), q.include("include_roles", true)
	results := make([]any, 0, w.to-w.from)
	for _, u := range rows[w.from:w.to] {
		results = append(results, s.userJSON(u, withGroups, withRoles))
	}
	c.json(http.StatusOK, s.envelope(w, results))
}

func (s *Server) oneUser(c *call) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.reader(c) {
		return
	}
	pk, err := strconv.Atoi(c.arg)
	u := s.users.byPK[pk]
	if err != nil || u == nil {
		c.detail(http.StatusNotFound, "No User matches the given query.")
		return
	}
	c.json(http.StatusOK, s.userJSON(u, true, true))
}

type selfJSON struct {
	PK          int        `json:"pk"`
	Username    string     `json:"username"`
	Name        string     `json:"name"`
	IsActive    bool       `json:"is_active"`
	IsSuperuser bool       `json:"is_superuser"`
	Groups      []roleJSON `json:"groups"`
	Roles       []roleJSON `json:"roles,omitzero"`
	Email       string     `json:"email"`
	Avatar      string     `json:"avatar"`
	UID         string     `json:"uid"`
	Settings    struct{}   `json:"settings"`
	Type        string     `json:"type"`
	Permissions []string   `json:"system_permissions"`
}

// me answers who is logged in; 200 is the only proof of a login.
func (s *Server) me(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.caller(c)
	if !ok {
		return
	}
	if u == nil {
		c.detail(http.StatusForbidden, "Authentication credentials were not provided.")
		return
	}
	v := selfJSON{
		PK:          u.PK,
		Username:    u.Username,
		Name:        u.Name,
		IsActive:    !u.Inactive,
		IsSuperuser: u.superuser(),
		Groups:      []roleJSON{},
		Email:       u.Email,
		Avatar:      avatar(u),
		UID:         s.uid(u),
		Type:        u.Type,
		Permissions: []string{},
	}
	for _, g := range u.effective() {
		v.Groups = append(v.Groups, roleJSON{g.PK, g.Name})
	}
	if s.is2026() {
		_, v.Roles = roles(u.Roles)
	}
	c.json(http.StatusOK, map[string]any{"user": v})
}

// setPassword is the API's password change; see AllowSetPassword.
func (s *Server) setPassword(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.reader(c) {
		return
	}
	pk, err := strconv.Atoi(c.arg)
	u := s.users.byPK[pk]
	if err != nil || u == nil {
		c.detail(http.StatusNotFound, "No User matches the given query.")
		return
	}
	if !s.mayReset {
		c.detail(http.StatusForbidden, "You do not have permission to perform this action.")
		return
	}
	var body struct {
		Password *string `json:"password"`
	}
	if err := json.Unmarshal(c.body, &body); err != nil {
		c.detail(http.StatusBadRequest, "JSON parse error")
		return
	}
	switch {
	case body.Password == nil:
		c.json(http.StatusBadRequest, map[string][]string{"password": {"This field is required."}})
	case strings.TrimSpace(*body.Password) == "":
		c.json(http.StatusBadRequest, map[string][]string{"password": {"This field may not be blank."}})
	default:
		u.Password = strings.TrimSpace(*body.Password)
		u.PasswordChanged = s.now().Truncate(time.Microsecond)
		u.LastUpdated = u.PasswordChanged
		s.users.orders.by = nil
		s.event(Event{Action: "password_set", Username: u.Username, IP: c.peer()})
		c.raw(http.StatusNoContent, "", nil)
	}
}

// AllowSetPassword gives the token the right reset_user_password, which an
// outpost's account has not by default.
func (s *Server) AllowSetPassword(ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mayReset = ok
}
