package local

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ldapd/internal/directory"
)

// cheap is a hash of "secret" that takes no time.
const cheap = "pbkdf2_sha256$1$salt$ON9CizCTCOSMNofn+QvaDpzyU1aMIex1Sg4HarSrZCM="

func parse(t *testing.T, data string) *File {
	t.Helper()
	f, err := Parse("users.yaml", []byte(data), UIDUsername)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func userNamed(t *testing.T, f *File, name string) directory.User {
	t.Helper()
	i := slices.IndexFunc(f.Users(), func(u directory.User) bool { return u.Username == name })
	if i < 0 {
		t.Fatalf("no user %s", name)
	}
	return f.Users()[i]
}

func groupNamed(t *testing.T, f *File, name string) directory.Group {
	t.Helper()
	i := slices.IndexFunc(f.Groups(), func(g directory.Group) bool { return g.Name == name })
	if i < 0 {
		t.Fatalf("no group %s", name)
	}
	return f.Groups()[i]
}

func TestParse(t *testing.T) {
	f := parse(t, `
users:
  - {username: alice, name: Alice Liddell, email: alice@example.org, password: "`+cheap+`",
     uuid: 6F1C2F5E-1B1A-4C55-9D3E-2C8A0F4B7D10, uid: 4ccb17,
     groups: [Staff, staff], totp: {secret: JBSWY3DPEHPK3PXP, digits: 8, period: 60s, algorithm: SHA256},
     active: true, search: true,
     attributes: {nextcloud_quota: 5 GB, n: 7, f: 1.5, b: false, none: , many: [a, 1], since: 2024-01-01, raw: !!binary AAEC}}
  - {username: bob, active: false}
groups:
  - {name: staff, parents: [everyone]}
  - {name: everyone, superuser: true, attributes: {gidNumber: "77"}}
`)
	alice := userNamed(t, f, "alice")
	want := directory.User{
		UUID: "6f1c2f5e-1b1a-4c55-9d3e-2c8a0f4b7d10", UID: "4ccb17", PK: alice.PK,
		Username: "alice", Name: "Alice Liddell", Email: "alice@example.org",
		Active: true, Superuser: true, Groups: []string{groupNamed(t, f, "staff").UUID},
		Attrs: map[string]any{
			"nextcloud_quota": "5 GB", "n": int64(7), "f": 1.5, "b": false, "none": nil,
			"many": []any{"a", int64(1)}, "since": "2024-01-01", "raw": []byte{0, 1, 2},
		},
	}
	if !reflect.DeepEqual(alice, want) {
		t.Errorf("alice is\n%+v, want\n%+v", alice, want)
	}
	bob := userNamed(t, f, "bob")
	if bob.Active || bob.UID != "bob" || bob.Superuser || len(bob.Groups) != 0 {
		t.Errorf("bob is %+v", bob)
	}
	staff, everyone := groupNamed(t, f, "staff"), groupNamed(t, f, "everyone")
	if !slices.Equal(staff.Parents, []string{everyone.UUID}) || staff.Superuser || !everyone.Superuser || everyone.Attrs["gidNumber"] != "77" {
		t.Errorf("groups are %+v, %+v", staff, everyone)
	}
	if alice.PK == bob.PK || alice.PK >= userNumbers || staff.NumPK < userNumbers || staff.NumPK == everyone.NumPK {
		t.Errorf("numbers are %d, %d and %d, %d", alice.PK, bob.PK, staff.NumPK, everyone.NumPK)
	}
}

// TestDerivedIDsStay holds literal values: clients know users by them.
func TestDerivedIDsStay(t *testing.T) {
	f := parse(t, "users: [{username: alice}, {username: bob}]\ngroups: [{name: alice}]")
	alice, group := userNamed(t, f, "alice"), groupNamed(t, f, "alice")
	if got, want := fmt.Sprintf("%s %d, %s %d", alice.UUID, alice.PK, group.UUID, group.NumPK), "c60f5288-7ca6-539b-820b-e70ad4f5cb05 595512656, b15ad6eb-a908-5939-ba75-17ba7f26f41a 1598675104"; got != want {
		t.Errorf("derived %s, want %s", got, want)
	}
	again := userNamed(t, parse(t, "users: [{username: zoe}, {username: ALICE}]"), "ALICE")
	if again.UUID != alice.UUID || again.PK != alice.PK {
		t.Errorf("another user by case and company: %+v", again)
	}
}

func TestUIDFrom(t *testing.T) {
	data := []byte("users: [{username: alice}, {username: bob, uid: b0b}]")
	for _, tt := range []struct {
		from       UIDFrom
		alice, bob string
	}{
		{"", "alice", "b0b"},
		{UIDUsername, "alice", "b0b"},
		{UIDUUID, "", "b0b"},
	} {
		f, err := Parse("users.yaml", data, tt.from)
		if err != nil {
			t.Fatal(err)
		}
		alice, bob := userNamed(t, f, "alice"), userNamed(t, f, "bob")
		if tt.alice == "" {
			tt.alice = alice.UUID
		}
		if alice.UID != tt.alice || bob.UID != tt.bob {
			t.Errorf("%q: uid %s and %s", tt.from, alice.UID, bob.UID)
		}
	}
}

func TestGroupCycle(t *testing.T) {
	f := parse(t, `
users: [{username: alice, groups: [c]}, {username: bob, groups: [other]}]
groups:
  - {name: a, parents: [b, a]}
  - {name: b, parents: [c], superuser: true}
  - {name: c, parents: [a]}
  - {name: other}
`)
	if !userNamed(t, f, "alice").Superuser || userNamed(t, f, "bob").Superuser {
		t.Error("superusers are not the members of groups below b")
	}
}

func TestNumbersThatMeet(t *testing.T) {
	taken := map[int64]bool{}
	seen := map[int64]bool{}
	for range 8 {
		n := free(taken, "one uuid", 16, 8)
		if n < 16 || n >= 24 || seen[n] {
			t.Fatalf("number %d of %v", n, seen)
		}
		seen[n] = true
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, data, want string }{
		{"empty file", "", `users.yaml:1: users: no users, must have at least one`},
		{"no users", "users: []\ngroups: []", `users.yaml:1: users: no users, must have at least one`},
		{"not YAML", "users:\n- username: a: b", `users.yaml:2: not valid YAML: `},
		{"unknown key", "users:\n- username: a\n  pasword: x", `users.yaml:3: users[0].pasword: unknown key, allowed: username, name, email, password, uuid, uid, groups, totp, active, search, attributes`},
		{"wrong type", "users: [{username: 12}]", `users.yaml:1: users[0].username: is a whole number, must be a string: write it in quotes`},
		{"no username", "users:\n- name: x", `users.yaml:2: users[0].username: missing or empty`},
		{"empty username", `users: [{username: ""}]`, `users.yaml:1: users[0].username: missing or empty`},
		{"blanks around a username", `users: [{username: " a"}]`, `users.yaml:1: users[0].username: must not begin or end with a blank`},
		{"control character", `users: [{username: "a\0b"}]`, `users.yaml:1: users[0].username: must not have control characters`},
		{"control character in a name", `users: [{username: a, name: "a\nb"}]`, `users.yaml:1: users[0].name: must not have control characters`},
		{"long username", `users: [{username: ` + strings.Repeat("a", 300) + `}]`, `users.yaml:1: users[0].username: longer than 255 bytes`},
		{"username twice", "users:\n- username: alice\n- name: x\n  username: ALICE", `users.yaml:4: users[1].username: the same name as the username or uid on line 2, whatever its case`},
		{"username twice by blanks", "users:\n- username: a b\n- username: a  B", `users.yaml:3: users[1].username: the same name`},
		{"username twice by width", "users:\n- username: bob\n- username: ｂob", `users.yaml:3: users[1].username: the same name`},
		{"uid of another", "users:\n- username: a\n  uid: b\n- username: b", `users.yaml:3: users[0].uid: the same as the username or uid on line 4`},
		{"uid twice", "users:\n- username: a\n  uid: x\n- username: b\n  uid: X", `users.yaml:5: users[1].uid: the same as the username or uid on line 3`},
		{"empty uid", `users: [{username: a, uid: ""}]`, `users.yaml:1: users[0].uid: missing or empty`},
		{"no UUID", `users: [{username: a, uuid: x}]`, `users.yaml:1: users[0].uuid: must be a UUID such as`},
		{"empty UUID", `users: [{username: a, uuid: ""}]`, `users.yaml:1: users[0].uuid: must be a UUID such as`},
		{"UUID of another form", `users: [{username: a, uuid: "{6f1c2f5e-1b1a-4c55-9d3e-2c8a0f4b7d10}"}]`, `users.yaml:1: users[0].uuid: must be a UUID such as`},
		{"UUID twice", "users:\n- username: a\n  uuid: 6f1c2f5e-1b1a-4c55-9d3e-2c8a0f4b7d10\n- username: b\n  uuid: 6F1C2F5E-1b1a-4c55-9d3e-2c8a0f4b7d10", `users.yaml:5: users[1].uuid: the same as that of the entry on line 3`},
		{"UUID of a group", "users:\n- username: a\n  uuid: 6f1c2f5e-1b1a-4c55-9d3e-2c8a0f4b7d10\ngroups:\n- name: g\n  uuid: 6f1c2f5e-1b1a-4c55-9d3e-2c8a0f4b7d10", `users.yaml:3: users[0].uuid: the same as that of the entry on line 6`},
		{"group twice", "users: [{username: a}]\ngroups:\n- name: staff\n- name: Staff", `users.yaml:4: groups[1].name: the same name as the group on line 3, whatever its case`},
		{"unnamed group", "users: [{username: a}]\ngroups:\n- superuser: true", `users.yaml:3: groups[0].name: missing or empty`},
		{"unknown group", "users:\n- username: a\n  groups:\n  - g\n  - h\ngroups: [{name: g}]", `users.yaml:5: users[0].groups[1]: no such group in this file`},
		{"unknown parent", "users: [{username: a}]\ngroups:\n- name: g\n  parents: [h]", `users.yaml:4: groups[0].parents[0]: no such group in this file`},
		{"plain password", "users:\n- username: a\n  password: hunter2", `users.yaml:3: users[0].password: must be a hash: argon2id`},
		{"empty password", `users: [{username: a, password: ""}]`, `users.yaml:1: users[0].password: must be a hash`},
		{"password of 100 GiB", "users: [{username: a, password: '$argon2id$v=19$m=104857600,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'}]", `users.yaml:1: users[0].password: argon2id: m must be 8 times p to 262144 (KiB)`},
		{"TOTP without value", "users: [{username: a, totp: }]", `users.yaml:1: users[0].totp: no value, must be a map with a secret`},
		{"TOTP without secret", "users: [{username: a, totp: {}}]", `users.yaml:1: users[0].totp: secret: 0 bytes, must have 10 to 128`},
		{"TOTP secret", "users: [{username: a, totp: {secret: hunter2!}}]", `users.yaml:1: users[0].totp: secret: must be base32`},
		{"TOTP digits", "users: [{username: a, totp: {secret: JBSWY3DPEHPK3PXP, digits: 7}}]", `users.yaml:1: users[0].totp: digits: must be 6 or 8`},
		{"attribute map", "users:\n- username: a\n  attributes:\n    x: {y: z}", `users.yaml:4: users[0].attributes.x: must be a string, number, bool, or a list of them`},
		{"attribute list of lists", "users: [{username: a, attributes: {x: [[y]]}}]", `users.yaml:1: users[0].attributes.x: must be a string, number, bool, or a list of them`},
		{"attribute name", "users: [{username: a, attributes: {a b: c}}]", `users.yaml:1: users[0].attributes.a b: an attribute's name must begin`},
		{"attribute name empty", `users: [{username: a, attributes: {"": c}}]`, `users.yaml:1: users[0].attributes.: an attribute's name must begin`},
		{"attribute twice", "users: [{username: a, attributes: {a.b: c, AB: d}}]", `users.yaml:1: users[0].attributes.a.b: the same attribute as AB`},
		{"attribute of a group", "users: [{username: a}]\ngroups: [{name: g, attributes: {x: {}}}]", `users.yaml:2: groups[0].attributes.x: must be a string`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("users.yaml", []byte(tt.data), UIDUsername)
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error %q\nwant  %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %q", err)
			}
		})
	}
}

func TestPasswordAbsent(t *testing.T) {
	f := parse(t, `users: [{username: a}, {username: b, password: "!"}, {username: c, password: "!x"}]`)
	for _, a := range f.accounts {
		if a.hash != nil {
			t.Errorf("user %s has a hash", a.uuid)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "users.yaml")
	if _, err := Load(path, ""); !os.IsNotExist(err) {
		t.Errorf("error %v", err)
	}
	if _, err := Load(dir, ""); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(path, []byte("users: [{username: alice}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load(path, "")
	if err != nil {
		t.Fatal(err)
	}
	userNamed(t, f, "alice")
}

func TestDemo(t *testing.T) {
	f, err := Demo("")
	if err != nil {
		t.Fatal(err)
	}
	accounts := map[string]account{}
	for _, a := range f.accounts {
		accounts[a.uuid] = a
	}
	for _, tt := range []struct {
		name                            string
		active, search, totp, superuser bool
		groups                          []string
	}{
		{"ldapservice", true, true, false, false, nil},
		{"alice", true, false, false, true, []string{"staff", "admins"}},
		{"bob", true, false, true, false, []string{"staff"}},
		{"carol", false, false, false, false, nil},
	} {
		u := userNamed(t, f, tt.name)
		a := accounts[u.UUID]
		if u.Active != tt.active || a.active != tt.active || a.search != tt.search || (a.totp != nil) != tt.totp || u.Superuser != tt.superuser {
			t.Errorf("%s is %+v", tt.name, u)
		}
		if !a.hash.Matches("demo-" + tt.name) {
			t.Errorf("%s has another password", tt.name)
		}
		var groups []string
		for _, g := range tt.groups {
			groups = append(groups, groupNamed(t, f, g).UUID)
		}
		if !slices.Equal(u.Groups, groups) {
			t.Errorf("%s is in %v, want %v", tt.name, u.Groups, groups)
		}
	}
	if !slices.Equal(groupNamed(t, f, "staff").Parents, []string{groupNamed(t, f, "everyone").UUID}) {
		t.Error("everyone is not the parent of staff")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(demo)
	f.Add([]byte("users: [{username: a, attributes: {x: [1, a, null]}, totp: {secret: JBSWY3DPEHPK3PXP}}]\ngroups: [{name: g, parents: [g]}]"))
	f.Add([]byte("users:\n- username: a\n  groups: [b]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("users.yaml", data, UIDUUID)
		if err != nil {
			if strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "users.yaml:") {
				t.Fatalf("error %q", err)
			}
			return
		}
		seen := map[string]bool{}
		for _, u := range file.Users() {
			if u.Username == "" || u.UID == "" || len(u.UUID) != 36 || seen[u.UUID] {
				t.Fatalf("user %+v", u)
			}
			seen[u.UUID] = true
		}
	})
}
