// Package ber reads and writes the subset of the Basic Encoding Rules
// (X.690) that LDAP uses (RFC 4511 section 5.1): definite lengths and
// single-byte tags. Reading never allocates and never copies; writing
// appends to a slice that the caller owns.
package ber

import (
	"errors"
	"fmt"
)

// Universal tags that LDAP uses.
const (
	Boolean     byte = 0x01
	Integer     byte = 0x02
	OctetString byte = 0x04
	Enumerated  byte = 0x0a
	Sequence    byte = 0x30
	Set         byte = 0x31
)

// Errors of reading. All mean that the bytes are not what LDAP allows.
var (
	ErrTruncated  = errors.New("ber: truncated element")
	ErrLength     = errors.New("ber: indefinite or oversized length")
	ErrTag        = errors.New("ber: multi-byte tag")
	ErrInteger    = errors.New("ber: integer of no or too many octets")
	ErrBoolean    = errors.New("ber: boolean not of one octet")
	ErrTrailing   = errors.New("ber: bytes behind the last element")
	errUnexpected = errors.New("ber: unexpected tag")
	errTooLarge   = fmt.Errorf("%w: larger than allowed", ErrLength)
)

// maxLengthOctets bounds the long form. Clients exist that always send four
// octets, so lengths need not be minimal; more than eight is noise.
const maxLengthOctets = 8

// header reads tag and length at the start of b. It returns the size of the
// header and the length of the content, which may lie beyond len(b). A header
// that is not complete yet gives n == 0 and no error.
func header(b []byte) (n, length int, err error) {
	if len(b) == 0 {
		return 0, 0, nil
	}
	if b[0]&0x1f == 0x1f {
		return 0, 0, ErrTag
	}
	if len(b) < 2 {
		return 0, 0, nil
	}
	if b[1] < 0x80 {
		return 2, int(b[1]), nil
	}
	octets := int(b[1] & 0x7f)
	if octets == 0 || octets > maxLengthOctets {
		return 0, 0, ErrLength
	}
	if len(b) < 2+octets {
		return 0, 0, nil
	}
	for _, c := range b[2 : 2+octets] {
		if length >= 1<<23 { // more would not fit an int of 32 bits
			return 0, 0, ErrLength
		}
		length = length<<8 | int(c)
	}
	return 2 + octets, length, nil
}

// Frame says how long the first element of b is, header included. It returns
// 0 while b does not hold the whole header yet, and ErrLength as soon as the
// header claims more than max octets: nothing is stored or allocated to
// refuse.
func Frame(b []byte, max int) (int, error) {
	n, length, err := header(b)
	if err != nil || n == 0 {
		return 0, err
	}
	if length > max-n {
		return 0, errTooLarge
	}
	return n + length, nil
}

// A Reader walks over the elements of a byte slice. The zero value is empty.
type Reader struct{ b []byte }

// NewReader returns a Reader over b, which it refers to and never changes.
func NewReader(b []byte) Reader { return Reader{b} }

// Empty reports whether all elements have been read.
func (r *Reader) Empty() bool { return len(r.b) == 0 }

// Peek returns the tag of the next element, 0 at the end.
func (r *Reader) Peek() byte {
	if len(r.b) == 0 {
		return 0
	}
	return r.b[0]
}

// Next reads the next element, whatever its tag.
func (r *Reader) Next() (tag byte, content []byte, err error) {
	n, length, err := header(r.b)
	if err != nil {
		return 0, nil, err
	}
	if n == 0 || length > len(r.b)-n {
		return 0, nil, ErrTruncated
	}
	tag, content = r.b[0], r.b[n:n+length:n+length]
	r.b = r.b[n+length:]
	return tag, content, nil
}

// Raw reads the next element and returns it whole, header included.
func (r *Reader) Raw() ([]byte, error) {
	b := r.b
	if _, _, err := r.Next(); err != nil {
		return nil, err
	}
	return b[:len(b)-len(r.b)], nil
}

// Read reads the next element, which must carry the tag.
func (r *Reader) Read(tag byte) ([]byte, error) {
	if r.Peek() != tag {
		if r.Empty() {
			return nil, ErrTruncated
		}
		return nil, fmt.Errorf("%w %#02x where %#02x belongs", errUnexpected, r.Peek(), tag)
	}
	_, content, err := r.Next()
	return content, err
}

// Int reads an INTEGER or ENUMERATED (or one implicitly tagged).
func (r *Reader) Int(tag byte) (int64, error) {
	c, err := r.Read(tag)
	if err != nil {
		return 0, err
	}
	return ParseInt(c)
}

// Bool reads a BOOLEAN (or one implicitly tagged). Any octet but 0 is true.
func (r *Reader) Bool(tag byte) (bool, error) {
	c, err := r.Read(tag)
	if err != nil {
		return false, err
	}
	if len(c) != 1 {
		return false, ErrBoolean
	}
	return c[0] != 0, nil
}

// End fails unless all elements have been read.
func (r *Reader) End() error {
	if len(r.b) != 0 {
		return ErrTrailing
	}
	return nil
}

// ParseInt decodes the content of an INTEGER of one to eight octets.
func ParseInt(c []byte) (int64, error) {
	if len(c) == 0 || len(c) > 8 {
		return 0, ErrInteger
	}
	v := int64(int8(c[0]))
	for _, o := range c[1:] {
		v = v<<8 | int64(o)
	}
	return v, nil
}
