package schema

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func rule(t *testing.T, name string) *Rule {
	t.Helper()
	r, ok := LookupRule([]byte(name))
	if !ok {
		t.Fatalf("no rule %s", name)
	}
	return r
}

func TestNormalize(t *testing.T) {
	const undefined = "(undefined)"
	for _, tt := range []struct{ rule, value, want string }{
		{"caseIgnoreMatch", "  Alice   LIDDELL ", "alice liddell"},
		{"caseIgnoreMatch", "MÜLLER", "müller"},
		{"caseIgnoreMatch", " ", " "},
		{"caseIgnoreMatch", "", undefined},
		{"caseExactMatch", "  Alice \t LIDDELL ", "Alice LIDDELL"},
		{"caseExactMatch", "ﬁ", "fi"},
		{"caseExactMatch", "   ", " "},
		{"caseExactMatch", "\x00", undefined},
		{"caseIgnoreIA5Match", "A@B.org", "a@b.org"},
		{"numericStringMatch", " 12 34", "1234"},
		{"numericStringMatch", "12a", undefined},
		{"telephoneNumberMatch", "+49 (30) 12-34", "+49(30)1234"},
		{"telephoneNumberMatch", "-", undefined},
		{"caseIgnoreListMatch", "1 Main  St $ Berlin", "1 main st$berlin"},
		{"distinguishedNameMatch", "CN=Alice , OU=Users,dc=x", "cn=alice,ou=users,dc=x"},
		{"distinguishedNameMatch", "alice", undefined},
		{"distinguishedNameMatch", "", ""},
		{"integerMatch", "007", "7"},
		{"integerMatch", "-007", "-7"},
		{"integerMatch", "-0", "0"},
		{"integerMatch", "123456789012345678901234567890", "123456789012345678901234567890"},
		{"integerMatch", "", undefined},
		{"integerMatch", "-", undefined},
		{"integerMatch", "+1", undefined},
		{"integerMatch", "cn=x,dc=y", undefined},
		{"booleanMatch", "true", "TRUE"},
		{"booleanMatch", "FALSE", "FALSE"},
		{"booleanMatch", "1", undefined},
		{"octetStringMatch", "a\x00B ", "a\x00B "},
		{"octetStringMatch", "", ""},
		{"objectIdentifierMatch", "InetOrgPerson", "inetorgperson"},
		{"objectIdentifierMatch", "2.5.6.6", "2.5.6.6"},
		{"objectIdentifierMatch", "goauthentikUser", "goauthentik.io/ldap/user"},
		{"objectIdentifierMatch", "1.3.6.1.4.1.26027.1.1.1", "goauthentik.io/ldap/user"},
		{"objectIdentifierMatch", "computer", "computer"},
		{"objectIdentifierMatch", " ", undefined},
		{"objectIdentifierFirstComponentMatch", "( 2.5.4.3 NAME 'cn' )", "2.5.4.3"},
		{"objectIdentifierFirstComponentMatch", "2.5.4.3", "2.5.4.3"},
		{"objectIdentifierFirstComponentMatch", " (\t2.5.4.3  NAME", "2.5.4.3"},
		{"objectIdentifierFirstComponentMatch", "( 2.5.4.3", "2.5.4.3"},
		{"objectIdentifierFirstComponentMatch", "(2.5.4.3 NAME", "(2.5.4.3 NAME"},
		{"objectIdentifierFirstComponentMatch", "( ", "( "},
		{"objectIdentifierFirstComponentMatch", "", undefined},
		{"uuidMatch", "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"},
		{"uuidMatch", "f81d4fae7dec11d0a76500a0c91e6bf6", undefined},
		{"uuidMatch", "f81d4fae-7dec-11d0-a765-00a0c91e6bfg", undefined},
		{"generalizedTimeMatch", "20260304050607Z", "20260304050607"},
		{"generalizedTimeMatch", "20260304050607.250Z", "20260304050607.25"},
		{"generalizedTimeMatch", "20260304050607,0Z", "20260304050607"},
		{"generalizedTimeMatch", "2026030405Z", "20260304050000"},
		{"generalizedTimeMatch", "2026030405.5Z", "20260304053000"},
		{"generalizedTimeMatch", "202603040506.5Z", "20260304050630"},
		{"generalizedTimeMatch", "20260304050607+0130", "20260304033607"},
		{"generalizedTimeMatch", "20260304050607-05", "20260304100607"},
		{"generalizedTimeMatch", "20261231235960Z", "20270101000000"},
		{"generalizedTimeMatch", "20260304050607", undefined},
		{"generalizedTimeMatch", "20260230050607Z", undefined},
		{"generalizedTimeMatch", "20260304050607.Z", undefined},
		{"generalizedTimeMatch", "20260304050607+9900", undefined},
		{"generalizedTimeMatch", "00000101000000+2300", undefined},
		{"generalizedTimeMatch", "", undefined},
		{"generalizedTimeMatch", "yesterday", undefined},
	} {
		got, ok := rule(t, tt.rule).Normalize([]byte("before "), []byte(tt.value))
		if !ok {
			got = []byte("before " + undefined)
		}
		want := tt.want
		if tt.value == "2.5.6.6" {
			want = "person"
		}
		if string(got) != "before "+want {
			t.Errorf("%s of %q: %q, want %q", tt.rule, tt.value, got, want)
		}
	}
}

func TestNormalizePiece(t *testing.T) {
	for _, tt := range []struct {
		piece                string
		initial, inner, last string
	}{
		{"Al", "al", "al", "al"},
		{" Al ", "al ", " al ", " al"},
		{"  A  l", "a l", " a l", " a l"},
		{"   ", "", " ", ""},
		{"", "", "", ""},
	} {
		for pos, want := range map[Position]string{Initial: tt.initial, Any: tt.inner, Final: tt.last} {
			got, ok := caseIgnoreSubstringsMatch.NormalizePiece([]byte("x"), []byte(tt.piece), pos)
			if !ok || string(got) != "x"+want {
				t.Errorf("%q at %d: %q %v, want %q", tt.piece, pos, got, ok, want)
			}
		}
	}
	if got, ok := telephoneNumberSubstrings.NormalizePiece(nil, []byte("30-1 2"), Any); !ok || string(got) != "3012" {
		t.Errorf("telephone: %q %v", got, ok)
	}
	for piece, want := range map[string]string{"  0 $ 8": " 0$8", " $8": "$8", "8 ": "8 ", "8$ ": "8$"} {
		if got, ok := caseIgnoreListSubstrings.NormalizePiece([]byte("x"), []byte(piece), Any); !ok || string(got) != "x"+want {
			t.Errorf("postal address: %q: %q %v, want %q", piece, got, ok, want)
		}
	}
	if _, ok := caseIgnoreSubstringsMatch.NormalizePiece(nil, []byte("\xff"), Any); ok {
		t.Error("a piece that is not UTF-8")
	}
	if _, ok := caseIgnoreMatch.Normalize(nil, []byte("\xff\xd8")); ok {
		t.Error("a directory string that is not UTF-8")
	}
	if got, ok := numericStringSubstrings.NormalizePiece(nil, []byte("  "), Any); !ok || len(got) != 0 {
		t.Errorf("blanks in a numeric string: %q %v", got, ok)
	}
	if _, ok := numericStringSubstrings.NormalizePiece(nil, []byte("x"), Any); ok {
		t.Error("a letter in a numeric string")
	}
	if _, ok := distinguishedNameMatch.NormalizePiece(nil, []byte("cn=a"), Initial); ok {
		t.Error("a piece of a DN")
	}
}

func TestCompare(t *testing.T) {
	for _, tt := range []struct {
		rule   string
		values []string // ascending
	}{
		{"integerOrderingMatch", []string{"-100", "-99", "-1", "0", "9", "10", "99999999999999999999"}},
		{"caseIgnoreOrderingMatch", []string{"a", "B", "b c", "ba", "C"}},
		{"generalizedTimeOrderingMatch", []string{"20251231235959Z", "20260101000000Z", "20260101000000.5Z", "20260101000001Z", "20260101010000+0000"}},
	} {
		r := rule(t, tt.rule)
		for i, a := range tt.values {
			for j, b := range tt.values {
				x, ok1 := r.Normalize(nil, []byte(a))
				y, ok2 := r.Normalize(nil, []byte(b))
				got := r.Compare(x, y)
				if !ok1 || !ok2 || got < 0 != (i < j) || got > 0 != (i > j) {
					t.Errorf("%s: %s and %s: %d", tt.rule, a, b, got)
				}
				if r.Matches(x, y) != (i < j) {
					t.Errorf("%s: %s before %s: %v", tt.rule, a, b, r.Matches(x, y))
				}
			}
		}
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		rule, value, assertion string
		want                   bool
	}{
		{"caseIgnoreMatch", "a", "a", true},
		{"caseIgnoreMatch", "a", "b", false},
		{"1.2.840.113556.1.4.803", "514", "2", true},
		{"1.2.840.113556.1.4.803", "514", "3", false},
		{"1.2.840.113556.1.4.804", "514", "3", true},
		{"1.2.840.113556.1.4.804", "512", "3", false},
		{"1.2.840.113556.1.4.804", "99999999999999999999", "3", false},
		{"1.2.840.113556.1.4.803", "9223372036854775807", "9223372036854775807", true},
		{"1.2.840.113556.1.4.803", "9223372036854775808", "1", false},
		{"1.2.840.113556.1.4.803", "-9223372036854775808", "-9223372036854775808", true},
		{"1.2.840.113556.1.4.804", "-1", "4", true},
		{"1.2.840.113556.1.4.1941", "cn=a", "cn=a", false},
		{"caseIgnoreSubstringsMatch", "a", "a", false},
	} {
		if got := rule(t, tt.rule).Matches([]byte(tt.value), []byte(tt.assertion)); got != tt.want {
			t.Errorf("%s: %s, %s: %v", tt.rule, tt.value, tt.assertion, got)
		}
	}
	cn, uidNumber, jpeg := Builtin().Type(CN), Builtin().Type(UIDNumber), &AttributeType{}
	for _, tt := range []struct {
		rule *Rule
		at   *AttributeType
		want bool
	}{
		{caseIgnoreMatch, cn, true}, {caseExactMatch, cn, true}, {integerMatch, cn, false},
		{bitAndMatch, uidNumber, true}, {caseIgnoreMatch, uidNumber, false}, {octetStringMatch, jpeg, false},
	} {
		if got := tt.rule.AppliesTo(tt.at); got != tt.want {
			t.Errorf("%s on %s: %v", tt.rule.Name, tt.at.Name, got)
		}
	}
}

func TestAppendTime(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 89, time.FixedZone("", 3600))
	if got := string(AppendTime([]byte("x"), at)); got != "x20260304040607Z" {
		t.Error(got)
	}
}

// FuzzNormalize: what has a normal form has one that is its own normal form,
// unless another grammar is used for it, or characters that are dropped stood
// between ones that belong together.
func FuzzNormalize(f *testing.F) {
	for _, v := range []string{"", " ", "Alice", "-01", "TRUE", "20260304050607.5+0130", "cn=a\\2cb+ou=C", "( 1.2 )", "a$ b", "ß", "A\u02d8", "\xff"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		text := utf8.ValidString(v) && !strings.ContainsFunc(v, unicode.IsControl)
		for _, r := range rules {
			norm, ok := r.Normalize(nil, []byte(v))
			if !ok || r.form == formTime || r.form == formFirst || !text {
				continue
			}
			again, ok := r.Normalize(nil, norm)
			if !ok || string(again) != string(norm) {
				t.Errorf("%s of %q: %q, then %q %v", r.Name, v, norm, again, ok)
			}
			for _, pos := range []Position{Initial, Any, Final} {
				r.NormalizePiece(nil, []byte(v), pos)
			}
		}
	})
}
