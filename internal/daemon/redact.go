package daemon

import (
	"bytes"
	"encoding/hex"
	"strings"

	"ldapd/internal/ldap"
	"ldapd/internal/mfa"
	"ldapd/internal/schema"
)

// redactor hides from the log what is a credential: one-time codes behind
// login names, and passwords that somebody searches for or compares.
type redactor struct {
	separator string
	schema    *schema.Schema
}

// hidden needs no escape in a DN or filter.
const hidden = "[hidden]"

// redact returns what may be shown of the value that is asserted of attr, or,
// without an attr, of a DN or of a piece of a substring assertion. A code is
// looked for in the values of every attribute: clients put login names into
// more filters than those that log in, and into DNs in them.
func (r *redactor) redact(attr, value []byte) []byte {
	if len(attr) > 0 {
		if at, ok := r.schema.Lookup(attr); ok && at.Secret {
			return []byte(hidden)
		}
	}
	sep := bytes.Index(value, []byte(r.separator))
	escape := bytes.IndexByte(value, '\\') // the separator may be written so
	if sep < 0 && escape < 0 && !bytes.Contains(value, []byte("=#")) {
		return value
	}
	dn, err := ldap.ParseDN(string(value))
	if err == nil {
		if r.maskDN(dn) {
			return []byte(dn.String())
		}
	} else if len(attr) == 0 && (sep >= 0 || escape >= 0) {
		cut := sep
		if cut < 0 || escape >= 0 && escape < cut {
			cut = escape
		}
		return append(value[:cut:cut], hidden...)
	}
	if masked, ok := r.mask(string(value)); ok {
		return []byte(masked)
	}
	if escape >= 0 {
		if _, ok := r.mask(unescape(value[escape:])); ok {
			return append(value[:escape:escape], hidden...)
		}
	}
	return value
}

// maskDN hides codes in a DN, and says whether there were any.
func (r *redactor) maskDN(dn ldap.DN) (found bool) {
	for _, rdn := range dn {
		for i := range rdn {
			if masked, ok := r.mask(rdn[i].Value); ok {
				rdn[i].Value, found = masked, true
			}
		}
	}
	return found
}

// mask hides codes behind a separator: at the end, or in front of what cannot
// be part of a code, as in a login filter with "%uid@example.org".
func (r *redactor) mask(s string) (masked string, found bool) {
	var out strings.Builder
	rest := s
	for {
		i := strings.Index(rest, r.separator)
		if i < 0 {
			break
		}
		i += len(r.separator)
		out.WriteString(rest[:i])
		rest = rest[i:]
		end := strings.IndexFunc(rest, func(c rune) bool {
			return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
		})
		if end < 0 {
			end = len(rest)
		}
		// Any name will do: a piece of a substring may begin with the separator.
		if _, _, ok := mfa.Split("x"+r.separator+rest[:end], r.separator); ok {
			out.WriteString(hidden)
			rest, found = rest[end:], true
		}
	}
	if !found {
		return s, false
	}
	return out.String() + rest, true
}

// unescape undoes the escapes of a DN (RFC 4514 section 2.4), in what may be
// none.
func unescape(s []byte) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			var c [1]byte
			if i+2 < len(s) {
				if _, err := hex.Decode(c[:], s[i+1:i+3]); err == nil {
					out = append(out, c[0])
					i += 2
					continue
				}
			}
			i++
		}
		out = append(out, s[i])
	}
	return string(out)
}
