package directory

import (
	"slices"
	"strings"
	"testing"
)

func TestProblems(t *testing.T) {
	users := []User{
		{UUID: id("new"), PK: 9, Username: "Alice"},
		{UUID: id("old"), PK: 1, Username: "alice", Groups: []string{id("gone"), id("g")}},
		{UUID: id("bob"), PK: 2, Username: "bob", Groups: []string{id("gone"), id("g"), id("g")}},
		{UUID: "17", PK: 3, Username: "carol"},
		{UUID: id("dave"), PK: 4, Username: ""},
		{UUID: id("bob"), PK: 5, Username: "erin"},
		{UUID: id("frank"), PK: 6, Username: "f\xff"},
	}
	groups := []Group{
		{UUID: id("g"), Name: "g", Parents: []string{id("elsewhere")}},
		{UUID: "x", Name: "h"},
	}
	s, problems := Tree{BaseDN: baseDN}.Build(users, groups)
	var got []string
	for _, p := range problems {
		got = append(got, p.String())
	}
	slices.Sort(got)
	want := []string{
		"group g: parent group \"" + id("elsewhere") + "\" is not known",
		"group h (and 1 more): left out: its UUID is not one",
		"user (and 1 more): left out: not a valid name",
		"user Alice: left out: another one has the same DN",
		"user alice (and 1 more): group \"" + id("gone") + "\" is not known",
		"user erin: left out: another one has the same UUID",
	}
	for i := range got {
		got[i] = squeeze(got[i])
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%q\nwant:\n%q", got, want)
	}
	if s.Len() != 4+2*2+1 {
		t.Errorf("%d entries", s.Len())
	}
	if got := values(t, lookup(t, s, "cn=g,ou=groups,"+lowerBase), "memberUid"); !slices.Equal(got, []string{"alice", "bob"}) {
		t.Errorf("members: %q", got)
	}
	if a, ok := s.AccountByName("ALICE"); !ok || a.UUID != id("old") {
		t.Errorf("of two with one name: %+v %v", a, ok)
	}
}

// squeeze removes the second of two spaces, where a name is missing.
func squeeze(s string) string {
	var out []byte
	for i := range len(s) {
		if s[i] != ' ' || i == 0 || s[i-1] != ' ' {
			out = append(out, s[i])
		}
	}
	return string(out)
}

func TestProblemStaysOnItsLine(t *testing.T) {
	_, problems := Tree{BaseDN: baseDN}.Build([]User{{UUID: id("a"), Username: "a\nb", Groups: []string{"x\ny"}, Attrs: map[string]any{"c\nd": 1}}}, nil)
	if len(problems) != 2 {
		t.Errorf("problems %q", problems)
	}
	for _, p := range problems {
		if strings.Contains(p.String(), "\n") {
			t.Errorf("%q", p)
		}
	}
}

func TestBadBase(t *testing.T) {
	for _, base := range []string{"", "nonsense", "dc=a,,dc=b"} {
		s, problems := Tree{BaseDN: base}.Build(sample())
		if s.Len() != 0 || len(problems) != 1 {
			t.Errorf("%q: %d entries, problems %v", base, s.Len(), problems)
		}
		if _, ok := s.AccountByName("alice"); ok {
			t.Errorf("%q: has alice", base)
		}
		if _, ok := s.Restrict(id("alice")); ok {
			t.Errorf("%q: restricts", base)
		}
		if s.Subschema().DN() != SubschemaDN {
			t.Errorf("%q: no subschema", base)
		}
		if _, ok := s.Find(nil); ok {
			t.Errorf("%q: found", base)
		}
	}
}

func TestBaseKinds(t *testing.T) {
	for base, want := range map[string]string{
		"dc=example,dc=org":        "domain",
		"O=Example":                "organization",
		"ou=People,o=Example":      "organizationalUnit",
		"c=DE":                     "country",
		"l=Berlin,c=DE":            "locality",
		"cn=root":                  "container",
		"foo=bar,dc=example":       "locality",
		"o=A+ou=B,dc=example":      "organization",
		`o=Smith\, Inc.,c=US`:      "organization",
		"o= Example  Company ,c=x": "organization",
	} {
		s, problems := Tree{BaseDN: base}.Build(sample())
		if len(problems) > 0 {
			t.Errorf("%s: %v", base, problems)
			continue
		}
		e := lookup(t, s, base)
		if e.DN() != base || e.ID() != 0 {
			t.Errorf("%s: root is %d %s", base, e.ID(), e.DN())
		}
		if got := values(t, e, "structuralObjectClass"); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q", base, got)
		}
		if _, ok := s.AccountByName("alice"); !ok {
			t.Errorf("%s: no alice", base)
		}
		checkSchema(t, s)
	}
}
