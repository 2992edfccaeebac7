package authentik

import (
	"context"
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
