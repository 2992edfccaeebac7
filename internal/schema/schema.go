// Package schema knows attribute types, matching rules and object classes
// (RFC 4512, 4517, 4519, 2307, 2798 and what authentik's LDAP outpost serves)
// and prints them as the values of the subschema entry.
package schema

import (
	"slices"
	"strings"
)

// AttributeType is one attribute type (RFC 4512 section 2.5). It is immutable.
type AttributeType struct {
	ID      uint16 // dense: an index into Schema.Types
	Name    string // as it is served
	Aliases []string
	OID     string // empty for some secret types
	Syntax  string // OID of the syntax

	// A nil rule makes an assertion that needs it Undefined.
	Equality, Ordering, Substr *Rule

	SingleValue bool
	NoUserMod   bool
	Operational bool // left out of "*", except where WithUser is set
	WithUser    bool // operational, yet sent for "*" as authentik does
	NameLike    bool // substrings are indexed
	PrefixLike  bool // initial substrings are indexed
	Binary      bool // the value is not text
	Secret      bool // never served
	Custom      bool // made by With

	altOIDs []string // other OIDs it is found by
}

// InStar reports whether "*" asks for the attribute.
func (at *AttributeType) InStar() bool { return !at.Operational || at.WithUser }

// Links reports whether values name entries, so that the in-chain rule can
// follow them.
func (at *AttributeType) Links() bool {
	return !at.Operational && at.Equality != nil && at.Equality.form == formDN
}

// Schema is a set of attribute types. It is immutable and safe for
// concurrent use.
type Schema struct {
	types  []*AttributeType
	byName map[string]*AttributeType // lower-case names, aliases and OIDs
	extra  []string                  // canonical names that the directory's own classes allow besides the built-in ones
}

// maxName bounds the names that Lookup looks at, in bytes. No attribute has a
// longer one.
const maxName = 128

var builtin = newSchema()

// Builtin returns the schema without custom attributes.
func Builtin() *Schema { return builtin }

func newSchema() *Schema {
	s := &Schema{byName: make(map[string]*AttributeType, 3*len(attributes))}
	for i := range attributes {
		s.add(&attributes[i])
	}
	return s
}

func (s *Schema) add(at *AttributeType) {
	at.ID = uint16(len(s.types))
	s.types = append(s.types, at)
	for _, names := range [][]string{{at.Name, at.OID}, at.Aliases, at.altOIDs} {
		for _, name := range names {
			if name != "" {
				s.byName[strings.ToLower(name)] = at
			}
		}
	}
}

// Types returns all attribute types by ID. The caller must not change it.
func (s *Schema) Types() []*AttributeType { return s.types }

// Type returns the attribute type with an ID of this schema.
func (s *Schema) Type(id uint16) *AttributeType { return s.types[id] }

// Lookup finds an attribute type by name, alias or OID, ignoring case and any
// options behind a ';'. It does not allocate.
func (s *Schema) Lookup(desc []byte) (*AttributeType, bool) {
	var buf [maxName]byte
	n := 0
	for _, c := range desc {
		if c == ';' {
			break
		}
		if n == len(buf) {
			return nil, false
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[n] = c
		n++
	}
	at, ok := s.byName[string(buf[:n])]
	return at, ok
}

// With returns the schema extended by the custom attributes of a directory:
// each name that is not known becomes a case-insensitive, multi-valued
// directory string, and each name, known or not, is allowed in users and
// groups. Names that ValidName refuses, secret and operational ones are left
// out. The order of names does not matter. IDs of built-in types stay; those
// of custom types depend on the set of names.
func (s *Schema) With(names []string) *Schema {
	if len(names) == 0 {
		return s
	}
	names = slices.Clone(names)
	slices.Sort(names)
	out := &Schema{
		types:  slices.Clone(s.types),
		byName: make(map[string]*AttributeType, len(s.byName)+2*len(names)),
		extra:  slices.Clone(s.extra),
	}
	for name, at := range s.byName {
		out.byName[name] = at
	}
	for _, name := range names {
		if !ValidName(name) {
			continue
		}
		at, ok := out.byName[strings.ToLower(name)]
		if !ok {
			if len(out.types) > maxTypes {
				continue
			}
			at = customType(name)
			out.add(at)
		}
		if !at.Secret && !at.Operational {
			out.extra = append(out.extra, at.Name)
		}
	}
	slices.Sort(out.extra)
	out.extra = slices.Compact(out.extra)
	return out
}

// maxTypes bounds the number of attribute types, so that an ID fits.
const maxTypes = 1<<16 - 2

// ValidName reports whether a name can be that of an attribute: a letter,
// then letters, digits, '-' and '_' (which RFC 4512 lacks and authentik's
// users need), at most 128 bytes.
func ValidName(name string) bool {
	if name == "" || len(name) > maxName || !isAlpha(name[0]) {
		return false
	}
	for i := 1; i < len(name); i++ {
		if c := name[i]; !isAlpha(c) && !isDigit(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func isAlpha(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// Custom returns the names that With allows in users and groups, in order.
// The caller must not change them.
func (s *Schema) Custom() []string { return s.extra }
