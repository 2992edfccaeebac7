package directory

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestCustomValues(t *testing.T) {
	for _, tt := range []struct {
		key   string
		value any
		name  string
		want  []string
	}{
		{"a.b", "x", "ab", []string{"x"}},
		{"goauthentik.io/user/sources", []any{"one", "two"}, "goauthentikio-user-sources", []string{"one", "two"}},
		{"nextcloud_quota", "5 GB", "nextcloud_quota", []string{"5 GB"}},
		{"NextcloudQuota", int64(5), "nextcloudquota", []string{"5"}},
		{"yes", true, "yes", []string{"true"}},
		{"no", false, "no", []string{"false"}},
		{"int", 42, "int", []string{"42"}},
		{"big", 1e21, "big", []string{"1000000000000000000000"}},
		{"fraction", 0.5, "fraction", []string{"0.5"}},
		{"number", json.Number("12e2"), "number", []string{"1200"}},
		{"plain", json.Number("12"), "plain", []string{"12"}},
		{"null", nil, "null", nil},
		{"empty", "", "empty", nil},
		{"blank", "  ", "blank", nil},
		{"list", []any{"a", nil, true, 2.0, "a"}, "list", []string{"a", "true", "2"}},
		{"nothing", []any{}, "nothing", nil},
		{"object", map[string]any{"k": []any{"<v>", 1.0}}, "object", []string{`{"k":["<v>",1]}`}},
		{"nested", []any{[]any{1.0, 2.0}, map[string]any{"a": nil}}, "nested", []string{"[1,2]", `{"a":null}`}},
		{"home", "/srv/%s/%s", "home", []string{"/srv/alice/alice"}},
		{"percents", []any{"%s", "%d"}, "percents", []string{"alice", "%d"}},
		{"jpegPhoto", []byte("\xff\xd8\xff"), "jpegPhoto", []string{"\xff\xd8\xff"}},
		{"jpegPhoto", "/9j/", "jpegPhoto", []string{"\xff\xd8\xff"}},
		{"jpegPhoto", "data:image/jpeg;base64,/9j/", "jpegPhoto", []string{"\xff\xd8\xff"}},
		{"sshPublicKey", "ssh-ed25519 AAAA a@b", "sshPublicKey", []string{"ssh-ed25519 AAAA a@b"}},

		// Those that replace what the directory makes.
		{"sn", "Liddell", "sn", []string{"Liddell"}},
		{"surname", "Liddell", "sn", []string{"Liddell"}},
		{"sn", "", "sn", []string{"Alice"}},
		{"sn", nil, "sn", []string{"Alice"}},
		{"mail", []any{"a@example.org", "b@example.org"}, "mail", []string{"a@example.org", "b@example.org"}},
		{"displayName", "A", "displayName", []string{"A"}},
		{"givenName", "A", "givenName", []string{"A"}},
		{"uid", "alice", "uid", []string{"alice"}},
		{"homeDirectory", "/mnt", "homeDirectory", []string{"/mnt"}},
	} {
		s := build(t, []User{{UUID: id("alice"), UID: "x1", Username: "alice", Name: "Alice", Email: "alice@example.org", Attrs: map[string]any{tt.key: tt.value}}}, nil)
		e := lookup(t, s, "cn=alice,ou=users,"+lowerBase)
		if got := values(t, e, tt.name); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v: got %q, want %q", tt.key, tt.value, got, tt.want)
		}
		if n := strings.Count(ldif(e), "\n"+attrType(t, s, tt.name).Name+": "); n != len(tt.want) {
			t.Errorf("%s: %v: %d values in the entry, want %d", tt.key, tt.value, n, len(tt.want))
		}
	}
}

func TestCustomRefused(t *testing.T) {
	for _, tt := range []struct {
		key, problem string
		value        any
	}{
		{"objectClass", "makes it itself", "top"},
		{"CN", "makes it itself", "root"},
		{"commonName", "makes it itself", "root"},
		{"memberOf", "makes it itself", "cn=admins"},
		{"member", "makes it itself", "cn=admins"},
		{"ak-active", "makes it itself", true},
		{"ak-superuser", "makes it itself", true},
		{"goauthentik.io/ldap/superuser", "", true}, // as a name of its own
		{"entryUUID", "makes it itself", id("x")},
		{"createTimestamp", "makes it itself", "x"},
		{"a b", "not a valid", "x"},
		{"", "not a valid", "x"},
		{"2fa", "not a valid", "x"},
		{"quota;binary", "not a valid", "x"},
		{"größe", "not a valid", "x"},
		{strings.Repeat("a", 129), "not a valid", "x"},
		{"uidNumber", "not valid for uidNumber", "many"},
		{"displayName", "only the first", []any{"Alice", "Bob"}},
		{"x", "cannot be shown", make(chan int)},
		{"userPassword", "", "secret"},
		{"unicodePwd", "", "secret"},
	} {
		s, problems := Tree{BaseDN: baseDN}.Build([]User{{UUID: id("alice"), PK: 7, Username: "alice", Name: "Alice", Attrs: map[string]any{tt.key: tt.value}}}, nil)
		text := ldif(lookup(t, s, "cn=alice,ou=users,"+lowerBase))
		for _, bad := range []string{"secret", "root", "ak-superuser: TRUE", "ak-active: TRUE", "many", "Bob", "objectClass: top\nobjectClass: top"} {
			if strings.Contains(text, bad) {
				t.Errorf("%q: the entry has %q:\n%s", tt.key, bad, text)
			}
		}
		switch {
		case tt.problem == "" && len(problems) > 0:
			t.Errorf("%q: problems %v", tt.key, problems)
		case tt.problem != "" && (len(problems) != 1 || !strings.Contains(problems[0].String(), tt.problem) || problems[0].Entry != "user alice"):
			t.Errorf("%q: problems %v, want %q", tt.key, problems, tt.problem)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, tt := range []struct {
		attrs    map[string]any
		uid, gid string
	}{
		{nil, "2007", "2007"},
		{map[string]any{"uidNumber": "500"}, "500", "500"},
		{map[string]any{"uidNumber": int64(500)}, "500", "2007"},
		{map[string]any{"gidNumber": "600"}, "2007", "600"},
		{map[string]any{"gidNumber": 600.0}, "2007", "600"},
		{map[string]any{"uidNumber": "500", "gidNumber": "600"}, "500", "600"},
	} {
		s := build(t, []User{{UUID: id("a"), PK: 7, Username: "a", Attrs: tt.attrs}}, nil)
		user, virtual := lookup(t, s, "cn=a,ou=users,"+lowerBase), lookup(t, s, "cn=a,ou=virtual-groups,"+lowerBase)
		if got := values(t, user, "uidNumber"); !slices.Equal(got, []string{tt.uid}) {
			t.Errorf("%v: uidNumber %q, want %s", tt.attrs, got, tt.uid)
		}
		for _, e := range []Entry{user, virtual} {
			if got := values(t, e, "gidNumber"); !slices.Equal(got, []string{tt.gid}) {
				t.Errorf("%v: gidNumber of %s %q, want %s", tt.attrs, e.DN(), got, tt.gid)
			}
		}
	}
	// Two groups may share a number: both are found by it.
	s := build(t, nil, []Group{{UUID: id("a"), Name: "a", NumPK: 5}, {UUID: id("b"), Name: "b", NumPK: 5}})
	p, ok := s.Equal(attrType(t, s, "gidNumber"), []byte("4005"))
	if !ok || p.Len() != 2 {
		t.Errorf("groups with one number: %d %v", p.Len(), ok)
	}
}

func TestGivenName(t *testing.T) {
	for name, want := range map[string]string{
		"Alice Liddell":  "Alice",
		"Liddell, Alice": "Alice",
		"Alice":          "Alice",
		"  Zoë  Müller ": "Zoë",
		"Alice,":         "Alice",
		"":               "",
		" , ":            "",
	} {
		if got := givenName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
