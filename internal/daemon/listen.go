package daemon

import (
	"net"
	"time"

	"github.com/pires/go-proxyproto"

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
