package server

import (
	"context"
	"errors"

	"ldapd/internal/ldap"
)

var (
	errTimeout = ldap.Errorf(ldap.ResultUnavailable, "timed out, try again later")
	errUnknown = ldap.Errorf(ldap.ResultUnavailable, "temporary failure, try again later")
)

// Result is the one place that turns an error into what the client is told.
// An *ldap.Error anywhere in the chain says it itself. Everything else is
// trouble of ours and so unavailable (52): the one code that no client takes
// for a verdict on a password or an entry.
func Result(err error) *ldap.Error {
	var res *ldap.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &res):
		return res
	case errors.Is(err, context.DeadlineExceeded):
		return errTimeout
	}
	return errUnknown
}

func code(res *ldap.Error) ldap.ResultCode {
	if res == nil {
		return ldap.ResultSuccess
	}
	return res.Code
}
