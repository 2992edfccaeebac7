package bind

import (
	"errors"

	"ldapd/internal/ldap"
)

// Reason says why a bind was not granted. The words are those of log, metric
// and documentation; the client sees none of them.
type Reason string

// Denied: the answer is 49, and takes the same time for each of them.
const (
	UnknownUser    Reason = "unknown_user" // no such user, or no DN of a user
	Inactive       Reason = "inactive"     // the user is disabled
	NoPassword     Reason = "no_password"  // the user has none to bind with
	WrongPassword  Reason = "wrong_password"
	CodeMissing    Reason = "code_missing"    // right password, but the user has a second factor
	WrongCode      Reason = "wrong_code"      // right password
	CodeUsed       Reason = "code_used"       // right password and code, but the code served before
	CodeUnexpected Reason = "code_unexpected" // right password, and a code for a user without a second factor
)

// Limited: the answer is 51.
const (
	LimitUser    Reason = "limit_user"    // too many denied binds of the user from the address
	LimitAddress Reason = "limit_address" // too many denied binds from the address
	LimitCode    Reason = "limit_code"    // too many wrong codes of the user
)

// The rest.
const (
	BadDN       Reason = "bad_dn"      // the answer is 34
	EmptySecret Reason = "no_secret"   // the answer is 53
	Unavailable Reason = "unavailable" // could not be told, the answer is 52
)

// passwordRight reports that only the second factor was in the way.
func (r Reason) passwordRight() bool {
	return r == CodeMissing || r == WrongCode || r == CodeUsed || r == CodeUnexpected
}

// Denied is the error of a bind with a wrong credential.
type Denied struct{ Reason Reason }

func (d *Denied) Error() string { return "bind denied: " + string(d.Reason) }

// Unwrap returns the answer, which is one for all reasons.
func (d *Denied) Unwrap() error {
	return ldap.Errorf(ldap.ResultInvalidCredentials, "invalid credentials")
}

// Limited is the error of a bind that was refused because of those before it.
// It says nothing about the credential.
type Limited struct{ Reason Reason }

func (l *Limited) Error() string { return "bind refused: " + string(l.Reason) }

// Unwrap returns the answer.
func (l *Limited) Unwrap() error {
	return ldap.Errorf(ldap.ResultBusy, "too many failed binds, try again later")
}

// ErrNotLoaded says that there is no directory to find anybody in.
var ErrNotLoaded = errors.New("no directory was loaded yet")

// couldNotTell makes an answer of an error that nobody classified, whatever it
// wraps.
func couldNotTell(err error) error {
	return &ldap.Error{Code: ldap.ResultUnavailable, Message: "cannot authenticate at the moment", Err: err}
}

// Outcome is one of the words for how a bind ended, in log and metric.
type Outcome string

const (
	OutcomeGranted Outcome = "granted"
	OutcomeDenied  Outcome = "denied"
	OutcomeLimited Outcome = "limited"
	OutcomeRefused Outcome = "refused" // malformed
	OutcomeUnknown Outcome = "unknown" // could not be told
)

// Classify puts the error of Pipeline.Bind into words for log and metric.
func Classify(err error) (Outcome, Reason) {
	if err == nil {
		return OutcomeGranted, ""
	}
	if d := (*Denied)(nil); errors.As(err, &d) {
		return OutcomeDenied, d.Reason
	}
	if l := (*Limited)(nil); errors.As(err, &l) {
		return OutcomeLimited, l.Reason
	}
	if e := (*ldap.Error)(nil); errors.As(err, &e) {
		switch e.Code {
		case ldap.ResultInvalidDNSyntax:
			return OutcomeRefused, BadDN
		case ldap.ResultUnwillingToPerform:
			return OutcomeRefused, EmptySecret
		}
	}
	return OutcomeUnknown, Unavailable
}
