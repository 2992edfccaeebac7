package auth

import "ldapd/internal/ldap"

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
	CodeMissing    Reason = "code_missing"    // the user has a second factor, and none was presented
	WrongCode      Reason = "wrong_code"      // the second factor is wrong
	CodeUsed       Reason = "code_used"       // the code is right, and served before
	CodeUnexpected Reason = "code_unexpected" // a code for a user without a second factor
	CodeInSecret   Reason = "code_in_secret"  // wrong, and it ends in what looks like a code, which mfa.code_in takes elsewhere
	CodeGuarded    Reason = "code_guarded"    // wrong, and it ends in what looks like a code, which this client may not put there
	FactorDenied   Reason = "factor_denied"   // the user did not confirm
	FactorUnusable Reason = "factor_unusable" // the user has no second factor that LDAP can ask for
	Policy         Reason = "policy"          // a policy of the flow refused this user
	NoAccess       Reason = "no_access"       // right credential, but the user may not use the application
)

// Limited: the answer is 51.
const (
	LimitUser    Reason = "limit_user"    // too many wrong passwords of the user from the address
	LimitAddress Reason = "limit_address" // too many denied binds from the address
	LimitCode    Reason = "limit_code"    // too many wrong codes of the user with the right password
	LimitPush    Reason = "limit_push"    // too many pushes that the user turned down
	PaceUser     Reason = "pace_user"     // too many binds of the user that need a flow
	PaceAddress  Reason = "pace_address"  // too many from the address
)

// Judgement is what became known of a password.
type Judgement uint8

const (
	Unjudged Judgement = iota // nothing: it was refused before anybody compared it
	Wrong
	Right
)

// Denied is the error of a bind with a wrong credential, or of a user who may
// not bind. What is not about the credential or the user is no Denied.
type Denied struct {
	Reason   Reason
	Password Judgement
	// Final says that no other reading of the credential can be right, so
	// none is to be tried. An authenticator may set it only if the time until
	// then tells nothing, or nothing that the client may not know.
	Final bool
	// Hint is added to what the client is told. It must be the same whatever
	// is wrong.
	Hint string
}

func (d *Denied) Error() string {
	text := "bind denied: " + string(d.Reason)
	if d.Hint != "" {
		text += "; " + d.Hint
	}
	return text
}

// Unwrap returns the answer, which is one for all that is wrong with a
// credential.
func (d *Denied) Unwrap() error {
	if d.Reason == NoAccess {
		return ldap.Errorf(ldap.ResultInsufficientAccess, "no access to this application")
	}
	if d.Hint != "" {
		return ldap.Errorf(ldap.ResultInvalidCredentials, "invalid credentials; %s", d.Hint)
	}
	return ldap.Errorf(ldap.ResultInvalidCredentials, "invalid credentials")
}

// Guess reports that a second factor was tried, and is wrong or spent.
func (d *Denied) Guess() bool {
	return d.Reason == WrongCode || d.Reason == CodeUsed || d.Reason == FactorDenied
}

// FactorDue reports that the second factor was in the way.
func (d *Denied) FactorDue() bool {
	switch d.Reason {
	case CodeMissing, WrongCode, CodeUsed, CodeUnexpected, FactorDenied, FactorUnusable:
		return true
	}
	return false
}

// Limited is the error of a bind that was refused because of those before it.
// It says nothing about the credential.
type Limited struct{ Reason Reason }

func (l *Limited) Error() string { return "bind refused: " + string(l.Reason) }

// Unwrap returns the answer.
func (l *Limited) Unwrap() error {
	return ldap.Errorf(ldap.ResultBusy, "too many binds, try again later")
}
