package ldap

import (
	"fmt"
	"math"

	"ldapd/internal/ber"
)

// Controls, and what else the root DSE names by OID.
const (
	OIDPagedResults     = "1.2.840.113556.1.4.319"  // RFC 2696
	OIDSortRequest      = "1.2.840.113556.1.4.473"  // RFC 2891
	OIDSortResponse     = "1.2.840.113556.1.4.474"  // RFC 2891
	OIDManageDsaIT      = "2.16.840.1.113730.3.4.2" // RFC 3296
	OIDAllOperational   = "1.3.6.1.4.1.4203.1.5.1"  // RFC 3673, feature
	OIDTrueFalseFilters = "1.3.6.1.4.1.4203.1.5.3"  // RFC 4526, feature
)

// Control is RFC 4511 section 4.1.11.
type Control struct {
	OID      []byte
	Critical bool
	Value    []byte // nil without
}

// maxControls bounds the controls of one message. Real clients send three.
const maxControls = 32

// ParseControls appends the controls in the content of a message's controls
// to dst.
func ParseControls(dst []Control, content []byte) ([]Control, error) {
	r := ber.NewReader(content)
	for !r.Empty() {
		if len(dst) == maxControls {
			return dst, fmt.Errorf("more than %d controls", maxControls)
		}
		c, err := parseControl(&r)
		if err != nil {
			return dst, fmt.Errorf("control: %w", err)
		}
		dst = append(dst, c)
	}
	return dst, nil
}

func parseControl(outer *ber.Reader) (Control, error) {
	var c Control
	content, err := outer.Read(ber.Sequence)
	if err != nil {
		return c, err
	}
	r := ber.NewReader(content)
	if c.OID, err = r.Read(ber.OctetString); err != nil {
		return c, err
	}
	// Clients have been seen to send the value before the criticality.
	for !r.Empty() {
		switch r.Peek() {
		case ber.Boolean:
			c.Critical, err = r.Bool(ber.Boolean)
		case ber.OctetString:
			c.Value, err = r.Read(ber.OctetString)
		default:
			err = ber.ErrTrailing
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// AppendControl appends one control that is not critical.
func AppendControl(dst []byte, oid string, value []byte) []byte {
	dst, mark := ber.Begin(dst, ber.Sequence)
	dst = ber.AppendString(dst, ber.OctetString, oid)
	dst = ber.AppendTLV(dst, ber.OctetString, value)
	return ber.End(dst, mark)
}

// PagedResults is the value of the control of that name (RFC 2696). In a
// response Size is an estimate of the whole, 0 if unknown.
type PagedResults struct {
	Size   int
	Cookie []byte
}

// ParsePagedResults parses a control value.
func ParsePagedResults(value []byte) (PagedResults, error) {
	var p PagedResults
	outer := ber.NewReader(value)
	content, err := outer.Read(ber.Sequence)
	if err != nil {
		return p, fmt.Errorf("paged results: %w", err)
	}
	r := ber.NewReader(content)
	size, err := r.Int(ber.Integer)
	if err != nil || size < 0 || size > math.MaxInt32 {
		return p, fmt.Errorf("paged results: bad size")
	}
	p.Size = int(size)
	if p.Cookie, err = r.Read(ber.OctetString); err != nil {
		return p, fmt.Errorf("paged results: %w", err)
	}
	return p, nil
}

// AppendPagedResults appends the whole response control.
func AppendPagedResults(dst []byte, p PagedResults) []byte {
	value, mark := ber.Begin(make([]byte, 0, 16+len(p.Cookie)), ber.Sequence)
	value = ber.AppendInt(value, ber.Integer, int64(p.Size))
	value = ber.AppendTLV(value, ber.OctetString, p.Cookie)
	return AppendControl(dst, OIDPagedResults, ber.End(value, mark))
}

// SortKey is one key of a server-side sort (RFC 2891).
type SortKey struct {
	Attribute []byte
	Rule      []byte // ordering rule, nil for the attribute's own
	Reverse   bool
}

// maxSortKeys bounds the keys of one request.
const maxSortKeys = 8

// ParseSortKeys parses the value of a sort request control.
func ParseSortKeys(value []byte) ([]SortKey, error) {
	outer := ber.NewReader(value)
	content, err := outer.Read(ber.Sequence)
	if err != nil {
		return nil, fmt.Errorf("sort: %w", err)
	}
	var keys []SortKey
	list := ber.NewReader(content)
	for !list.Empty() {
		if len(keys) == maxSortKeys {
			return nil, fmt.Errorf("sort: more than %d keys", maxSortKeys)
		}
		content, err := list.Read(ber.Sequence)
		if err != nil {
			return nil, fmt.Errorf("sort: %w", err)
		}
		var k SortKey
		r := ber.NewReader(content)
		if k.Attribute, err = r.Read(ber.OctetString); err != nil {
			return nil, fmt.Errorf("sort: %w", err)
		}
		if r.Peek() == 0x80 {
			if k.Rule, err = r.Read(0x80); err != nil {
				return nil, fmt.Errorf("sort: %w", err)
			}
		}
		if r.Peek() == 0x81 {
			if k.Reverse, err = r.Bool(0x81); err != nil {
				return nil, fmt.Errorf("sort: %w", err)
			}
		}
		if err := r.End(); err != nil {
			return nil, fmt.Errorf("sort: %w", err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("sort: no key")
	}
	return keys, nil
}

// AppendSortResponse appends the whole response control. attr names the key
// at fault, if one is.
func AppendSortResponse(dst []byte, code ResultCode, attr []byte) []byte {
	value, mark := ber.Begin(make([]byte, 0, 16+len(attr)), ber.Sequence)
	value = ber.AppendInt(value, ber.Enumerated, int64(code))
	if len(attr) > 0 {
		value = ber.AppendTLV(value, 0x80, attr)
	}
	return AppendControl(dst, OIDSortResponse, ber.End(value, mark))
}
