package authentik

import (
	"context"
	"errors"
	"fmt"
)

// DryRun is what a bind flow asks for before it got a password.
type DryRun struct {
	Stages   []string // components in their order; the last one was not answered
	Password bool     // the last one asks for the password
}

// DryRun begins a bind flow and gives no password. A flow that wants to know
// who it is first is told the account of the outpost: authentik counts that as
// no failure, and lets it in only where it would let in anybody. It returns an
// error if a bind cannot be granted by the flow, and none if that remains open.
func (c *Client) DryRun(ctx context.Context, flow, account string) (DryRun, error) {
	x, err := c.newExecution(Execution{Flow: flow, Username: account})
	if err != nil {
		return DryRun{}, err
	}
	ch, err := x.show(ctx)
	if err != nil {
		return DryRun{}, err
	}
	d := DryRun{Stages: []string{word(ch.Component)}}
	switch ch.Component {
	case componentIdentification:
	case componentPassword, componentValidate, componentLogin, componentConsent:
		return d, errors.New("the flow does not ask who it is: it needs an identification stage")
	case componentRedirect:
		return d, errors.New("the flow ends without a login")
	case componentDenied:
		return d, fmt.Errorf("authentik refuses to run the flow: %s", oneLine(ch.Message))
	default:
		_, err := x.answer(ch)
		return d, err
	}
	answer, err := x.answer(ch)
	if err != nil {
		return d, err
	}
	if d.Password = ch.PasswordFields; d.Password {
		return d, nil
	}
	if ch, err = x.solve(ctx, ch, answer); err != nil {
		return d, err
	}
	if ch.Component == componentIdentification {
		return d, nil // it takes others, perhaps
	}
	d.Stages = append(d.Stages, word(ch.Component))
	switch ch.Component {
	case componentPassword:
		d.Password = true
		return d, nil
	case componentValidate, componentConsent, componentDenied:
		return d, nil
	case componentLogin, componentRedirect:
		return d, ErrNoPassword
	}
	_, err = x.answer(ch)
	return d, err
}
