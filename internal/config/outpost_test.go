package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOutpostVariables(t *testing.T) {
	c, err := Load("", []string{
		"AUTHENTIK_HOST=https://auth.example.org/", "AUTHENTIK_TOKEN=env://MY_TOKEN?x", "MY_TOKEN=t0ken", "AUTHENTIK_INSECURE=True",
		"AUTHENTIK_LDAP__PAGE_SIZE=50", "AUTHENTIK_LISTEN__LDAP=[::]:1389,127.0.0.2:1389", "AUTHENTIK_LOG_LEVEL=warning",
		"AUTHENTIK_HOST_BROWSER=https://x", "AUTHENTIK_ERROR_REPORTING__ENABLED=true", "LDAPD_STATE_DIR=state",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Backend != BackendAuthentik || c.Authentik.Host != "https://auth.example.org/" || c.Authentik.Token != "t0ken" ||
		!c.Authentik.Insecure || c.Authentik.PageSize != 50 || c.Log.Level != "warn" || c.StateDir != "state" {
		t.Errorf("%+v", c)
	}
	if got := Addresses(c.Listen.LDAP); len(got) != 2 || got[0] != "[::]:1389" || got[1] != "127.0.0.2:1389" {
		t.Errorf("listens on %q", got)
	}
	if c.Listen.LDAPS != "[::]:6636" || c.Listen.Admin != "[::]:9300" {
		t.Errorf("defaults of an outpost: %+v", c.Listen)
	}
	if len(c.ProxyProtocol.Trusted) > 0 {
		t.Errorf("by default %v may speak for others", c.ProxyProtocol.Trusted)
	}
	if c.Given("file.path") || !c.Given("authentik.host") || !c.Given("state_dir") {
		t.Error("Given does not tell what was set")
	}
	if s := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(s, "t0ken") {
		t.Error("the token can be printed")
	}
}

// Who sets authentik's variable has named his proxies.
func TestOutpostTrustedProxies(t *testing.T) {
	env := []string{"AUTHENTIK_HOST=http://a/", "AUTHENTIK_TOKEN=x", "AUTHENTIK_LISTEN__TRUSTED_PROXY_CIDRS=10.1.2.3,fd00::/8"}
	c, err := Load("", env)
	if got := fmt.Sprint(c.ProxyProtocol.Trusted); err != nil || got != "[10.1.2.3/32 fd00::/8]" {
		t.Errorf("%v, %s", err, got)
	}
	c, err = Load("", append(env, "LDAPD_PROXY_PROTOCOL_TRUSTED="))
	if err != nil || len(c.ProxyProtocol.Trusted) > 0 {
		t.Errorf("ours wins: %v, %v", err, c.ProxyProtocol.Trusted)
	}
}

func TestOutpostTokenFromFileIsReadLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	c, err := Load("", []string{"AUTHENTIK_HOST=http://a/", "AUTHENTIK_TOKEN=file://" + path})
	if err != nil || c.Authentik.TokenFile != path || c.Authentik.Token != "" {
		t.Errorf("%v, %+v", err, c)
	}
	host := filepath.Join(t.TempDir(), "host")
	if err := os.WriteFile(host, []byte(" http://b/ \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = Load("", []string{"AUTHENTIK_HOST=file://" + host, "AUTHENTIK_TOKEN=x"}); err != nil || c.Authentik.Host != "http://b/" {
		t.Errorf("%v, %+v", err, c)
	}
}

func TestOutpostVariablesBesideAFile(t *testing.T) {
	env := []string{"AUTHENTIK_HOST=http://a/", "AUTHENTIK_TOKEN=x", "AUTHENTIK_LISTEN__LDAP=:1"}
	c, err := Load(write(t, "listen: {ldap: ':2'}"), env)
	if err != nil || c.Backend != BackendFile || c.Listen.LDAP != ":2" || c.Authentik.Host != "" {
		t.Errorf("backend file: %v, %+v", err, c)
	}
	c, err = Load(write(t, "backend: authentik\nlisten: {ldap: ':2'}"), append(env, "LDAPD_LISTEN_LDAPS=:3"))
	if err != nil || c.Authentik.Host != "http://a/" || c.Listen.LDAP != ":1" || c.Listen.LDAPS != ":3" {
		t.Errorf("backend authentik: %v, %+v", err, c)
	}
}

func TestOutpostMistakes(t *testing.T) {
	for want, env := range map[string][]string{
		"LDAPD_AUTHENTIK_HOST: must be authentik's address": {"LDAPD_BACKEND=authentik"},
		"AUTHENTIK_HOST: must be a URL":                     {"AUTHENTIK_HOST=auth.example.org", "AUTHENTIK_TOKEN=x"},
		"LDAPD_AUTHENTIK_TOKEN: must be the token":          {"AUTHENTIK_HOST=http://a/"},
		"AUTHENTIK_INSECURE: must be":                       {"AUTHENTIK_HOST=http://a/", "AUTHENTIK_TOKEN=x", "AUTHENTIK_INSECURE=maybe"},
		"AUTHENTIK_HOST: open /nowhere":                     {"AUTHENTIK_HOST=file:///nowhere", "AUTHENTIK_TOKEN=x"},
		"must not be set along":                             {"AUTHENTIK_HOST=http://a/", "AUTHENTIK_TOKEN=x", "LDAPD_AUTHENTIK_TOKEN_FILE=y"},
		"AUTHENTIK_LISTEN__LDAP: must be host:port":         {"AUTHENTIK_HOST=http://a/", "AUTHENTIK_TOKEN=x", "AUTHENTIK_LISTEN__LDAP=1,2"},
	} {
		if _, err := Load("", env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", env, err, want)
		}
	}
}
