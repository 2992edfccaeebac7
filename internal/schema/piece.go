package schema

import (
	"bytes"
	"unicode/utf8"
)

// Position is the place of a piece in a substring assertion.
type Position uint8

const (
	Initial Position = iota
	Any
	Final
)

// NormalizePiece appends the normal form of one piece of a substring
// assertion, to be looked for in values normalised by the same rule: there
// the initial piece is a prefix, the final one a suffix, and the others
// follow each other in between. Unlike a whole value a piece keeps one space
// at an end that is not an end of the value (RFC 4518 section 2.6.1), and may
// be empty.
func (r *Rule) NormalizePiece(dst, piece []byte, pos Position) ([]byte, bool) {
	switch r.form {
	case formIgnore, formExact, formList:
	case formDN, formInteger, formBoolean, formTime, formOID, formFirst, formUUID:
		return dst, false // their values have no parts
	default:
		out, ok := r.Normalize(dst, piece)
		return out, ok || len(bytes.Trim(piece, " ")) == 0 || r.form == formTelephone
	}
	if !utf8.Valid(piece) {
		return dst, false
	}
	start := len(dst)
	if pos != Initial && len(piece) > 0 && piece[0] == ' ' {
		dst = append(dst, ' ')
	}
	body := len(dst)
	dst, _ = r.Normalize(dst, piece)
	if len(dst) == body+1 && dst[body] == ' ' { // nothing but spaces
		dst = dst[:start]
		if pos == Any {
			dst = append(dst, ' ')
		}
		return dst, true
	}
	if pos != Final && len(dst) > body && piece[len(piece)-1] == ' ' {
		dst = append(dst, ' ')
	}
	if r.form == formList {
		dst = trimLines(dst, start)
	}
	return dst, true
}

// trimLines drops the blanks that were kept of a piece of a postal address
// where they stand at an end of a line, as lines have none there.
func trimLines(piece []byte, start int) []byte {
	if p := bytes.TrimLeft(piece[start:], " "); len(p) > 0 && p[0] == '$' {
		piece = append(piece[:start], p...)
	}
	if p := bytes.TrimRight(piece[start:], " "); len(p) > 0 && p[len(p)-1] == '$' {
		piece = piece[:start+len(p)]
	}
	return piece
}
