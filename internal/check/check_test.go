package check

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ldapd/internal/certs"
	"ldapd/internal/config"
)

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
		return cfg, Run(cfg)
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

// What others can do in the state directory is said.
func TestCheckState(t *testing.T) {
	cfg := config.Default()
	cfg.StateDir = t.TempDir()
	for _, tt := range []struct {
		mode          os.FileMode
		problem, note string
	}{
		{0o700, "", ""},
		{0o777, "can be written by any user", ""},
		{0o755, "", "warning: state_dir: " + cfg.StateDir + " can be listed by other users"},
	} {
		if err := os.Chmod(cfg.StateDir, tt.mode); err != nil {
			t.Fatal(err)
		}
		var r Report
		r.state(cfg)
		notes := strings.Join(r.Notes, "\n")
		if len(r.Problems) > 1 || (len(r.Problems) == 1) != (tt.problem != "") || tt.problem != "" && !strings.Contains(r.Problems[0].Error(), tt.problem) {
			t.Errorf("%v: problems %v", tt.mode, r.Problems)
		}
		if strings.Contains(notes, "warning: ") != (tt.note != "") || !strings.Contains(notes, tt.note) {
			t.Errorf("%v: notes %s", tt.mode, notes)
		}
	}
}
