package daemon

import (
	"errors"
	"testing"

	"ldapd/internal/bind"
	"ldapd/internal/directory"
	"ldapd/internal/secret"
	"ldapd/internal/unlock"
)

// TestFind: whoever unlocks may type the e-mail address, as in Nextcloud.
func TestFind(t *testing.T) {
	s := &served{}
	if _, _, err := s.find("alice"); !errors.Is(err, bind.ErrNotLoaded) {
		t.Errorf("before a directory was loaded: %v", err)
	}
	trees := make([]*directory.Snapshot, 2)
	for i, users := range [][]directory.User{
		{{UUID: "00000001-0000-4000-8000-000000000000", Username: "alice", Email: "alice@example.org"}},
		{{UUID: "00000002-0000-4000-8000-000000000000", Username: "bob", Email: "bob@example.org"}, {UUID: "00000003-0000-4000-8000-000000000000", Username: "eve@example.org", Email: "eve@example.com"},
			{UUID: "00000004-0000-4000-8000-000000000000", Username: "mallory", Email: "eve@example.org"}},
	} {
		tree, problems := directory.Tree{BaseDN: []string{"dc=a", "dc=b"}[i]}.Build(users, nil)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		trees[i] = tree
	}
	s.forest.Store(directory.NewForest(trees...))
	for _, tt := range []struct {
		typed, username string
		tree            int
	}{
		{"alice", "alice", 0},
		{"Alice@example.org", "alice", 0},
		{"bob", "bob", 1},
		{"bob@example.org", "bob", 1},
		{"eve@example.org", "eve@example.org", 1}, // a name before an address
		{"nobody@example.org", "nobody@example.org", 0},
	} {
		dirs, username, err := s.find(tt.typed)
		if err != nil || username != tt.username || dirs[0] != bind.Directory(trees[tt.tree]) {
			t.Errorf("%s: %q, %v, or in the wrong tree", tt.typed, username, err)
		}
	}
}

// Who unlocks may put the code behind the name, as in Nextcloud.
func TestCodeBehindTheNameToUnlock(t *testing.T) {
	r := start(t, testConfig(t), demoUsers(t))
	for _, tt := range []struct{ user, code, name, want string }{
		{"bob", "123456", "bob", "123456"},
		{"bob;123456", "", "bob", "123456"},
		{"bob@example.org;123456", "", "bob", "123456"},
		{"bob;123456", "654321", "bob;123456", "654321"}, // who fills in both means it
		{"bob;12", "", "bob;12", ""},
		{"nobody;123456", "", "nobody", "123456"},
	} {
		req, err := service{r.Daemon}.request(unlock.Request{User: tt.user, Code: secret.String(tt.code)})
		if err != nil || req.Name != tt.name || string(req.Code) != tt.want {
			t.Errorf("%s with %q: name %q, code %q, %v", tt.user, tt.code, req.Name, string(req.Code), err)
		}
	}
}
