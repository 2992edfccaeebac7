package daemon

import (
	"bytes"

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
// without an attr, of a DN.
func (r *redactor) redact(attr, value []byte) []byte {
	if len(attr) == 0 {
		return r.dn(value)
	}
	if at, ok := r.schema.Lookup(attr); ok && at.Secret {
		return []byte(hidden)
	}
	if masked, ok := r.mask(string(value)); ok {
		return []byte(masked)
	}
	if bytes.Contains(value, []byte(r.separator)) && bytes.IndexByte(value, '=') >= 0 {
		return r.dn(value)
	}
	return value
}

func (r *redactor) dn(value []byte) []byte {
	sep := bytes.Index(value, []byte(r.separator))
	escape := bytes.IndexByte(value, '\\') // the separator may be written so
	if sep < 0 && escape < 0 {
		return value
	}
	dn, err := ldap.ParseDN(string(value))
	if err != nil {
		cut := sep
		if cut < 0 || escape >= 0 && escape < cut {
			cut = escape
		}
		return append(value[:cut:cut], hidden...)
	}
	found := false
	for _, rdn := range dn {
		for i := range rdn {
			if masked, ok := r.mask(rdn[i].Value); ok {
				rdn[i].Value, found = masked, true
			}
		}
	}
	if !found {
		return value
	}
	return []byte(dn.String())
}

// mask hides a code at the end. A piece of a substring filter may begin with
// the separator, which is no login name with a code.
func (r *redactor) mask(s string) (string, bool) {
	const any = "x"
	head, _, ok := mfa.Split(any+s, r.separator)
	if !ok {
		return s, false
	}
	return head[len(any):] + r.separator + hidden, true
}
