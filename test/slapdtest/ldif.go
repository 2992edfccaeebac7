package slapdtest

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"strings"

	"ldapd/internal/directory"
	"ldapd/internal/schema"
)

// writeEntry writes an entry as LDIF (RFC 2849), in slapd's dialect.
func writeEntry(w *bufio.Writer, e directory.Entry, extra func(directory.Entry) []directory.Values) {
	writeLine(w, "dn", e.DNBytes())
	var more []directory.Values
	if extra != nil {
		more = extra(e)
	}
	for a := range e.Attrs() {
		switch a.Type.ID {
		case schema.EntryDN, schema.SubschemaSubentry, schema.HasSubordinates:
			continue // slapd makes them up
		}
		for v := range a.Values() {
			writeLine(w, AttributeName(a.Type.Name), slapdValue(a.Type, v))
		}
		// slapd wants all values of an attribute together.
		for i := range more {
			if more[i].Name == a.Type.Name {
				writeValues(w, more[i])
				more[i].Values = nil
			}
		}
	}
	for _, m := range more {
		writeValues(w, m)
	}
	w.WriteByte('\n')
}

func writeValues(w *bufio.Writer, a directory.Values) {
	for _, v := range a.Values {
		writeLine(w, a.Name, []byte(v))
	}
}

// writeLine writes all values in base64 that might not be plain text.
func writeLine(w *bufio.Writer, name string, value []byte) {
	w.WriteString(name)
	plain := len(value) > 0 && bytes.IndexByte([]byte(" :<"), value[0]) < 0 && value[len(value)-1] != ' '
	for _, c := range value {
		plain = plain && c >= ' ' && c < 0x7f
	}
	if plain {
		w.WriteString(": ")
		w.Write(value)
	} else {
		w.WriteString(":: ")
		w.WriteString(base64.StdEncoding.EncodeToString(value))
	}
	w.WriteByte('\n')
}

// AttributeName returns the name of an attribute with slapd, which knows no
// '_' in names.
func AttributeName(name string) string { return strings.ReplaceAll(name, "_", "-") }

// ClassName returns the name of an object class with slapd: the one that the
// subschema has, since slapd knows no '/' in names.
func ClassName(name string) string {
	for _, c := range schema.Classes() {
		if c.Printed != "" && strings.EqualFold(c.Name, name) {
			return c.Printed
		}
	}
	return name
}

// slapdValue returns what slapd takes for a value: names of classes that are
// legal, and booleans in capitals.
func slapdValue(at *schema.AttributeType, v []byte) []byte {
	switch {
	case at.ID == schema.ObjectClass:
		return []byte(ClassName(string(v)))
	case at.ID == schema.Active, at.ID == schema.SuperUser:
		return bytes.ToUpper(v)
	}
	return v
}
