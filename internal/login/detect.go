package login

import (
	"bytes"
	"strings"

	"ldapd/internal/ldap"
	"ldapd/internal/schema"
	"ldapd/internal/secret"
)

// Search is a login search: somebody typed a login name into a program, and
// the program looks up by its service account whose it is.
//
// A search is one if it is no base read, if the equality assertions on login
// attributes all have one value, if no substring assertion has that value as
// a piece (a search in a share dialog has), and if it finds at most one entry.
// What stands below a not names nobody, so it is not looked at. For viewers
// that may not read the whole tree there are no login searches.
//
// A value that ends in a code, and that no entry has as it is, stands for the
// name before the code: the search finds what it would find for that name.
type Search struct {
	Name string        // as the client wrote it, without the code
	Code secret.String // empty: none
	Base string        // base DN of the tree
	User string        // UUID of the user that was found; empty: none, or another entry
}

// Config says what login searches look like.
type Config struct {
	Attributes []string // that a login name is looked up by; none: there are no login searches
	Separator  string   // between a login name and a code; empty: codes are not looked for
}

// MaxName bounds the name that is kept of a login search, in octets. What
// characters the rules of matching ignore make it any length.
const MaxName = 1 << 10

// Detector knows login searches by their filters. It is safe for concurrent use.
type Detector struct {
	builtin []bool   // of the attributes of Config, by ID
	others  []string // custom types, where a tree has them
}

// NewDetector returns a Detector. No attribute that is secret is a login
// attribute.
func NewDetector(cfg Config) *Detector {
	d := &Detector{builtin: make([]bool, len(schema.Builtin().Types()))}
	for _, name := range cfg.Attributes {
		at, ok := schema.Builtin().Lookup([]byte(name))
		switch {
		case !ok:
			d.others = append(d.others, name)
		case !at.Secret:
			d.builtin[at.ID] = true
		}
	}
	return d
}

// Has says whether a description, and what the schema has for it, is a login
// attribute. at is nil if the schema has nothing.
func (d *Detector) Has(at *schema.AttributeType, desc []byte) bool {
	if at != nil && !at.Custom {
		return d.builtin[at.ID]
	}
	if at == nil {
		desc, _, _ = bytes.Cut(desc, []byte{';'})
	}
	for _, name := range d.others {
		if at != nil && strings.EqualFold(at.Name, name) || at == nil && len(desc) == len(name) && strings.EqualFold(string(desc), name) {
			return true
		}
	}
	return false
}

// Value returns what a filter asserts of login attributes, if that makes it one
// of a login search: the value of the equality assertions on them, or nil if
// there are none, if they differ, if it is longer than MaxName, or if it is a
// piece of a substring assertion. typeOf returns what the schema has for the
// attribute of an equality assertion, by the index of its term, nil for none.
func (d *Detector) Value(f ldap.Filter, typeOf func(term int) *schema.AttributeType) []byte {
	var (
		room   [256]byte
		buf    = room[:0]
		value  []byte
		pieces bool
		same   bool
	)
	for i := 0; i < len(f); i++ {
		switch f[i].Op {
		case ldap.FilterNot:
			i = f[i].Next - 1
		case ldap.FilterSubstrings:
			pieces = true
		case ldap.FilterEqual:
			if !d.Has(typeOf(i), f[i].Attr) {
				continue
			}
			if value == nil {
				value = f[i].Value
			} else if same, buf = ldap.EqualFold(buf, f[i].Value, value); !same {
				return nil
			}
		}
	}
	if len(value) > MaxName { // before it is held against pieces, each of which would cost its length
		return nil
	}
	if value == nil || !pieces {
		return value
	}
	for i := 0; i < len(f); i++ {
		switch f[i].Op {
		case ldap.FilterNot:
			i = f[i].Next - 1
		case ldap.SubInitial, ldap.SubAny, ldap.SubFinal:
			if same, buf = ldap.EqualFold(buf, f[i].Value, value); same {
				return nil
			}
		}
	}
	return value
}
