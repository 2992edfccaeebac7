package config

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestClients(t *testing.T) {
	const yaml = `[{name: Nextcloud 1, networks: [10.1.2.3, "2001:db8::/64", 10.2.0.0/16], encryption: per-user}, {name: mail, networks: ["::ffff:10.3.0.0/112"]}]`
	file, err := Load(write(t, "clients: "+yaml), nil)
	if err != nil {
		t.Fatal(err)
	}
	env, err := Load("", []string{"LDAPD_CLIENTS=" + yaml})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(file.Clients, env.Clients) || len(file.Clients) != 2 || !file.Clients[0].PerUser() || file.Clients[1].PerUser() {
		t.Fatalf("file %+v, environment %+v", file.Clients, env.Clients)
	}
	for addr, want := range map[string]string{
		"10.1.2.3": "Nextcloud 1", "::ffff:10.1.2.3": "Nextcloud 1", "10.1.2.4": "", "10.2.255.1": "Nextcloud 1",
		"2001:db8::1%eth0": "Nextcloud 1", "2001:db8:0:1::": "", "10.3.9.9": "mail", "127.0.0.1": "",
	} {
		got, ok := file.ClientOf(netip.MustParseAddr(addr))
		if got.Name != want || ok != (want != "") {
			t.Errorf("%s is of %q, %v; want %q", addr, got.Name, ok, want)
		}
	}
	if c, ok := file.ClientOf(netip.Addr{}); ok {
		t.Errorf("no address is of %q", c.Name)
	}
	env, err = Load(write(t, "clients: "+yaml), []string{"LDAPD_CLIENTS="})
	if err != nil || len(env.Clients) != 0 {
		t.Errorf("an empty variable leaves %+v, %v", env, err)
	}
	env, err = Load("", []string{"LDAPD_CLIENTS=\n- name: a\n  networks: [10.0.0.0/8]\n"})
	if err != nil || len(env.Clients) != 1 || env.Clients[0].Name != "a" {
		t.Errorf("a variable of several lines: %+v, %v", env, err)
	}
}

func TestClientErrors(t *testing.T) {
	const name = "must be a name such as nextcloud: 1 to 64 printable characters, no comma, and no address"
	for _, tt := range []struct{ text, want string }{
		{`[{networks: [10.0.0.1]}]`, ":1: clients[0].name: " + name},
		{`[{name: " a", networks: [10.0.0.1]}]`, ":1: clients[0].name: " + name},
		{`[{name: "a,b", networks: [10.0.0.1]}]`, ":1: clients[0].name: " + name},
		{`[{name: "a\nb", networks: [10.0.0.1]}]`, ":1: clients[0].name: " + name},
		{`[{name: "` + strings.Repeat("a", 65) + `", networks: [10.0.0.1]}]`, ":1: clients[0].name: " + name},
		{`[{name: 10.0.0.1, networks: [10.0.0.1]}]`, ":1: clients[0].name: " + name},
		{`[{name: "fe80::1%eth0", networks: [10.0.0.1]}]`, ":1: clients[0].name: " + name},
		{`[{name: 10.0.0.0/8, networks: [10.0.0.1]}]`, ":1: clients[0].name: " + name},
		{`[{name: a}]`, `:1: clients[0].networks: must be the networks or addresses that "a" connects from`},
		{`[{name: a, networks: [here]}]`, ":1: clients[0].networks[0]: must be a network such as 10.0.0.0/8 or an address"},
		{`[{name: a, networks: [10.0.0.1], encryption: master}]`, ":1: clients[0].encryption: unknown value, allowed: per-user"},
		{"\n- {name: a, networks: [10.0.0.1]}\n- {name: A, networks: [10.0.0.2]}", `:3: clients[1].name: there are two clients "A"`},
		{"\n- {name: a, networks: ['::1', 10.0.0.0/8]}\n- name: b\n  networks:\n  - 11.0.0.0/8\n  - 10.0.0.1",
			`:6: clients[1].networks[1]: 10.0.0.1/32 of "b" overlaps 10.0.0.0/8 of "a"`},
	} {
		path := write(t, "clients: "+tt.text)
		if _, err := Load(path, nil); err == nil || err.Error() != path+tt.want {
			t.Errorf("%s: got\n %v, want\n %s", tt.text, err, path+tt.want)
		}
	}
	const as = ": must be as in [{name: nextcloud, networks: [10.1.2.3], encryption: per-user}]"
	for _, tt := range []struct{ text, want string }{
		{"nextcloud", "clients: is a string, must be a list: [a, b]" + as},
		{"[{nam: a}]", "clients[0].nam: unknown key, allowed: name, networks, encryption" + as},
		{"[", "not valid YAML: did not find expected node content" + as},
		{"[]\nlisten: {}", "listen: unknown key, allowed: clients" + as},
		{"[{name: a, networks: [10.0.0.1]}, {name: b, networks: [10.0.0.0/8]}]", `10.0.0.0/8 of "b" overlaps 10.0.0.1/32 of "a"`},
	} {
		if _, err := Load("", []string{"LDAPD_CLIENTS=" + tt.text}); err == nil || err.Error() != "LDAPD_CLIENTS: "+tt.want {
			t.Errorf("%s: got\n %v, want\n LDAPD_CLIENTS: %s", tt.text, err, tt.want)
		}
	}
}
