package directory

import (
	"bytes"
	"iter"

	"ldapd/internal/ber"
	"ldapd/internal/schema"
)

// Tags of the elements of a SearchResultEntry (RFC 4511 section 4.5.2).
const (
	tagOctets   = 0x04
	tagSequence = 0x30
	tagSet      = 0x31
)

// ID is the place of an entry in its snapshot: base first, then depth-first,
// children in the order of their normalised DNs. It means nothing in another
// snapshot.
type ID uint32

// record is where an entry's bytes are: chunk[start:start+size] holds its own
// user attributes, then from oper its own operational ones, each a
// PartialAttribute. The DN, an OCTET STRING, ends it: as the value of entryDN
// in entries of the tree.
type record struct {
	chunk, start   uint32
	oper, dn, size uint32 // from start
	form           uint32
}

// form is what all entries with the same attributes and classes share.
type form struct {
	kind   *kind
	ids    []uint16 // attribute types in the order of serving
	slots  []slot   // one for each
	suffix []byte   // encoded operational attributes behind the entry's own
	unique bool     // has uniqueMember, with the values of member
}

// kind is what entries of one sort share.
type kind struct {
	classes    []string // normalised
	structural string
	objClass   []byte // the encoded attribute objectClass, in front of the own ones
}

// slot is where an attribute of a form is.
type slot struct {
	at   *schema.AttributeType
	part part
	n    uint16 // how many attributes are before it in its part
}

type part uint8

const (
	partKind part = iota // form.kind.objClass
	partUser
	partUnique // made from member
	partOper
	partSuffix
)

// Entry is one entry of a snapshot. It is a handle: small, copied freely.
type Entry struct {
	s  *Snapshot
	id ID
}

// ID returns the place of the entry in its snapshot.
func (e Entry) ID() ID { return e.id }

// Parent returns the ID of the entry above. The base is its own parent.
func (e Entry) Parent() ID {
	parent := ID(0)
	for _, c := range e.s.containers {
		if c == e.id {
			return 0
		}
		if c != 0 && c < e.id {
			parent = c
		}
	}
	return parent
}

// End returns the ID behind the last one below the entry: the entry and all
// below it are the IDs from its own up to End.
func (e Entry) End() ID {
	n := ID(len(e.s.records))
	if e.id == 0 {
		return n
	}
	for i, c := range e.s.containers {
		if c == e.id {
			if i+1 < len(e.s.containers) {
				return e.s.containers[i+1]
			}
			return n
		}
	}
	return e.id + 1
}

func (e Entry) record() *record { return &e.s.records[e.id] }

func (e Entry) form() *form { return e.s.forms[e.record().form] }

func (e Entry) bytes() []byte {
	r := e.record()
	return e.s.chunks[r.chunk][r.start : r.start+r.size : r.start+r.size]
}

// EncodedDN returns the DN as an OCTET STRING, header included.
func (e Entry) EncodedDN() []byte { return e.bytes()[e.record().dn:] }

// DNBytes returns the DN. The caller must not change it.
func (e Entry) DNBytes() []byte { return content(e.EncodedDN()) }

// DN returns a copy of the DN.
func (e Entry) DN() string { return string(e.DNBytes()) }

// AppendUser appends everything that "*" asks for, as PartialAttributes one
// behind the other.
func (e Entry) AppendUser(dst []byte) []byte {
	f := e.form()
	user := e.bytes()[:e.record().oper]
	dst = append(dst, f.kind.objClass...)
	dst = append(dst, user...)
	if f.unique {
		if a, ok := e.Attr(schema.UniqueMember); ok {
			dst = a.Append(dst)
		}
	}
	return dst
}

// UserSize returns how many bytes AppendUser appends.
func (e Entry) UserSize() int {
	f := e.form()
	n := len(f.kind.objClass) + int(e.record().oper)
	if f.unique {
		if a, ok := e.Attr(schema.UniqueMember); ok {
			n += a.Size()
		}
	}
	return n
}

// Attrs yields all attributes: those for "*", then the operational ones.
func (e Entry) Attrs() iter.Seq[Attr] {
	return func(yield func(Attr) bool) {
		f, r, b := e.form(), e.record(), e.bytes()
		rest := [...][]byte{partKind: f.kind.objClass, partUser: b[:r.oper], partOper: b[r.oper:], partSuffix: f.suffix}
		for _, sl := range f.slots {
			var a Attr
			if sl.part == partUnique {
				a, _ = e.Attr(sl.at.ID)
			} else {
				a = Attr{Type: sl.at}
				a.tlv, rest[sl.part] = cut(rest[sl.part])
			}
			if !yield(a) {
				return
			}
		}
	}
}

// Attr returns the attribute of a type, by its ID in the snapshot's schema.
func (e Entry) Attr(id uint16) (Attr, bool) {
	f := e.form()
	for i, have := range f.ids {
		if have == id {
			return e.at(f, f.slots[i]), true
		}
	}
	return Attr{}, false
}

// Has reports whether the entry has an attribute.
func (e Entry) Has(id uint16) bool {
	for _, have := range e.form().ids {
		if have == id {
			return true
		}
	}
	return false
}

func (e Entry) at(f *form, sl slot) Attr {
	var b []byte
	switch sl.part {
	case partKind:
		b = f.kind.objClass
	case partUser:
		b = e.bytes()
	case partOper:
		b = e.bytes()[e.record().oper:]
	case partSuffix:
		b = f.suffix
	case partUnique:
		a, _ := e.Attr(schema.Member)
		return Attr{Type: sl.at, tlv: a.tlv, other: true}
	}
	for range sl.n {
		_, b = cut(b)
	}
	tlv, _ := cut(b)
	return Attr{Type: sl.at, tlv: tlv}
}

// Attr is one attribute of an entry. It refers to memory of the snapshot.
type Attr struct {
	Type  *schema.AttributeType
	tlv   []byte // the PartialAttribute
	other bool   // tlv is that of another type with the same values
}

// Append appends the attribute as a PartialAttribute.
func (a Attr) Append(dst []byte) []byte {
	if !a.other {
		return append(dst, a.tlv...)
	}
	return appendAttr(dst, a.Type.Name, a.set())
}

// Size returns how many bytes Append appends.
func (a Attr) Size() int {
	if !a.other {
		return len(a.tlv)
	}
	return ber.Size(ber.Size(len(a.Type.Name)) + ber.Size(len(a.set())))
}

// AppendType appends the attribute without its values, as a search for types
// only wants it.
func (a Attr) AppendType(dst []byte) []byte { return appendAttr(dst, a.Type.Name, nil) }

// Values yields the values. The caller must not change them.
func (a Attr) Values() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for b := a.set(); len(b) > 0; {
			var v []byte
			v, b = cut(b)
			if !yield(content(v)) {
				return
			}
		}
	}
}

// Has reports whether a value of the attribute, which must have an equality
// rule, equals one in its normal form.
func (a Attr) Has(norm []byte) bool {
	rule := a.Type.Equality
	if rule.Names() {
		// A normal form is its own, and case makes no difference to it. To look
		// for that first is much less work with a group of thousands.
		for v := range a.Values() {
			if equalFold(v, norm) {
				return true
			}
		}
	}
	var buf [256]byte
	for v := range a.Values() {
		if got, ok := rule.Normalize(buf[:0], v); ok && bytes.Equal(got, norm) {
			return true
		}
	}
	return false
}

// cost is what looking for a value costs, in octets looked at.
func (a Attr) cost() int { return lookupCost + len(a.tlv)/8 }

// First returns the first value.
func (a Attr) First() []byte {
	v, _ := cut(a.set())
	return content(v)
}

// set returns the encoded values.
func (a Attr) set() []byte {
	_, set := cut(content(a.tlv))
	return content(set)
}

// appendAttr appends a PartialAttribute of encoded values.
func appendAttr(dst []byte, name string, set []byte) []byte {
	dst = ber.AppendHeader(dst, tagSequence, ber.Size(len(name))+ber.Size(len(set)))
	dst = ber.AppendString(dst, tagOctets, name)
	return ber.AppendTLV(dst, tagSet, set)
}

// header returns the sizes of the header and the content of the element that
// b, written by this package, begins with.
func header(b []byte) (head, length int) {
	if len(b) < 2 {
		return len(b), 0
	}
	if b[1] < 0x80 {
		return 2, int(b[1])
	}
	n := int(b[1] & 0x7f)
	for _, c := range b[2 : 2+n] {
		length = length<<8 | int(c)
	}
	return 2 + n, length
}

// content returns the content of an element.
func content(b []byte) []byte {
	head, _ := header(b)
	return b[head:]
}

// cut splits b behind its first element.
func cut(b []byte) (first, rest []byte) {
	head, length := header(b)
	return b[: head+length : head+length], b[head+length:]
}
