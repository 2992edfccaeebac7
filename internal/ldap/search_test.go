package ldap

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"ldapd/internal/ber"
)

// What ldapsearch 2.5 sent for -l 5 -z 10 -E '!pr=500/noprompt'
// -E sss=-cn:2.5.13.3/uid, a filter of nearly every kind, and cn +.
const ldapsearchPacket = `30 81 ff 02 01 02
	63 81 98 04 04 64 63 3d 78 0a 01 02 0a 01 00 02 01 0a 02 01 05 01 01 00
	a0 78
	a3 13 04 0b 6f 62 6a 65 63 74 43 6c 61 73 73 04 04 75 73 65 72
	a1 1e a3 09 04 02 63 6e 04 03 62 6f 62 a4 11 04 04 6d 61 69 6c 30 09 80 01 62 81 01 6f 82 01 62
	a2 0a a5 08 04 03 75 69 64 04 01 33
	a8 07 04 02 73 6e 04 01 78
	a9 2c 81 17 31 2e 32 2e 38 34 30 2e 31 31 33 35 35 36 2e 31 2e 34 2e 31 39 34 31
	82 08 6d 65 6d 62 65 72 4f 66 83 04 63 6e 3d 67 84 01 ff
	30 07 04 02 63 6e 04 01 2b
	a0 5f 30 25 04 16 31 2e 32 2e 38 34 30 2e 31 31 33 35 35 36 2e 31 2e 34 2e 33 31 39 01 01 ff
	04 08 30 06 02 02 01 f4 04 00
	30 36 04 16 31 2e 32 2e 38 34 30 2e 31 31 33 35 35 36 2e 31 2e 34 2e 34 37 33
	04 1c 30 1a 30 11 04 02 63 6e 80 08 32 2e 35 2e 31 33 2e 33 81 01 ff 30 05 04 03 75 69 64`

const ldapsearchFilter = "(&(objectClass=user)(|(cn=bob)(mail=b*o*b))(!(uid>=3))(sn~=x)(memberOf:dn:1.2.840.113556.1.4.1941:=cn=g))"

func TestSearchRequest(t *testing.T) {
	b := unhex(t, ldapsearchPacket)
	var s SearchRequest
	for _, b := range [][]byte{b, widen(b)} {
		m, err := ParseMessage(b)
		if err != nil || m.ID != 2 || m.Op != OpSearchRequest {
			t.Fatalf("%+v, %v", m, err)
		}
		if err := s.Parse(m.Body, FilterLimits{}); err != nil {
			t.Fatal(err)
		}
		if string(s.Base) != "dc=x" || s.Scope != ScopeSub || s.SizeLimit != 10 || s.TimeLimit != 5 || s.TypesOnly {
			t.Errorf("%+v", s)
		}
		if got := string(bytes.Join(s.Attributes, []byte(","))); got != "cn,+" {
			t.Errorf("attributes %s", got)
		}
		if got := string(s.Filter.AppendText(nil, nil)); got != ldapsearchFilter {
			t.Errorf("filter %s", got)
		}
		if s.Controls, err = ParseControls(s.Controls[:0], m.Controls); err != nil || len(s.Controls) != 2 {
			t.Fatalf("controls %+v, %v", s.Controls, err)
		}
		page, err := ParsePagedResults(s.Controls[0].Value)
		if string(s.Controls[0].OID) != OIDPagedResults || !s.Controls[0].Critical || err != nil || page.Size != 500 || len(page.Cookie) != 0 {
			t.Errorf("%+v: %+v, %v", s.Controls[0], page, err)
		}
		keys, err := ParseSortKeys(s.Controls[1].Value)
		want := []SortKey{{Attribute: []byte("cn"), Rule: []byte("2.5.13.3"), Reverse: true}, {Attribute: []byte("uid")}}
		if string(s.Controls[1].OID) != OIDSortRequest || s.Controls[1].Critical || err != nil || !reflect.DeepEqual(keys, want) {
			t.Errorf("%+v: %+v, %v", s.Controls[1], keys, err)
		}
	}
}

// search is the body of a search request out of its elements.
func search(change func(parts [][]byte) [][]byte) []byte {
	parts := [][]byte{
		str("dc=x"), {0x0a, 1, 2}, {0x0a, 1, 0}, {2, 1, 0}, {2, 1, 0}, {1, 1, 0},
		{0x87, 2, 'c', 'n'}, tlv(ber.Sequence),
	}
	if change != nil {
		parts = change(parts)
	}
	return bytes.Join(parts, nil)
}

// with puts another element in the place of one.
func with(i int, b ...byte) func([][]byte) [][]byte {
	return func(parts [][]byte) [][]byte {
		parts[i] = b
		return parts
	}
}

func TestSearchRequestFields(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte
		ok   func(s *SearchRequest) bool
	}{
		{"plain", search(nil), func(s *SearchRequest) bool { return s.Scope == ScopeSub && len(s.Attributes) == 0 }},
		{"base of the root", search(with(0, 4, 0)), func(s *SearchRequest) bool { return s.Base != nil && len(s.Base) == 0 }},
		{"scope base", search(with(1, 0x0a, 1, 0)), func(s *SearchRequest) bool { return s.Scope == ScopeBase }},
		{"scope one", search(with(1, 0x0a, 1, 1)), func(s *SearchRequest) bool { return s.Scope == ScopeOne }},
		{"deref always", search(with(2, 0x0a, 1, 3)), func(s *SearchRequest) bool { return true }},
		{"size limit not minimal", search(with(3, 2, 4, 0, 0, 1, 0)), func(s *SearchRequest) bool { return s.SizeLimit == 256 }},
		{"largest limits", search(with(4, 2, 4, 0x7f, 0xff, 0xff, 0xff)), func(s *SearchRequest) bool { return s.TimeLimit == math.MaxInt32 }},
		{"types only, true as 1", search(with(5, 1, 1, 1)), func(s *SearchRequest) bool { return s.TypesOnly }},
		{"Nextcloud's one empty attribute", search(with(7, 0x30, 2, 4, 0)),
			func(s *SearchRequest) bool { return len(s.Attributes) == 1 && len(s.Attributes[0]) == 0 }},
		{"absolute true, libldap", search(with(6, 0xa0, 0)), func(s *SearchRequest) bool { return s.Filter[0].Op == FilterAnd && len(s.Filter) == 1 }},
		{"as many attributes as allowed", search(with(7, tlv(0x30, bytes.Repeat([]byte{4, 0}, maxAttributes))...)),
			func(s *SearchRequest) bool { return len(s.Attributes) == maxAttributes }},
	} {
		// Reused after a larger request, it keeps nothing of that.
		var s SearchRequest
		m, err := ParseMessage(unhex(t, ldapsearchPacket))
		if err != nil || s.Parse(m.Body, FilterLimits{}) != nil {
			t.Fatal("setup")
		}
		if err := s.Parse(tt.in, FilterLimits{}); err != nil || !tt.ok(&s) {
			t.Errorf("%s: %+v, %v", tt.name, s, err)
		}
	}
}

func TestSearchRequestRefuses(t *testing.T) {
	for name, in := range map[string][]byte{
		"nothing":                nil,
		"base not a string":      search(with(0, 2, 1, 0)),
		"scope 3":                search(with(1, 0x0a, 1, 3)),
		"scope negative":         search(with(1, 0x0a, 1, 0xff)),
		"scope beyond a byte":    search(with(1, 0x0a, 2, 1, 0)),
		"scope an integer":       search(with(1, 2, 1, 0)),
		"deref 4":                search(with(2, 0x0a, 1, 4)),
		"deref missing":          search(with(2)),
		"size limit negative":    search(with(3, 2, 1, 0xff)),
		"size limit of 32 bits":  search(with(3, 2, 5, 0, 0x80, 0, 0, 0)),
		"time limit negative":    search(with(4, 2, 1, 0x80)),
		"types only of two":      search(with(5, 1, 2, 0, 0)),
		"no filter":              search(with(6)),
		"unknown filter":         search(with(6, 0xaf, 0)),
		"no attributes":          search(with(7)),
		"attributes a set":       search(with(7, 0x31, 0)),
		"attribute not a string": search(with(7, 0x30, 3, 2, 1, 0)),
		"attribute cut":          search(with(7, 0x30, 2, 4, 1)),
		"too many attributes":    search(with(7, tlv(0x30, bytes.Repeat([]byte{4, 0}, maxAttributes+1))...)),
		"more behind":            append(search(nil), 5, 0),
	} {
		var s SearchRequest
		if err := s.Parse(in, FilterLimits{}); err == nil || errors.Is(err, ErrFilterLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var s SearchRequest
	if err := s.Parse(search(with(6, deepFilter(10000, FilterNot)...)), FilterLimits{}); !errors.Is(err, ErrFilterLimit) {
		t.Errorf("deep filter: %v", err)
	}
	// Every prefix is refused, none panics.
	b := body(t, unhex(t, ldapsearchPacket), OpSearchRequest)
	for i := range b {
		if err := s.Parse(b[:i], FilterLimits{}); err == nil {
			t.Errorf("the first %d bytes alone are accepted", i)
		}
	}
}

func TestScopeString(t *testing.T) {
	if s := strings.Join([]string{ScopeBase.String(), ScopeOne.String(), ScopeSub.String(), Scope(3).String()}, ","); s != "base,one,sub,scope 3" {
		t.Error(s)
	}
}
