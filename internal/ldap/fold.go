package ldap

import (
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold appends the caseIgnore form of a string value (RFC 4518): NFKC, case
// folded, control characters dropped, leading and trailing spaces removed and
// inner runs of them made one. A value of nothing but spaces becomes one.
// Octets that are not UTF-8 stay as they are.
func Fold(dst, s []byte) []byte {
	for _, c := range s {
		if c >= 0x80 {
			s = norm.NFKC.Bytes(cases.Fold().Bytes(norm.NFKC.Bytes(s)))
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
