package ldap

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"

	"ldapd/internal/ber"
)

// unhex decodes hexadecimal with spaces.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tlv is one element around others.
func tlv(tag byte, contents ...[]byte) []byte {
	return ber.AppendTLV(nil, tag, bytes.Join(contents, nil))
}

func str(s string) []byte { return tlv(ber.OctetString, []byte(s)) }

// widen gives every element, at any depth, a length of four octets, as Active
// Directory's client library does.
func widen(b []byte) []byte {
	var out []byte
	for r := ber.NewReader(b); !r.Empty(); {
		tag, content, err := r.Next()
		if err != nil {
			panic(err)
		}
		if tag&0x20 != 0 {
			content = widen(content)
		}
		n := len(content)
		out = append(out, tag, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		out = append(out, content...)
	}
	return out
}

// body parses a message of an operation and returns its body.
func body(t *testing.T, b []byte, op Op) []byte {
	t.Helper()
	m, err := ParseMessage(b)
	if err != nil || m.Op != op {
		t.Fatalf("%s %v, want %s", m.Op, err, op)
	}
	return m.Body
}

func TestParseMessage(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		id       int32
		op       Op
		body     string
		controls string // "-" for none
	}{
		{"unbind, libldap", "30 05 02 01 03 42 00", 3, OpUnbindRequest, "", "-"},
		{"anonymous bind, libldap", "30 0c 02 01 01 60 07 02 01 03 04 00 80 00", 1, OpBindRequest, "02 01 03 04 00 80 00", "-"},
		{"the same, Active Directory", "30 84 00 00 00 10 02 01 01 60 84 00 00 00 07 02 01 03 04 00 80 00",
			1, OpBindRequest, "02 01 03 04 00 80 00", "-"},
		{"unbind, Active Directory", "30 84 00 00 00 05 02 01 02 42 00", 2, OpUnbindRequest, "", "-"},
		{"messageID of four octets", "30 08 02 04 00 00 00 07 50 00", 7, OpAbandonRequest, "", "-"},
		{"largest messageID", "30 08 02 04 7f ff ff ff 42 00", math.MaxInt32, OpUnbindRequest, "", "-"},
		{"messageID 0", "30 05 02 01 00 42 00", 0, OpUnbindRequest, "", "-"},
		{"abandon", "30 06 02 01 05 50 01 04", 5, OpAbandonRequest, "04", "-"},
		{"empty controls", "30 07 02 01 05 42 00 a0 00", 5, OpUnbindRequest, "", ""},
		{"controls", "30 0e 02 01 05 4a 00 a0 07 30 05 04 03 31 2e 32", 5, OpDeleteRequest, "", "30 05 04 03 31 2e 32"},
		{"controls, Active Directory", "30 84 00 00 00 12 02 01 05 4a 00 a0 84 00 00 00 07 30 05 04 03 31 2e 32",
			5, OpDeleteRequest, "", "30 05 04 03 31 2e 32"},
		{"extension behind", "30 09 02 01 05 42 00 85 02 00 00", 5, OpUnbindRequest, "", "-"},
		{"extension behind controls", "30 0b 02 01 05 42 00 a0 00 85 02 00 00", 5, OpUnbindRequest, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ParseMessage(unhex(t, tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if m.ID != tt.id || m.Op != tt.op || !bytes.Equal(m.Body, unhex(t, tt.body)) {
				t.Errorf("%d %s %x", m.ID, m.Op, m.Body)
			}
			if tt.controls == "-" {
				if m.Controls != nil {
					t.Errorf("controls %x", m.Controls)
				}
			} else if m.Controls == nil || !bytes.Equal(m.Controls, unhex(t, tt.controls)) {
				t.Errorf("controls %x, want %s", m.Controls, tt.controls)
			}
		})
	}
}

func TestParseMessageRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":                 "",
		"not a sequence":          "31 05 02 01 03 42 00",
		"HTTP":                    hex.EncodeToString([]byte("GET / HTTP/1.1\r\nHost: ldap.example.org\r\n\r\n")),
		"TLS handshake":           "16 03 01 00 05 01 00 00 01 03",
		"truncated":               "30 05 02 01 03 42",
		"bytes behind":            "30 05 02 01 03 42 00 00",
		"empty":                   "30 00",
		"no operation":            "30 03 02 01 03",
		"operation truncated":     "30 06 02 01 03 42 02 00",
		"operation indefinite":    "30 07 02 01 03 63 80 00 00",
		"messageID missing":       "30 02 42 00",
		"messageID not an int":    "30 05 04 01 03 42 00",
		"messageID empty":         "30 04 02 00 42 00",
		"messageID negative":      "30 05 02 01 ff 42 00",
		"messageID of 32 bits":    "30 09 02 05 00 80 00 00 00 42 00",
		"messageID of nine bytes": "30 0d 02 09 00 00 00 00 00 00 00 00 01 42 00",
		"controls truncated":      "30 07 02 01 05 42 00 a0 01",
		"indefinite":              "30 80 02 01 03 42 00 00 00",
	} {
		if m, err := ParseMessage(unhex(t, in)); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestAbandonID(t *testing.T) {
	for in, want := range map[string]int32{"04": 4, "00": 0, "00 80": 128, "00 00 00 09": 9, "7f ff ff ff": math.MaxInt32} {
		if id, err := AbandonID(unhex(t, in)); id != want || err != nil {
			t.Errorf("%s: %d, %v", in, id, err)
		}
	}
	for _, in := range []string{"", "ff", "00 80 00 00 00", "00 00 00 00 00 00 00 00 01"} {
		if id, err := AbandonID(unhex(t, in)); err == nil {
			t.Errorf("%q: %d", in, id)
		}
	}
}

func TestOp(t *testing.T) {
	for _, tt := range []struct {
		op, response Op
		name         string
	}{
		{OpBindRequest, OpBindResponse, "bind"},
		{OpUnbindRequest, 0, "unbind"},
		{OpSearchRequest, OpSearchResultDone, "search"},
		{OpModifyRequest, OpModifyResponse, "modify"},
		{OpAddRequest, OpAddResponse, "add"},
		{OpDeleteRequest, OpDeleteResponse, "delete"},
		{OpModifyDNRequest, OpModifyDNResponse, "modifydn"},
		{OpCompareRequest, OpCompareResponse, "compare"},
		{OpAbandonRequest, 0, "abandon"},
		{OpExtendedRequest, OpExtendedResponse, "extended"},
		{0x99, 0, "op 0x99"},
	} {
		if tt.op.String() != tt.name || tt.op.Response() != tt.response {
			t.Errorf("%s answered by %s", tt.op, tt.op.Response())
		}
	}
}

func TestError(t *testing.T) {
	cause := errors.New("disk on fire")
	err := error(&Error{Code: ResultUnavailable, Message: "try later", Err: cause})
	if err.Error() != "unavailable: try later: disk on fire" || !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	if e := Errorf(ResultOther, "%d left", 3); e.Code != ResultOther || e.Message != "3 left" || e.Error() != "other: 3 left" {
		t.Errorf("%v", e)
	}
	if s := ResultCode(4711).String(); s != "4711" {
		t.Error(s)
	}
}
