package ldap

import (
	"fmt"

	"ldapd/internal/ber"
)

// Extended operations and notices.
const (
	OIDStartTLS              = "1.3.6.1.4.1.1466.20037"  // RFC 4511 section 4.14
	OIDWhoAmI                = "1.3.6.1.4.1.4203.1.11.3" // RFC 4532
	OIDCancel                = "1.3.6.1.1.8"             // RFC 3909
	OIDPasswordModify        = "1.3.6.1.4.1.4203.1.11.1" // RFC 3062
	OIDNoticeOfDisconnection = "1.3.6.1.4.1.1466.20036"  // RFC 4511 section 4.4.1
)

// ExtendedRequest is RFC 4511 section 4.12.
type ExtendedRequest struct {
	Name  []byte // OID
	Value []byte // nil without
}

const (
	extRequestName   = 0x80
	extRequestValue  = 0x81
	extResponseName  = 0x8a
	extResponseValue = 0x8b
)

// ParseExtendedRequest parses the body of an ExtendedRequest.
func ParseExtendedRequest(body []byte) (ExtendedRequest, error) {
	var req ExtendedRequest
	r := ber.NewReader(body)
	var err error
	if req.Name, err = r.Read(extRequestName); err != nil {
		return req, fmt.Errorf("extended requestName: %w", err)
	}
	if r.Peek() == extRequestValue {
		if req.Value, err = r.Read(extRequestValue); err != nil {
			return req, fmt.Errorf("extended requestValue: %w", err)
		}
	}
	return req, r.End()
}

// CancelID parses the value of a Cancel request (RFC 3909 section 2.1).
func CancelID(value []byte) (int32, error) {
	outer := ber.NewReader(value)
	content, err := outer.Read(ber.Sequence)
	if err != nil {
		return 0, fmt.Errorf("cancel: %w", err)
	}
	r := ber.NewReader(content)
	id, err := r.Read(ber.Integer)
	if err != nil {
		return 0, fmt.Errorf("cancel: %w", err)
	}
	return AbandonID(id)
}
