package login

import (
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"ldapd/internal/ldap"
	"ldapd/internal/schema"
)

// parse reads a filter, and returns what a tree's schema has for its terms.
func parse(t *testing.T, sch *schema.Schema, text string) (ldap.Filter, func(int) *schema.AttributeType) {
	t.Helper()
	packet, err := goldap.CompileFilter(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	f, err := ldap.ParseFilter(packet.Bytes(), ldap.FilterLimits{})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return f, func(i int) *schema.AttributeType {
		at, _ := sch.Lookup(f[i].Attr)
		return at
	}
}

func TestDetectorValue(t *testing.T) {
	d := NewDetector(Config{Attributes: []string{"uid", "mail", "nick", "userPassword"}})
	sch := schema.Builtin().With([]string{"nick", "colour"})
	for _, tt := range []struct{ filter, want string }{
		{"(uid=bob)", "bob"},
		{"(userid=bob)", "bob"},
		{"(|(uid=bob)(mail=BOB ))", "bob"},
		{"(|(uid=bob)(mail=eve))", ""},
		{"(&(uid=bob)(colour=red)(title=boss))", "bob"},
		{"(nick=bob)", "bob"},
		{"(NICK;x-a=bob)", "bob"},
		{"(colour=bob)", ""},
		{"(title=bob)", ""},
		{"(userPassword=bob)", ""},
		{"(uid=*)", ""},
		{"(uid>=bob)", ""},
		{"(uid~=bob)", ""},
		{"(!(uid=bob))", ""},
		{"(&(!(uid=eve))(uid=bob))", "bob"},
		{"(&(uid=bob)(title=b*))", "bob"},
		{"(|(uid=bob)(title=Bob*))", ""},
		{"(|(uid=bob)(title=*bob*))", ""},
		{"(|(title=*bob)(uid=bob))", ""},
		{"(&(uid=bob)(!(title=bob*)))", "bob"},
		{"(uid=" + strings.Repeat("b", MaxName) + ")", strings.Repeat("b", MaxName)},
		{"(uid=" + strings.Repeat("b", MaxName+1) + ")", ""},
	} {
		f, typeOf := parse(t, sch, tt.filter)
		if got := string(d.Value(f, typeOf)); got != tt.want {
			t.Errorf("%.60s: %.60q, want %.60q", tt.filter, got, tt.want)
		}
	}
}

// Where no entry has a custom attribute, the schema has it not.
func TestDetectorKnowsTypesThatTheSchemaHasNot(t *testing.T) {
	d := NewDetector(Config{Attributes: []string{"nick"}})
	for filter, want := range map[string]string{"(Nick=bob)": "bob", "(nick;x=bob)": "bob", "(nickname=bob)": "", "(nic=bob)": ""} {
		f, typeOf := parse(t, schema.Builtin(), filter)
		if got := string(d.Value(f, typeOf)); got != want {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
}
