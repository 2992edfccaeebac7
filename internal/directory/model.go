// Package directory turns users and groups into an immutable, indexed
// snapshot of LDAP entries. A snapshot never changes once built: a refresh
// builds another and swaps it in.
package directory

import "time"

// User is one person or service account as a source (the users file, later
// authentik) knows it. Names follow authentik's API.
type User struct {
	UUID     string // stable, dashed lower-case; becomes entryUUID
	UID      string // value of the LDAP attribute uid
	PK       int64  // added to Tree.UIDStart for uidNumber
	Username string
	Name     string
	Email    string
	Active   bool

	Superuser bool
	Groups    []string       // UUIDs of direct groups
	Attrs     map[string]any // free JSON-like values: string, bool, int64, float64, []any, []byte, nil

	PasswordChanged time.Time // zero: unknown, the attribute is left out
	Created         time.Time
	Updated         time.Time
}

// Group is one group. Members are found through User.Groups.
type Group struct {
	UUID      string
	Name      string
	NumPK     int64 // added to Tree.GIDStart for gidNumber
	Superuser bool
	Parents   []string // UUIDs of direct parents
	Attrs     map[string]any
}
