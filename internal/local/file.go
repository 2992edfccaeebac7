// Package local serves users and groups from a file (users.yaml): it reads
// and checks the file, follows its changes, and authenticates its users.
package local

import (
	"io/fs"
	"os"
	"time"

	"ldapd/internal/atomicfile"
	"ldapd/internal/directory"
	"ldapd/internal/mfa"
	"ldapd/internal/password"
	"ldapd/internal/yamlfile"
)

// UIDFrom says where the LDAP attribute uid of a user comes from, unless the
// file gives it.
type UIDFrom string

const (
	UIDUsername UIDFrom = "username" // the zero value means this too
	UIDUUID     UIDFrom = "uuid"
)

// File is the checked content of a users file. It does not change.
type File struct {
	users    []directory.User
	groups   []directory.Group
	accounts []account // of users, in their order
}

// account is what it takes to authenticate a user.
type account struct {
	uuid   string
	active bool
	search bool
	hash   *password.Hash // nil: the user cannot bind
	totp   *mfa.TOTP      // nil: no second factor

	passwordStamp, factorStamp string
}

// Users returns the users for the directory, sorted by UUID; not to be
// modified.
func (f *File) Users() []directory.User { return f.users }

// Groups returns the groups for the directory, sorted by UUID; not to be
// modified.
func (f *File) Groups() []directory.Group { return f.groups }

// The content of the file, as written.
type (
	document struct {
		Users  []user  `yaml:"users"`
		Groups []group `yaml:"groups"`
	}
	user struct {
		yamlfile.Pos
		Username   string         `yaml:"username"`
		Name       string         `yaml:"name"`
		Email      string         `yaml:"email"`
		Password   string         `yaml:"password"`
		UUID       string         `yaml:"uuid"`
		UID        string         `yaml:"uid"`
		Groups     []string       `yaml:"groups"`
		TOTP       *factor        `yaml:"totp"`
		Active     *bool          `yaml:"active"`
		Search     bool           `yaml:"search"`
		Attributes map[string]any `yaml:"attributes"`
	}
	factor struct {
		Secret    string        `yaml:"secret"`
		Algorithm string        `yaml:"algorithm"`
		Digits    int           `yaml:"digits"`
		Period    time.Duration `yaml:"period"`
	}
	group struct {
		yamlfile.Pos
		Name       string         `yaml:"name"`
		UUID       string         `yaml:"uuid"`
		Parents    []string       `yaml:"parents"`
		Superuser  bool           `yaml:"superuser"`
		Attributes map[string]any `yaml:"attributes"`
	}
)

// Load reads the file at path. What is wrong with its content is one line that
// names the place.
func Load(path string, uid UIDFrom) (*File, error) {
	data, _, err := read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data, uid)
}

// Parse reads the content of a file; the name stands for it in errors.
func Parse(name string, data []byte, uid UIDFrom) (*File, error) {
	var doc document
	if err := yamlfile.Decode(name, data, &doc); err != nil {
		return nil, err
	}
	if len(doc.Users) == 0 {
		// A file cut short while it is written would log everyone out.
		return nil, &yamlfile.Error{File: name, Line: 1, Key: "users", Problem: "no users, must have at least one"}
	}
	return check(&doc, uid)
}

// read returns the content of a file, and its state before it was read.
func read(path string) ([]byte, fs.FileInfo, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	data, err := atomicfile.Read(path, yamlfile.MaxSize)
	if err != nil {
		return nil, nil, err
	}
	return data, st, nil
}
