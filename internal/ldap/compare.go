package ldap

import (
	"fmt"

	"ldapd/internal/ber"
)

// CompareRequest is RFC 4511 section 4.10.
type CompareRequest struct {
	Entry, Attribute, Value []byte
}

// ParseCompareRequest parses the body of a CompareRequest.
func ParseCompareRequest(body []byte) (CompareRequest, error) {
	var req CompareRequest
	r := ber.NewReader(body)
	var err error
	if req.Entry, err = r.Read(ber.OctetString); err != nil {
		return req, fmt.Errorf("compare entry: %w", err)
	}
	ava, err := r.Read(ber.Sequence)
	if err != nil {
		return req, fmt.Errorf("compare assertion: %w", err)
	}
	req.Attribute, req.Value, err = parseAssertion(ava)
	return req, err
}

// parseAssertion parses the content of an AttributeValueAssertion.
func parseAssertion(content []byte) (attr, value []byte, err error) {
	r := ber.NewReader(content)
	if attr, err = r.Read(ber.OctetString); err != nil {
		return nil, nil, fmt.Errorf("attribute description: %w", err)
	}
	if value, err = r.Read(ber.OctetString); err != nil {
		return nil, nil, fmt.Errorf("assertion value: %w", err)
	}
	return attr, value, r.End()
}
