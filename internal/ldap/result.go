// Package ldap holds the messages of LDAPv3 (RFC 4511): parsing requests
// from bytes and appending responses to them, controls, filters, DNs and
// results. It does no I/O. Parsed values refer to the bytes they came from
// and are good for as long as those are.
package ldap

import (
	"fmt"
	"strconv"
)

// ResultCode is the resultCode of an LDAPResult (RFC 4511 section 4.1.9).
type ResultCode int

const (
	ResultSuccess                ResultCode = 0
	ResultOperationsError        ResultCode = 1
	ResultProtocolError          ResultCode = 2
	ResultTimeLimitExceeded      ResultCode = 3
	ResultSizeLimitExceeded      ResultCode = 4
	ResultCompareFalse           ResultCode = 5
	ResultCompareTrue            ResultCode = 6
	ResultAuthMethodNotSupported ResultCode = 7
	ResultAdminLimitExceeded     ResultCode = 11
	ResultUnavailableCritical    ResultCode = 12
	ResultConfidentialityReq     ResultCode = 13
	ResultNoSuchAttribute        ResultCode = 16
	ResultUndefinedAttributeType ResultCode = 17
	ResultInappropriateMatching  ResultCode = 18
	ResultConstraintViolation    ResultCode = 19
	ResultNoSuchObject           ResultCode = 32
	ResultInvalidDNSyntax        ResultCode = 34
	ResultInvalidCredentials     ResultCode = 49
	ResultInsufficientAccess     ResultCode = 50
	ResultBusy                   ResultCode = 51
	ResultUnavailable            ResultCode = 52
	ResultUnwillingToPerform     ResultCode = 53
	ResultOther                  ResultCode = 80
	ResultCanceled               ResultCode = 118 // RFC 3909
	ResultNoSuchOperation        ResultCode = 119
	ResultTooLate                ResultCode = 120
	ResultCannotCancel           ResultCode = 121
)

// String returns the name that RFC 4511 gives the code.
func (c ResultCode) String() string {
	switch c {
	case ResultSuccess:
		return "success"
	case ResultOperationsError:
		return "operationsError"
	case ResultProtocolError:
		return "protocolError"
	case ResultTimeLimitExceeded:
		return "timeLimitExceeded"
	case ResultSizeLimitExceeded:
		return "sizeLimitExceeded"
	case ResultCompareFalse:
		return "compareFalse"
	case ResultCompareTrue:
		return "compareTrue"
	case ResultAuthMethodNotSupported:
		return "authMethodNotSupported"
	case ResultAdminLimitExceeded:
		return "adminLimitExceeded"
	case ResultUnavailableCritical:
		return "unavailableCriticalExtension"
	case ResultConfidentialityReq:
		return "confidentialityRequired"
	case ResultNoSuchAttribute:
		return "noSuchAttribute"
	case ResultUndefinedAttributeType:
		return "undefinedAttributeType"
	case ResultInappropriateMatching:
		return "inappropriateMatching"
	case ResultConstraintViolation:
		return "constraintViolation"
	case ResultNoSuchObject:
		return "noSuchObject"
	case ResultInvalidDNSyntax:
		return "invalidDNSyntax"
	case ResultInvalidCredentials:
		return "invalidCredentials"
	case ResultInsufficientAccess:
		return "insufficientAccessRights"
	case ResultBusy:
		return "busy"
	case ResultUnavailable:
		return "unavailable"
	case ResultUnwillingToPerform:
		return "unwillingToPerform"
	case ResultOther:
		return "other"
	case ResultCanceled:
		return "canceled"
	case ResultNoSuchOperation:
		return "noSuchOperation"
	case ResultTooLate:
		return "tooLate"
	case ResultCannotCancel:
		return "cannotCancel"
	}
	return strconv.Itoa(int(c))
}

// Error is an outcome other than success. Message goes to the client as the
// diagnosticMessage, Err stays here for the log.
type Error struct {
	Code      ResultCode
	MatchedDN string
	Message   string
	Err       error
}

// Errorf returns an Error whose message the client sees.
func Errorf(code ResultCode, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	s := e.Code.String()
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }
