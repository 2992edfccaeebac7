package authentiktest

import (
	"strings"
)

// pair is one parameter of a query string.
type pair struct{ name, value string }

// parseQuery parses as Django's QueryDict does: of a repeated name the last
// value counts, at the first one's place.
func parseQuery(raw string) []pair {
	var out []pair
next:
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		p := pair{unquotePlus(name), unquotePlus(value)}
		for i := range out {
			if out[i].name == p.name {
				out[i].value = p.value
				continue next
			}
		}
		out = append(out, p)
	}
	return out
}

// urlencode is Python's function of that name.
func urlencode(pairs []pair) string {
	parts := make([]string, len(pairs))
	for i, p := range pairs {
		parts[i] = quotePlus(p.name) + "=" + quotePlus(p.value)
	}
	return strings.Join(parts, "&")
}

func quotePlus(text string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("_.-~", c) >= 0:
			b.WriteByte(c)
		case c == ' ':
			b.WriteByte('+')
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// unquotePlus leaves broken escapes alone, as Python does.
func unquotePlus(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '+' {
			c = ' '
		} else if c == '%' && i+2 < len(text) {
			hi, lo := unhex(text[i+1]), unhex(text[i+2])
			if hi >= 0 && lo >= 0 {
				c = byte(hi<<4 | lo)
				i += 2
			}
		}
		b.WriteByte(c)
	}
	return strings.ToValidUTF8(b.String(), "\ufffd")
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
