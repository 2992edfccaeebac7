package server_test

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/await"
	"ldapd/internal/ldap"
	"ldapd/internal/server"
)

// What breaks the protocol is answered by a notice of disconnection (RFC 4511
// section 4.1.1), as soon as it shows.
func TestProtocolViolation(t *testing.T) {
	const tooLarge = "ber: indefinite or oversized length: larger than allowed"
	const length = "ber: indefinite or oversized length"
	for _, tt := range []struct{ name, send, want string }{
		{"64 KiB and one octet before bind", "30 83 00 ff fc", tooLarge},
		{"2 GiB", "30 84 7f ff ff ff", tooLarge},
		{"eight length octets", "30 88 ff ff ff ff ff ff ff ff", length},
		{"nine length octets", "30 89", length},
		{"indefinite length", "30 80 02 01 01 60 07 02 01 03 04 00 80 00 00 00", length},
		{"HTTP", "'GET / HTTP/1.1' 0d 0a", "not an LDAP message (first octet 0x47)"},
		{"TLS on the plain port", "16 03 01 00 c8 01 00 00 c4 03 03", "a TLS handshake on a port for plain LDAP and StartTLS"},
		{"zeros", "00 00 00 00", "not an LDAP message (first octet 0x00)"},
		{"empty message", "30 00", "messageID: ber: truncated element"},
		{"message id missing", "30 02 42 00", "messageID: ber: unexpected tag 0x42 where 0x02 belongs"},
		{"message id 0", "30 0c 02 01 00 60 07 02 01 03 04 00 80 00", "messageID 0 in a request"},
		{"message id negative", "30 0c 02 01 ff 60 07 02 01 03 04 00 80 00", "messageID -1 out of range"},
		{"message id of 33 bits", "30 10 02 05 01 00 00 00 00 60 07 02 01 03 04 00 80 00", "messageID 4294967296 out of range"},
		{"operation missing", "30 03 02 01 01", "protocolOp: ber: truncated element"},
		{"operation longer than the message", "30 05 02 01 01 60 07", "protocolOp: ber: truncated element"},
		{"operation with a long tag", "30 06 02 01 01 7f 20 00", "protocolOp: ber: multi-byte tag"},
		{"unknown operation", "30 05 02 01 01 75 00", "unknown operation"},
		{"a response", okBind, "unknown operation"},
		{"abandon without id", "30 05 02 01 01 50 00", "abandon: bad messageID"},
		{"abandon of a negative id", "30 06 02 01 01 50 01 ff", "abandon: bad messageID"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, server.Config{})
			c := f.dial()
			c.send(tt.send)
			c.expect(notice(2, tt.want))
			c.expectEnd()
			if n := f.metric("ldapd_connections_refused_total", "protocol"); n != 1 {
				t.Errorf("%v violations counted", n)
			}
		})
	}
}

// The same, octet by octet.
func TestNoticeOfDisconnection(t *testing.T) {
	c := start(t, server.Config{}).dial()
	c.exchange("30 05 02 01 01 75 00",
		"30 35 02 01 00 78 30 0a 01 02 04 00 04 11 'unknown operation' 8a 16 '1.3.6.1.4.1.1466.20036'")
	c.expectEnd()
}

// The limit of 64 KiB holds until a bind succeeds, then it is 1 MiB.
func TestMessageSize(t *testing.T) {
	large := func(size int) []byte {
		base := strings.Repeat("x", size)
		return lit(t, searchFor(4, base))
	}
	isDone := func(m []byte) bool { return bytes.HasSuffix(m, lit(t, "65 07 0a 01 00 04 00 04 00")) }

	f := start(t, server.Config{})
	c := f.dial()
	c.sendBytes(large(65_000))
	if m := c.recv(); m[len("\x30\x19\x02\x01\x04")] != byte(ldap.OpSearchResultDone) {
		t.Fatalf("received %s", show(m))
	}
	c.sendBytes(large(66_000)[:5])
	if m := c.recv(); !bytes.Contains(m, []byte("larger than allowed")) {
		t.Fatalf("received %s", show(m))
	}
	c.expectEnd()

	c = f.dialBound()
	c.sendBytes(large(1 << 20 * 9 / 10))
	if m := c.recv(); len(m) < 1<<20*9/10 {
		t.Fatalf("received %s", show(m))
	}
	if m := c.recv(); !isDone(m) {
		t.Fatalf("received %s", show(m))
	}
	c.exchange(bindAnonymous, okBind)
	c.sendBytes(large(66_000)[:5])
	if m := c.recv(); !bytes.Contains(m, []byte("larger than allowed")) {
		t.Fatalf("received %s", show(m))
	}
	c.expectEnd()

	c = f.dialBound()
	c.send("30 83 0f ff fc")
	if m := c.recv(); !bytes.Contains(m, []byte("larger than allowed")) {
		t.Fatalf("received %s", show(m))
	}
	c.expectEnd()

	// Pipelined behind the bind that allows it.
	c = f.dial()
	c.sendBytes(append(lit(t, bindAlice), large(100_000)...))
	c.expect(okBind)
	c.recv()
	if m := c.recv(); !isDone(m) {
		t.Fatalf("received %s", show(m))
	}
}

// Memory is for octets that came, not for those that a header promises.
func TestClaimedLengthAllocatesNothing(t *testing.T) {
	const conns = 64
	f := start(t, server.Config{})
	var clients [conns]*client
	for i := range clients {
		clients[i] = f.dialBound()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begun := append(lit(t, whoAmI+"30 83 0f ff f0 02 01 04 63 83 0f ff e8 04 83 0f ff 00"), make([]byte, 5<<10)...)
	for _, c := range clients {
		c.sendBytes(begun)
		c.expect(whoAmIAlice)
	}
	for range conns {
		f.dial().exchange(whoAmI, whoAmINobody) // the rest is read meanwhile
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > conns<<20/4 {
		t.Errorf("%d connections that claim 1 MiB each made the process allocate %d octets", conns, got)
	}
}

// A connection that waits does not keep the large message that it sent last.
func TestWaitingConnectionKeepsLittle(t *testing.T) {
	const conns, size = 32, 900_000
	f := start(t, server.Config{Handler: &handler{
		search: func(*server.Conn, *ldap.SearchRequest, *server.SearchWriter) ([]byte, error) { return nil, nil },
	}, Log: zap.NewNop()})
	large := lit(t, searchFor(4, strings.Repeat("x", size)))
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // a pool keeps things for one
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for range conns {
		c := f.dialBound()
		c.sendBytes(large)
		c.expect(searchDone)
	}
	await.That(t, "memory is freed", func() bool { return heap() < before+conns*size/4 })
}

// Clients exist that write every length with four octets.
func TestLongLengths(t *testing.T) {
	c := start(t, server.Config{}).dial()
	c.exchange("30 84 00 00 00 14 02 01 01 60 84 00 00 00 0b 02 01 03 04 82 00 00 80 82 00 00", okBind)
	c.exchange("30 88 00 00 00 00 00 00 00 0c 02 01 01 60 07 02 01 03 04 00 80 00", okBind)
}

// A message may come an octet at a time, and several in one segment.
func TestSegments(t *testing.T) {
	c := start(t, server.Config{}).dial()
	for _, b := range lit(t, bindAlice+whoAmI) {
		c.sendBytes([]byte{b})
	}
	c.expect(okBind, whoAmIAlice)
	c.send(whoAmI, searchO, whoAmI, bindAnonymous, whoAmI, searchO)
	c.expect(whoAmIAlice, searchEntry, searchDone, whoAmIAlice, okBind, whoAmINobody)
	c.expect(result(4, 0x65, 1, "bind first"))
}

func TestReadTimeout(t *testing.T) {
	f := start(t, server.Config{Limits: server.Limits{Read: 20 * time.Millisecond}})
	timeout := notice(52, "timed out waiting for a request")
	for _, begun := range []string{"30", "30 0c", "30 0c 02 01 01 60 07 02 01 03"} {
		c := f.dial()
		c.send(begun)
		c.expect(timeout)
		c.expectEnd()
	}
	// The time runs from the first octet on: dribbling buys none. An octet
	// follows each millisecond, and would for a minute.
	c := f.dial()
	taken := make(chan int)
	go func() {
		n := 0
		for _, b := range append([]byte{0x30, 0x83, 0, 0xff, 0}, make([]byte, 0xff00)...) {
			if _, err := c.Write([]byte{b}); err != nil {
				break
			}
			n++
			time.Sleep(time.Millisecond)
		}
		taken <- n
	}()
	if n := await.Receive(t, "the cut", taken); n > 2000 {
		t.Errorf("%d octets were waited for", n)
	}
}

func TestIdleTimeout(t *testing.T) {
	testIdleTimeout(t, start, func(*client) {})
}

// Timeouts while TLS waits for a record do not break it.
func TestIdleTimeoutTLS(t *testing.T) {
	testIdleTimeout(t, startTLS, (*client).upgrade)
}

func testIdleTimeout(t *testing.T, start func(testing.TB, server.Config) *fixture, begin func(*client)) {
	timeout := notice(52, "timed out waiting for a request")
	h := newHeld()
	f := start(t, server.Config{
		Limits:  server.Limits{Idle: 20 * time.Millisecond},
		Handler: &handler{search: h.search},
	})
	var waiting *client
	for { // on a busy machine the request may come too late
		waiting = f.dial()
		begin(waiting)
		waiting.send(searchO)
		if m := waiting.recv(); bytes.Equal(m, lit(t, searchEntry)) {
			break
		}
		waiting.Close()
	}
	for range 5 { // each connects later and is cut in its turn
		idle := f.dial()
		begin(idle)
		idle.expect(timeout)
		idle.expectEnd()
	}
	close(h.release)
	waiting.expect(searchEntry, searchDone, timeout)
	waiting.expectEnd()
}
