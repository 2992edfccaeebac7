package schema

import (
	"bytes"
	"strconv"
)

// Use is what a matching rule decides.
type Use uint8

const (
	Equality   Use = iota // the values are equal
	Ordering              // the value comes before the assertion
	Substrings            // the value contains the pieces of the assertion
	Chain                 // the value leads to the assertion, over any number of entries
	BitAnd                // the value has all bits of the assertion
	BitOr                 // the value has one bit of the assertion
)

// Rule is a matching rule (RFC 4512 section 4.1.3, RFC 4517 section 4.2).
type Rule struct {
	Name   string // empty: has only an OID
	OID    string
	Syntax string // OID of the syntax of the assertion
	Use    Use

	form form
	alt  string // another name it is found by
}

// Normalize appends the form of a value, or of an assertion, that is equal
// for equal values. A value that the rule's syntax cannot hold gives false:
// an assertion with it is Undefined (RFC 4511 section 4.5.1.7).
func (r *Rule) Normalize(dst, value []byte) ([]byte, bool) {
	// A switch, so that dst may be on the caller's stack.
	switch r.form {
	case formIgnore:
		return normIgnore(dst, value)
	case formExact:
		return normExact(dst, value)
	case formNumeric:
		return normNumeric(dst, value)
	case formTelephone:
		return normTelephone(dst, value)
	case formList:
		return normList(dst, value)
	case formDN:
		return normDN(dst, value)
	case formInteger:
		return normInteger(dst, value)
	case formBoolean:
		return normBoolean(dst, value)
	case formTime:
		return normTime(dst, value)
	case formOID:
		return normOID(dst, value)
	case formFirst:
		return normFirst(dst, value)
	case formUUID:
		return normUUID(dst, value)
	}
	return append(dst, value...), true
}

// AppliesTo reports whether values of an attribute can be compared by the
// rule. Any text may be compared with or without regard to case.
func (r *Rule) AppliesTo(at *AttributeType) bool {
	if at.Equality == nil {
		return false
	}
	b := at.Equality.form
	return r.form == b || r.form.text() && (b.text() || b == formTelephone)
}

// Names reports whether values are DNs.
func (r *Rule) Names() bool { return r.form == formDN }

func (f form) text() bool { return f == formIgnore || f == formExact }

// Compare orders two normalised values.
func (r *Rule) Compare(a, b []byte) int {
	if r.form == formInteger {
		return compareIntegers(a, b)
	}
	return bytes.Compare(a, b)
}

// Matches decides a rule used by name in an extensible match, for a
// normalised value and a normalised assertion. Substrings and Chain, which
// need more than one value, are never true here.
func (r *Rule) Matches(value, assertion []byte) bool {
	switch r.Use {
	case Equality:
		return bytes.Equal(value, assertion)
	case Ordering:
		return r.Compare(value, assertion) < 0
	case BitAnd:
		v, a, ok := bits(value, assertion)
		return ok && v&a == a
	case BitOr:
		v, a, ok := bits(value, assertion)
		return ok && v&a != 0
	}
	return false
}

// bits reads two normalised integers. There are no bits to compare in those
// that have more than 64, and to read long ones would take more than linear time.
func bits(value, assertion []byte) (v, a int64, ok bool) {
	if len(value) > maxInt64 || len(assertion) > maxInt64 {
		return 0, 0, false
	}
	v, err1 := strconv.ParseInt(string(value), 10, 64)
	a, err2 := strconv.ParseInt(string(assertion), 10, 64)
	return v, a, err1 == nil && err2 == nil
}

// maxInt64 is how many octets a normalised integer of 64 bits has at most.
const maxInt64 = len("-9223372036854775808")

// compareIntegers orders decimal numbers without leading zeros.
func compareIntegers(a, b []byte) int {
	negA, negB := len(a) > 0 && a[0] == '-', len(b) > 0 && b[0] == '-'
	switch {
	case negA && negB:
		a, b = b[1:], a[1:]
	case negA:
		return -1
	case negB:
		return 1
	}
	if len(a) != len(b) {
		if len(a) < len(b) {
			return -1
		}
		return 1
	}
	return bytes.Compare(a, b)
}

// LookupRule finds a matching rule by name or OID, ignoring case. It does not
// allocate.
func LookupRule(name []byte) (*Rule, bool) {
	var buf [maxName]byte
	if len(name) > len(buf) {
		return nil, false
	}
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	r, ok := rulesByName[string(buf[:len(name)])]
	return r, ok
}
