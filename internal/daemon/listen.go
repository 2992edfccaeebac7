package daemon

import (
	"net"
	"time"

	"github.com/pires/go-proxyproto"

	"ldapd/internal/config"
)

// listen opens the address of a key.
func listen(cfg *config.Config, key, addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, cfg.Errorf(key, "%v", err)
	}
	return ln, nil
}

// proxied reads PROXY headers, where there are any, from trusted peers.
// Whoever else sends one has made a protocol error.
func proxied(ln net.Listener, trusted []config.Network, timeout time.Duration) net.Listener {
	if len(trusted) == 0 {
		return ln
	}
	return &proxyproto.Listener{
		Listener:          ln,
		ReadHeaderTimeout: timeout,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			if trusts(trusted, o.Upstream) {
				return proxyproto.USE, nil
			}
			return proxyproto.SKIP, nil
		},
	}
}

func trusts(trusted []config.Network, addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return false
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, n := range trusted {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}
