package differential

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"ldapd/internal/directory"
)

const (
	baseDN = "DC=ldap,DC=goauthentik,DC=io"
	lower  = "dc=ldap,dc=goauthentik,dc=io"
)

// reader is the user whom the test binds as.
const reader = "ldapservice"

func id(name string) string { return uuid.NewSHA1(uuid.NameSpaceDNS, []byte(name)).String() }

// strange are names with everything that DNs and filters escape.
var strange = []string{
	"Smith, Zoë", "a+b", `quo"te`, "semi;colon", "#hash", "back\\slash", "eq=ual", "<angle>",
	"Jörg Müller", "李雷", "O'Brien", "star*paren()", "two  blanks", "groß", "ΣΊΣΥΦΟΣ", "tab\there",
	"123", "TRUE", "cn=nested,ou=users", "Ångström", "e\u0301clair",
}

// sampleTree is a directory with a little of everything.
func sampleTree(t *testing.T) *directory.Snapshot {
	users, groups := sampleUsers(), sampleGroups()
	snap, problems := directory.Tree{BaseDN: baseDN, UIDStart: 2000, GIDStart: 4000}.Build(users, groups)
	for _, p := range problems {
		t.Errorf("the sample directory has a problem: %s", p)
	}
	return snap
}

func sampleUsers() []directory.User {
	first := []string{"Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace", "Heidi", "Ivan", "Judy"}
	last := []string{"Liddell", "Builder", "van der Berg", "Smith"}
	names := append([]string{reader}, strange...)
	for i, f := range first {
		for j, l := range last {
			if (i+j)%4 != 3 {
				names = append(names, fmt.Sprintf("%s.%s%d", strings.ToLower(f), strings.Fields(l)[0], j))
			}
		}
	}
	at := time.Date(2025, 11, 30, 22, 59, 58, 0, time.UTC)
	users := make([]directory.User, len(names))
	for i, name := range names {
		u := directory.User{
			UUID: id("user " + name), PK: int64(i + 1), Username: name, Name: name,
			Active: i%7 != 3, Superuser: i%20 == 1,
			Attrs: userAttrs(i),
		}
		if strings.Contains(name, "\t") {
			u.Name = "Tab"
		}
		if i > len(strange) {
			u.Name = first[i%len(first)] + " " + last[i%len(last)]
			u.UID = strings.ReplaceAll(uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)).String(), "-", "")
		}
		if i%5 != 4 {
			u.Email = fmt.Sprintf("User.%d@Example.org", i)
		}
		if i%3 != 2 {
			u.Created = at.Add(time.Duration(i) * 26 * time.Hour)
			u.Updated = u.Created.Add(time.Duration(i) * time.Minute)
			u.PasswordChanged = u.Created.Add(time.Second)
		}
		for g := range groupNames {
			if g >= 3 && (i+g)%(g+2) == 0 && g != emptyGroup {
				u.Groups = append(u.Groups, id("group "+groupNames[g]))
			}
		}
		users[i] = u
	}
	return users
}

func userAttrs(i int) map[string]any {
	a := map[string]any{}
	if i%2 == 0 {
		a["nextcloud_quota"] = fmt.Sprintf("%d GB", i%8)
		a["title"] = []any{"Dr", "Prof. Dr", "Head  of Research"}[i/2%3]
	}
	if i%3 == 0 {
		a["telephoneNumber"] = fmt.Sprintf("+49 89 %d-%d", 1000+i, i)
		a["description"] = []any{"Likes LDAP", fmt.Sprintf("Number %d", i), "naïve façade"}
	}
	if i%4 == 0 {
		a["jpegPhoto"] = []byte{0xff, 0xd8, 0xff, 0xe0, 0, 0x10, byte(i), 0, '(', '*', ')', 0xff, 0xd9}
		a["departmentNumber"] = int64(i / 4)
		a["x121Address"] = fmt.Sprintf("00%d 77", i)
	}
	if i%5 == 0 {
		a["profile.url/home"] = fmt.Sprintf("https://example.org/~%%s/%d", i)
		a["manager"] = "CN=bob.Builder1, ou=Users," + baseDN
		a["loginShell"] = []any{"/bin/sh", "/bin/Zsh"}[i%2]
	}
	if i%6 == 0 {
		a["postalAddress"] = fmt.Sprintf("Straße %d$80331 München", i)
		a["locale"] = []any{"de", "de-AT", "en"}[: i%3+1 : i%3+1]
		a["verified"] = i%4 == 0
		a["score"] = float64(i) / 4
	}
	if i%11 == 0 {
		a["uidNumber"] = fmt.Sprint(90000 + i)
		a["userAccountControl"] = int64(512 + i%3)
	}
	return a
}

// emptyGroup is the index of a group that nobody is in.
const emptyGroup = 6

var groupNames = []string{
	"everyone", "staff", "engineers", // a chain, everyone on top
	"admins", "sales", "R&D, Zürich", "nobody", "plus+minus", `"quoted"`, "semi;colon", "#1",
	"with  blanks", "日本", "x", "ring",
}

func sampleGroups() []directory.Group {
	parents := map[string][]string{
		"staff": {"everyone"}, "engineers": {"staff"}, "R&D, Zürich": {"engineers", "everyone"},
		"plus+minus": {"engineers"}, "ring": {"x"}, "x": {"ring", "staff"}, // a cycle
	}
	groups := make([]directory.Group, len(groupNames))
	for i, name := range groupNames {
		g := directory.Group{UUID: id("group " + name), Name: name, NumPK: int64(i), Superuser: name == "admins"}
		for _, p := range parents[name] {
			g.Parents = append(g.Parents, id("group "+p))
		}
		if i%2 == 0 {
			g.Attrs = map[string]any{"description": "The group " + name, "costCentre": int64(100 + i)}
		}
		if i == 5 {
			g.Attrs = map[string]any{"mail": "rd@example.org", "gidNumber": "7777"}
		}
		groups[i] = g
	}
	return groups
}
