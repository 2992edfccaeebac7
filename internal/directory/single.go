package directory

import (
	"time"

	"ldapd/internal/ber"
	"ldapd/internal/schema"
)

// SubschemaDN is the name of the subschema entry.
const SubschemaDN = "cn=subschema"

// Values is an attribute of an entry outside the tree.
type Values struct {
	Name   string // any name that the schema knows
	Values []string
}

// NewEntry makes an entry outside the tree, such as the root DSE: it can be
// looked at and sent as others can, in a snapshot of its own that has no
// indexes. Attributes without values, and those that the schema does not
// know, are left out.
func NewEntry(sch *schema.Schema, dn string, attrs []Values) Entry {
	b := newBuilder(sch, 1)
	b.begin(&kind{})
	f := &form{kind: b.kind}
	n, oper := 0, 0
	for _, star := range []bool{true, false} {
		if !star {
			n, oper = 0, len(b.buf)
		}
		for _, a := range attrs {
			at, ok := sch.Lookup([]byte(a.Name))
			if !ok || at.InStar() != star || len(a.Values) == 0 {
				continue
			}
			b.attr(at.ID)
			for _, v := range a.Values {
				b.value(v)
			}
			b.end()
			p := partOper
			if star {
				p = partUser
			}
			f.put(sch, at.ID, p, n)
			n++
		}
	}
	b.forms = append(b.forms, f)
	name := len(b.buf)
	b.buf = ber.AppendString(b.buf, tagOctets, dn)
	b.store(b.buf, 0, oper, name)
	s := &Snapshot{Schema: sch, records: b.records, chunks: b.chunks, forms: b.forms}
	return s.Entry(0)
}

// newSubschema makes the subschema entry (RFC 4512 section 4.2).
func newSubschema(sch *schema.Schema, built time.Time) Entry {
	sub := sch.Subschema()
	stamp := []string{string(schema.AppendTime(nil, built))}
	return NewEntry(sch, SubschemaDN, []Values{
		{"objectClass", []string{"top", "subentry", "subschema", "extensibleObject"}},
		{"cn", []string{"subschema"}},
		{"createTimestamp", stamp},
		{"modifyTimestamp", stamp},
		{"attributeTypes", sub.AttributeTypes},
		{"objectClasses", sub.ObjectClasses},
		{"matchingRules", sub.MatchingRules},
		{"ldapSyntaxes", sub.LDAPSyntaxes},
		{"subtreeSpecification", []string{"{}"}},
		{"entryUUID", []string{nameUUID(SubschemaDN)}},
		{"entryDN", []string{SubschemaDN}},
		{"structuralObjectClass", []string{"subentry"}},
		{"subschemaSubentry", []string{SubschemaDN}},
		{"hasSubordinates", []string{"FALSE"}},
	})
}
