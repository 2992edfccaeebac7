package server_test

import (
	"fmt"
	"slices"
	"testing"

	"ldapd/internal/ldap"
	"ldapd/internal/server"
)

const readOnly = "read-only: entries are changed where they come from, not over LDAP"

func TestReadOnly(t *testing.T) {
	c := start(t, server.Config{}).dialBound()
	for _, tt := range []struct {
		name, send string
		answer     byte
	}{
		{"add", "30 19 02 01 05 68 14 04 01 'o' 30 0f 30 0d 04 02 'cn' 31 07 04 05 'value'", 0x69},
		{"delete", "30 06 02 01 05 4a 01 'o'", 0x6b},
		{"modify", "30 1e 02 01 05 66 19 04 01 'o' 30 14 30 12 0a 01 02 30 0d 04 02 'cn' 31 07 04 05 'value'", 0x67},
		{"modifydn", "30 12 02 01 05 6c 0d 04 01 'o' 04 05 'cn=oo' 01 01 ff", 0x6d},
		{"malformed", "30 05 02 01 05 66 00", 0x67},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.t = t
			c.exchange(tt.send, result(5, tt.answer, 53, readOnly))
			c.expectWho("cn=alice")
		})
	}
	c.t = t
	c.exchange("30 14 02 01 05 4a 01 'o' a0 0c 30 0a 04 05 '1.2.3' 01 01 ff",
		result(5, 0x6b, 12, `control "1.2.3" is not available for this operation`))
}

func TestExtended(t *testing.T) {
	c := start(t, server.Config{}).dialBound()
	for _, tt := range []struct{ name, send, want string }{
		{"unknown", "30 0c 02 01 05 77 07 80 05 '1.2.3'", "30 26 02 01 05 78 21 0a 01 02 04 00 04 1a 'unknown extended operation'"},
		{"unknown with value", "30 0f 02 01 05 77 0a 80 05 '1.2.3' 81 01 'x'", result(5, 0x78, 2, "unknown extended operation")},
		{"password modify", "30 1e 02 01 05 77 19 80 17 '1.3.6.1.4.1.4203.1.11.1'", result(5, 0x78, 2, "unknown extended operation")},
		{"no name", "30 05 02 01 05 77 00", result(5, 0x78, 2, "extended requestName: ber: truncated element")},
		{"more behind the value", "30 0e 02 01 05 77 09 80 05 '1.2.3' 82 00", result(5, 0x78, 2, "ber: bytes behind the last element")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.t = t
			c.exchange(tt.send, tt.want)
			c.expectWho("cn=alice")
		})
	}
}

func TestExtensions(t *testing.T) {
	got := server.New(server.Config{Handler: &handler{}, TLSConfig: serverTLS()}).Extensions()
	if want := []string{ldap.OIDWhoAmI, ldap.OIDCancel, ldap.OIDStartTLS}; !slices.Equal(got, want) {
		t.Errorf("Extensions: %q, want %q", got, want)
	}
}

func TestCompare(t *testing.T) {
	c := start(t, server.Config{}).dialBound()
	c.exchange("30 12 02 01 05 6e 0d 04 01 'o' 30 08 04 01 'a' 04 03 'yes'", "30 0c 02 01 05 6f 07 0a 01 06 04 00 04 00")
	c.exchange("30 11 02 01 05 6e 0c 04 01 'o' 30 07 04 01 'a' 04 02 'no'", "30 0c 02 01 05 6f 07 0a 01 05 04 00 04 00")
	c.exchange("30 0a 02 01 05 6e 05 04 01 'o' 30 00", result(5, 0x6f, 2, "attribute description: ber: truncated element"))
	c.expectWho("cn=alice")
}

// An unknown critical control is refused with 12, others are ignored (RFC 4511
// section 4.1.11).
func TestControls(t *testing.T) {
	f := start(t, server.Config{TLSConfig: serverTLS()})
	requests := map[string]struct {
		id, op    byte
		body      string
		answer    byte
		supported string
	}{
		"bind":    {1, 0x60, "02 01 03 04 08 'cn=alice' 80 06 'secret'", 0x61, okBind},
		"compare": {5, 0x6e, "04 01 'o' 30 08 04 01 'a' 04 03 'yes'", 0x6f, "30 0c 02 01 05 6f 07 0a 01 06 04 00 04 00"},
		"WhoAmI":  {2, 0x77, "80 17 '1.3.6.1.4.1.4203.1.11.3'", 0x78, whoAmIAlice},
	}
	for name, req := range requests {
		for _, tt := range []struct {
			name, controls string
			code           int
			message        string
		}{
			{"none", "a0 00", 0, ""},
			{"not critical", "a0 09 30 07 04 05 '1.2.3'", 0, ""},
			{"said not to be critical", "a0 0c 30 0a 04 05 '1.2.3' 01 01 00", 0, ""},
			{"with value", "a0 0c 30 0a 04 05 '1.2.3' 04 01 'x'", 0, ""},
			{"critical", "a0 0c 30 0a 04 05 '1.2.3' 01 01 ff", 12, `control "1.2.3" is not available for this operation`},
			{"critical is 1", "a0 0c 30 0a 04 05 '1.2.3' 01 01 01", 12, `control "1.2.3" is not available for this operation`},
			{"second is critical", "a0 15 30 07 04 05 '1.2.4' 30 0a 04 05 '1.2.3' 01 01 ff", 12, `control "1.2.3" is not available for this operation`},
			{"critical ManageDsaIT", "a0 1e 30 1c 04 17 '2.16.840.1.113730.3.4.2' 01 01 ff", 0, ""},
			{"malformed", "a0 04 30 02 04 05", 2, "control: ber: truncated element"},
		} {
			t.Run(fmt.Sprintf("%s/%s", name, tt.name), func(t *testing.T) {
				body := message(req.id, req.op, lit(t, req.body))
				whole := append(lit(t, body), lit(t, tt.controls)...)
				whole[1] += byte(len(lit(t, tt.controls)))
				c := f.dialBound()
				c.sendBytes(whole)
				if tt.code == 0 {
					c.expect(req.supported)
				} else {
					c.expect(result(req.id, req.answer, tt.code, tt.message))
				}
				if name == "bind" && tt.code != 0 {
					c.expectWho("")
				} else {
					c.expectWho("cn=alice")
				}
			})
		}
	}
	c := f.dial()
	c.exchange("30 2b 02 01 03 77 18 80 16 '1.3.6.1.4.1.1466.20037' a0 0c 30 0a 04 05 '1.2.3' 01 01 ff",
		result(3, 0x78, 12, `control "1.2.3" is not available for this operation`))
	c.expectWho("")
}

// Message ids may come again once they are answered.
func TestMessageIDReuse(t *testing.T) {
	f := start(t, server.Config{Handler: &handler{
		search: func(_ *server.Conn, _ *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
			w.Slow()
			return nil, sendEntry(w, "o")
		}}})
	c := f.dialBound()
	for range 200 {
		c.exchange(searchO, searchEntry, searchDone)
		c.send(bindAlice, searchO)
		c.expect(okBind, searchEntry, searchDone)
	}
	// The largest one there is.
	c.exchange("30 21 02 04 7f ff ff ff 77 19 80 17 '1.3.6.1.4.1.4203.1.11.3'",
		"30 1c 02 04 7f ff ff ff 78 14 0a 01 00 04 00 04 00 8b 0b 'dn:cn=alice'")
}
