package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ldapd/internal/yamlfile"
)

// Guards the promise that the example is the reference.
func TestExampleHoldsEveryKeyWithItsDefault(t *testing.T) {
	const path = "../../ldapd.example.yaml"
	var c Config
	if err := yamlfile.Read(path, &c); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{}
	each(reflect.ValueOf(Default()).Elem(), "", func(key string, v reflect.Value) { want[key] = v.Interface() })
	each(reflect.ValueOf(&c).Elem(), "", func(key string, v reflect.Value) {
		if !c.Pos.Has(key) {
			t.Errorf("%s: %s is missing", path, key)
			return
		}
		if v.Kind() == reflect.Slice && v.Len() == 0 && reflect.ValueOf(want[key]).Len() == 0 {
			return
		}
		if got := v.Interface(); !reflect.DeepEqual(got, want[key]) {
			t.Errorf("%s:%d: %s is %v, the default is %v", path, c.Pos.Line(key), key, got, want[key])
		}
	})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("\t")) {
		t.Error("the example has a tab")
	}
}

func TestVariablesAreUnambiguous(t *testing.T) {
	seen := map[string]string{}
	for _, key := range Keys() {
		name := variable(key)
		if other, ok := seen[name]; ok {
			t.Errorf("%s stands for both %s and %s", name, key, other)
		}
		if serviceVariable.MatchString(name) {
			t.Errorf("%s is taken for a variable of Kubernetes", name)
		}
		seen[name] = key
	}
	if seen["LDAPD_STATE_DIR"] != "state_dir" || seen["LDAPD_LISTEN_LDAP"] != "listen.ldap" {
		t.Errorf("variables %v", seen)
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ldapd.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadFile(t *testing.T) {
	path := write(t, `
listen: {ldap: ":389"}
tls: {cert: cert.pem, key: /etc/key.pem}
mfa: {code_in: [username]}
proxy_protocol: {trusted: [10.1.2.3/8, "::1"]}
limits:
  message: 2MiB
`)
	dir := filepath.Dir(path)
	c, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Pos, want.env = c.Pos, c.env
	want.Listen.LDAP = ":389"
	want.TLS.Cert = filepath.Join(dir, "cert.pem")
	want.TLS.Key = "/etc/key.pem"
	want.File.Path = filepath.Join(dir, "users.yaml")
	want.MFA.CodeIn = []string{"username"}
	want.ProxyProtocol.Trusted = c.ProxyProtocol.Trusted
	want.Limits.Message = 2 << 20
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n %+v, want\n %+v", c, want)
	}
	if got := c.ProxyProtocol.Trusted; len(got) != 2 || got[0].String() != "10.0.0.0/8" || got[1].String() != "::1/128" {
		t.Errorf("trusted %v", got)
	}
}

func TestLoadEnvironment(t *testing.T) {
	env := []string{
		"PATH=/bin", "LDAPD_BASE_DN=dc=example,dc=org", "LDAPD_LISTEN_LDAPS=", "LDAPD_MFA_CODE_IN=username, password",
		"LDAPD_MFA_SEPARATOR=+", "LDAPD_LIMITS_MESSAGE=2MiB", "LDAPD_LIMITS_ENTRIES=5", "LDAPD_LIMITS_IDLE=1m",
		"LDAPD_STATE_DIR=state", "LDAPD_PROXY_PROTOCOL_TRUSTED=10.0.0.0/8,127.0.0.1", "LDAPD_TLS_NAMES=",
		// Kubernetes, for a service named ldapd
		"LDAPD_SERVICE_HOST=10.0.0.1", "LDAPD_SERVICE_PORT_LDAPS=636", "LDAPD_PORT=tcp://10.0.0.1:389",
		"LDAPD_PORT_389_TCP=tcp://10.0.0.1:389", "LDAPD_PORT_389_TCP_ADDR=10.0.0.1",
	}
	for _, path := range []string{"", write(t, "limits: {entries: 7, operations: 3}\nlisten: {ldaps: ':1'}")} {
		c, err := Load(path, env)
		if err != nil {
			t.Fatal(err)
		}
		if c.BaseDN != "dc=example,dc=org" || c.Listen.LDAPS != "" || c.Listen.LDAP != "127.0.0.1:3389" ||
			!reflect.DeepEqual(c.MFA.CodeIn, []string{"username", "password"}) || c.MFA.Separator != "+" ||
			c.Limits.Message != 2<<20 || c.Limits.Entries != 5 || c.Limits.Idle != time.Minute ||
			c.StateDir != "state" || len(c.ProxyProtocol.Trusted) != 2 || len(c.TLS.Names) != 0 {
			t.Errorf("path %q: %+v", path, c)
		}
		if want := map[bool]int{true: 16, false: 3}[path == ""]; c.Limits.Operations != want {
			t.Errorf("path %q: operations %d, want %d", path, c.Limits.Operations, want)
		}
	}
}

// A larger message makes more room for unfinished ones, unless that was set,
// when it must suffice.
func TestUnfinished(t *testing.T) {
	for text, want := range map[string]string{
		"{}":                                        "64MiB",
		"{message: 100MiB}":                         "400MiB",
		"{message: 100MiB, unfinished: 1GiB}":       "1GiB",
		"{message: 100MiB, unfinished: 64MiB}":      "limits.unfinished: must be from 400MiB to 64GiB",
		"{message_unbound: 1MiB, unfinished: 4MiB}": "limits.unfinished: must be from 8MiB to 64GiB",
		"{unfinished: 3MiB}":                        "limits.unfinished: must be from 4MiB to 64GiB",
	} {
		c, err := Load(write(t, "limits: "+text), nil)
		if err == nil {
			err = errors.New(c.Limits.Unfinished.String())
		}
		if got := err.Error(); !strings.HasSuffix(got, want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// Keys of cache.key's length.
const (
	hexKey    = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1F"
	base64Key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
)

func TestCache(t *testing.T) {
	path := write(t, "cache: {store: postgres, dsn: 'postgres://db/ldapd', key_file: cache.key, old_keys: ['"+base64Key+"'], access: 0s}\n"+
		"unlock: {cert: unlock.pem, key: unlock.key}")
	c, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	if _, err := c.SealingKey(); err == nil || !strings.HasPrefix(err.Error(), path+":1: cache.key_file: open "+dir) {
		t.Errorf("a key file that is missing: %v", err)
	}
	for text, want := range map[string]string{base64Key + "\n": base64Key, "planted": "", strings.Repeat("0", 1<<16): ""} {
		if err := os.WriteFile(c.Cache.KeyFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := c.SealingKey()
		if string(key) != want || (err == nil) != (want != "") || err != nil && !strings.HasSuffix(err.Error(), "must hold 32 bytes in hex or base64, as of: openssl rand -base64 32") {
			t.Errorf("a key file with %.20q: %v", text, err)
		}
	}
	if c.Cache.KeyFile != filepath.Join(dir, "cache.key") || c.Unlock != (Unlock{Cert: filepath.Join(dir, "unlock.pem"), Key: filepath.Join(dir, "unlock.key")}) ||
		len(c.Cache.OldKeys) != 1 || string(c.Cache.OldKeys[0]) != base64Key || c.Cache.Access != 0 {
		t.Errorf("%+v %+v", c.Cache, c.Unlock)
	}
	c, err = Load("", []string{"LDAPD_CACHE_KEY=" + hexKey, "LDAPD_CACHE_OLD_KEYS=" + base64Key, "LDAPD_MFA_REMEMBER_SCOPE=client"})
	if err != nil || string(c.Cache.Key) != hexKey || len(c.Cache.OldKeys) != 1 || c.MFA.Remember.Scope != ScopeClient {
		t.Errorf("%+v %v", c, err)
	}
	if key, err := c.SealingKey(); string(key) != hexKey || err != nil {
		t.Errorf("cache.key: %v", err)
	}
	if key, err := Default().SealingKey(); key != "" || err != nil {
		t.Errorf("no key: %v", err)
	}
}

func TestFileErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"basedn: x", ":1: basedn: unknown key, allowed: base_dn, listen, tls, state_dir, backend, file, authentik, directory, mfa, cache, clients, unlock, log, proxy_protocol, shutdown_grace, limits"},
		{"listen:\n  ldap: localhost", ":2: listen.ldap: must be host:port such as 127.0.0.1:3389 or :389, several with commas between, or empty for off"},
		{"listen: {ldap: ':65536'}", ":1: listen.ldap: must be host:port such as 127.0.0.1:3389 or :389, several with commas between, or empty for off"},
		{"listen: {ldap: }", ":1: listen.ldap: no value, must be a string"},
		{"\nlisten: {ldap: '', ldaps: ''}", ":2: listen: ldap and ldaps are both empty, one must be host:port"},
		{"base_dn: nonsense", ":1: base_dn: must be a DN such as dc=example,dc=org"},
		{"base_dn: ''", ":1: base_dn: must be a DN such as dc=example,dc=org"},
		{"tls: {cert: a}", ":1: tls.key: must be set along with tls.cert"},
		{"tls: {key: a}", ":1: tls.cert: must be set along with tls.key"},
		{"tls:\n  names:\n  - a\n  - b_c.d\n  - '::1'\n  - '*.e'\n  - f/g", ":7: tls.names[4]: must be a host name or an address"},
		{"state_dir: ''", ":1: state_dir: must not be empty"},
		{"backend: ldap", ":1: backend: unknown value, allowed: file, authentik"},
		{"file: {path: ''}", ":1: file.path: must not be empty"},
		{"directory: {uid: name}", ":1: directory.uid: unknown value, allowed: auto, username, uuid, hash"},
		{"directory: {uid_start: -1}", ":1: directory.uid_start: must be from 0 to 2147483647"},
		{"directory: {gid_start: x}", ":1: directory.gid_start: is a string, must be a whole number of at most 64 bits"},
		{"mfa:\n  code_in:\n  - dn", ":3: mfa.code_in[0]: unknown value, allowed: password, username"},
		{"mfa: {code_in: [password, password]}", ":1: mfa.code_in[1]: is listed twice"},
		{"mfa: {code_in: }", ":1: mfa.code_in: no value, write [] for an empty list"},
		{"mfa: {separator: a}", `:1: mfa.separator: must be 1 to 8 punctuation characters such as ";"`},
		{"mfa: {separator: ''}", `:1: mfa.separator: must be 1 to 8 punctuation characters such as ";"`},
		{"listen: {unlock: ':443'}", ":1: listen.unlock: needs clients, for which users open a window: set clients"},
		{"mfa: {login_attributes: [cn, 'a=b']}", ":1: mfa.login_attributes[1]: must be the name of an attribute such as mail"},
		{"mfa: {login_attributes: ['1']}", ":1: mfa.login_attributes[0]: must be the name of an attribute such as mail"},
		{"mfa: {login_attributes: [mail, Mail]}", ":1: mfa.login_attributes[1]: is listed twice"},
		{"mfa: {remember: {for: 1s}}", ":1: mfa.remember.for: must be from 1m to 87600h"},
		{"mfa: {remember: {scope: device}}", ":1: mfa.remember.scope: unknown value, allowed: login, client, user, off"},
		{"cache: {store: redis}", ":1: cache.store: unknown value, allowed: bolt, memory, postgres"},
		{"cache: {store: postgres, key: x}", ":1: cache.dsn: must name the database such as postgres://ldapd@db.example.org/ldapd"},
		{"cache: {dsn: x}", ":1: cache.dsn: is for cache.store: postgres only"},
		{"cache: {store: postgres, dsn: x}", ":1: cache.key: must be the key that all replicas share, or cache.key_file must name a file that holds it: openssl rand -base64 32"},
		{"cache:\n  key: x\n  key_file: y", ":3: cache.key_file: must not be set along with cache.key"},
		{"cache: {key: '" + hexKey[2:] + "'}", ":1: cache.key: must be 32 bytes in hex or base64, as of: openssl rand -base64 32"},
		{"cache: {old_keys: ['" + base64Key + "', planted]}", ":1: cache.old_keys[1]: must be 32 bytes in hex or base64"},
		{"cache: {old_keys: ['" + base64Key + "', '" + base64Key + "']}", ":1: cache.old_keys[1]: is listed twice"},
		{"cache: {key: '" + hexKey + "', old_keys: ['" + hexKey + "']}", ":1: cache.old_keys[0]: is cache.key itself"},
		{"cache: {reprove: 1s}", ":1: cache.reprove: must be from 1m to 8760h"},
		{"cache: {access: 1s}", ":1: cache.access: must be 0s for never, or at least 1m"},
		{"cache: {stale_for: 1h}", ":1: cache.reprove: must not be longer than cache.stale_for, which is 1h"},
		{"cache: {max_age: 6h}", ":1: cache.reprove: must not be longer than cache.max_age, which is 6h"},
		{"cache: {max_age: 1m}", ":1: cache.max_age: must be from 1h to 87600h"},
		{"unlock: {cert: a}", ":1: unlock.key: must be set along with unlock.cert"},
		{"unlock: {key: a}", ":1: unlock.cert: must be set along with unlock.key"},
		{"log: {level: loud}", ":1: log.level: unknown value, allowed: debug, info, warn, error"},
		{"log: {format: xml}", ":1: log.format: unknown value, allowed: auto, console, json"},
		{"proxy_protocol: {trusted: [here]}", ":1: proxy_protocol.trusted[0]: must be a network such as 10.0.0.0/8 or an address"},
		{"shutdown_grace: 2h", ":1: shutdown_grace: must be from 0s to 1h"},
		{"limits: {message_unbound: 1}", ":1: limits.message_unbound: must be from 4KiB to 16MiB"},
		{"limits: {message: 63KiB}", ":1: limits.message: must be from 64KiB to 256MiB"},
		{"limits: {message: 1MB}", ":1: limits.message: must be a size such as 65536, 64KiB, 1MiB or 1GiB"},
		{"limits: {operations: 0}", ":1: limits.operations: must be from 1 to 1000"},
		{"limits: {idle: 1ms}", ":1: limits.idle: must be from 1s to 168h"},
	}
	for _, tt := range tests {
		path := write(t, tt.text)
		_, err := Load(path, nil)
		if err == nil || err.Error() != path+tt.want {
			t.Errorf("%q: got\n %v, want\n %s", tt.text, err, path+tt.want)
		}
	}
	if _, err := Load("/nonexistent/ldapd.yaml", nil); !os.IsNotExist(err) {
		t.Errorf("missing file: %v", err)
	}
}

func TestEnvironmentErrors(t *testing.T) {
	known := make([]string, 0, len(Keys()))
	for _, key := range Keys() {
		known = append(known, variable(key))
	}
	tests := []struct{ env, want string }{
		{"LDAPD_STATEDIR=x", "LDAPD_STATEDIR: unknown variable, allowed: " + strings.Join(known, ", ")},
		{"LDAPD_LIMITS_IDLE=", "LDAPD_LIMITS_IDLE: must be a duration such as 15s, 10m or 1h30m"},
		{"LDAPD_LIMITS_IDLE=1ms", "LDAPD_LIMITS_IDLE: must be from 1s to 168h"},
		{"LDAPD_LIMITS_ENTRIES=many", "LDAPD_LIMITS_ENTRIES: must be a whole number of at most 64 bits"},
		{"LDAPD_MFA_CODE_IN=password,dn", "LDAPD_MFA_CODE_IN: unknown value, allowed: password, username"},
		{"LDAPD_PROXY_PROTOCOL_TRUSTED=x", "LDAPD_PROXY_PROTOCOL_TRUSTED: must be a network such as 10.0.0.0/8 or an address"},
		{"LDAPD_CACHE_KEY=planted", "LDAPD_CACHE_KEY: must be 32 bytes in hex or base64, as of: openssl rand -base64 32"},
		{"LDAPD_CACHE_OLD_KEYS=" + hexKey + ",planted", "LDAPD_CACHE_OLD_KEYS: must be 32 bytes in hex or base64"},
		{"LDAPD_TLS_CERT=x", "LDAPD_TLS_KEY: must be set along with tls.cert"},
	}
	for _, tt := range tests {
		if _, err := Load("", []string{tt.env}); err == nil || err.Error() != tt.want {
			t.Errorf("%s: got\n %v, want\n %s", tt.env, err, tt.want)
		}
	}
	path := write(t, "\nfile: {path: x}\n")
	c, err := Load(path, []string{"LDAPD_BASE_DN=dc=x"})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"file.path": path + ":2: file.path: bad", "base_dn": "LDAPD_BASE_DN: bad", "tls.cert": path + ":2: tls.cert: bad",
	} {
		if got := c.Errorf(key, "bad").Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "65536": 65536, "64KiB": 65536, "1 MiB": 1 << 20, "8589934591GiB": 8589934591 << 30,
	} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "8589934592GiB", "9223372036854775808", "1kb", "0x10"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q gave %d", text, s)
		}
	}
	for s, want := range map[Size]string{0: "0", 1: "1", 1 << 10: "1KiB", 3 << 20: "3MiB", 1 << 30: "1GiB", 1<<20 + 1: "1048577"} {
		if got := s.String(); got != want {
			t.Errorf("%d is %s, want %s", int64(s), got, want)
		}
	}
}

func FuzzEnvironment(f *testing.F) {
	for _, s := range []string{"LDAPD_LIMITS_MESSAGE=1MiB", "LDAPD_MFA_CODE_IN=,", "LDAPD_X=", "LDAPD_BASE_DN=cn=\\,x", "LDAPD_TLS_NAMES=a,b", "LDAPD_CLIENTS=[{name: a, networks: [::1]}]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Load("", strings.Split(s, "\n"))
		if (c == nil) == (err == nil) {
			t.Errorf("config %v, error %v", c, err)
		}
	})
}
