package nextcloud

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

// TestSettings searches with what README.md says to fill in.
func TestSettings(t *testing.T) {
	users := with(recorded(t),
		user("insider", "In Sider", "staff"),
		user("outsider", "Out Sider", "dev"))
	c := start(t, users).asAgent(t)
	people, groups := setting(t, "base user tree"), setting(t, "base group tree")

	login := func(name string) []*ldap.Entry {
		filter := strings.ReplaceAll(setting(t, "login filter"), "%uid", name)
		return find(t, c, query{base: people, scope: ldap.ScopeWholeSubtree, filter: filter, size: 500})
	}
	wantNames(t, "login of a member", login("insider"), "insider")
	wantNames(t, "login of somebody else", login("outsider"))
	wantNames(t, "login of the service account", login("ldapservice"))

	group := setting(t, "group filter")
	wantNames(t, "groups", find(t, c, query{base: groups, scope: ldap.ScopeWholeSubtree, filter: group, size: 500}),
		"nextcloud-users", "nextcloud-admins", "staff", "dev", "all-staff", "empty")
	// A group of the user's own would be its primary group.
	primary := "(&" + group + "(objectClass=posixGroup)(gidnumber=2002))"
	wantNames(t, "primary group of bob", find(t, c, query{base: groups, scope: ldap.ScopeWholeSubtree, filter: primary, size: 1}))
}

// setting returns what README.md gives for a field of Nextcloud.
func setting(t *testing.T, field string) string {
	t.Helper()
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?m)^\\| " + field + " \\| `([^`]+)`").FindSubmatch(data)
	if m == nil {
		t.Fatalf("README.md has no field %q", field)
	}
	return strings.NewReplacer("<base>", base, `\|`, "|").Replace(string(m[1]))
}
