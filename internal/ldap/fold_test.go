package ldap

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

func TestFold(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"ASCII", "Alice Liddell", "alice liddell"},
		{"digits and signs stay", "a-1_@[`{~", "a-1_@[`{~"},
		{"sharp s", "Straße", "strasse"},
		{"capital sharp s", "STRAẞE", "strasse"},
		{"final sigma", "ΟΔΟΣ ὀδός", "οδοσ ὀδόσ"},
		{"dotted capital I", "İ", "i̇"},
		{"Kelvin sign", "\u212a", "k"},
		{"full-width", "Ａｌｉｃｅ", "alice"},
		{"ligature", "ﬁn", "fin"},
		{"roman numeral", "Ⅳ", "iv"},
		{"superscript", "m²", "m2"},
		{"combining, composed", "e\u0301", "é"},
		{"combining, capital", "E\u0301", "é"},
		{"marks in another order", "a\u0323\u0302", "ậ"},
		{"marks in the other order", "a\u0302\u0323", "ậ"},
		{"Hangul of parts", "\u1112\u1161\u11ab", "한"},
		{"Cherokee, small", "\uab70\u13f8", "\uab70\u13f8"},
		{"Cherokee, capital", "\u13a0\u13f0", "\uab70\u13f8"},
		{"leading and trailing spaces", "  bob  ", "bob"},
		{"inner spaces", "bob   the  builder", "bob the builder"},
		{"one space", " ", " "},
		{"only spaces", "     ", " "},
		{"tabs and newlines are spaces", "a\tb\r\n\v\fc", "a b c"},
		{"only a tab", "\t", " "},
		{"no-break space", "a\u00a0\u2003b\u3000", "a b"},
		{"ogham, line and paragraph separator, next line", "a\u1680b\u2028c\u2029d\u0085e", "a b c d e"},
		{"control characters", "a\x00b\x1fc\x7fd", "abcd"},
		{"only control characters", "\x01\x02", ""},
		{"control character between spaces", "a \x01 b", "a b"},
		{"C1 control characters", "é\u0080\u009f", "é"},
		{"control character before an accent", "e\x01\u0301", "é"},
		{"soft hyphen", "foo\u00adbar", "foobar"},
		{"zero width", "foo\u200b\u200d\ufeffbar", "foobar"},
		{"variation selector", "a\ufe0f\u180bb", "ab"},
		{"direction marks", "\u202ebob\u202c\u200f", "bob"},
		{"not UTF-8", "M\xfcLLER", "M\xfcLLER"},
		{"not UTF-8 stays apart", "\xff  A", "\xff  A"},
		{"cut UTF-8", "abC\xc3", "abC\xc3"},
		{"surrogate", "\xed\xa0\x80A", "\xed\xa0\x80A"},
		{"emoji", "🙂 A", "🙂 a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := []byte(tt.in)
			got := Fold([]byte("x "), in)
			if string(got) != "x "+tt.want {
				t.Errorf("%q, want %q", got[2:], tt.want)
			}
			if string(in) != tt.in {
				t.Errorf("the input became %q", in)
			}
			if again := Fold(nil, got[2:]); !bytes.Equal(again, got[2:]) {
				t.Errorf("again %q", again)
			}
		})
	}
	if string(Fold(nil, []byte("\xff"))) == string(Fold(nil, []byte("\xfe"))) {
		t.Error("two values that are not UTF-8 are equal")
	}
}

// Folding twice changes nothing, whatever the character and its neighbours.
func TestFoldEveryRune(t *testing.T) {
	var buf, once, twice []byte
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if r >= 0x20000 && r < 0xe0000 { // ideographs and what is not assigned
			continue
		}
		buf = utf8.AppendRune(buf[:0], r)
		buf = append(buf, "a"...)
		buf = utf8.AppendRune(buf, r)
		buf = append(buf, "\u0345\u0301"...)
		once = Fold(once[:0], buf)
		twice = Fold(twice[:0], once)
		if !bytes.Equal(once, twice) {
			t.Errorf("%U: %q, then %q", r, once, twice)
		}
	}
}

func TestFoldDoesNotAllocate(t *testing.T) {
	dst, s := make([]byte, 0, 64), []byte("  Alice   Liddell ")
	if a := testing.AllocsPerRun(100, func() { dst = Fold(dst[:0], s) }); a != 0 {
		t.Errorf("%v allocations for ASCII", a)
	}
}
