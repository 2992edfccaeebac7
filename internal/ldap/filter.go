package ldap

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"ldapd/internal/ber"
)

// FilterOp is the tag of a filter choice (RFC 4511 section 4.5.1.7), or of a
// piece of a substring filter.
type FilterOp byte

const (
	FilterAnd            FilterOp = 0xa0
	FilterOr             FilterOp = 0xa1
	FilterNot            FilterOp = 0xa2
	FilterEqual          FilterOp = 0xa3
	FilterSubstrings     FilterOp = 0xa4
	FilterGreaterOrEqual FilterOp = 0xa5
	FilterLessOrEqual    FilterOp = 0xa6
	FilterPresent        FilterOp = 0x87
	FilterApprox         FilterOp = 0xa8
	FilterExtensible     FilterOp = 0xa9

	SubInitial FilterOp = 0x80
	SubAny     FilterOp = 0x81
	SubFinal   FilterOp = 0x82
)

// FilterNode is one term of a filter.
type FilterNode struct {
	Op    FilterOp
	Next  int    // index of the first node behind this term and all it holds
	Attr  []byte // attribute description; nil for and, or, not and pieces
	Value []byte // assertion value, or the piece of a substring
	Rule  []byte // extensible: matching rule, nil without
	DN    bool   // extensible: dnAttributes
}

// Filter is a search filter, flattened: a term is followed by what it holds.
// The children of the term at i are at i+1, f[i+1].Next, and so on up to
// f[i].Next; those of a substring term are its pieces.
type Filter []FilterNode

// FilterLimits bound what a filter may cost. Zero values mean the defaults.
type FilterLimits struct {
	Depth int // of nesting; default 32
	Terms int // of all kinds, pieces included; default 1024
}

func (l FilterLimits) withDefaults() FilterLimits {
	if l.Depth <= 0 {
		l.Depth = 32
	}
	if l.Terms <= 0 {
		l.Terms = 1024
	}
	return l
}

// ErrFilterLimit says that a filter is well formed as far as it was read but
// larger than allowed: the operation fails, the connection goes on.
var ErrFilterLimit = errors.New("filter too large")

// ParseFilter parses one filter element and nothing behind it.
func ParseFilter(b []byte, limits FilterLimits) (Filter, error) {
	var f Filter
	r := ber.NewReader(b)
	if err := f.parse(&r, limits); err != nil {
		return nil, err
	}
	return f, r.End()
}

func (f *Filter) parse(r *ber.Reader, limits FilterLimits) error {
	*f = (*f)[:0]
	return f.term(r, limits.withDefaults(), 1)
}

func (f *Filter) add(n FilterNode, limits FilterLimits) (int, error) {
	if len(*f) >= limits.Terms {
		return 0, fmt.Errorf("%w: more than %d terms", ErrFilterLimit, limits.Terms)
	}
	*f = append(*f, n)
	i := len(*f) - 1
	(*f)[i].Next = i + 1
	return i, nil
}

func (f *Filter) term(r *ber.Reader, limits FilterLimits, depth int) error {
	if depth > limits.Depth {
		return fmt.Errorf("%w: nested deeper than %d", ErrFilterLimit, limits.Depth)
	}
	tag, content, err := r.Next()
	if err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	i, err := f.add(FilterNode{Op: FilterOp(tag)}, limits)
	if err != nil {
		return err
	}
	switch op := FilterOp(tag); op {
	case FilterAnd, FilterOr:
		// RFC 4526: an empty and is true, an empty or is false.
		list := ber.NewReader(content) // in the for clause, each round would allocate one
		for !list.Empty() {
			if err := f.term(&list, limits, depth+1); err != nil {
				return err
			}
		}
	case FilterNot:
		inner := ber.NewReader(content)
		if err := f.term(&inner, limits, depth+1); err != nil {
			return err
		}
		if err := inner.End(); err != nil {
			return fmt.Errorf("filter not: %w", err)
		}
	case FilterEqual, FilterGreaterOrEqual, FilterLessOrEqual, FilterApprox:
		if (*f)[i].Attr, (*f)[i].Value, err = parseAssertion(content); err != nil {
			return fmt.Errorf("filter: %w", err)
		}
	case FilterPresent:
		(*f)[i].Attr = content
	case FilterSubstrings:
		if err := f.substrings(i, content, limits); err != nil {
			return err
		}
	case FilterExtensible:
		if err := (*f)[i].extensible(content); err != nil {
			return fmt.Errorf("filter: %w", err)
		}
	default:
		return fmt.Errorf("filter: unknown choice %#02x", tag)
	}
	(*f)[i].Next = len(*f)
	return nil
}

func (f *Filter) substrings(i int, content []byte, limits FilterLimits) error {
	r := ber.NewReader(content)
	var err error
	if (*f)[i].Attr, err = r.Read(ber.OctetString); err != nil {
		return fmt.Errorf("filter substrings: %w", err)
	}
	pieces, err := r.Read(ber.Sequence)
	if err != nil {
		return fmt.Errorf("filter substrings: %w", err)
	}
	list := ber.NewReader(pieces)
	if list.Empty() {
		return errors.New("filter substrings: no piece")
	}
	for first := true; !list.Empty(); first = false {
		tag, value, err := list.Next()
		if err != nil {
			return fmt.Errorf("filter substrings: %w", err)
		}
		op := FilterOp(tag)
		if op != SubAny && !(op == SubInitial && first) && !(op == SubFinal && list.Empty()) {
			return fmt.Errorf("filter substrings: piece %#02x out of place", tag)
		}
		if _, err := f.add(FilterNode{Op: op, Value: value}, limits); err != nil {
			return err
		}
	}
	return r.End()
}

func (n *FilterNode) extensible(content []byte) error {
	r := ber.NewReader(content)
	seen := false
	for !r.Empty() {
		tag, value, err := r.Next()
		if err != nil {
			return err
		}
		switch tag {
		case 0x81:
			n.Rule = value
		case 0x82:
			n.Attr = value
		case 0x83:
			n.Value, seen = value, true
		case 0x84:
			if len(value) != 1 {
				return ber.ErrBoolean
			}
			n.DN = value[0] != 0
		default:
			return fmt.Errorf("extensible match with tag %#02x", tag)
		}
	}
	if !seen || n.Rule == nil && n.Attr == nil {
		return errors.New("extensible match without value, or without rule and type")
	}
	return nil
}

// AppendText appends the filter in the string form of RFC 4515, for logs.
// show is asked for what to print of each assertion value or piece; nil prints
// it as it is.
func (f Filter) AppendText(dst []byte, show func(attr, value []byte) []byte) []byte {
	if len(f) == 0 {
		return dst
	}
	return f.appendTerm(dst, 0, show)
}

func (f Filter) appendTerm(dst []byte, i int, show func(attr, value []byte) []byte) []byte {
	n := &f[i]
	appendValue := func(dst, v []byte) []byte {
		if show != nil {
			v = show(n.Attr, v)
		}
		return appendFilterValue(dst, v)
	}
	dst = append(dst, '(')
	switch n.Op {
	case FilterAnd, FilterOr, FilterNot:
		dst = append(dst, n.Op.text()...)
		for c := i + 1; c < n.Next; c = f[c].Next {
			dst = f.appendTerm(dst, c, show)
		}
	case FilterPresent:
		dst = append(appendFilterValue(dst, n.Attr), "=*"...)
	case FilterSubstrings:
		dst = append(appendFilterValue(dst, n.Attr), '=')
		for c := i + 1; c < n.Next; c++ {
			if f[c].Op != SubInitial {
				dst = append(dst, '*')
			}
			dst = appendValue(dst, f[c].Value)
			if c == n.Next-1 && f[c].Op != SubFinal {
				dst = append(dst, '*')
			}
		}
	case FilterExtensible:
		dst = appendFilterValue(dst, n.Attr)
		if n.DN {
			dst = append(dst, ":dn"...)
		}
		if n.Rule != nil {
			dst = appendFilterValue(append(dst, ':'), n.Rule)
		}
		dst = appendValue(append(dst, ":="...), n.Value)
	default:
		dst = appendFilterValue(dst, n.Attr)
		dst = append(dst, n.Op.text()...)
		dst = appendValue(dst, n.Value)
	}
	return append(dst, ')')
}

// text returns the operator of RFC 4515.
func (o FilterOp) text() string {
	switch o {
	case FilterAnd:
		return "&"
	case FilterOr:
		return "|"
	case FilterNot:
		return "!"
	case FilterGreaterOrEqual:
		return ">="
	case FilterLessOrEqual:
		return "<="
	case FilterApprox:
		return "~="
	}
	return "="
}

// appendFilterValue escapes as RFC 4515 section 3 says. Attributes and rules
// go through it too: those of hostile filters hold anything.
func appendFilterValue(dst, v []byte) []byte {
	const digits = "0123456789abcdef"
	valid := utf8.Valid(v)
	for _, c := range v {
		if c < ' ' || c == 0x7f || c > 0x7f && !valid || c == '(' || c == ')' || c == '*' || c == '\\' {
			dst = append(dst, '\\', digits[c>>4], digits[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}
