package ldap

import "ldapd/internal/ber"

// AppendResult appends a whole response that consists of an LDAPResult. A nil
// result is success. Controls is the content of the response controls, if
// any.
func AppendResult(dst []byte, id int32, op Op, res *Error, controls []byte) []byte {
	return appendResponse(dst, id, op, res, "", nil, controls)
}

// AppendExtendedResponse appends an ExtendedResponse; name and value may be
// empty and nil.
func AppendExtendedResponse(dst []byte, id int32, res *Error, name string, value []byte) []byte {
	return appendResponse(dst, id, OpExtendedResponse, res, name, value, nil)
}

// AppendNoticeOfDisconnection appends the message that announces that the
// server is about to close the connection (RFC 4511 section 4.4.1).
func AppendNoticeOfDisconnection(dst []byte, res *Error) []byte {
	return AppendExtendedResponse(dst, 0, res, OIDNoticeOfDisconnection, nil)
}

func appendResponse(dst []byte, id int32, op Op, res *Error, name string, value, controls []byte) []byte {
	if res == nil {
		res = &Error{}
	}
	dst, message := ber.Begin(dst, ber.Sequence)
	dst = ber.AppendInt(dst, ber.Integer, int64(id))
	dst, body := ber.Begin(dst, byte(op))
	dst = ber.AppendInt(dst, ber.Enumerated, int64(res.Code))
	dst = ber.AppendString(dst, ber.OctetString, res.MatchedDN)
	dst = ber.AppendString(dst, ber.OctetString, res.Message)
	if name != "" {
		dst = ber.AppendString(dst, extResponseName, name)
	}
	if value != nil {
		dst = ber.AppendTLV(dst, extResponseValue, value)
	}
	dst = ber.End(dst, body)
	if len(controls) > 0 {
		dst = ber.AppendTLV(dst, controlsTag, controls)
	}
	return ber.End(dst, message)
}

// AppendEntryHeader appends the start of a SearchResultEntry: all up to its
// attributes. The caller appends exactly attrs octets of PartialAttribute
// elements behind it. dn is the whole LDAPDN element.
func AppendEntryHeader(dst []byte, id int32, dn []byte, attrs int) []byte {
	body := len(dn) + ber.Size(attrs)
	dst = ber.AppendHeader(dst, ber.Sequence, 2+ber.IntSize(int64(id))+ber.Size(body))
	dst = ber.AppendInt(dst, ber.Integer, int64(id))
	dst = ber.AppendHeader(dst, byte(OpSearchResultEntry), body)
	dst = append(dst, dn...)
	return ber.AppendHeader(dst, ber.Sequence, attrs)
}
