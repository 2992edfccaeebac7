package ldap

import (
	"fmt"

	"ldapd/internal/ber"
)

// Authentication choices of a BindRequest.
const (
	AuthSimple byte = 0x80
	AuthSASL   byte = 0xa3
)

// BindRequest is RFC 4511 section 4.2.
type BindRequest struct {
	Version   int64
	Name      []byte // LDAPDN
	Auth      byte   // AuthSimple, AuthSASL or what else the client sent
	Password  []byte // simple
	Mechanism []byte // sasl
}

// ParseBindRequest parses the body of a BindRequest.
func ParseBindRequest(body []byte) (BindRequest, error) {
	var req BindRequest
	r := ber.NewReader(body)
	var err error
	if req.Version, err = r.Int(ber.Integer); err != nil {
		return req, fmt.Errorf("bind version: %w", err)
	}
	if req.Name, err = r.Read(ber.OctetString); err != nil {
		return req, fmt.Errorf("bind name: %w", err)
	}
	tag, content, err := r.Next()
	if err != nil {
		return req, fmt.Errorf("bind authentication: %w", err)
	}
	switch req.Auth = tag; tag {
	case AuthSimple:
		req.Password = content
	case AuthSASL:
		s := ber.NewReader(content)
		if req.Mechanism, err = s.Read(ber.OctetString); err != nil {
			return req, fmt.Errorf("bind mechanism: %w", err)
		}
	}
	return req, nil
}
