package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ldapd/internal/await"
	"ldapd/internal/ber"
	"ldapd/internal/ldap"
	"ldapd/internal/server"
)

// held is a search handler whose searches begin, wait and see how they end.
type held struct {
	began   chan string // base
	release chan struct{}
	ended   chan error // what SearchWriter.Err says then
}

func newHeld() *held {
	return &held{make(chan string, 100), make(chan struct{}), make(chan error, 100)}
}

func (h *held) search(_ *server.Conn, req *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
	if err := sendEntry(w, string(req.Base)); err != nil {
		return nil, err
	}
	w.Slow()
	h.began <- string(req.Base)
	<-h.release
	h.ended <- w.Err()
	return nil, sendEntry(w, string(req.Base))
}

func TestSearch(t *testing.T) {
	f := start(t, server.Config{Handler: &handler{
		search: func(_ *server.Conn, req *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
			switch string(req.Base) {
			case "controls":
				return ldap.AppendPagedResults(nil, ldap.PagedResults{Cookie: []byte("c")}), nil
			case "matched":
				return nil, &ldap.Error{Code: ldap.ResultNoSuchObject, MatchedDN: "o", Message: "m", Err: errors.New("private")}
			case "wrapped":
				return nil, fmt.Errorf("private: %w", ldap.Errorf(ldap.ResultTimeLimitExceeded, "m"))
			case "trouble":
				return nil, errors.New("private")
			}
			return nil, sendEntry(w, string(req.Base))
		}}})
	c := f.dial()
	c.exchange(searchO, searchEntry, searchDone)
	c.exchange(searchFor(4, "controls"), "30 32 02 01 04 65 07 0a 01 00 04 00 04 00"+
		"a0 24 30 22 04 16 '1.2.840.113556.1.4.319' 04 08 30 06 02 01 00 04 01 'c'")
	c.exchange(searchFor(4, "matched"), "30 0e 02 01 04 65 09 0a 01 20 04 01 'o' 04 01 'm'")
	c.exchange(searchFor(4, "wrapped"), "30 0d 02 01 04 65 08 0a 01 03 04 00 04 01 'm'")
	c.exchange(searchFor(4, "trouble"), result(4, 0x65, 52, "temporary failure, try again later"))
	c.exchange(searchO, searchEntry, searchDone)
}

// An error in one search never closes the connection.
func TestMalformedSearch(t *testing.T) {
	c := start(t, server.Config{}).dialBound()
	for _, tt := range []struct{ name, send, want string }{
		{"no body", "30 05 02 01 04 63 00", "search base: ber: truncated element"},
		{"scope 9", "30 26 02 01 04 63 21 04 01 'o' 0a 01 09 0a 01 00 02 01 00 02 01 00 01 01 00 87 0b 'objectClass' 30 00", "search scope 9"},
		{"dereference 4", "30 26 02 01 04 63 21 04 01 'o' 0a 01 00 0a 01 04 02 01 00 02 01 00 01 01 00 87 0b 'objectClass' 30 00", "search derefAliases is wrong"},
		{"size limit -1", "30 26 02 01 04 63 21 04 01 'o' 0a 01 00 0a 01 00 02 01 ff 02 01 00 01 01 00 87 0b 'objectClass' 30 00", "search sizeLimit: -1 is out of range"},
		{"filter missing", "30 17 02 01 04 63 12 04 01 'o' 0a 01 00 0a 01 00 02 01 00 02 01 00 01 01 00", "filter: ber: truncated element"},
		{"filter unknown", "30 1b 02 01 04 63 16 04 01 'o' 0a 01 00 0a 01 00 02 01 00 02 01 00 01 01 00 ab 00 30 00", "filter: unknown choice 0xab"},
		{"not of nothing", "30 1b 02 01 04 63 16 04 01 'o' 0a 01 00 0a 01 00 02 01 00 02 01 00 01 01 00 a2 00 30 00", "filter: ber: truncated element"},
		{"filter longer than the search", "30 1b 02 01 04 63 16 04 01 'o' 0a 01 00 0a 01 00 02 01 00 02 01 00 01 01 00 87 7f 30 00", "filter: ber: truncated element"},
		{"indefinite length inside", "30 1b 02 01 04 63 16 04 01 'o' 0a 01 00 0a 01 00 02 01 00 02 01 00 01 01 00 a0 80 00 00", "filter: ber: indefinite or oversized length"},
		{"control without OID", "30 2a 02 01 04 63 21 04 01 'o' 0a 01 00 0a 01 00 02 01 00 02 01 00 01 01 00 87 0b 'objectClass' 30 00 a0 02 30 00", "control: ber: truncated element"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.t = t
			c.exchange(tt.send, result(4, 0x65, 2, tt.want))
			c.expectWho("cn=alice")
		})
	}
}

func TestFilterLimits(t *testing.T) {
	f := start(t, server.Config{Limits: server.Limits{Filter: ldap.FilterLimits{Depth: 3, Terms: 5}}})
	c := f.dialBound()
	not := func(depth int) []byte {
		filter := []byte{0x87, 1, 'a'}
		for range depth - 1 {
			filter = ber.AppendTLV(nil, byte(ldap.FilterNot), filter)
		}
		return filter
	}
	or := func(terms int) []byte {
		return ber.AppendTLV(nil, byte(ldap.FilterOr), []byte(strings.Repeat("\x87\x01a", terms-1)))
	}
	request := func(filter []byte) string {
		body := append(lit(t, "04 01 'o' 0a 01 00 0a 01 00 02 01 00 02 01 00 01 01 00"), filter...)
		return message(4, byte(ldap.OpSearchRequest), append(body, 0x30, 0))
	}
	deep := result(4, 0x65, 11, "filter too large: nested deeper than 3")
	wide := result(4, 0x65, 11, "filter too large: more than 5 terms")
	c.exchange(request(not(3)), searchEntry, searchDone)
	c.exchange(request(not(4)), deep)
	c.exchange(request(not(10_000)), deep)
	c.exchange(request(or(5)), searchEntry, searchDone)
	c.exchange(request(or(6)), wide)
	c.exchange(request(or(100_000)), wide)
	c.expectWho("cn=alice")
}

// RFC 4511 section 4.11: no answer, and the connection goes on.
func TestAbandon(t *testing.T) {
	h := newHeld()
	f := start(t, server.Config{Handler: &handler{search: h.search}})
	c := f.dialBound()
	c.exchange(searchO, searchEntry)
	await.Receive(t, "search", h.began)
	c.send("30 07 02 01 05 50 02 00 63") // nothing of this id
	c.send(abandon4, abandon4)
	c.expectWho("cn=alice") // the abandon has been read
	h.release <- struct{}{}
	if err := await.Receive(t, "the end of the search", h.ended); err != server.ErrStopped {
		t.Errorf("the abandoned search sees %v", err)
	}
	c.exchange(bindAlice, okBind) // waits for the search, so nothing else can come
	if got := f.logs.FilterMessage("search").FilterField(codeField(118)).Len(); got != 1 {
		t.Errorf("%d searches logged as canceled", got)
	}

	// The id is free again, and other searches do not notice.
	c.exchange(searchO, searchEntry)
	c.exchange(searchFor(5, "o"), "30 0a 02 01 05 64 05 04 01 'o' 30 00")
	c.send(abandon4)
	c.expectWho("cn=alice")
	close(h.release)
	c.expect("30 0a 02 01 05 64 05 04 01 'o' 30 00", "30 0c 02 01 05 65 07 0a 01 00 04 00 04 00")
	c.send(abandon4) // too late
	c.expectWho("cn=alice")
}

// An abandoned search that sends is told to stop, without a look at the
// handler's manners.
func TestAbandonEndless(t *testing.T) {
	ended := make(chan error, 1)
	f := start(t, server.Config{Handler: &handler{
		search: func(_ *server.Conn, req *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
			for {
				if err := sendEntry(w, string(bytes.Repeat(req.Base, 4<<10))); err != nil {
					ended <- err
					return nil, err
				}
			}
		}}})
	c := f.dialBound()
	c.send(searchO)
	c.recv()
	c.send(abandon4, bindAlice)
	for {
		m, err := ldap.ParseMessage(c.recv())
		if err != nil {
			t.Fatal(err)
		}
		if m.Op == ldap.OpBindResponse {
			break
		}
		if m.Op != ldap.OpSearchResultEntry {
			t.Fatalf("received %s", m.Op)
		}
	}
	if err := await.Receive(t, "the end of the search", ended); err != server.ErrStopped {
		t.Errorf("Commit returned %v", err)
	}
	c.expectWho("cn=alice")
}

// RFC 3909.
func TestCancel(t *testing.T) {
	const (
		canceled = "30 22 02 01 04 65 1d 0a 01 76 04 00 04 16 'canceled by the client'"
		done     = "30 0c 02 01 06 78 07 0a 01 00 04 00 04 00"
	)
	h := newHeld()
	f := start(t, server.Config{Handler: &handler{search: h.search}})
	c := f.dialBound()
	c.exchange(cancel4, result(6, 0x78, 119, "no such operation in flight"))
	c.exchange(searchO, searchEntry)
	await.Receive(t, "search", h.began)
	c.send(cancel4)
	c.exchange("30 19 02 01 07 77 14 80 0b '1.3.6.1.1.8' 81 05 30 03 02 01 04",
		result(7, 0x78, 120, "too late to cancel"))
	h.release <- struct{}{}
	if err := await.Receive(t, "the end of the search", h.ended); err != server.ErrStopped {
		t.Errorf("the canceled search sees %v", err)
	}
	c.expect(canceled, done)
	c.expectWho("cn=alice")

	for _, malformed := range []string{
		"30 12 02 01 06 77 0d 80 0b '1.3.6.1.1.8'",
		"30 14 02 01 06 77 0f 80 0b '1.3.6.1.1.8' 81 00",
		"30 16 02 01 06 77 11 80 0b '1.3.6.1.1.8' 81 02 30 00",
	} {
		c.exchange(malformed, result(6, 0x78, 2, "cancel: ber: truncated element"))
	}
	c.expectWho("cn=alice")
}

// Answers to operations in flight are whole, and in order per operation.
func TestInterleavedSearches(t *testing.T) {
	const searches, entries = 10, 3000
	f := start(t, server.Config{Handler: &handler{
		search: func(_ *server.Conn, req *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
			base := string(req.Base)
			for i := range entries {
				if err := sendEntry(w, fmt.Sprintf("cn=%d,%s,%s", i, base, strings.Repeat(base, i%500))); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}}})
	c := f.dialBound()
	var requests []string
	for id := range searches {
		requests = append(requests, searchFor(byte(10+id), string(rune('a'+id))))
	}
	c.send(requests...)
	next := make(map[int32]int)
	for done := 0; done < searches; {
		m, err := ldap.ParseMessage(c.recv())
		if err != nil {
			t.Fatal(err)
		}
		if m.Op == ldap.OpSearchResultDone {
			if next[m.ID] != entries {
				t.Fatalf("search %d done after %d entries", m.ID, next[m.ID])
			}
			done++
			continue
		}
		r := ber.NewReader(m.Body)
		dn, err := r.Read(ber.OctetString)
		base, i := string(rune('a'+m.ID-10)), next[m.ID]
		if want := fmt.Sprintf("cn=%d,%s,%s", i, base, strings.Repeat(base, i%500)); err != nil || string(dn) != want {
			t.Fatalf("search %d, entry %d: %q, %v", m.ID, i, dn, err)
		}
		next[m.ID]++
	}
	c.expectWho("cn=alice")
}

// More searches than the limit just wait.
func TestOperationsLimit(t *testing.T) {
	const limit, searches = 2, 6
	h := newHeld()
	var running, most atomic.Int32
	f := start(t, server.Config{
		Limits: server.Limits{Operations: limit},
		Handler: &handler{search: func(c *server.Conn, req *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
			n := running.Add(1)
			defer running.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			return h.search(c, req, w)
		}}})
	c := f.dialBound()
	var requests []string
	for id := range searches {
		requests = append(requests, searchFor(byte(10+id), "o"))
	}
	c.send(requests...)
	for range limit + 1 { // one of them holds the reading goroutine
		await.Receive(t, "search", h.began)
	}
	close(h.release)
	entries, done := make(map[int32]int), 0
	for done < searches {
		m, err := ldap.ParseMessage(c.recv())
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case m.Op == ldap.OpSearchResultEntry:
			entries[m.ID]++
		case entries[m.ID] != 2:
			t.Errorf("search %d done after %d entries", m.ID, entries[m.ID])
			fallthrough
		default:
			done++
		}
	}
	if n := most.Load(); n != limit+1 {
		t.Errorf("%d searches at once", n)
	}
	c.expectWho("cn=alice")
}

// What was answered before a slow search does not wait for it, whether it runs
// beside the reading goroutine or, beyond the limit, in it.
func TestSlowSearchHoldsNothingUp(t *testing.T) {
	h := newHeld()
	f := start(t, server.Config{Limits: server.Limits{Operations: 1}, Handler: &handler{search: h.search}})
	defer close(h.release)
	c := f.dialBound()
	c.send(whoAmI, searchO)
	c.expect(whoAmIAlice, searchEntry)
	c.send(whoAmI, searchFor(5, "o"))
	c.expect(whoAmIAlice, "30 0a 02 01 05 64 05 04 01 'o' 30 00")
}

// A client that does not read blocks itself only, takes a bounded amount of
// memory, and is cut in the end.
func TestSlowReader(t *testing.T) {
	const (
		limit = 4
		entry = 1 << 10
	)
	ended := make(chan error, 100)
	var running, most, largest atomic.Int64
	raise := func(max *atomic.Int64, n int64) {
		for m := max.Load(); n > m && !max.CompareAndSwap(m, n); m = max.Load() {
		}
	}
	f := start(t, server.Config{
		Limits: server.Limits{Write: 100 * time.Millisecond, Operations: limit},
		Handler: &handler{search: func(_ *server.Conn, req *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
			if string(req.Base) != "endless" {
				return nil, sendEntry(w, string(req.Base))
			}
			raise(&most, running.Add(1))
			defer running.Add(-1)
			for {
				if err := sendEntry(w, strings.Repeat("x", entry)); err != nil {
					ended <- err
					return nil, err
				}
				raise(&largest, int64(len(w.Buf())))
			}
		}}})
	other := f.dialBound()
	slow := f.dialBound()
	for id := range byte(3 * limit) {
		slow.send(searchFor(10+id, "endless"))
	}
	for range 50 {
		other.exchange(searchO, searchEntry, searchDone)
		f.dial().exchange(bindAlice, okBind)
	}
	for range limit + 1 {
		if err := await.Receive(t, "the end of a search", ended); err != server.ErrStopped {
			t.Errorf("Commit returned %v", err)
		}
	}
	await.That(t, "the connection is gone", func() bool {
		return f.logs.FilterMessage("connection closed").FilterField(connField(2)).Len() == 1
	})
	if n := most.Load(); n > limit+1 {
		t.Errorf("%d searches at once", n)
	}
	if n := largest.Load(); n > 64<<10 {
		t.Errorf("%d octets buffered for one search", n)
	}
	other.expectWho("cn=alice")
}
