package directory

import (
	"bytes"
	"sort"
	"time"

	"ldapd/internal/ldap"
	"ldapd/internal/schema"
)

// Snapshot is the directory at one moment: all entries, encoded, and the
// indexes over them. It is immutable and safe for concurrent use.
type Snapshot struct {
	Schema *schema.Schema
	BaseDN string // as configured
	Built  time.Time

	base       ldap.DN
	baseNorm   string
	containers [len(containers)]ID // 0 where the tree has none

	records []record
	chunks  [][]byte
	forms   []*form
	index   *index
	grams   *grams
	classes map[string][]Span // by normalised name
	having  map[uint16][]ID   // the entries that have an attribute, ascending; nil: too many to list

	subschema Entry
}

// take makes s the snapshot of what b built.
func (s *Snapshot) take(b *builder, baseDN string, base ldap.DN) {
	s.Schema, s.BaseDN, s.base, s.Built = b.schema, baseDN, base, time.Now()
	s.records, s.chunks, s.forms = b.records, b.chunks, b.forms
	norm, _ := ldap.NormalizeDN(nil, []byte(baseDN))
	s.baseNorm = string(norm)
	s.buildPresence()
	s.buildIndex()
}

// BaseNorm returns the base DN in normal form.
func (s *Snapshot) BaseNorm() string { return s.baseNorm }

// Base returns the base DN, taken apart.
func (s *Snapshot) Base() ldap.DN { return s.base }

// Len returns the number of entries. IDs are below it.
func (s *Snapshot) Len() int { return len(s.records) }

// Entry returns the entry with an ID, which must be below Len.
func (s *Snapshot) Entry(id ID) Entry { return Entry{s, id} }

// Subschema returns the entry cn=subschema, which is not part of the tree.
func (s *Snapshot) Subschema() Entry { return s.subschema }

// Children returns the direct children of an entry, as at most three ranges:
// those of the base lie apart.
func (s *Snapshot) Children(id ID) []Span {
	if id == 0 {
		var out []Span
		for _, c := range s.containers {
			if c != 0 {
				out = append(out, Span{c, c + 1})
			}
		}
		return out
	}
	if end := s.Entry(id).End(); end > id+1 {
		return []Span{{id + 1, end}}
	}
	return nil
}

// Find returns the entry with a normalised DN.
func (s *Snapshot) Find(norm []byte) (ID, bool) {
	at := s.Schema.Type(schema.EntryDN)
	p, _ := s.Equal(at, norm)
	for id := range p.All() {
		// A normal form is its own, and case makes no difference to it.
		if equalFold(s.Entry(id).DNBytes(), norm) || s.has(id, at, norm) {
			return id, true
		}
	}
	return 0, false
}

// equalFold compares a value with one in which ASCII letters are lower-case.
func equalFold(value, lower []byte) bool {
	if len(value) != len(lower) {
		return false
	}
	for i, c := range value {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// has reports whether an entry has a value of an attribute that has an
// equality rule.
func (s *Snapshot) has(id ID, at *schema.AttributeType, norm []byte) bool {
	a, ok := s.Entry(id).Attr(at.ID)
	return ok && a.Has(norm)
}

// After returns the first entry behind a normalised DN, whether that is a DN
// of this snapshot or was one of an earlier one; Len if there is none, or if
// the DN is none of this tree.
func (s *Snapshot) After(norm []byte) ID {
	if id, ok := s.Find(norm); ok {
		return id + 1
	}
	var buf [256]byte
	for _, c := range s.containers {
		if c == 0 {
			continue
		}
		parent, err := ldap.NormalizeDN(buf[:0], s.Entry(c).DNBytes())
		if err != nil || len(norm) <= len(parent) || !bytes.HasSuffix(norm, parent) || norm[len(norm)-len(parent)-1] != ',' {
			continue
		}
		end := s.Entry(c).End()
		n := sort.Search(int(end-c-1), func(i int) bool {
			var buf [256]byte
			dn, _ := ldap.NormalizeDN(buf[:0], s.Entry(c+1+ID(i)).DNBytes())
			return bytes.Compare(dn, norm) > 0
		})
		return c + 1 + ID(n)
	}
	return ID(len(s.records))
}

// Present returns the entries that have an attribute; or that there are so
// many of them that looking at every entry is no slower.
func (s *Snapshot) Present(at *schema.AttributeType) (p Posting, ok bool) {
	ids, some := s.having[at.ID]
	if some && ids == nil {
		return Posting{}, false
	}
	return Posting{ids: ids, exact: true}, true
}

// buildPresence finds the entries of each attribute that few have.
func (s *Snapshot) buildPresence() {
	ofForm := make([]int, len(s.forms))
	for i := range s.records {
		ofForm[s.records[i].form]++
	}
	total := make(map[uint16]int)
	for i, f := range s.forms {
		for _, id := range f.ids {
			total[id] += ofForm[i]
		}
	}
	s.having = make(map[uint16][]ID, len(total))
	for id, n := range total {
		s.having[id] = nil
		if n <= len(s.records)/4 {
			s.having[id] = make([]ID, 0, n)
		}
	}
	rare := make([][]uint16, len(s.forms)) // what of a form is listed
	for i, f := range s.forms {
		for _, id := range f.ids {
			if s.having[id] != nil {
				rare[i] = append(rare[i], id)
			}
		}
	}
	for i := range s.records {
		for _, id := range rare[s.records[i].form] {
			s.having[id] = append(s.having[id], ID(i))
		}
	}
}
