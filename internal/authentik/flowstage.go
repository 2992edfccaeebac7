package authentik

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"ldapd/internal/auth"
)

// The components that can be answered, and those that end a flow.
const (
	componentIdentification = "ak-stage-identification"
	componentPassword       = "ak-stage-password"
	componentValidate       = "ak-stage-authenticator-validate"
	componentLogin          = "ak-stage-user-login"
	componentConsent        = "ak-stage-consent"

	componentRedirect   = "xak-flow-redirect"
	componentDenied     = "ak-stage-access-denied"
	componentError      = "ak-stage-flow-error"
	componentSessionEnd = "ak-stage-session-end"
)

// challenge is what a flow asks or says. Each component has some of the fields.
type challenge struct {
	Component string                     `json:"component"`
	Errors    map[string]json.RawMessage `json:"response_errors"`

	UserFields     []string          `json:"user_fields"`
	PasswordFields bool              `json:"password_fields"`
	Captcha        json.RawMessage   `json:"captcha_stage"`
	Devices        []json.RawMessage `json:"device_challenges"`
	Token          string            `json:"token"`

	To        string `json:"to"`
	Message   string `json:"error_message"`
	RequestID string `json:"request_id"`

	moved bool // it came because the answer before it was accepted
}

// refused reports that the last answer was not accepted. The texts are for
// people, and translated.
func (ch *challenge) refused() bool {
	for _, e := range ch.Errors {
		if s := string(bytes.TrimSpace(e)); s != "null" && s != "[]" && s != "{}" {
			return true
		}
	}
	return false
}

// device is a second factor that the user has.
type device struct {
	Class string `json:"device_class"`
	UID   string `json:"device_uid"`
	raw   json.RawMessage
}

// The answers, by component.
type (
	identificationAnswer struct {
		Component string `json:"component"`
		UIDField  string `json:"uid_field"`
		Password  string `json:"password"`
	}
	passwordAnswer struct {
		Component string `json:"component"`
		Password  string `json:"password"`
	}
	codeAnswer struct {
		Component string          `json:"component"`
		Selected  json.RawMessage `json:"selected_challenge"`
		Code      string          `json:"code"`
	}
	duoAnswer struct {
		Component string          `json:"component"`
		Selected  json.RawMessage `json:"selected_challenge"`
		Duo       int             `json:"duo"`
	}
	loginAnswer struct {
		Component  string `json:"component"`
		RememberMe bool   `json:"remember_me"`
	}
	consentAnswer struct {
		Component string `json:"component"`
		Token     string `json:"token"`
	}
)

// answer makes the answer to a challenge.
func (x *execution) answer(ch challenge) (any, error) {
	switch ch.Component {
	case componentIdentification:
		if err := ch.identifiable(x.Username); err != nil {
			return nil, err
		}
		x.passwordSent = ch.PasswordFields
		return identificationAnswer{ch.Component, x.Username, string(x.Password)}, nil
	case componentPassword:
		x.passwordSent = true
		return passwordAnswer{ch.Component, string(x.Password)}, nil
	case componentValidate:
		return x.validate(ch)
	case componentLogin:
		return loginAnswer{ch.Component, true}, nil
	case componentConsent:
		return consentAnswer{ch.Component, ch.Token}, nil
	case componentError:
		if ch.RequestID != "" && len(ch.RequestID) <= 64 {
			return nil, fmt.Errorf("authentik failed, see its log for request %q", ch.RequestID)
		}
		return nil, errors.New("authentik failed, see its log")
	}
	return nil, fmt.Errorf("no answer to %s is known", word(ch.Component))
}

// identifiable reports why the identification stage refuses everybody who
// comes with a name of that kind. It would not tell that from a wrong password.
func (ch *challenge) identifiable(username string) error {
	if c := string(bytes.TrimSpace(ch.Captcha)); c != "" && c != "null" {
		return errors.New("it wants a captcha solved")
	}
	if len(ch.UserFields) > 0 && !slices.Contains(ch.UserFields, "username") && !strings.Contains(username, "@") {
		return errors.New("it does not accept usernames")
	}
	return nil
}

// validate answers the stage of second factors. A typed code is used, and no
// push is sent beside it; without a code, Duo is asked.
func (x *execution) validate(ch challenge) (any, error) {
	x.jar.remove(mfaCookie) // it was not taken
	if x.Quiet {
		return nil, &Refusal{Stage: ch.Component, Reason: auth.CodeMissing, Password: x.judged,
			Detail: "a second factor is due, and the user was not bothered"}
	}
	var devices []device
	for _, raw := range ch.Devices {
		d := device{raw: raw}
		if err := json.Unmarshal(raw, &d); err != nil {
			return nil, fmt.Errorf("device challenge: %w", err)
		}
		devices = append(devices, d)
	}
	code, duo := x.Code, find(devices, "duo")
	if code == "" && duo == nil && x.PasswordAsCode && !x.passwordSent {
		code, x.passwordAsCode = x.Password, true
	}
	generator := chooseGenerator(devices, string(code))
	switch {
	case code != "" && generator != nil:
		x.factor = auth.Factor(generator.Class)
		return codeAnswer{ch.Component, generator.raw, string(code)}, nil
	case code == "" && duo != nil:
		x.factor = auth.FactorDuo
		id, err := strconv.Atoi(duo.UID)
		if err != nil {
			return nil, errors.New("the Duo device has no number")
		}
		return duoAnswer{ch.Component, duo.raw, id}, nil
	}
	r := &Refusal{Stage: ch.Component, Password: x.judged}
	switch {
	case generator != nil:
		r.Reason = auth.CodeMissing
	case duo != nil:
		r.Reason, r.Detail = auth.CodeUnexpected, "the user has Duo only, which takes no code"
	case len(devices) == 0:
		r.Reason = auth.FactorUnusable
		r.Detail = "the user has to set up a second factor in authentik first"
	default:
		r.Reason = auth.FactorUnusable
		r.Detail = "an LDAP client cannot be asked for " + classes(devices) +
			": let the user set up TOTP, static tokens or Duo, or let the stage skip those without"
	}
	return nil, r
}

// chooseGenerator picks the device that a code is from: the stage tries them
// all, so this is for its form. A choice of sms or email would send a message.
func chooseGenerator(devices []device, code string) *device {
	totp, static := find(devices, "totp"), find(devices, "static")
	if totp == nil || static != nil && strings.Trim(code, "0123456789") != "" {
		return static
	}
	return totp
}

func find(devices []device, class string) *device {
	for i := range devices {
		if devices[i].Class == class {
			return &devices[i]
		}
	}
	return nil
}

// classes lists the kinds of devices, for people.
func classes(devices []device) string {
	var names []string
	for _, d := range devices {
		names = append(names, word(d.Class))
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// word returns a name that authentik gave to something, if it is fit for a
// log and a metric.
func word(s string) string {
	fit := func(r rune) bool {
		return r == '-' || r == '_' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9'
	}
	if s == "" || len(s) > 64 || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !fit(r) }) {
		return "unknown"
	}
	return s
}
