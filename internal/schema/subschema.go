package schema

import "strings"

// Subschema is the values of the subschema entry (RFC 4512 section 4.2).
type Subschema struct {
	AttributeTypes, ObjectClasses, MatchingRules, LDAPSyntaxes []string
}

// Subschema prints the schema. Only names that clients' parsers accept are
// printed: letters, digits, '-', and '_', which some refuse in strict mode,
// where a directory has a custom attribute with one. A name with a '/' or a
// '.' would cost clients the whole schema; such classes are printed under
// another name.
func (s *Schema) Subschema() Subschema {
	var out Subschema
	for _, at := range s.types {
		if at.OID != "" {
			out.AttributeTypes = append(out.AttributeTypes, at.definition())
		}
	}
	for i := range classes {
		out.ObjectClasses = append(out.ObjectClasses, classes[i].definition(s.extra))
	}
	for _, r := range rules {
		out.MatchingRules = append(out.MatchingRules, r.definition())
	}
	for _, syn := range syntaxes {
		out.LDAPSyntaxes = append(out.LDAPSyntaxes, "( "+syn.oid+" DESC '"+syn.desc+"' )")
	}
	return out
}

func (at *AttributeType) definition() string {
	var b strings.Builder
	b.WriteString("( " + at.OID)
	printed := []string{at.Name}
	for _, alias := range at.Aliases {
		if ValidName(alias) && !strings.EqualFold(alias, at.Name) {
			printed = append(printed, alias)
		}
	}
	writeNames(&b, printed)
	for _, r := range []struct {
		word string
		rule *Rule
	}{{"EQUALITY", at.Equality}, {"ORDERING", at.Ordering}, {"SUBSTR", at.Substr}} {
		if r.rule != nil {
			b.WriteString(" " + r.word + " " + r.rule.Name)
		}
	}
	b.WriteString(" SYNTAX " + at.Syntax)
	if at.SingleValue {
		b.WriteString(" SINGLE-VALUE")
	}
	if at.NoUserMod {
		b.WriteString(" NO-USER-MODIFICATION")
	}
	if at.Operational {
		b.WriteString(" USAGE directoryOperation")
	}
	b.WriteString(" )")
	return b.String()
}

func (c *Class) definition(extra []string) string {
	var b strings.Builder
	b.WriteString("( " + c.OID)
	if c.Printed != "" {
		writeNames(&b, []string{c.Printed})
		b.WriteString(" DESC 'object class " + c.Name + "'")
	} else {
		writeNames(&b, []string{c.Name})
	}
	if c.Sup != "" {
		b.WriteString(" SUP " + c.Sup)
	}
	b.WriteString([...]string{Abstract: " ABSTRACT", Structural: " STRUCTURAL", Auxiliary: " AUXILIARY"}[c.Kind])
	writeOIDs(&b, "MUST", c.Must)
	may := c.May
	if c.own {
		may = append(may[:len(may):len(may)], extra...)
	}
	writeOIDs(&b, "MAY", may)
	b.WriteString(" )")
	return b.String()
}

func (r *Rule) definition() string {
	var b strings.Builder
	b.WriteString("( " + r.OID)
	if r.Name != "" {
		writeNames(&b, []string{r.Name})
	}
	b.WriteString(" SYNTAX " + r.Syntax + " )")
	return b.String()
}

// writeNames writes quoted names, in parentheses if there are several.
func writeNames(b *strings.Builder, names []string) {
	if len(names) == 1 {
		b.WriteString(" NAME '" + names[0] + "'")
		return
	}
	b.WriteString(" NAME ( '" + strings.Join(names, "' '") + "' )")
}

// writeOIDs writes names of attribute types behind a word.
func writeOIDs(b *strings.Builder, word string, names []string) {
	switch len(names) {
	case 0:
	case 1:
		b.WriteString(" " + word + " " + names[0])
	default:
		b.WriteString(" " + word + " ( " + strings.Join(names, " $ ") + " )")
	}
}
