package ldap

import (
	"bytes"
	"math"
	"reflect"
	"testing"

	asn1 "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"ldapd/internal/ber"
)

func TestParseControls(t *testing.T) {
	oid, yes, no, value := str("1.2"), []byte{1, 1, 0xff}, []byte{1, 1, 0}, str("v")
	for _, tt := range []struct {
		name string
		in   []byte
		want []Control
	}{
		{"none", nil, nil},
		{"name", tlv(0x30, oid), []Control{{OID: []byte("1.2")}}},
		{"criticality", tlv(0x30, oid, yes), []Control{{OID: []byte("1.2"), Critical: true}}},
		{"criticality false, sent all the same", tlv(0x30, oid, no), []Control{{OID: []byte("1.2")}}},
		{"value", tlv(0x30, oid, value), []Control{{OID: []byte("1.2"), Value: []byte("v")}}},
		{"empty value is one", tlv(0x30, oid, str("")), []Control{{OID: []byte("1.2"), Value: []byte{}}}},
		{"all", tlv(0x30, oid, yes, value), []Control{{OID: []byte("1.2"), Critical: true, Value: []byte("v")}}},
		{"value before criticality", tlv(0x30, oid, value, yes), []Control{{OID: []byte("1.2"), Critical: true, Value: []byte("v")}}},
		{"two", append(tlv(0x30, oid, yes), tlv(0x30, str("1.3"))...), []Control{{OID: []byte("1.2"), Critical: true}, {OID: []byte("1.3")}}},
	} {
		for _, in := range [][]byte{tt.in, widen(tt.in)} {
			got, err := ParseControls(nil, in)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s: %+v, %v", tt.name, got, err)
			}
		}
	}
	for name, in := range map[string][]byte{
		"not a sequence":             oid,
		"empty sequence":             tlv(0x30),
		"criticality first":          tlv(0x30, yes, oid),
		"criticality an int":         tlv(0x30, oid, []byte{2, 1, 1}),
		"criticality of two octets":  tlv(0x30, oid, []byte{1, 2, 1, 1}),
		"value cut":                  tlv(0x30, oid, []byte{4, 9, 1}),
		"unknown element":            tlv(0x30, oid, yes, value, []byte{0x80, 0}),
		"control cut":                {0x30, 5, 4, 3},
		"one good, one not":          append(tlv(0x30, oid), 0x30, 0),
		"more than are allowed":      bytes.Repeat(tlv(0x30, oid), maxControls+1),
		"a length that claims 4 GiB": {0x30, 0x84, 0xff, 0xff, 0xff, 0xff},
	} {
		if got, err := ParseControls(nil, in); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got, err := ParseControls(nil, bytes.Repeat(tlv(0x30, oid), maxControls)); err != nil || len(got) != maxControls {
		t.Errorf("%d controls, %v", len(got), err)
	}
}

func TestParsePagedResults(t *testing.T) {
	for _, tt := range []struct {
		in     string
		size   int
		cookie string
	}{
		{"30 06 02 02 01 f4 04 00", 500, ""},
		{"30 84 00 00 00 0c 02 84 00 00 00 02 01 f4 04 02 61 62", 500, "ab"},
		{"30 05 02 01 00 04 00", 0, ""},
		{"30 0b 02 04 7f ff ff ff 04 03 00 ff 00", math.MaxInt32, "\x00\xff\x00"},
	} {
		p, err := ParsePagedResults(unhex(t, tt.in))
		if err != nil || p.Size != tt.size || string(p.Cookie) != tt.cookie {
			t.Errorf("%s: %+v, %v", tt.in, p, err)
		}
	}
	for name, in := range map[string]string{
		"no value":        "",
		"empty sequence":  "30 00",
		"not a sequence":  "02 01 05",
		"size negative":   "30 05 02 01 ff 04 00",
		"size of 32 bits": "30 09 02 05 00 80 00 00 00 04 00",
		"size empty":      "30 04 02 00 04 00",
		"no cookie":       "30 03 02 01 05",
		"cookie cut":      "30 05 02 01 05 04 07",
		"cookie an int":   "30 06 02 01 05 02 01 00",
	} {
		if p, err := ParsePagedResults(unhex(t, in)); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestParseSortKeys(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte
		want []SortKey
	}{
		{"attribute", tlv(0x30, tlv(0x30, str("cn"))), []SortKey{{Attribute: []byte("cn")}}},
		{"rule", tlv(0x30, tlv(0x30, str("cn"), tlv(0x80, []byte("r")))), []SortKey{{Attribute: []byte("cn"), Rule: []byte("r")}}},
		{"reverse", tlv(0x30, tlv(0x30, str("cn"), []byte{0x81, 1, 1})), []SortKey{{Attribute: []byte("cn"), Reverse: true}}},
		{"not reverse", tlv(0x30, tlv(0x30, str("cn"), []byte{0x81, 1, 0})), []SortKey{{Attribute: []byte("cn")}}},
		{"two", tlv(0x30, tlv(0x30, str("cn"), tlv(0x80, []byte("r")), []byte{0x81, 1, 1}), tlv(0x30, str("sn"))),
			[]SortKey{{Attribute: []byte("cn"), Rule: []byte("r"), Reverse: true}, {Attribute: []byte("sn")}}},
	} {
		for _, in := range [][]byte{tt.in, widen(tt.in)} {
			got, err := ParseSortKeys(in)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s: %+v, %v", tt.name, got, err)
			}
		}
	}
	for name, in := range map[string][]byte{
		"no value":              nil,
		"no key":                tlv(0x30),
		"key not a sequence":    tlv(0x30, str("cn")),
		"key without attribute": tlv(0x30, tlv(0x30)),
		"reverse of two octets": tlv(0x30, tlv(0x30, str("cn"), []byte{0x81, 2, 1, 1})),
		"more in a key":         tlv(0x30, tlv(0x30, str("cn"), []byte{0x82, 0})),
		"rule cut":              tlv(0x30, tlv(0x30, str("cn"), []byte{0x80, 9})),
		"too many keys":         tlv(0x30, bytes.Repeat(tlv(0x30, str("cn")), maxSortKeys+1)),
	} {
		if got, err := ParseSortKeys(in); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// encode returns a control as go-ldap sends it.
func encode(t *testing.T, c goldap.Control) Control {
	t.Helper()
	got, err := ParseControls(nil, c.Encode().Bytes())
	if err != nil || len(got) != 1 || string(got[0].OID) != c.GetControlType() {
		t.Fatalf("%+v, %v", got, err)
	}
	return got[0]
}

func TestGoLDAPControls(t *testing.T) {
	for _, size := range []uint32{0, 1, 127, 128, 500, math.MaxInt32} {
		c := goldap.NewControlPaging(size)
		c.SetCookie([]byte("cookie \x00\xff"))
		p, err := ParsePagedResults(encode(t, c).Value)
		if err != nil || p.Size != int(size) || string(p.Cookie) != "cookie \x00\xff" {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if c := encode(t, goldap.NewControlManageDsaIT(true)); string(c.OID) != OIDManageDsaIT || !c.Critical || c.Value != nil {
		t.Errorf("%+v", c)
	}
	keys, err := ParseSortKeys(encode(t, &goldap.ControlServerSideSorting{SortKeys: []*goldap.SortKey{
		{AttributeType: "cn", MatchingRule: "2.5.13.3", Reverse: true}, {AttributeType: "sn"}, {AttributeType: "uid", Reverse: true},
	}}).Value)
	want := []SortKey{{Attribute: []byte("cn"), Rule: []byte("2.5.13.3"), Reverse: true}, {Attribute: []byte("sn")}, {Attribute: []byte("uid"), Reverse: true}}
	if err != nil || !reflect.DeepEqual(keys, want) {
		t.Errorf("%+v, %v", keys, err)
	}
}

func TestAppendPagedResults(t *testing.T) {
	for _, p := range []PagedResults{{}, {Size: 500}, {Size: 31, Cookie: []byte("c")}, {Size: math.MaxInt32, Cookie: bytes.Repeat([]byte{0xfe}, 300)}} {
		b := AppendPagedResults([]byte("x"), p)[1:]
		c, err := goldap.DecodeControl(decode(t, b))
		if err != nil {
			t.Fatal(err)
		}
		if g := c.(*goldap.ControlPaging); int(g.PagingSize) != p.Size || !bytes.Equal(g.Cookie, p.Cookie) {
			t.Errorf("go-ldap reads %+v as %+v", p, g)
		}
		cs, err := ParseControls(nil, b)
		if err != nil || len(cs) != 1 || string(cs[0].OID) != OIDPagedResults || cs[0].Critical {
			t.Fatalf("%+v, %v", cs, err)
		}
		if back, err := ParsePagedResults(cs[0].Value); err != nil || back.Size != p.Size || !bytes.Equal(back.Cookie, p.Cookie) {
			t.Errorf("%+v comes back as %+v, %v", p, back, err)
		}
	}
}

func TestAppendSortResponse(t *testing.T) {
	for _, tt := range []struct {
		code ResultCode
		attr string
		want string // the control's value
	}{
		{ResultSuccess, "", "30 03 0a 01 00"},
		{ResultNoSuchAttribute, "foo", "30 08 0a 01 10 80 03 66 6f 6f"},
		{ResultInappropriateMatching, "cn", "30 07 0a 01 12 80 02 63 6e"},
	} {
		p := decode(t, AppendSortResponse(nil, tt.code, []byte(tt.attr)))
		if len(p.Children) != 2 || p.Children[0].Value != OIDSortResponse || !bytes.Equal(p.Children[1].ByteValue, unhex(t, tt.want)) {
			t.Errorf("%s %q: %x", tt.code, tt.attr, p.Bytes())
		}
	}
}

// decode takes b apart with the library that most Go clients use.
func decode(t *testing.T, b []byte) *asn1.Packet {
	t.Helper()
	if n, err := ber.Frame(b, len(b)); n != len(b) || err != nil {
		t.Fatalf("frame of %d bytes in %d, %v", n, len(b), err)
	}
	p, err := asn1.DecodePacketErr(b)
	if err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	return p
}
