package directory

import (
	"strings"

	"ldapd/internal/ber"
	"ldapd/internal/schema"
)

// builder encodes entries, in the order of their IDs.
type builder struct {
	schema  *schema.Schema
	records []record
	chunks  [][]byte
	forms   []*form
	byKey   map[string]uint32 // forms
	kinds   map[string]*kind

	// The entry being built.
	kind *kind
	buf  []byte
	set  []byte
	ids  []uint16
	open uint16 // the attribute that value adds to
	key  []byte
}

func newBuilder(sch *schema.Schema, entries int) *builder {
	return &builder{
		schema:  sch,
		records: make([]record, 0, entries),
		byKey:   make(map[string]uint32),
		kinds:   make(map[string]*kind),
	}
}

// newKind makes the shared part of entries with these classes.
func (b *builder) newKind(structural string, classes ...string) *kind {
	k := &kind{structural: structural}
	key := structural + "\x00" + strings.Join(classes, "\x00")
	if old, ok := b.kinds[key]; ok {
		return old
	}
	at := b.schema.Type(schema.ObjectClass)
	var set []byte
	for _, c := range classes {
		norm, _ := at.Equality.Normalize(nil, []byte(c))
		k.classes = append(k.classes, string(norm))
		set = ber.AppendString(set, tagOctets, c)
	}
	k.objClass = appendAttr(nil, at.Name, set)
	b.kinds[key] = k
	return k
}

func (b *builder) begin(k *kind) {
	b.kind, b.buf, b.ids = k, b.buf[:0], b.ids[:0]
}

// attr begins an attribute; value adds to it and end ends it. Without a value
// it is left out.
func (b *builder) attr(id uint16) {
	b.open, b.set = id, b.set[:0]
}

func (b *builder) value(v string) {
	b.set = ber.AppendString(b.set, tagOctets, v)
}

func (b *builder) valueBytes(v []byte) {
	b.set = ber.AppendTLV(b.set, tagOctets, v)
}

// encoded adds a value that is an OCTET STRING already.
func (b *builder) encoded(v []byte) {
	b.set = append(b.set, v...)
}

func (b *builder) end() {
	if len(b.set) > 0 {
		b.buf = appendAttr(b.buf, b.schema.Type(b.open).Name, b.set)
		b.ids = append(b.ids, b.open)
	}
}

// add adds an attribute with one value, or none where it is empty.
func (b *builder) add(id uint16, v string) {
	b.attr(id)
	if v != "" {
		b.value(v)
	}
	b.end()
}

// finish adds the operational attributes and stores the entry.
func (b *builder) finish(dn, uuid string, hasChildren bool) ID {
	user, oper := len(b.ids), len(b.buf)
	b.add(schema.EntryUUID, uuid)
	b.attr(schema.EntryDN)
	b.value(dn)
	b.end()
	f := b.form(user, hasChildren)
	return b.store(b.buf, f, oper, len(b.buf)-ber.Size(len(dn)))
}

// store puts the bytes of an entry into the arena.
func (b *builder) store(data []byte, f uint32, oper, dn int) ID {
	const smallest, largest = 16 << 10, 4 << 20
	last := len(b.chunks) - 1
	if last < 0 || cap(b.chunks[last])-len(b.chunks[last]) < len(data) {
		size := smallest
		if last >= 0 {
			size = min(2*cap(b.chunks[last]), largest)
		}
		b.chunks = append(b.chunks, make([]byte, 0, max(size, len(data))))
		last++
	}
	chunk := &b.chunks[last]
	b.records = append(b.records, record{
		chunk: uint32(last), start: uint32(len(*chunk)),
		oper: uint32(oper), dn: uint32(dn), size: uint32(len(data)),
		form: f,
	})
	*chunk = append(*chunk, data...)
	return ID(len(b.records) - 1)
}

// form finds or makes the form of the entry being built, whose first user
// attributes of b.ids are user attributes.
func (b *builder) form(user int, hasChildren bool) uint32 {
	b.key = append(b.key[:0], b.kind.objClass...)
	if hasChildren {
		b.key = append(b.key, 1)
	}
	b.key = append(b.key, 0)
	for _, id := range b.ids {
		b.key = append(b.key, byte(id>>8), byte(id))
	}
	if n, ok := b.byKey[string(b.key)]; ok {
		return n
	}
	f := &form{kind: b.kind}
	f.put(b.schema, schema.ObjectClass, partKind, 0)
	for i, id := range b.ids[:user] {
		f.put(b.schema, id, partUser, i)
		f.unique = f.unique || id == schema.Member
	}
	if f.unique {
		f.put(b.schema, schema.UniqueMember, partUnique, 0)
	}
	for i, id := range b.ids[user:] {
		f.put(b.schema, id, partOper, i)
	}
	subordinates := "FALSE"
	if hasChildren {
		subordinates = "TRUE"
	}
	for i, a := range []struct {
		id    uint16
		value string
	}{
		{schema.StructuralObjectClass, b.kind.structural},
		{schema.SubschemaSubentry, SubschemaDN},
		{schema.HasSubordinates, subordinates},
	} {
		f.suffix = appendAttr(f.suffix, b.schema.Type(a.id).Name, ber.AppendString(nil, tagOctets, a.value))
		f.put(b.schema, a.id, partSuffix, i)
	}
	n := uint32(len(b.forms))
	b.forms = append(b.forms, f)
	b.byKey[string(b.key)] = n
	return n
}

func (f *form) put(sch *schema.Schema, id uint16, p part, n int) {
	f.ids = append(f.ids, id)
	f.slots = append(f.slots, slot{at: sch.Type(id), part: p, n: uint16(n)})
}
