package ldap

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"ldapd/internal/ber"
)

// deepFilter nests n terms around a presence.
func deepFilter(n int, op FilterOp) []byte {
	headers := make([][]byte, 0, n)
	size := 4
	for range n {
		h := ber.AppendHeader(nil, byte(op), size)
		headers = append(headers, h)
		size += len(h)
	}
	out := make([]byte, 0, size)
	for i := n - 1; i >= 0; i-- {
		out = append(out, headers[i]...)
	}
	return append(out, 0x87, 2, 'c', 'n')
}

// wideFilter holds n presences in one term.
func wideFilter(n int, op FilterOp) []byte {
	return tlv(byte(op), bytes.Repeat([]byte{0x87, 2, 'c', 'n'}, n))
}

func b(s string) []byte { return []byte(s) }

func TestParseFilter(t *testing.T) {
	for _, tt := range []struct {
		text, in string // in: literal bytes
		want     Filter
	}{
		{"(cn=*)", "87 02 63 6e", Filter{{Op: FilterPresent, Next: 1, Attr: b("cn")}}},
		{"(cn=bob)", "a3 09 04 02 63 6e 04 03 62 6f 62", Filter{{Op: FilterEqual, Next: 1, Attr: b("cn"), Value: b("bob")}}},
		{"(cn=)", "a3 06 04 02 63 6e 04 00", Filter{{Op: FilterEqual, Next: 1, Attr: b("cn"), Value: b("")}}},
		{"(n>=3)", "a5 06 04 01 6e 04 01 33", Filter{{Op: FilterGreaterOrEqual, Next: 1, Attr: b("n"), Value: b("3")}}},
		{"(n<=3)", "a6 06 04 01 6e 04 01 33", Filter{{Op: FilterLessOrEqual, Next: 1, Attr: b("n"), Value: b("3")}}},
		{"(n~=3)", "a8 06 04 01 6e 04 01 33", Filter{{Op: FilterApprox, Next: 1, Attr: b("n"), Value: b("3")}}},
		{"(cn=bo*)", "a4 0a 04 02 63 6e 30 04 80 02 62 6f", Filter{
			{Op: FilterSubstrings, Next: 2, Attr: b("cn")}, {Op: SubInitial, Next: 2, Value: b("bo")}}},
		{"(cn=*bo)", "a4 0a 04 02 63 6e 30 04 82 02 62 6f", Filter{
			{Op: FilterSubstrings, Next: 2, Attr: b("cn")}, {Op: SubFinal, Next: 2, Value: b("bo")}}},
		{"(cn=*b*o*)", "a4 0c 04 02 63 6e 30 06 81 01 62 81 01 6f", Filter{
			{Op: FilterSubstrings, Next: 3, Attr: b("cn")}, {Op: SubAny, Next: 2, Value: b("b")}, {Op: SubAny, Next: 3, Value: b("o")}}},
		{"(cn=a*b*c)", "a4 0f 04 02 63 6e 30 09 80 01 61 81 01 62 82 01 63", Filter{
			{Op: FilterSubstrings, Next: 4, Attr: b("cn")}, {Op: SubInitial, Next: 2, Value: b("a")},
			{Op: SubAny, Next: 3, Value: b("b")}, {Op: SubFinal, Next: 4, Value: b("c")}}},
		{"(&)", "a0 00", Filter{{Op: FilterAnd, Next: 1}}}, // RFC 4526
		{"(|)", "a1 00", Filter{{Op: FilterOr, Next: 1}}},
		{"(!(a=*))", "a2 03 87 01 61", Filter{{Op: FilterNot, Next: 2}, {Op: FilterPresent, Next: 2, Attr: b("a")}}},
		{"(&(|(a=*)))", "a0 05 a1 03 87 01 61", Filter{{Op: FilterAnd, Next: 3}, {Op: FilterOr, Next: 3}, {Op: FilterPresent, Next: 3, Attr: b("a")}}},
		{"(|(&)(a=*)(!(b=1*)))", "a1 11 a0 00 87 01 61 a2 0a a4 08 04 01 62 30 03 80 01 31",
			Filter{{Op: FilterOr, Next: 6}, {Op: FilterAnd, Next: 2}, {Op: FilterPresent, Next: 3, Attr: b("a")},
				{Op: FilterNot, Next: 6}, {Op: FilterSubstrings, Next: 6, Attr: b("b")}, {Op: SubInitial, Next: 6, Value: b("1")}}},
		{"(a:=x)", "a9 06 82 01 61 83 01 78", Filter{{Op: FilterExtensible, Next: 1, Attr: b("a"), Value: b("x")}}},
		{"(a:dn:=x)", "a9 09 82 01 61 83 01 78 84 01 ff", Filter{{Op: FilterExtensible, Next: 1, Attr: b("a"), Value: b("x"), DN: true}}},
		{"(:2.4:=x)", "a9 08 81 03 32 2e 34 83 01 78", Filter{{Op: FilterExtensible, Next: 1, Rule: b("2.4"), Value: b("x")}}},
		{"(a:dn:2.4:=x)", "a9 0e 81 03 32 2e 34 82 01 61 83 01 78 84 01 ff", Filter{
			{Op: FilterExtensible, Next: 1, Attr: b("a"), Rule: b("2.4"), Value: b("x"), DN: true}}},
		{"(a:2.4:=x)", "a9 0e 84 01 00 83 01 78 82 01 61 81 03 32 2e 34", Filter{ // any order
			{Op: FilterExtensible, Next: 1, Attr: b("a"), Rule: b("2.4"), Value: b("x")}}},
	} {
		in := unhex(t, tt.in)
		for _, in := range [][]byte{in, widen(in)} {
			got, err := ParseFilter(in, FilterLimits{})
			if err != nil {
				t.Errorf("%s: %v", tt.text, err)
				continue
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s: %+v\nwant %+v", tt.text, got, tt.want)
			}
			if text := string(got.AppendText([]byte("x"), nil)); text != "x"+tt.text {
				t.Errorf("%s: text %s", tt.text, text)
			}
		}
	}
}

func TestParseFilterRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":                           "",
		"unknown choice":                    "aa 00",
		"universal tag":                     "30 00",
		"present, but constructed":          "a7 00",
		"and with rubbish":                  "a0 01 00",
		"and with a cut child":              "a0 03 87 05 61",
		"not of nothing":                    "a2 00",
		"not of two":                        "a2 06 87 01 61 87 01 62",
		"equal without value":               "a3 03 04 01 61",
		"equal of three":                    "a3 09 04 01 61 04 01 62 04 01 63",
		"equal, value not a string":         "a3 06 04 01 61 02 01 62",
		"substrings without pieces":         "a4 03 04 01 61",
		"substrings of nothing":             "a4 05 04 01 61 30 00",
		"substrings, two initials":          "a4 0b 04 01 61 30 06 80 01 62 80 01 63",
		"substrings, initial behind any":    "a4 0b 04 01 61 30 06 81 01 62 80 01 63",
		"substrings, any behind final":      "a4 0b 04 01 61 30 06 82 01 62 81 01 63",
		"substrings, two finals":            "a4 0b 04 01 61 30 06 82 01 62 82 01 63",
		"substrings, unknown piece":         "a4 08 04 01 61 30 03 83 01 62",
		"substrings, piece cut":             "a4 08 04 01 61 30 03 80 05 62",
		"substrings, pieces a set":          "a4 08 04 01 61 31 03 80 01 62",
		"substrings, more behind":           "a4 0a 04 01 61 30 03 80 01 62 04 00",
		"extensible of nothing":             "a9 00",
		"extensible without value":          "a9 03 82 01 61",
		"extensible, no rule and no type":   "a9 03 83 01 78",
		"extensible, dnAttributes of two":   "a9 0a 82 01 61 83 01 78 84 02 ff ff",
		"extensible, unknown element":       "a9 08 82 01 61 83 01 78 85 00",
		"extensible cut":                    "a9 05 82 01 61 83 01",
		"two filters":                       "87 01 61 87 01 62",
		"a length that claims 4 GiB":        "a0 84 ff ff ff ff",
		"a child longer than what holds it": "a0 05 a1 84 00 01 00",
	} {
		f, err := ParseFilter(unhex(t, in), FilterLimits{})
		if err == nil || errors.Is(err, ErrFilterLimit) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}

func TestFilterLimits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		in     []byte
		limits FilterLimits
		ok     bool
	}{
		{"default depth", deepFilter(31, FilterAnd), FilterLimits{}, true},
		{"deeper", deepFilter(32, FilterAnd), FilterLimits{}, false},
		{"not, default depth", deepFilter(31, FilterNot), FilterLimits{}, true},
		{"not, deeper", deepFilter(32, FilterNot), FilterLimits{}, false},
		{"10 000 deep", deepFilter(10000, FilterOr), FilterLimits{}, false},
		{"10 000 nots", deepFilter(10000, FilterNot), FilterLimits{}, false},
		{"default terms", wideFilter(1023, FilterOr), FilterLimits{}, true},
		{"one more", wideFilter(1024, FilterOr), FilterLimits{}, false},
		{"10 000 wide", wideFilter(10000, FilterOr), FilterLimits{}, false},
		{"pieces count", tlv(0xa4, str("cn"), tlv(0x30, bytes.Repeat([]byte{0x81, 1, 'x'}, 1024))), FilterLimits{}, false},
		{"negative limits are the defaults", deepFilter(31, FilterAnd), FilterLimits{Depth: -1, Terms: -1}, true},
		{"own depth", deepFilter(1, FilterAnd), FilterLimits{Depth: 1}, false},
		{"own depth, a leaf", deepFilter(0, FilterAnd), FilterLimits{Depth: 1}, true},
		{"own terms", wideFilter(3, FilterOr), FilterLimits{Terms: 4}, true},
		{"own terms, one more", wideFilter(4, FilterOr), FilterLimits{Terms: 4}, false},
	} {
		f, err := ParseFilter(tt.in, tt.limits)
		if tt.ok && err != nil || !tt.ok && !errors.Is(err, ErrFilterLimit) {
			t.Errorf("%s: %d terms, %v", tt.name, len(f), err)
		}
	}
	// A refusal costs what the limit allows, not what the client sent.
	deep := deepFilter(10000, FilterNot)
	f := make(Filter, 0, 64)
	if a := testing.AllocsPerRun(10, func() {
		r := ber.NewReader(deep)
		if err := f.parse(&r, FilterLimits{}); !errors.Is(err, ErrFilterLimit) {
			t.Error(err)
		}
	}); a > 10 {
		t.Errorf("%v allocations to refuse a deep filter", a)
	}
}

// The text of a filter is what go-ldap compiles to the same filter, and what
// it decompiles it to.
func TestFilterTextGoLDAP(t *testing.T) {
	for _, text := range []string{
		ldapsearchFilter,
		"(&(objectclass=user)(memberof=cn=nextcloud-users,ou=groups,DC=ldap,DC=goauthentik,DC=io)(|(cn=bob)(mail=bob)))",
		"(&(&(objectclass=user)(displayName=*))(|(displayName=bo)(displayName=bo*)))",
		"(&(displayName=*)(memberof:1.2.840.113556.1.4.1941:=cn=staff,ou=groups,dc=x))",
		"(&(|(objectclass=user)))",
		"(gidnumber=cn=bob,ou=users,dc=x)",
		`(cn=Parens R Us \28for all your parenthetical needs\29)`, // RFC 4515 section 4
		`(cn=*\2a*)`,
		`(filename=C:\5cMyFile)`,
		`(bin=\00\00\00\04)`,
		"(o;lang-de=x)",
		"(cn:caseExactMatch:=Fred Flintstone)",
		"(cn:=Betty Rubble)",
		"(sn:dn:2.4.6.8.10:=Barney Rubble)",
		"(o:dn:=Ace Industry)",
		"(:1.2.3:=Wilma Flintstone)",
		"(:dn:2.4.6.8.10:=Dino)",
		`(seeAlso=)`,
		"(modifyTimestamp>=20260101000000Z)",
		"(cn=*a*b*c)",
		"(!(!(cn=x)))",
		"(cn=a  b )",
		"(cn=Lučić)",
		`(cn=bad \ff\c4 octets)`,
		`(cn=\7f\1f)`,
	} {
		p, err := goldap.CompileFilter(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		f, err := ParseFilter(p.Bytes(), FilterLimits{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := string(f.AppendText(nil, nil))
		if got != text {
			t.Errorf("%s: text %s", text, got)
		}
		q, err := goldap.CompileFilter(got)
		if err != nil || !bytes.Equal(q.Bytes(), p.Bytes()) {
			t.Errorf("%s: go-ldap compiles %s to something else, %v", text, got, err)
		}
		back, err := goldap.DecompileFilter(p)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		// go-ldap escapes all that is not ASCII, which is the same filter.
		if r, err := goldap.CompileFilter(back); err != nil || !bytes.Equal(r.Bytes(), p.Bytes()) {
			t.Errorf("%s: go-ldap decompiles %s, %v", text, back, err)
		}
	}
}

func TestFilterTextShow(t *testing.T) {
	p, err := goldap.CompileFilter("(&(cn=bob)(!(userPassword=secret))(userPassword=s*c*t)(userPassword:2.5.13.2:=secret)(userPassword=*)(userPassword>=s))")
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseFilter(p.Bytes(), FilterLimits{})
	if err != nil {
		t.Fatal(err)
	}
	got := string(f.AppendText(nil, func(attr, value []byte) []byte {
		if len(attr) == 0 || value == nil {
			t.Errorf("asked for %q of %q", value, attr)
		}
		if strings.EqualFold(string(attr), "userPassword") {
			return []byte("?")
		}
		return value
	}))
	if want := "(&(cn=bob)(!(userPassword=?))(userPassword=?*?*?)(userPassword:2.5.13.2:=?)(userPassword=*)(userPassword>=?))"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := (Filter)(nil).AppendText([]byte("x"), nil); string(got) != "x" {
		t.Errorf("no filter: %q", got)
	}
	// What is no attribute can't end the term early or start a line.
	evil := Filter{{Op: FilterEqual, Next: 1, Attr: b("cn=x)(uid"), Value: b("a\nb")}}
	if got, want := string(evil.AppendText(nil, nil)), `(cn=x\29\28uid=a\0ab)`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
