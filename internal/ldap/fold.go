package ldap

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold appends the caseIgnore form of a string value (RFC 4518): control and
// other ignorable characters dropped, NFKC, case folded, leading and trailing
// spaces removed and inner runs of them made one. A value of nothing but
// spaces becomes one. Octets that are not UTF-8 stay as they are, all of them.
func Fold(dst, s []byte) []byte {
	for _, c := range s {
		if c >= utf8.RuneSelf {
			if !utf8.Valid(s) {
				return append(dst, s...)
			}
			s = cases.Fold().Bytes(norm.NFKC.Bytes(mapRunes(s)))
			// Again for the joiners that norm puts into long runs of accents.
			s = norm.NFKC.Bytes(mapRunes(s))
			break
		}
	}
	start, space := len(dst), false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == ' ' || c >= '\t' && c <= '\r':
			space = true
			continue
		case c < ' ' || c == 0x7f:
			continue
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		if space && len(dst) > start {
			dst = append(dst, ' ')
		}
		space = false
		dst = append(dst, c)
	}
	if space && len(dst) == start {
		dst = append(dst, ' ')
	}
	return dst
}

// EqualFold reports that two values fold to one. It works in buf, and returns
// it, grown if need be, for the next time.
func EqualFold(buf, a, b []byte) (equal bool, room []byte) {
	if bytes.Equal(a, b) {
		return true, buf
	}
	buf = Fold(buf[:0], a)
	n := len(buf)
	buf = Fold(buf, b)
	return bytes.Equal(buf[:n], buf[n:]), buf
}

// mapRunes is the step Map of RFC 4518 (section 2.2). It goes before
// normalising, or what it drops could keep a letter from its accent.
func mapRunes(s []byte) []byte {
	out := make([]byte, 0, len(s))
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		switch {
		case ignorable(r):
		case r == 0x85 || unicode.Is(unicode.Z, r):
			out = append(out, ' ')
		// cases.Fold swaps the cases of Cherokee instead of joining them.
		case r >= 0x13a0 && r <= 0x13ef:
			out = utf8.AppendRune(out, r-0x13a0+0xab70)
		case r >= 0x13f0 && r <= 0x13f5:
			out = utf8.AppendRune(out, r+8)
		default:
			out = append(out, s[:n]...)
		}
		s = s[n:]
	}
	return out
}

// ignorable reports whether RFC 4518 section 2.2 maps r to nothing.
func ignorable(r rune) bool {
	switch {
	case r < ' ':
		return r < '\t' || r > '\r'
	case r >= 0x7f && r <= 0x9f:
		return r != 0x85
	case r == 0xad, r == 0x34f, r == 0x6dd, r == 0x70f, r == 0x1806,
		r >= 0x180b && r <= 0x180e, r >= 0x200b && r <= 0x200f,
		r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x2063,
		r >= 0x206a && r <= 0x206f, r >= 0xfe00 && r <= 0xfe0f, r == 0xfeff,
		r >= 0xfff9 && r <= 0xfffc, r >= 0x1d173 && r <= 0x1d17a,
		r == 0xe0001, r >= 0xe0020 && r <= 0xe007f:
		return true
	}
	return false
}
