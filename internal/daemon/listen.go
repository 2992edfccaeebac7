package daemon

import (
	"net"
	"net/netip"

	"ldapd/internal/config"
)

// listeners are those of one service.
type listeners []net.Listener

// listenOn opens the addresses of a key. Those that were opened before an error
// are returned with it.
func listenOn(cfg *config.Config, key, addrs string) (l listeners, err error) {
	for _, addr := range config.Addresses(addrs) {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return l, cfg.Errorf(key, "%v", err)
		}
		l = append(l, ln)
	}
	return l, nil
}

func (l listeners) first() net.Addr {
	if len(l) == 0 {
		return nil
	}
	return l[0].Addr()
}

// proxies are the peers that were named.
func proxies(cfg *config.Config) (list []netip.Prefix) {
	for _, n := range cfg.ProxyProtocol.Trusted {
		list = append(list, n.Prefix)
	}
	return list
}
