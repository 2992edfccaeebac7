package search

import (
	"bytes"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/schema"
)

// selection is what a search wants to be told of each entry (RFC 4511 section
// 4.5.1.8).
type selection struct {
	user        bool // all user attributes
	operational bool // all operational attributes (RFC 3673)
	typesOnly   bool
	named       []uint64 // bit set of the IDs of those asked for by name
	some        bool     // named is not empty
	types       []byte   // scratch: what is sent of an entry with typesOnly
}

func (s *selection) set(sch *schema.Schema, req *ldap.SearchRequest) {
	words := (len(sch.Types()) + 63) / 64
	if cap(s.named) < words {
		s.named = make([]uint64, words)
	}
	s.named = s.named[:words]
	clear(s.named)
	s.some, s.operational, s.typesOnly = false, false, req.TypesOnly
	s.user = len(req.Attributes) == 0
	for _, list := range req.Attributes {
		// Some clients put all names in one string.
		for name := range bytes.SplitSeq(list, []byte{','}) {
			s.add(sch, name)
		}
	}
}

func (s *selection) add(sch *schema.Schema, name []byte) {
	switch string(name) {
	case "*":
		s.user = true
	case "+":
		s.operational = true
	default:
		// What is not known, "1.1" and Nextcloud's empty name among it, asks
		// for nothing.
		if at, ok := sch.Lookup(name); ok {
			s.named[at.ID/64] |= 1 << (at.ID % 64)
			s.some = true
		}
	}
}

func (s *selection) wants(at *schema.AttributeType) bool {
	switch {
	case at.Secret:
		return false
	case s.user && (!at.Operational || at.WithUser), s.operational && at.Operational:
		return true
	}
	return s.named[at.ID/64]&(1<<(at.ID%64)) != 0
}

// append appends the SearchResultEntry for an entry.
func (s *selection) append(dst []byte, id int32, e directory.Entry) []byte {
	if s.typesOnly {
		s.types = s.types[:0]
		for a := range e.Attrs() {
			if s.wants(a.Type) {
				s.types = a.AppendType(s.types)
			}
		}
		dst = ldap.AppendEntryHeader(dst, id, e.EncodedDN(), len(s.types))
		return append(dst, s.types...)
	}
	if !s.some && !s.operational {
		if !s.user {
			return ldap.AppendEntryHeader(dst, id, e.EncodedDN(), 0)
		}
		dst = ldap.AppendEntryHeader(dst, id, e.EncodedDN(), e.UserSize())
		return e.AppendUser(dst)
	}
	size := 0
	for a := range e.Attrs() {
		if s.wants(a.Type) {
			size += a.Size()
		}
	}
	dst = ldap.AppendEntryHeader(dst, id, e.EncodedDN(), size)
	for a := range e.Attrs() {
		if s.wants(a.Type) {
			dst = a.Append(dst)
		}
	}
	return dst
}
