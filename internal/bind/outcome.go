package bind

import (
	"errors"

	"ldapd/internal/auth"
	"ldapd/internal/ldap"
)

// Reasons of outcomes that are no denial and no limit.
const (
	BadDN       auth.Reason = "bad_dn"      // the answer is 34
	EmptySecret auth.Reason = "no_secret"   // the answer is 53
	Unavailable auth.Reason = "unavailable" // cannot be determined, the answer is 52
	Unpaired    auth.Reason = "undecided"   // right password, but not which login it is of: 52
)

// guardText says the same for every password that ends like this.
const guardText = "a one-time code behind the password is refused for this client, " +
	"as it would break the encryption keys: put it behind the login name (name;123456) and leave the password as it is"

// ErrNotLoaded says that there is no directory to find anybody in.
var ErrNotLoaded = errors.New("no directory was loaded yet")

// undetermined makes an answer of an error that nobody classified, whatever it
// wraps.
func undetermined(err error) error {
	return &ldap.Error{Code: ldap.ResultUnavailable, Message: "cannot authenticate at the moment", Err: err}
}

// Outcome is one of the words for how a bind ended, in log and metric.
type Outcome string

const (
	OutcomeGranted Outcome = "granted"
	OutcomeDenied  Outcome = "denied"
	OutcomeLimited Outcome = "limited"
	OutcomeRefused Outcome = "refused" // malformed
	OutcomeUnknown Outcome = "unknown" // cannot be determined
)

// Classify puts the error of Pipeline.Bind into words for log and metric.
func Classify(err error) (Outcome, auth.Reason) {
	if err == nil {
		return OutcomeGranted, ""
	}
	if d := (*auth.Denied)(nil); errors.As(err, &d) {
		return OutcomeDenied, d.Reason
	}
	if l := (*auth.Limited)(nil); errors.As(err, &l) {
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
	if errors.Is(err, errUndecided) {
		return OutcomeUnknown, Unpaired
	}
	return OutcomeUnknown, Unavailable
}
