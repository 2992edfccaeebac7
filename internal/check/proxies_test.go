package check

import (
	"strings"
	"testing"
)

func TestCheckProxies(t *testing.T) {
	outpost := []string{"AUTHENTIK_HOST=https://auth.example.org/", "AUTHENTIK_TOKEN=x"}
	const theirs, ours = "AUTHENTIK_LISTEN__TRUSTED_PROXY_CIDRS", "LDAPD_PROXY_PROTOCOL_TRUSTED"
	const whole = ": names whole networks ("
	for _, tt := range []struct {
		env     []string
		note    string // how the only one begins; empty: there is none
		warning string // the same
	}{
		{nil, "", ""},
		{outpost, "proxy_protocol.trusted: is empty, so whoever sends a PROXY header is cut off; authentik's outpost takes it from all private networks", ""},
		{append(outpost, ours+"="), "", ""},
		{append(outpost, theirs+"=10.1.2.3"), theirs + ": 10.1.2.3/32 may say for whom they speak", ""},
		{append(outpost, theirs+"=127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fe80::/10,::1/128"), theirs + ": 127.0.0.0/8, 10.0.0.0/8, ",
			theirs + whole + "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fe80::/10): whoever is in one of them can give himself out as any address"},
		{append(outpost, markedClient, theirs+"=10.0.0.0/8"), theirs + ": 10.0.0.0/8 may", theirs + whole + "10.0.0.0/8)"},
		{[]string{ours + "=0.0.0.0/0"}, ours + ": 0.0.0.0/0 may", ours + whole + "0.0.0.0/0)"},
		{[]string{ours + "=0.0.0.0/0,::/0"}, ours + ": 0.0.0.0/0, ::/0 may", ours + whole + "0.0.0.0/0, ::/0)"},
		{[]string{ours + "=192.0.2.0/24,2001:db8::/64"}, ours + ": 192.0.2.0/24, 2001:db8::/64 may", ""},
		{[]string{ours + "=192.0.2.0/23"}, ours + ": 192.0.2.0/23 may", ours + whole + "192.0.2.0/23)"},
	} {
		cfg := loadEnv(t, tt.env...)
		var r Report
		r.proxies(cfg)
		for what, of := range map[string]struct {
			got  []string
			want string
		}{"note": {r.Notes, tt.note}, "warning": {warnings(cfg), tt.warning}} {
			if of.want == "" && len(of.got) > 0 || of.want != "" && (len(of.got) != 1 || !strings.HasPrefix(of.got[0], of.want)) {
				t.Errorf("%v: %s %q, want %q", tt.env, what, of.got, of.want)
			}
		}
	}
}
