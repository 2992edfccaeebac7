package authentik

import (
	"errors"
	"fmt"

	"ldapd/internal/auth"
)

// judge decides whether a challenge means that the answer before it was
// refused.
func (x *execution) judge(ch challenge) error {
	last, now := x.stage, word(ch.Component)
	if x.answered[ch.Component] {
		switch {
		case ch.refused() && now == last:
			return x.refusedAt(last)
		// The flow starts again when a wrong answer is set to do that, and also
		// when authentik lost the session: then it is another one, and takes
		// the answer for that to its first stage.
		case ch.refused() || x.anotherSession():
			return errors.New("the flow starts again, in another session")
		}
		return x.refusedAt(last)
	}
	if ch.refused() {
		return fmt.Errorf("%s comes with an error before it was answered", now)
	}
	if ch.moved || ch.Component != componentDenied {
		x.accepted(last)
	}
	if ch.Component == componentDenied {
		return x.denied(ch)
	}
	x.stage = now
	return nil
}

// anotherSession reports that the session is not the one of the last answer.
func (x *execution) anotherSession() bool {
	sid := x.jar.sid()
	return sid == "" || sid != x.sid
}

// accepted notes that the answer to a stage was right.
func (x *execution) accepted(component string) {
	switch component {
	case componentIdentification:
		x.identified = true
		if x.passwordSent {
			x.judged = auth.Right
		}
	case componentPassword:
		x.judged = auth.Right
	case componentValidate:
		if x.passwordAsCode {
			x.judged = auth.Right
		}
	}
}

// denied is what it means that a flow ends with a denial. Before somebody was
// identified it is about nobody.
func (x *execution) denied(ch challenge) error {
	detail := oneLine(ch.Message)
	switch {
	case !x.identified:
		return fmt.Errorf("%w: %s", ErrFlowDenied, detail)
	case !ch.moved && x.anotherSession():
		return fmt.Errorf("denied in another session: %s", detail)
	case !ch.moved && x.stage == componentPassword:
		// The stage goes on with a password that it takes. It denies in place
		// of asking again after too many wrong ones, also those of others.
		return &Refusal{Stage: x.stage, Reason: auth.WrongPassword, Password: auth.Wrong, Detail: detail}
	}
	return &Refusal{Stage: x.stage, Reason: auth.Policy, Password: x.judged, Detail: detail}
}

// refusedAt is the refusal of the answer to a stage.
func (x *execution) refusedAt(component string) error {
	r := &Refusal{Stage: component, Password: x.judged}
	switch {
	case component == componentPassword,
		component == componentIdentification && x.passwordSent,
		component == componentValidate && x.passwordAsCode:
		r.Reason, r.Password = auth.WrongPassword, auth.Wrong
	case component == componentIdentification:
		r.Reason = auth.UnknownUser
	case component == componentValidate && x.factor == auth.FactorDuo:
		r.Reason = auth.FactorDenied
	case component == componentValidate:
		r.Reason = auth.WrongCode
	default: // nothing of the credential was in the answer
		return fmt.Errorf("%s does not accept the answer", component)
	}
	return r
}
