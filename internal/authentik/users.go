package authentik

import "encoding/json"

// User is a user as the API lists them.
type User struct {
	PK          int             `json:"pk"`
	UUID        string          `json:"uuid"`
	UID         string          `json:"uid"` // 64 hex digits, not the login name
	Username    string          `json:"username"`
	Name        string          `json:"name"`
	Email       string          `json:"email"`
	Active      bool            `json:"is_active"`
	Superuser   bool            `json:"is_superuser"`
	Type        string          `json:"type"`
	Path        string          `json:"path"`
	Groups      []string        `json:"groups"` // ids of the direct groups
	Attributes  json.RawMessage `json:"attributes"`
	Joined      Time            `json:"date_joined"`
	Password    Time            `json:"password_change_date"`
	LastUpdated Time            `json:"last_updated"` // zero up to 2025.6
}

// UnmarshalJSON implements json.Unmarshaler; a user without is_active is
// active.
func (u *User) UnmarshalJSON(b []byte) error {
	type plain User
	q := plain{Active: true}
	if err := json.Unmarshal(b, &q); err != nil {
		return err
	}
	*u = User(q)
	return nil
}

// Types of users.
const (
	UserInternal               = "internal"
	UserExternal               = "external"
	UserServiceAccount         = "service_account"
	UserInternalServiceAccount = "internal_service_account"
)

// self is the answer to core/users/me/.
type self struct {
	User *account `json:"user"`
}

// account is who is logged in.
type account struct {
	PK       int    `json:"pk"`
	Username string `json:"username"`
	UID      string `json:"uid"`
	Active   *bool  `json:"is_active"`
}
