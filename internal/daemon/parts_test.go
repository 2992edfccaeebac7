package daemon

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/zap"

	"ldapd/internal/certs"
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

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	users, err := os.ReadFile("../local/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"users.yaml": users, "bad.yaml": []byte("users:\n- {user: x}\n"), "junk": []byte("junk")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := certs.ThrowAway(dir, nil); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	check := func(text string) (*config.Config, Report) {
		t.Helper()
		path := filepath.Join(dir, "ldapd.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return cfg, Check(cfg)
	}

	cfg, good := check("listen: {ldap: '" + taken.Addr().String() + "', ldaps: '127.0.0.1:0', admin: ''}\nstate_dir: a/b\ntls: {cert: server.crt, key: server.key}\n")
	if len(good.Problems) > 0 {
		t.Errorf("problems %v", good.Problems)
	}
	notes := strings.Join(good.Notes, "\n")
	for _, want := range []string{
		"listen.ldap: " + taken.Addr().String() + " is in use, by a running ldapd?", "listen.ldaps: 127.0.0.1:0 is free", "listen.admin: off",
		"state_dir: " + dir + "/a/b will be made", "tls.cert: " + dir + "/server.crt is valid until ",
		"file.path: " + dir + "/users.yaml has 4 users and 3 groups, which make 15 entries below dc=ldap,dc=goauthentik,dc=io",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note %q in\n%s", want, notes)
		}
	}
	if _, err := os.Stat(cfg.StateDir); !os.IsNotExist(err) {
		t.Errorf("the state directory was made: %v", err)
	}

	_, self := check("state_dir: .\nlisten: {ldap: '127.0.0.1:0', ldaps: '', admin: ''}\n")
	if notes := strings.Join(self.Notes, "\n"); len(self.Problems) > 0 || !strings.Contains(notes, "tls: a self-signed certificate will be made on first start") ||
		!strings.Contains(notes, "state_dir: "+dir+" is writable") {
		t.Errorf("%+v", self)
	}

	_, bad := check("listen: {ldap: '192.0.2.1:389', ldaps: '', admin: ''}\nstate_dir: junk\ntls: {cert: junk, key: junk}\nfile: {path: bad.yaml}\n")
	var got []string
	for _, err := range bad.Problems {
		got = append(got, strings.TrimPrefix(err.Error(), dir+"/"))
	}
	want := []string{
		"ldapd.yaml:1: listen.ldap: listen tcp 192.0.2.1:389: bind: cannot assign requested address",
		"ldapd.yaml:3: tls.cert: certificate " + dir + "/junk with key " + dir + "/junk: tls: failed to find any PEM data in certificate input",
		"ldapd.yaml:2: state_dir: " + dir + "/junk is not a directory",
		"bad.yaml:2: users[0].user: unknown key, allowed: username, name, email, password, uuid, uid, groups, totp, active, search, attributes",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("problems\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
