package authentik

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// Logout ends a session by a provider's unbind flow. The client's address is
// the one of the bind.
func (c *Client) Logout(ctx context.Context, flow string, s *Session, ip netip.Addr) error {
	if flow == "" {
		return nil
	}
	x, err := c.newExecution(Execution{Flow: flow, ClientIP: ip})
	if err != nil {
		return fmt.Errorf("logout: %w", err)
	}
	for _, cookie := range s.Cookies {
		x.jar.set(cookie.name, cookie.value)
	}
	ch, err := x.show(ctx)
	if err != nil {
		return fmt.Errorf("logout: %w", err)
	}
	switch ch.Component {
	case componentRedirect, componentSessionEnd:
		return nil
	case componentDenied: // perhaps since the session is over
		if _, err := x.me(ctx); loggedOut(err) {
			return nil
		}
	}
	return fmt.Errorf("logout: the flow asks for %s", word(ch.Component))
}

// DryRun asks for the first challenge of a bind flow, and answers nothing. It
// returns the component, and an error if a bind can get no further.
func (c *Client) DryRun(ctx context.Context, flow string) (component string, err error) {
	x, err := c.newExecution(Execution{Flow: flow})
	if err != nil {
		return "", err
	}
	ch, err := x.show(ctx)
	if err != nil {
		return "", err
	}
	component = word(ch.Component)
	switch ch.Component {
	case componentIdentification:
		return component, ch.identifiable("")
	case componentPassword, componentValidate, componentLogin, componentConsent:
		return component, errors.New("the flow does not ask who it is: it needs an identification stage")
	case componentRedirect:
		return component, errors.New("the flow ends without a login")
	case componentDenied:
		return component, fmt.Errorf("authentik refuses to run the flow: %s", oneLine(ch.Message))
	}
	_, err = x.answer(ch)
	return component, err
}
