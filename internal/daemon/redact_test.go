package daemon

import (
	"bytes"
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"ldapd/internal/ldap"
	"ldapd/internal/schema"
)

func TestRedact(t *testing.T) {
	r := &redactor{separator: ";", schema: schema.Builtin()}
	for _, tt := range []struct{ attr, value, want string }{
		{"", "cn=alice,ou=users,dc=x", "cn=alice,ou=users,dc=x"},
		{"", "", ""},
		{"", "cn=alice;123456,ou=users,dc=x", `cn=alice\;[hidden],ou=users,dc=x`},
		{"", `cn=alice\;123456,ou=users,dc=x`, `cn=alice\;[hidden],ou=users,dc=x`},
		{"", `cn=alice\3b123456,ou=users,dc=x`, `cn=alice\;[hidden],ou=users,dc=x`},
		{"", "cn=alice;abcd1234,dc=x", `cn=alice\;[hidden],dc=x`},
		{"", `cn=a\,b,dc=x`, `cn=a\,b,dc=x`},
		{"", "cn=alice;12345,dc=x", "cn=alice;12345,dc=x"},
		{"", "alice;123456", "alice[hidden]"},
		{"", `alice\3b123456`, `alice[hidden]`},
		{"cn", "alice;123456", "alice;[hidden]"},
		{"cn", ";123456", ";[hidden]"},
		{"uid;x", "alice;123456", "alice;[hidden]"},
		{"cn", "alice", "alice"},
		{"entryDN", "cn=alice;123456,ou=users,dc=x", `cn=alice\;[hidden],ou=users,dc=x`},
		{"userPassword", "anything", "[hidden]"},
		{"USERPASSWORD;binary", "anything", "[hidden]"},
	} {
		in := []byte(tt.value)
		if got := string(r.redact([]byte(tt.attr), in)); got != tt.want {
			t.Errorf("%q of %q: %q, want %q", tt.value, tt.attr, got, tt.want)
		}
		if string(in) != tt.value {
			t.Errorf("%q was changed to %q", tt.value, in)
		}
	}
}

func FuzzRedact(f *testing.F) {
	for _, s := range []string{"alice", "a,b", `a\`, "a;b", "\xff", "=", "#04"} {
		f.Add(s)
	}
	r := &redactor{separator: ";", schema: schema.Builtin()}
	f.Fuzz(func(t *testing.T, name string) {
		r.redact(nil, []byte(name))
		r.redact([]byte(name), []byte(name))
		if name == "" || strings.Contains(name, "971358") {
			return
		}
		dn := ldap.DN{{{Type: "cn", Value: name + ";971358"}}, {{Type: "dc", Value: "x"}}}.String()
		for _, s := range []string{dn, strings.ReplaceAll(dn, `\;`, ";"), name + ";971358"} {
			if got := r.redact(nil, []byte(s)); bytes.Contains(got, []byte("971358")) {
				t.Errorf("%q is shown as %q", s, got)
			}
		}
		if got := r.redact([]byte("cn"), []byte(name+";971358")); bytes.Contains(got, []byte("971358")) {
			t.Errorf("%q is shown as %q", name+";971358", got)
		}
	})
}

// Codes stand where filters and DNs of programs put the login name.
func TestRedactInsideValues(t *testing.T) {
	r := &redactor{separator: ";", schema: schema.Builtin()}
	for _, tt := range []struct{ attr, value, want string }{
		{"mail", "alice;123456@example.org", "alice;[hidden]@example.org"},
		{"mail", "alice;123456 ", "alice;[hidden] "},
		{"nosuch", "smtp:alice;123456", "smtp:alice;[hidden]"},
		{"sAMAccountName", `CORP\alice;123456`, `CORP\alice;[hidden]`},
		{"sAMAccountName", `CORP\alice\3b123456`, `CORP[hidden]`},
		{"sAMAccountName", `CORP\alice\;123456`, `CORP\alice\;[hidden]`},
		{"sAMAccountName", `CORP\alice`, `CORP\alice`},
		{"cn", `alice\3b\31\32\33\34\35\36`, "alice[hidden]"},
		{"entryDN", `cn=alice\3b123456,ou=users,dc=x`, `cn=alice\;[hidden],ou=users,dc=x`},
		{"memberOf", `cn=alice\3b\31\32\33\34\35\36,ou=users,dc=x`, `cn=alice\;[hidden],ou=users,dc=x`},
		{"memberOf", `cn=alice\, b,ou=users,dc=x`, `cn=alice\, b,ou=users,dc=x`},
		{"description", "a=b;123456", `a=b\;[hidden]`},
		{"description", "a=b;123456,c", "a=b;[hidden],c"},
		{"cn", "alice;123456;abcdef123456;x", "alice;[hidden];[hidden];x"},
		{"cn", "alice;12345;1234567", "alice;12345;1234567"},
		{"cn", "alice;123456é", "alice;[hidden]é"},
		{"cn", "\xff;123456\xff", "\xff;[hidden]\xff"},
		{"", ";123456", "[hidden]"},
		{"", "lice;123456@", "lice[hidden]"},
		{"", `cn=alice;123456\,x,dc=x`, `cn=alice\;[hidden]\,x,dc=x`},
		{"", "cn=#040c616c6963653b313233343536,dc=x", `cn=alice\;[hidden],dc=x`},
		{"", "cn=#0403626f62,dc=x", "cn=#0403626f62,dc=x"},
	} {
		in := []byte(tt.value)
		if got := string(r.redact([]byte(tt.attr), in)); got != tt.want {
			t.Errorf("%q of %q: %q, want %q", tt.value, tt.attr, got, tt.want)
		}
		if string(in) != tt.value {
			t.Errorf("%q was changed to %q", tt.value, in)
		}
	}
}

// Every separator that Nextcloud was seen to pass on, in every place.
func TestRedactWithAnySeparator(t *testing.T) {
	for _, sep := range []string{";", "+", ",", "#", "/", `\`, "|", "%", "&", "=", "!", "*", "(", ")", "~", "^", "$", "'", `"`, "<", ">", "?", "@", ".", "-", "_", "::"} {
		r := &redactor{separator: sep, schema: schema.Builtin()}
		for _, code := range []string{"971358", "a1b2c3d4", "abcdef971358"} {
			name := "alice" + sep + code
			for _, attr := range []string{"", "cn", "nosuch", "memberOf"} {
				for _, value := range []string{name, name + "@example.org", "cn=" + name + ",ou=users,dc=x", goldap.EscapeDN(name), "cn=" + goldap.EscapeDN(name) + ",dc=x", sep + code} {
					if got := r.redact([]byte(attr), []byte(value)); bytes.Contains(got, []byte(code)) {
						t.Errorf("separator %q: %q of %q is shown as %q", sep, value, attr, got)
					}
				}
			}
		}
	}
}

// A running server is asked in all ways that could carry a code into its log.
func TestLogHoldsNoCode(t *testing.T) {
	r := start(t, testConfig(t), demoUsers(t))
	const code = "971358"
	const users = "ou=users," + base
	for _, dn := range []string{
		"cn=bob;" + code + "," + users, `cn=bob\;` + code + "," + users, `cn=bob\3b` + code + "," + users, `cn=bob\3B\39\37\31\33\35\38,` + users,
		"uid=bob;" + code + "," + users, "cn=ghost;" + code + "," + users, "cn=bob;" + code + ",dc=elsewhere", "bob;" + code, `CORP\bob;` + code,
		"bob;" + code + "@example.org", "cn=bob;" + code + ",=",
	} {
		if err := r.dial(t).Bind(dn, "planted-password;"+code); err == nil {
			t.Errorf("%s: the bind is granted", dn)
		}
	}
	c := r.dial(t)
	if err := c.Bind("cn=ldapservice,"+users, "demo-ldapservice"); err != nil {
		t.Fatal(err)
	}
	search := func(dn string, scope int, filter string) {
		_, err := c.Search(goldap.NewSearchRequest(dn, scope, goldap.NeverDerefAliases, 0, 0, false, filter, []string{"cn"}, nil))
		if err != nil && goldap.IsErrorAnyOf(err, goldap.ErrorNetwork, goldap.LDAPResultProtocolError) {
			t.Errorf("%s: %v", filter, err)
		}
	}
	name := "bob;" + code
	for _, filter := range []string{
		"(cn=" + name + ")", "(&(objectclass=user)(memberof=cn=staff,ou=groups," + base + ")(|(cn=" + name + ")(mail=" + name + ")))",
		"(!(uid=" + name + "))", "(sAMAccountName=" + name + ")", "(userPrincipalName=" + name + ")", "(nosuch=" + name + ")", "(displayName=" + name + ")",
		"(mail=" + name + "@example.org)", "(proxyAddresses=smtp:" + name + ")",
		"(cn>=" + name + ")", "(cn<=" + name + ")", "(cn~=" + name + ")",
		"(cn=" + name + "*)", "(cn=*" + name + "*)", "(cn=*" + name + ")", "(cn=b*;" + code + "*b)", "(cn=b*ob;" + code + "*c*;" + code + ")",
		"(cn:=" + name + ")", "(cn:caseExactMatch:=" + name + ")", "(:caseIgnoreMatch:=" + name + ")", "(cn:dn:=" + name + ")",
		"(memberOf:1.2.840.113556.1.4.1941:=cn=" + name + "," + users + ")", `(memberOf=cn=bob\5c3b` + code + "," + users + ")",
		"(entryDN=cn=" + name + "," + users + ")", `(cn=bob\3b` + code + ")", "(gidNumber=" + name + ")", "(objectClass=" + name + ")",
		"(cn=" + name + " )", "(cn=" + name + ";)", "(cn=" + name + ";" + code + ")", "(userPassword=" + code + ")",
	} {
		for _, scope := range []int{goldap.ScopeBaseObject, goldap.ScopeWholeSubtree} {
			search(users, scope, filter)
		}
	}
	for _, dn := range []string{"cn=" + name + "," + users, `cn=bob\3b` + code + "," + users, name, "cn=" + name + ",dc=elsewhere", "x=" + name + "+y=" + name} {
		search(dn, goldap.ScopeBaseObject, "(objectClass=*)")
		if _, err := c.Compare(dn, "cn", name); err == nil {
			t.Errorf("%s can be compared", dn)
		}
	}
	if _, err := c.Compare("cn=bob,"+users, "cn", name); err != nil {
		t.Error(err)
	}
	if _, err := c.Compare("cn=bob,"+users, "nosuch", name); err == nil {
		t.Error("an unknown attribute can be compared")
	}
	r.stop()
	text := r.log.String()
	for line := range strings.Lines(text) {
		if strings.Contains(line, code) || strings.Contains(line, "planted-password") {
			t.Errorf("the log holds a credential: %s", line)
		}
	}
	for _, want := range []string{
		"(&(objectclass=user)(memberof=cn=staff,ou=groups," + base + ")(|(cn=bob;[hidden])(mail=bob;[hidden])))",
		"(mail=bob;[hidden]@example.org)", `cn=bob\\;[hidden],` + users,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}
