package daemon

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/zap"

	"ldapd/internal/config"
	"ldapd/internal/ldap"
	"ldapd/internal/schema"
)

// Every limit of the server comes from the configuration.
func TestServerLimits(t *testing.T) {
	l := reflect.ValueOf(serverLimits(&config.Default().Limits))
	for i := range l.NumField() {
		if l.Field(i).IsZero() {
			t.Errorf("%s is not configured", l.Type().Field(i).Name)
		}
	}
}

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

func TestLogger(t *testing.T) {
	for _, format := range []string{"auto", "json"} {
		var out buffer
		log, stop, err := NewLogger(config.Log{Level: "info", Format: format}, &out)
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("hidden")
		log.With(zap.Int("n", 1)).Warn("at once")
		if got := out.String(); !strings.Contains(got, `"level":"warn"`) || !strings.Contains(got, `"msg":"at once","n":1}`) {
			t.Errorf("%s: a warning is not written at once: %q", format, got)
		}
		log.Info("at the end")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.Contains(got, `"msg":"at the end"}`) || strings.Contains(got, "hidden") {
			t.Errorf("%s: at the end: %q", format, got)
		}
	}
	var out buffer
	log, stop, err := NewLogger(config.Log{Level: "debug", Format: "console"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("shown", zap.String("k", "v"))
	if got := out.String(); !strings.Contains(got, `DEBUG shown {"k": "v"}`) {
		t.Errorf("console: %q", got)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := NewLogger(config.Log{Level: "loud"}, &out); err == nil {
		t.Error("a bad level: no error")
	}
}
