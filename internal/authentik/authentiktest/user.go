package authentiktest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The types of a user.
const (
	Internal               = "internal"
	External               = "external"
	ServiceAccount         = "service_account"
	InternalServiceAccount = "internal_service_account"
)

// User is a row of authentik's user table and what hangs on it.
type User struct {
	PK       int // the next free one if 0
	Username string
	Name     string
	Email    string
	Inactive bool
	Type     string // Internal if empty
	Path     string // users if empty
	UUID     string // derived from PK if empty

	// Attributes must be representable in JSON.
	Attributes map[string]any
	// Groups are names or pks of the groups with direct membership.
	Groups []string
	// Roles are names; a role exists once it is named.
	Roles []string

	LastLogin       time.Time // null if zero
	DateJoined      time.Time // now if zero, as the next two
	PasswordChanged time.Time
	LastUpdated     time.Time

	// Password cannot be used to log in while empty.
	Password string
	// AppPasswords pass in a password stage as well.
	AppPasswords []string
	Devices      []Device
	// SearchAll is the global permission search_full_directory, and
	// SearchProviders the same on single providers, by pk.
	SearchAll       bool
	SearchProviders []int
}

type user struct {
	User    // without Attributes, Groups and Devices
	attrs   json.RawMessage
	groups  []*group
	devices []*device
}

type userTable struct {
	rows   []*user // by pk
	byPK   map[int]*user
	byName map[string]*user
	byFold map[string][]*user // by lower-case name
	next   int

	orders orders[user]
}

// firstPK is the first number that AddUser gives.
const firstPK = 4

func (t *userTable) init() {
	t.byPK = make(map[int]*user)
	t.byName = make(map[string]*user)
	t.byFold = make(map[string][]*user)
	t.next = firstPK
}

func byPK(u *user, pk int) int { return cmp.Compare(u.PK, pk) }

func (t *userTable) add(u *user) {
	i, _ := slices.BinarySearchFunc(t.rows, u.PK, byPK)
	t.rows = slices.Insert(t.rows, i, u)
	t.byPK[u.PK] = u
	t.name(u)
	t.next = max(t.next, u.PK+1)
	t.orders.by = nil
}

func (t *userTable) name(u *user) {
	t.byName[u.Username] = u
	fold := strings.ToLower(u.Username)
	t.byFold[fold] = append(t.byFold[fold], u)
}

func (t *userTable) unname(u *user) {
	delete(t.byName, u.Username)
	fold := strings.ToLower(u.Username)
	i := slices.Index(t.byFold[fold], u)
	t.byFold[fold] = slices.Delete(t.byFold[fold], i, i+1)
	if len(t.byFold[fold]) == 0 {
		delete(t.byFold, fold)
	}
}

func (t *userTable) remove(u *user) {
	i, _ := slices.BinarySearchFunc(t.rows, u.PK, byPK)
	t.rows = slices.Delete(t.rows, i, i+1)
	delete(t.byPK, u.PK)
	t.unname(u)
	t.orders.by = nil
}

// AddUser adds a user and returns it with every default filled in.
func (s *Server) AddUser(u User) User {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	row := s.newUser(u)
	s.users.add(row)
	return row.view()
}

// SetUser saves a user over the one with the same PK, which must exist, and
// returns what was saved. As saving a row does it moves LastUpdated, and
// PasswordChanged if the password is another; devices keep their state. It ends
// no session, like a source's sync and unlike Deactivate.
func (s *Server) SetUser(u User) User {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setUser(u)
}

// EditUser changes a user in place by SetUser.
func (s *Server) EditUser(username string, edit func(*User)) User {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.mustUser(username).view()
	edit(&u)
	return s.setUser(u)
}

// User returns a user, with its unused static tokens.
func (s *Server) User(username string) User {
	s.tb.Helper()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mustUser(username).view()
}

// RemoveUser deletes a user and ends his sessions.
func (s *Server) RemoveUser(username string) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.mustUser(username)
	for _, g := range u.groups {
		g.leave(u)
	}
	s.users.remove(u)
	s.endSessions(u)
}

// Deactivate does what PATCH is_active=false does through the API: the user
// becomes inactive and his sessions end.
func (s *Server) Deactivate(username string) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.mustUser(username)
	v := u.view()
	v.Inactive = true
	s.setUser(v)
	s.endSessions(u)
}

func (s *Server) mustUser(username string) *user {
	s.tb.Helper()
	u := s.users.byName[username]
	if u == nil {
		s.tb.Fatalf("authentiktest: no user %q", username)
	}
	return u
}

func (s *Server) setUser(u User) User {
	s.tb.Helper()
	row := s.users.byPK[u.PK]
	if row == nil {
		s.tb.Fatalf("authentiktest: no user with pk %d", u.PK)
	}
	if u.Password != row.Password {
		u.PasswordChanged = s.now()
	}
	u.LastUpdated = s.now()
	s.users.unname(row)
	changed := s.newUser(u)
	for i, d := range changed.devices {
		if j := slices.IndexFunc(row.devices, func(old *device) bool { return old.ID == d.ID && old.Class == d.Class }); j >= 0 {
			changed.devices[i].state = row.devices[j].state
		}
	}
	for _, g := range row.groups {
		g.leave(row)
	}
	for _, g := range changed.groups {
		g.leave(changed)
		g.join(row)
	}
	*row = *changed
	s.users.name(row)
	s.users.orders.by = nil
	return row.view()
}

// newUser makes a row and enters it in its groups, but not in the table.
func (s *Server) newUser(u User) *user {
	s.tb.Helper()
	if old := s.users.byName[u.Username]; u.Username == "" || old != nil {
		s.tb.Fatalf("authentiktest: username %q is empty or taken", u.Username)
	}
	if u.PK == 0 {
		u.PK = s.users.next
	}
	if u.Type == "" {
		u.Type = Internal
	}
	if u.Path == "" {
		u.Path = "users"
	}
	if u.UUID == "" {
		u.UUID = uuidOf("user", u.Username)
	}
	for _, t := range []*time.Time{&u.DateJoined, &u.PasswordChanged, &u.LastUpdated} {
		if t.IsZero() {
			*t = s.now()
		}
		*t = t.UTC().Truncate(time.Microsecond)
	}
	row := &user{User: u, attrs: s.attributes(u.Attributes)}
	for _, d := range u.Devices {
		row.devices = append(row.devices, s.newDevice(u.PK, len(row.devices), d))
	}
	for _, ref := range u.Groups {
		g := s.mustGroup(ref)
		if !slices.Contains(row.groups, g) {
			row.groups = append(row.groups, g)
			g.join(row)
		}
	}
	row.Attributes, row.Groups, row.Devices = nil, nil, nil
	return row
}

// view returns the row as its owner gave it.
func (u *user) view() User {
	v := u.User
	v.Attributes = decodeAttributes(u.attrs)
	for _, g := range u.groups {
		v.Groups = append(v.Groups, g.PK)
	}
	for _, d := range u.devices {
		v.Devices = append(v.Devices, d.view())
	}
	return v
}

func (s *Server) uid(u *user) string {
	return digest(fmt.Sprintf("%d-%s", u.PK, s.installID))
}

func avatar(u *user) string {
	return "https://www.gravatar.com/avatar/" + digest(strings.ToLower(u.Email)) + "?size=158&rating=g&default=404"
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// uuidOf makes a version 4 UUID that is always the same for a kind and name.
func uuidOf(kind, name string) string {
	b := sha256.Sum256([]byte(kind + "\x00" + name))
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:32]
}

// attributes encodes attributes once, so that no caller can change them later.
func (s *Server) attributes(m map[string]any) json.RawMessage {
	s.tb.Helper()
	if len(m) == 0 {
		return json.RawMessage("{}")
	}
	b, err := json.Marshal(m)
	if err != nil {
		s.tb.Fatalf("authentiktest: attributes: %v", err)
	}
	return b
}

func decodeAttributes(raw json.RawMessage) map[string]any {
	var m map[string]any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	if err := d.Decode(&m); err != nil || len(m) == 0 {
		return nil
	}
	return m
}
