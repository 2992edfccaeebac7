package local

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/mfa"
	"ldapd/internal/password"
	"ldapd/internal/yamlfile"
)

const (
	maxName = 255 // bytes; Nextcloud's and most databases' limit
	maxText = 4096
)

// space is the namespace of the UUIDs that are derived from names. It must
// never change: clients know the users by them.
var space = uuid.MustParse("3f2a6f0e-53d1-4a0c-9a4e-0d7c5a3e8b61")

// checker builds a File, keeping track of what must be unique.
type checker struct {
	uid    UIDFrom
	uuids  map[string]int // -> line
	names  map[string]int // folded user names and uids -> line
	groups map[string]string
}

func check(doc *document, uid UIDFrom) (*File, error) {
	c := &checker{uid: uid, uuids: map[string]int{}, names: map[string]int{}, groups: map[string]string{}}
	f := &File{}
	if err := c.allGroups(doc.Groups, f); err != nil {
		return nil, err
	}
	if err := c.allUsers(doc.Users, f); err != nil {
		return nil, err
	}
	f.inherit()
	f.number()
	return f, nil
}

func (c *checker) allGroups(in []group, f *File) error {
	lines := map[string]int{}
	for _, g := range in {
		if err := name(g.Pos, "name", g.Name); err != nil {
			return err
		}
		key := fold(g.Name)
		if line := lines[key]; line > 0 {
			return g.Errorf("name", "the same name as the group on line %d, whatever its case", line)
		}
		lines[key] = g.Line("name")
		id, err := c.identify(g.Pos, g.UUID, "group", key)
		if err != nil {
			return err
		}
		c.groups[key] = id
		if err := attributes(g.Pos, g.Attributes); err != nil {
			return err
		}
		f.groups = append(f.groups, directory.Group{UUID: id, Name: g.Name, Superuser: g.Superuser, Attrs: g.Attributes})
	}
	for i, g := range in {
		var err error
		if f.groups[i].Parents, err = c.members(g.Pos, "parents", g.Parents); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) allUsers(in []user, f *File) error {
	for _, u := range in {
		if err := name(u.Pos, "username", u.Username); err != nil {
			return err
		}
		key := fold(u.Username)
		if line := c.names[key]; line > 0 {
			return u.Errorf("username", "the same name as the username or uid on line %d, whatever its case", line)
		}
		c.names[key] = u.Line("username")
		if err := text(u.Pos, "name", u.Name); err != nil {
			return err
		}
		if err := text(u.Pos, "email", u.Email); err != nil {
			return err
		}
		id, err := c.identify(u.Pos, u.UUID, "user", key)
		if err != nil {
			return err
		}
		if err := attributes(u.Pos, u.Attributes); err != nil {
			return err
		}
		groups, err := c.members(u.Pos, "groups", u.Groups)
		if err != nil {
			return err
		}
		a := account{uuid: id, active: u.Active == nil || *u.Active, search: u.Search}
		if a.hash, err = passwordHash(u); err != nil {
			return err
		}
		if a.totp, err = secondFactor(u); err != nil {
			return err
		}
		a.passwordStamp, a.factorStamp = passwordStamp(id, a.hash, a.search), factorStamp(id, u.TOTP)
		f.accounts = append(f.accounts, a)
		f.users = append(f.users, directory.User{
			UUID: id, UID: u.UID, Username: u.Username, Name: u.Name, Email: u.Email,
			Active: a.active, Groups: groups, Attrs: u.Attributes,
		})
	}
	// A name must not mean two users, so the uids come after all usernames.
	for i, u := range in {
		if err := c.uidOf(u, &f.users[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) uidOf(u user, to *directory.User) error {
	switch {
	case u.Has("uid"):
		if err := name(u.Pos, "uid", u.UID); err != nil {
			return err
		}
	case c.uid == UIDUUID:
		to.UID = to.UUID
	default:
		to.UID = to.Username
	}
	key := fold(to.UID)
	if key == fold(u.Username) {
		return nil
	}
	if line := c.names[key]; line > 0 {
		return u.Errorf("uid", "the same as the username or uid on line %d, whatever its case", line)
	}
	c.names[key] = u.Line("uid")
	return nil
}

// identify checks a UUID, or derives one from the name, which is folded so
// that a change of its case does not make another user of it.
func (c *checker) identify(p yamlfile.Pos, id, kind, name string) (string, error) {
	if !p.Has("uuid") {
		id = uuid.NewSHA1(space, []byte(kind+":"+name)).String()
	}
	u, err := uuid.Parse(id)
	if err != nil || len(id) != 36 {
		return "", p.Errorf("uuid", "must be a UUID such as 6f1c2f5e-1b1a-4c55-9d3e-2c8a0f4b7d10")
	}
	id = u.String()
	if line := c.uuids[id]; line > 0 {
		return "", p.Errorf("uuid", "the same as that of the entry on line %d", line)
	}
	c.uuids[id] = p.Line("uuid")
	return id, nil
}

// members returns the UUIDs of groups, each once.
func (c *checker) members(p yamlfile.Pos, key string, names []string) ([]string, error) {
	var ids []string
	seen := make(map[string]bool, len(names))
	for i, n := range names {
		id, ok := c.groups[fold(n)]
		if !ok {
			return nil, p.Errorf(fmt.Sprintf("%s[%d]", key, i), "no such group in this file")
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func passwordHash(u user) (*password.Hash, error) {
	switch {
	case !u.Has("password"):
		return nil, nil
	case strings.HasPrefix(u.Password, "!"):
		return nil, nil // Django's unusable password
	}
	h, err := password.Parse(u.Password)
	if err != nil {
		return nil, u.Errorf("password", "%v", err)
	}
	return h, nil
}

func secondFactor(u user) (*mfa.TOTP, error) {
	if u.TOTP == nil {
		if u.Has("totp") {
			return nil, u.Errorf("totp", "no value, must be a map with a secret")
		}
		return nil, nil
	}
	t, err := mfa.NewTOTP(u.TOTP.Secret, mfa.Options{Algorithm: u.TOTP.Algorithm, Digits: u.TOTP.Digits, Period: u.TOTP.Period})
	if err != nil {
		return nil, u.Errorf("totp", "%v", err)
	}
	return &t, nil
}

// fold returns what is equal for names that LDAP takes for equal.
func fold(s string) string { return string(ldap.Fold(nil, []byte(s))) }

func name(p yamlfile.Pos, key, s string) error {
	switch {
	case s == "":
		return p.Errorf(key, "missing or empty")
	case len(s) > maxName:
		return p.Errorf(key, "longer than %d bytes", maxName)
	case strings.TrimSpace(s) != s:
		return p.Errorf(key, "must not begin or end with a blank")
	}
	return text(p, key, s)
}

func text(p yamlfile.Pos, key, s string) error {
	switch {
	case len(s) > maxText:
		return p.Errorf(key, "longer than %d bytes", maxText)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return p.Errorf(key, "must not have control characters")
	}
	return nil
}

// attributes checks names and values of what LDAP is to show.
func attributes(p yamlfile.Pos, attrs map[string]any) error {
	seen := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(attrs)) {
		at := "attributes." + key
		if !attributeName(key) {
			return p.Errorf(at, "an attribute's name must begin with a letter and have only letters, digits and - _ . / :")
		}
		same := strings.ToLower(strings.NewReplacer(".", "", "/", "-").Replace(key))
		if other, ok := seen[same]; ok {
			return p.Errorf(at, "the same attribute as %s", other)
		}
		seen[same] = key
		values, ok := attrs[key].([]any)
		if !ok {
			values = []any{attrs[key]}
		}
		for _, v := range values {
			switch v.(type) {
			case map[string]any, []any:
				return p.Errorf(at, "must be a string, number, bool, or a list of them")
			}
		}
	}
	return nil
}

func attributeName(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789-_./:", rune(c))) {
			return false
		}
	}
	return s != ""
}
