package unlock

import (
	"encoding/binary"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
)

func TestLimit(t *testing.T) {
	var now atomic.Pointer[time.Time]
	now.Store(&start)
	s := open(t, Options{Clients: []string{"nextcloud"}, Now: func() time.Time { return *now.Load() }})
	for i := range perAddress {
		if status, body := s.post(with(right(), "password", "wrong")); status != 403 {
			t.Fatalf("%d: %d\n%s", i, status, body)
		}
	}
	if status, body := s.post(right()); status != 429 || !strings.Contains(body, busy) || s.service.times() != perAddress {
		t.Errorf("one more: %d, asked %d times\n%s", status, s.service.times(), body)
	}
	if status, _, _ := s.do("GET", "/unlock", ""); status != 200 {
		t.Errorf("the form: %d", status)
	}
	later := start.Add(window)
	now.Store(&later)
	if status, _ := s.post(right()); status != 200 {
		t.Errorf("a minute later: %d", status)
	}
}

// A proxy names another address each time: its own attempts count as well.
func TestLimitOfProxy(t *testing.T) {
	s := open(t, Options{Clients: []string{"nextcloud"}, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	post := func(i int) int {
		status, _ := s.post(with(right(), "password", "wrong"), "X-Forwarded-For", netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String())
		return status
	}
	for i := range perProxy {
		if status := post(i); status != 403 {
			t.Fatalf("%d: %d", i, status)
		}
	}
	if r := s.service.last(t); r.Client != netip.MustParseAddr("10.0.2.87") || r.Peer != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("asked for %s by %s", r.Client, r.Peer)
	}
	if status := post(perProxy); status != 429 || s.service.times() != perProxy {
		t.Errorf("one more: %d, asked %d times", status, s.service.times())
	}
}

// Nobody was named: 40 addresses in the header are one.
func TestLimitWhateverIsClaimed(t *testing.T) {
	s := open(t, Options{Clients: []string{"nextcloud"}})
	judged := 0
	for i := range 2 * perAddress {
		if status, _ := s.post(with(right(), "password", "wrong"), "X-Forwarded-For", netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String()); status == 403 {
			judged++
		}
	}
	if judged != perAddress || s.service.times() != perAddress {
		t.Errorf("%d of %d attempts were judged", judged, 2*perAddress)
	}
}

func TestLimiter(t *testing.T) {
	l := newLimiter()
	a := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	admit := func(a netip.Addr, at time.Time) bool { return l.admit(a, a, at) }
	for range perAddress {
		if !admit(a("192.0.2.1"), start) || !admit(a("2001:db8::1"), start) || !admit(netip.Addr{}, start) {
			t.Fatal("refused within the limit")
		}
	}
	for addr, want := range map[string]bool{
		"192.0.2.1": false, "192.0.2.2": true, "2001:db8::2": false, "2001:db8:0:1::1": true,
	} {
		if got := admit(a(addr), start.Add(window-1)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if admit(netip.Addr{}, start) {
		t.Error("no address: admitted")
	}
	if !admit(a("192.0.2.1"), start.Add(-time.Second)) {
		t.Error("a clock that was set back locks out")
	}
}

// Many clients may be behind a proxy, but not as many as it likes to name.
func TestLimiterOfProxy(t *testing.T) {
	l := newLimiter()
	proxy := netip.MustParseAddr("192.0.2.1")
	client := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	for i := range perProxy {
		if !l.admit(client(i), proxy, start) {
			t.Fatalf("refused within the limit, %d", i)
		}
	}
	for _, tt := range []struct {
		name       string
		from, peer netip.Addr
		at         time.Duration
		want       bool
	}{
		{"another client", client(perProxy), proxy, window - 1, false},
		{"the same by another proxy", client(perProxy), netip.MustParseAddr("192.0.2.2"), window - 1, true},
		{"the same directly", client(perProxy), client(perProxy), window - 1, true},
		{"the proxy itself", proxy, proxy, window - 1, true},
		{"another client, later", client(perProxy + 1), proxy, window, true},
	} {
		if got := l.admit(tt.from, tt.peer, start.Add(tt.at)); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestLimiterIsBounded(t *testing.T) {
	l := newLimiter()
	for i := range uint32(4 * maxTallies) {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], i)
		l.admit(netip.AddrFrom4(b), netip.AddrFrom4([4]byte{127, b[1], b[2], b[3]}), start)
		if n := l.tallies.Len(); n > maxTallies {
			t.Fatalf("%d tallies", n)
		}
	}
}

func TestFrom(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct {
		peer, forwarded string
		want            string
	}{
		{"192.0.2.1:1", "", "192.0.2.1"},
		{"192.0.2.1:1", "198.51.100.7", "192.0.2.1"}, // anybody can write that
		{"10.0.0.1:1", "", "10.0.0.1"},
		{"10.0.0.1:1", "198.51.100.7", "198.51.100.7"},
		{"[::ffff:10.0.0.1]:1", "198.51.100.7", "198.51.100.7"},
		{"[fd00::1%eth0]:1", " 2001:db8::5 ", "2001:db8::5"},
		{"10.0.0.1:1", "203.0.113.9, 198.51.100.7", "198.51.100.7"},
		{"10.0.0.1:1", "203.0.113.9, 198.51.100.7, 10.0.0.2", "198.51.100.7"},
		{"10.0.0.1:1", "203.0.113.9|198.51.100.7", "198.51.100.7"}, // two headers
		{"10.0.0.1:1", "198.51.100.7:4711", "198.51.100.7"},
		{"10.0.0.1:1", "[2001:db8::5]:4711", "2001:db8::5"},
		{"10.0.0.1:1", "198.51.100.7, unknown, 10.0.0.2", "10.0.0.2"},
		{"10.0.0.1:1", "198.51.100.7,", "10.0.0.1"},
		{"10.0.0.1:1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"@", "198.51.100.7", "invalid IP"},
	} {
		s := New(Options{Trusted: trusted, Log: zap.NewNop()})
		r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{}}
		for part := range strings.SplitSeq(tt.forwarded, "|") {
			r.Header.Add("X-Forwarded-For", part)
		}
		if got := s.from(r).String(); got != tt.want {
			t.Errorf("%s, %q: %s, want %s", tt.peer, tt.forwarded, got, tt.want)
		}
	}
}

// Attempts beyond the limit are not written down one by one.
func TestRefusedAttemptsAreSummedUp(t *testing.T) {
	s := open(t, Options{Clients: []string{"nextcloud"}})
	const times = 300
	for range times {
		s.post(with(right(), "password", "wrong"))
		s.post(right(), "Sec-Fetch-Site", "cross-site")
	}
	if n := strings.Count(s.log.String(), `"too many attempts"`); n != 100 {
		t.Errorf("%d lines of attempts", n)
	}
	if n := strings.Count(s.log.String(), "another site"); n != 100 {
		t.Errorf("%d lines of forms of other sites", n)
	}
	if err := s.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sum := s.log.String(); !strings.Contains(sum, `"too many attempts":180`) || !strings.Contains(sum, `"a form of another site was refused":200`) {
		t.Errorf("no sum in\n%s", sum[max(0, len(sum)-500):])
	}
}
