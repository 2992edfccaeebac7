package ldap

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	asn1 "github.com/go-asn1-ber/asn1-ber"

	"ldapd/internal/ber"
)

// message checks the frame of a response and returns its operation.
func message(t *testing.T, b []byte, id int32, op Op, children int) *asn1.Packet {
	t.Helper()
	p := decode(t, b)
	if p.Tag != asn1.TagSequence || len(p.Children) != children || p.Children[0].Value != int64(id) {
		t.Fatalf("%x: messageID %v and %d elements", b, p.Children[0].Value, len(p.Children))
	}
	o := p.Children[1]
	if o.ClassType != asn1.ClassApplication || o.TagType != asn1.TypeConstructed || byte(o.Tag)|0x60 != byte(op) {
		t.Fatalf("%x: operation %d", b, o.Tag)
	}
	return o
}

func TestAppendResult(t *testing.T) {
	long := strings.Repeat("ü", 40000)
	controls := AppendPagedResults(nil, PagedResults{Cookie: []byte("c")})
	for _, tt := range []struct {
		id       int32
		op       Op
		res      *Error
		controls []byte
	}{
		{1, OpBindResponse, nil, nil},
		{2, OpSearchResultDone, &Error{}, controls},
		{128, OpBindResponse, &Error{Code: ResultInvalidCredentials}, nil},
		{math.MaxInt32, OpSearchResultDone, &Error{Code: ResultNoSuchObject, MatchedDN: "ou=users,dc=x", Message: "no such entry"}, controls},
		{3, OpModifyResponse, &Error{Code: ResultUnwillingToPerform, Message: "read-only", Err: fmt.Errorf("private")}, nil},
		{4, OpCompareResponse, &Error{Code: ResultCompareTrue}, nil},
		{5, OpDeleteResponse, &Error{Code: ResultCanceled, Message: strings.Repeat("x", 117)}, nil},
		{6, OpAddResponse, &Error{Code: ResultOther, Message: long}, controls},
		{7, OpModifyDNResponse, &Error{Code: 4711}, nil},
	} {
		b := AppendResult([]byte("before"), tt.id, tt.op, tt.res, tt.controls)
		children := 2
		if tt.controls != nil {
			children++
		}
		o := message(t, b[len("before"):], tt.id, tt.op, children)
		res := tt.res
		if res == nil {
			res = &Error{}
		}
		if len(o.Children) != 3 || o.Children[0].Tag != asn1.TagEnumerated || o.Children[0].Value != int64(res.Code) ||
			o.Children[1].Value != res.MatchedDN || o.Children[2].Value != res.Message {
			t.Errorf("%s %v: %x", tt.op, tt.res, b)
		}
		if bytes.Contains(b, []byte("private")) {
			t.Error("the cause is on the wire")
		}
		m, err := ParseMessage(b[len("before"):])
		if err != nil || !bytes.Equal(m.Controls, tt.controls) {
			t.Errorf("controls %x, %v", m.Controls, err)
		}
	}
	if got, want := AppendResult(nil, 1, OpBindResponse, nil, nil), unhex(t, "30 0c 02 01 01 61 07 0a 01 00 04 00 04 00"); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

func TestAppendExtendedResponse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		value []byte
	}{
		{"", nil}, {"", []byte("dn:cn=alice,dc=x")}, {OIDStartTLS, nil}, {"1.2.3", []byte{}}, {"1.2.3", []byte("value")},
	} {
		o := message(t, AppendExtendedResponse(nil, 9, nil, tt.name, tt.value), 9, OpExtendedResponse, 2)
		rest := o.Children[3:]
		if tt.name != "" {
			if c := rest[0]; c.ClassType != asn1.ClassContext || c.Tag != 10 || c.Data.String() != tt.name {
				t.Errorf("%q: %x", tt.name, o.Bytes())
			}
			rest = rest[1:]
		}
		if tt.value != nil {
			if c := rest[0]; c.ClassType != asn1.ClassContext || c.Tag != 11 || c.Data.String() != string(tt.value) {
				t.Errorf("%q: %x", tt.value, o.Bytes())
			}
			rest = rest[1:]
		}
		if len(rest) != 0 {
			t.Errorf("%q %q: %d more elements", tt.name, tt.value, len(rest))
		}
	}
	// An empty WhoAmI answer (anonymous) is a value all the same.
	if got, want := AppendExtendedResponse(nil, 2, nil, "", []byte{}), unhex(t, "30 0e 02 01 02 78 09 0a 01 00 04 00 04 00 8b 00"); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

func TestAppendNoticeOfDisconnection(t *testing.T) {
	want := unhex(t, `30 28 02 01 00 78 23 0a 01 34 04 00 04 04 62 75 73 79
		8a 16 31 2e 33 2e 36 2e 31 2e 34 2e 31 2e 31 34 36 36 2e 32 30 30 33 36`)
	if got := AppendNoticeOfDisconnection(nil, &Error{Code: ResultUnavailable, Message: "busy"}); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

func TestAppendEntryHeader(t *testing.T) {
	for _, id := range []int32{1, 127, 128, 32767, 32768, math.MaxInt32} {
		for _, n := range []int{0, 1, 100, 110, 118, 120, 127, 128, 240, 255, 256, 65400, 65535, 65536, 1 << 24} {
			value := strings.Repeat("v", n)
			attrs := appendAttribute(nil, "cn", "alice", "Alice Liddell")
			attrs = appendAttribute(attrs, "jpegPhoto", value)
			attrs = appendAttribute(attrs, "objectClass")
			dn := str("cn=alice,ou=users,dc=x")
			b := AppendEntryHeader([]byte("before"), id, dn, len(attrs))
			b = append(b, attrs...)[len("before"):]
			if n, err := ber.Frame(b, len(b)); n != len(b) || err != nil {
				t.Fatalf("messageID %d, value of %d: %d of %d, %v", id, len(value), n, len(b), err)
			}
			if n > 65536 {
				continue // asn1-ber is slow
			}
			o := message(t, b, id, OpSearchResultEntry, 2)
			if len(o.Children) != 2 || o.Children[0].Value != "cn=alice,ou=users,dc=x" || len(o.Children[1].Children) != 3 {
				t.Fatalf("%x", b)
			}
			for i, want := range [][]string{{"cn", "alice", "Alice Liddell"}, {"jpegPhoto", value}, {"objectClass"}} {
				a := o.Children[1].Children[i]
				if len(a.Children) != 2 || a.Children[0].Value != want[0] || a.Children[1].Tag != asn1.TagSet || len(a.Children[1].Children) != len(want)-1 {
					t.Fatalf("attribute %d: %x", i, a.Bytes())
				}
				for j, v := range want[1:] {
					if a.Children[1].Children[j].Value != v {
						t.Errorf("value %d of %s", j, want[0])
					}
				}
			}
		}
	}
	// No attributes at all, as for 1.1.
	if got, want := AppendEntryHeader(nil, 1, str("dc=x"), 0), unhex(t, "30 0d 02 01 01 64 08 04 04 64 63 3d 78 30 00"); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// appendAttribute appends one PartialAttribute with its values.
func appendAttribute(dst []byte, name string, values ...string) []byte {
	dst, attr := ber.Begin(dst, ber.Sequence)
	dst = ber.AppendString(dst, ber.OctetString, name)
	dst, set := ber.Begin(dst, ber.Set)
	for _, v := range values {
		dst = ber.AppendString(dst, ber.OctetString, v)
	}
	return ber.End(ber.End(dst, set), attr)
}
