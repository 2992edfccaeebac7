package fair

import (
	"net/netip"
	"testing"
)

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7":            "192.0.2.7/32",
		"::ffff:192.0.2.7":     "192.0.2.7/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"fe80::7%eth0":         "fe80::/64",
	} {
		if got := Network(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("%s counts for %s, want %s", addr, got, want)
		}
	}
	if got := Network(netip.Addr{}); got != (netip.Prefix{}) {
		t.Errorf("no address counts for %s", got)
	}
}

// numbered numbers the networks of tests.
func numbered(n int) netip.Prefix {
	return Network(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}))
}

func TestBudget(t *testing.T) {
	b := NewBudget(64)
	take := func(network, n int, want bool) {
		t.Helper()
		if got := b.Take(numbered(network), n); got != want {
			t.Errorf("%d for network %d: %t", n, network, got)
		}
	}
	take(1, 33, false)
	take(1, 32, true) // half of it, and no more
	take(1, 1, false)
	take(2, 16, true) // half of the rest
	take(2, 1, false)
	take(3, 8, true)
	b.Give(numbered(1), 32)
	take(2, 4, true)
	b.Overdraw(numbered(4), 100)
	take(5, 1, false)
	b.Give(numbered(4), 100)
	b.Give(numbered(2), 20)
	b.Give(numbered(3), 8)
	if b.taken != 0 || len(b.of) != 0 {
		t.Errorf("%d are taken when all was given back, by %d networks", b.taken, len(b.of))
	}
}
