package daemon

import (
	"errors"
	"testing"

	"ldapd/internal/bind"
	"ldapd/internal/secret"
	"ldapd/internal/unlock"
)

func TestFindBeforeADirectoryWasLoaded(t *testing.T) {
	s := &served{}
	if _, _, err := s.find("alice"); !errors.Is(err, bind.ErrNotLoaded) {
		t.Error(err)
	}
	if _, err := s.tree(nil); !errors.Is(err, bind.ErrNotLoaded) {
		t.Error(err)
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
