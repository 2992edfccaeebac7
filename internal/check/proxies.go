package check

import (
	"net/netip"
	"strings"

	"ldapd/internal/config"
)

// proxies tells who may speak for others.
func (r *Report) proxies(cfg *config.Config) {
	const key = "proxy_protocol.trusted"
	switch trusted := cfg.ProxyProtocol.Trusted; {
	case len(trusted) > 0:
		r.note("%v", cfg.Errorf(key, "%s may say for whom they speak, by PROXY headers (LDAP, LDAPS, unlock page) and by X-Forwarded-For (unlock page); whoever else sends a PROXY header is cut off", join(trusted)))
	case cfg.Backend == config.BackendAuthentik && !cfg.Given(key):
		r.note("%s: is empty, so whoever sends a PROXY header is cut off; authentik's outpost takes it from all private networks: if a proxy that sends it stands before ldapd, name its address", key)
	}
}

// widest are the shortest prefixes, for IPv4 and IPv6, that may be a number of
// proxies. Anything shorter has others in it.
const widest4, widest6 = 24, 64

// wide returns the networks in which there are not only proxies. Loopback is
// not among them, though it is large: there is only this machine.
func wide(trusted []config.Network) (list []config.Network) {
	for _, n := range trusted {
		bits := widest6
		if n.Addr().Is4() {
			bits = widest4
		}
		if n.Bits() < bits && !within(loopback, n.Prefix) {
			list = append(list, n)
		}
	}
	return list
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

func within(outer, inner netip.Prefix) bool {
	return inner.Bits() >= outer.Bits() && outer.Contains(inner.Addr())
}

func join(networks []config.Network) string {
	var names []string
	for _, n := range networks {
		names = append(names, n.String())
	}
	return strings.Join(names, ", ")
}
