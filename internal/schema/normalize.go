package schema

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"ldapd/internal/ldap"
)

// form is a way to normalise values. Each append a normal form that is equal
// for equal values, and tell whether the value has one.
type form uint8

const (
	formIgnore form = iota
	formExact
	formNumeric
	formTelephone
	formList
	formDN
	formInteger
	formBoolean
	formTime
	formOctets
	formOID
	formFirst
	formUUID
)

// A directory string is UTF-8 of at least one character (RFC 4517 section
// 3.3.6).
func normIgnore(dst, value []byte) ([]byte, bool) {
	if !utf8.Valid(value) {
		return dst, false
	}
	start := len(dst)
	dst = ldap.Fold(dst, value)
	return dst, len(dst) > start
}

// normExact is the string preparation of RFC 4518 without case folding. Beyond
// ASCII it does not drop what that maps to nothing, such as soft hyphens.
func normExact(dst, value []byte) ([]byte, bool) {
	if !utf8.Valid(value) {
		return dst, false
	}
	for _, c := range value {
		if c >= 0x80 {
			value = norm.NFKC.Bytes(value)
			break
		}
	}
	start, space := len(dst), false
	for _, c := range value {
		switch {
		case c == ' ' || c >= '\t' && c <= '\r':
			space = true
			continue
		case c < ' ' || c == 0x7f:
			continue
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
	return dst, len(dst) > start
}

func normNumeric(dst, value []byte) ([]byte, bool) {
	start := len(dst)
	for _, c := range value {
		switch {
		case isDigit(c):
			dst = append(dst, c)
		case c != ' ':
			return dst[:start], false
		}
	}
	return dst, len(dst) > start
}

// normTelephone drops spaces and hyphens (RFC 4518 section 2.6.3).
func normTelephone(dst, value []byte) ([]byte, bool) {
	start := len(dst)
	dst = dropBlanks(ldap.Fold(dst, value), start)
	if bytes.ContainsFunc(dst[start:], func(r rune) bool { return r >= 0x80 }) {
		// What stood apart may be one character now: "a", blank, breve.
		dst = dropBlanks(ldap.Fold(dst[:start], bytes.Clone(dst[start:])), start)
	}
	return dst, len(dst) > start
}

func dropBlanks(b []byte, start int) []byte {
	kept := b[:start]
	for _, c := range b[start:] {
		if c != ' ' && c != '-' {
			kept = append(kept, c)
		}
	}
	return kept
}

// normList folds each line of a postal address.
func normList(dst, value []byte) ([]byte, bool) {
	start := len(dst)
	for {
		line, rest, more := bytes.Cut(value, []byte{'$'})
		dst = ldap.Fold(dst, line)
		if !more {
			return dst, len(dst) > start
		}
		dst = append(dst, '$')
		value = rest
	}
}

func normDN(dst, value []byte) ([]byte, bool) {
	dst, err := ldap.NormalizeDN(dst, value)
	return dst, err == nil
}

// normInteger gives a decimal without leading zeros, and "-" only before
// something other than zero.
func normInteger(dst, value []byte) ([]byte, bool) {
	digits := value
	neg := len(digits) > 0 && digits[0] == '-'
	if neg {
		digits = digits[1:]
	}
	if len(digits) == 0 {
		return dst, false
	}
	for _, c := range digits {
		if !isDigit(c) {
			return dst, false
		}
	}
	for len(digits) > 1 && digits[0] == '0' {
		digits = digits[1:]
	}
	if neg && digits[0] != '0' {
		dst = append(dst, '-')
	}
	return append(dst, digits...), true
}

// normBoolean ignores case: authentik serves TRUE on users and true on
// groups.
func normBoolean(dst, value []byte) ([]byte, bool) {
	switch {
	case bytes.EqualFold(value, []byte("TRUE")):
		return append(dst, "TRUE"...), true
	case bytes.EqualFold(value, []byte("FALSE")):
		return append(dst, "FALSE"...), true
	}
	return dst, false
}

// normOID gives the lower-case name under which an object class is served,
// whichever of its names or its OID the value is. Other identifiers are only
// lower-cased: an unknown class is one that no entry has, so that
// (!(objectClass=computer)) is true here as it is with authentik and Active
// Directory, where RFC 4517 section 4.2.26 would have it Undefined.
func normOID(dst, value []byte) ([]byte, bool) {
	start := len(dst)
	for _, c := range bytes.TrimSpace(value) {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	if name, ok := servedClass[string(dst[start:])]; ok {
		dst = append(dst[:start], name...)
	}
	return dst, len(dst) > start
}

// normFirst compares a definition by its OID. It reads no further than that:
// a definition may be long.
func normFirst(dst, value []byte) ([]byte, bool) {
	if rest := dropSpaces(value); len(rest) > 1 && rest[0] == '(' && isSpace(rest[1]) {
		oid := dropSpaces(rest[1:])
		end := 0
		for end < len(oid) && !isSpace(oid[end]) {
			end++
		}
		if end > 0 {
			value = oid[:end]
		}
	}
	return append(dst, value...), len(value) > 0
}

func dropSpaces(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	return b
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func normUUID(dst, value []byte) ([]byte, bool) {
	if len(value) != 36 {
		return dst, false
	}
	start := len(dst)
	for i, c := range value {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return dst[:start], false
			}
		} else {
			if c >= 'A' && c <= 'F' {
				c += 'a' - 'A'
			}
			if !isDigit(c) && (c < 'a' || c > 'f') {
				return dst[:start], false
			}
		}
		dst = append(dst, c)
	}
	return dst, true
}
