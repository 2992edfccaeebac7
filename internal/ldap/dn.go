package ldap

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf8"

	"ldapd/internal/ber"
)

// DN is a distinguished name, most specific RDN first (RFC 4514).
type DN []RDN

// RDN is one or more attribute values that together name an entry among its
// siblings.
type RDN []AVA

// AVA is one attribute type and value. The value is unescaped.
type AVA struct{ Type, Value string }

// ErrDN is what every failure to parse a DN unwraps to.
var ErrDN = &Error{Code: ResultInvalidDNSyntax, Message: "invalid DN"}

// ParseDN parses the string form of a DN. Beyond RFC 4514 it accepts spaces
// around separators and an unescaped ';' inside a value, where clients put a
// code behind the login name.
func ParseDN(s string) (DN, error) {
	var dn DN
	var rdn RDN
	p := dnParser{s: []byte(s)}
	for p.more() {
		typ, value, last, err := p.ava()
		if err != nil {
			return nil, err
		}
		rdn = append(rdn, AVA{string(typ), string(value)})
		if last {
			dn = append(dn, rdn)
			rdn = nil
		}
	}
	if p.pending {
		return nil, ErrDN
	}
	return dn, nil
}

// NormalizeDN appends the form of the DN that is equal for equal names: types
// lower-case and by their short names, values folded, the parts of an RDN in
// order, one way of escaping, no spaces around separators. It is itself a DN.
func NormalizeDN(dst, s []byte) ([]byte, error) {
	p := dnParser{s: s}
	start, rdn, avas := len(dst), len(dst), 0
	for p.more() {
		typ, value, last, err := p.ava()
		if err != nil {
			return dst[:start], err
		}
		dst = appendType(dst, typ)
		dst = append(dst, '=')
		if p.plain {
			for _, c := range value {
				if c >= 'A' && c <= 'Z' {
					c += 'a' - 'A'
				}
				dst = append(dst, c)
			}
		} else {
			dst = appendEscaped(dst, Fold(nil, value))
		}
		avas++
		if !last {
			dst = append(dst, '+')
			continue
		}
		if avas > 1 {
			sortRDN(dst[rdn:])
		}
		if p.more() {
			dst = append(dst, ',')
		}
		rdn, avas = len(dst), 0
	}
	if p.pending {
		return dst[:start], ErrDN
	}
	return dst, nil
}

// sortRDN puts the AVAs of a normalised multi-valued RDN in byte order.
func sortRDN(b []byte) {
	var avas [][]byte
	start := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '+':
			avas = append(avas, b[start:i])
			start = i + 1
		}
	}
	avas = append(avas, b[start:])
	slices.SortFunc(avas, bytes.Compare)
	copy(b, bytes.Join(avas, []byte{'+'}))
}

// String returns the RFC 4514 form.
func (d DN) String() string {
	var b []byte
	for i, rdn := range d {
		if i > 0 {
			b = append(b, ',')
		}
		b = rdn.append(b)
	}
	return string(b)
}

// String returns the RFC 4514 form.
func (r RDN) String() string { return string(r.append(nil)) }

func (r RDN) append(b []byte) []byte {
	for i, ava := range r {
		if i > 0 {
			b = append(b, '+')
		}
		b = append(b, ava.Type...)
		b = append(b, '=')
		b = appendEscaped(b, []byte(ava.Value))
	}
	return b
}

// appendEscaped escapes a value as RFC 4514 section 2.4 says. What is not
// UTF-8 becomes hex pairs, since a DN on the wire is UTF-8.
func appendEscaped(dst, v []byte) []byte {
	const digits = "0123456789abcdef"
	valid := utf8.Valid(v)
	for i, c := range v {
		switch {
		case c < ' ' || c == 0x7f || c > 0x7f && !valid:
			dst = append(dst, '\\', digits[c>>4], digits[c&15])
		case c == ',' || c == '+' || c == '"' || c == '\\' || c == '<' || c == '>' || c == ';',
			c == '#' && i == 0,
			c == ' ' && (i == 0 || i == len(v)-1):
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendType appends an attribute type, lower-case and by the short name that
// RFC 4519 gives it, so that cn, CommonName and 2.5.4.3 are one.
func appendType(dst, typ []byte) []byte {
	start := len(dst)
	for _, c := range typ {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	name := dst[start:]
	if len(name) > 4 && string(name[:4]) == "oid." && name[4] >= '0' && name[4] <= '9' {
		dst = append(dst[:start], name[4:]...)
		name = dst[start:]
	}
	if short := shortType(name); short != "" {
		dst = append(dst[:start], short...)
	}
	return dst
}

func shortType(name []byte) string {
	switch string(name) {
	case "commonname", "2.5.4.3":
		return "cn"
	case "surname", "2.5.4.4":
		return "sn"
	case "countryname", "2.5.4.6":
		return "c"
	case "localityname", "2.5.4.7":
		return "l"
	case "stateorprovincename", "2.5.4.8":
		return "st"
	case "streetaddress", "2.5.4.9":
		return "street"
	case "organizationname", "2.5.4.10":
		return "o"
	case "organizationalunitname", "2.5.4.11":
		return "ou"
	case "userid", "0.9.2342.19200300.100.1.1":
		return "uid"
	case "domaincomponent", "0.9.2342.19200300.100.1.25":
		return "dc"
	case "rfc822mailbox", "0.9.2342.19200300.100.1.3":
		return "mail"
	}
	return ""
}

// maxAVAs bounds the parts of a DN: each costs far more than its octets.
const maxAVAs = 256

// dnParser takes a DN apart, one AVA at a time.
type dnParser struct {
	s       []byte
	pos     int
	pending bool // a separator was read, so the end would be an error
	avas    int
	plain   bool // the last value is printable ASCII without escapes or double spaces
}

func (p *dnParser) more() bool {
	if p.pos == 0 {
		p.skipSpaces()
	}
	return p.pos < len(p.s)
}

func (p *dnParser) skipSpaces() {
	for p.pos < len(p.s) && p.s[p.pos] == ' ' {
		p.pos++
	}
}

// ava reads one type and value; last says that it ends its RDN.
func (p *dnParser) ava() (typ, value []byte, last bool, err error) {
	p.skipSpaces()
	start := p.pos
	for p.pos < len(p.s) && isTypeByte(p.s[p.pos]) {
		p.pos++
	}
	typ = p.s[start:p.pos]
	p.skipSpaces()
	if p.avas++; p.avas > maxAVAs {
		return nil, nil, false, ErrDN
	}
	if len(typ) == 0 || p.pos == len(p.s) || p.s[p.pos] != '=' {
		return nil, nil, false, ErrDN
	}
	p.pos++
	p.skipSpaces()
	if value, err = p.value(); err != nil {
		return nil, nil, false, err
	}
	p.pending = p.pos < len(p.s)
	last = !p.pending || p.s[p.pos] == ','
	p.pos++
	return typ, value, last, nil
}

func isTypeByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_'
}

// value reads up to the next separator and leaves pos on it. It refers to the
// input where nothing is escaped.
func (p *dnParser) value() ([]byte, error) {
	if p.pos < len(p.s) && p.s[p.pos] == '#' {
		return p.hexValue()
	}
	start, escaped := p.pos, false
	p.plain = true
scan:
	for ; p.pos < len(p.s); p.pos++ {
		switch c := p.s[p.pos]; {
		case c == ',' || c == '+':
			break scan
		case c == '\\':
			escaped, p.plain = true, false
			p.pos++
			if p.pos == len(p.s) {
				return nil, ErrDN
			}
		case c == '"' || c == 0:
			return nil, ErrDN
		case c < ' ' || c >= 0x7f || c == '<' || c == '>' || c == ';',
			c == ' ' && p.pos > start && p.s[p.pos-1] == ' ':
			p.plain = false
		}
	}
	raw := p.s[start:p.pos]
	if !escaped {
		raw = bytes.TrimRight(raw, " ")
		return raw, nil
	}
	return unescape(raw)
}

// unescape resolves the escapes of RFC 4514 section 2.4 and drops trailing
// spaces that are not escaped.
func unescape(raw []byte) ([]byte, error) {
	out := make([]byte, 0, len(raw))
	keep := 0
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '\\' {
			out = append(out, c)
			if c != ' ' {
				keep = len(out)
			}
			continue
		}
		i++ // value made sure that a byte follows
		if strings.IndexByte(" \"#+,;<=>\\", raw[i]) >= 0 {
			out = append(out, raw[i])
			keep = len(out)
			continue
		}
		if i+1 >= len(raw) {
			return nil, ErrDN
		}
		var b [1]byte
		if _, err := hex.Decode(b[:], raw[i:i+2]); err != nil {
			return nil, ErrDN
		}
		out = append(out, b[0])
		keep = len(out)
		i++
	}
	return out[:keep], nil
}

// hexValue reads "#" and the hexadecimal BER encoding of a string.
func (p *dnParser) hexValue() ([]byte, error) {
	p.plain = false
	start := p.pos + 1
	for p.pos < len(p.s) && p.s[p.pos] != ',' && p.s[p.pos] != '+' {
		p.pos++
	}
	raw := bytes.TrimRight(p.s[start:p.pos], " ")
	der := make([]byte, hex.DecodedLen(len(raw)))
	if _, err := hex.Decode(der, raw); err != nil {
		return nil, ErrDN
	}
	r := ber.NewReader(der)
	_, content, err := r.Next()
	if err != nil || !r.Empty() {
		return nil, ErrDN
	}
	return content, nil
}

// ParentDN returns the normalised name above a normalised one, and false for
// the empty name, which has none.
func ParentDN(norm []byte) ([]byte, bool) {
	for i := 0; i < len(norm); i++ {
		switch norm[i] {
		case '\\':
			i++
		case ',':
			return norm[i+1:], true
		}
	}
	return nil, len(norm) > 0
}
