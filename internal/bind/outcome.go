package bind

import (
	"errors"

	"ldapd/internal/ldap"
)

// Reason says why a bind was not granted. The words are those of log, metric
// and documentation; the client sees none of them.
type Reason string

// Denied: the answer is 49, and takes the same time for each of them. For
// NoAccess it is 50, and for CodeGuarded the text says what to do.
const (
	UnknownUser    Reason = "unknown_user" // no such user, or no DN of a user
	Inactive       Reason = "inactive"     // the user is disabled
	NoPassword     Reason = "no_password"  // the user has none to bind with
	WrongPassword  Reason = "wrong_password"
	CodeMissing    Reason = "code_missing"    // right password, but the user has a second factor
	WrongCode      Reason = "wrong_code"      // right password
	CodeUsed       Reason = "code_used"       // right password and code, but the code served before
	CodeUnexpected Reason = "code_unexpected" // right password, and a code for a user without a second factor
	CodeInSecret   Reason = "code_in_secret"  // wrong, and it ends in what looks like a code, which mfa.code_in takes elsewhere
	CodeGuarded    Reason = "code_guarded"    // wrong, and it ends in what looks like a code, which this client may not put there
	FactorDenied   Reason = "factor_denied"   // right password, but the user did not confirm
	FactorUnusable Reason = "factor_unusable" // right password, but the user has no second factor that LDAP can ask for
	Policy         Reason = "policy"          // a policy of the flow refused, or the flow did
	NoLogin        Reason = "no_login"        // the flow ended with nobody logged in
	NoAccess       Reason = "no_access"       // right credential, but the user may not use the application
)

// Limited: the answer is 51.
const (
	LimitUser    Reason = "limit_user"    // too many denied binds of the user from the address
	LimitAddress Reason = "limit_address" // too many denied binds from the address
	LimitCode    Reason = "limit_code"    // too many wrong codes of the user, or pushes turned down
	PaceUser     Reason = "pace_user"     // too many binds of the user that need a flow
	PaceAddress  Reason = "pace_address"  // too many from the address
)

// The rest.
const (
	BadDN       Reason = "bad_dn"      // the answer is 34
	EmptySecret Reason = "no_secret"   // the answer is 53
	Unavailable Reason = "unavailable" // could not be told, the answer is 52
	Unpaired    Reason = "undecided"   // right password, but not which login it is of: 52
)

// passwordRight reports that the password was not what was in the way.
func (r Reason) passwordRight() bool {
	switch r {
	case CodeMissing, WrongCode, CodeUsed, CodeUnexpected, FactorDenied, FactorUnusable, NoAccess:
		return true
	}
	return false
}

// guess reports that a second factor was tried and is wrong.
func (r Reason) guess() bool { return r == WrongCode || r == FactorDenied }

// factorWrong reports that the password was right and the second factor in the
// way.
func (r Reason) factorWrong() bool { return r.passwordRight() && r != NoAccess }

// Denied is the error of a bind with a wrong credential, or of a user who may
// not bind.
type Denied struct {
	Reason Reason
	// Final says that no other reading of the credential can be right, so
	// none is to be tried. An authenticator may set it only if the time until
	// then tells nothing, or nothing that the client may not know.
	Final bool

	guarded bool // the text says what to do about a code on the password
}

func (d *Denied) Error() string {
	text := "bind denied: " + string(d.Reason)
	if d.guarded {
		text += "; " + guardText
	}
	return text
}

// Unwrap returns the answer, which is one for all that is wrong with a
// credential.
func (d *Denied) Unwrap() error {
	if d.Reason == NoAccess {
		return ldap.Errorf(ldap.ResultInsufficientAccess, "no access to this application")
	}
	if d.guarded {
		return ldap.Errorf(ldap.ResultInvalidCredentials, "invalid credentials; %s", guardText)
	}
	return ldap.Errorf(ldap.ResultInvalidCredentials, "invalid credentials")
}

// guardText says the same for every password that ends like this.
const guardText = "a one-time code behind the password is refused for this client, " +
	"as it would break the encryption keys: put it behind the login name (name;123456) and leave the password as it is"

// Limited is the error of a bind that was refused because of those before it.
// It says nothing about the credential.
type Limited struct{ Reason Reason }

func (l *Limited) Error() string { return "bind refused: " + string(l.Reason) }

// Unwrap returns the answer.
func (l *Limited) Unwrap() error {
	return ldap.Errorf(ldap.ResultBusy, "too many binds, try again later")
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
	if errors.Is(err, errUndecided) {
		return OutcomeUnknown, Unpaired
	}
	return OutcomeUnknown, Unavailable
}
