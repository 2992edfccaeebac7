package nextcloud

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/bind"
	"ldapd/internal/directory"
	wire "ldapd/internal/ldap"
	"ldapd/internal/search"
	"ldapd/internal/server"
)

// searches are one of each kind that Nextcloud sends.
var searches = []query{
	list.page(500, nil),
	{base: userBase, scope: ldap.ScopeWholeSubtree, filter: "(&(objectclass=user)(|(cn=bob)(mail=bob)))", attrs: []string{"dn"}, size: 500},
	{base: "cn=bob," + userBase, filter: userFilter, attrs: []string{""}},
	{base: "cn=staff," + groupBase, filter: "(objectclass=group)", attrs: []string{""}},
	{base: "cn=nobody," + userBase, filter: "(objectClass=*)", attrs: []string{"displayname"}},
	{base: base, scope: ldap.ScopeWholeSubtree, filter: "(objectclass=*)", attrs: []string{"dn"}, limit: 1},
}

// TestMust8Unbound wants operationsError for each search on a connection that
// is not bound: anything else ends sessions, or marks users as deleted.
func TestMust8Unbound(t *testing.T) {
	s := start(t, recorded(t))
	bound := s.asAgent(t)
	for what, c := range map[string]*ldap.Conn{
		"never bound":           s.dial(t),
		"after a denied bind":   denied(t, s.dial(t)),
		"after a denied rebind": denied(t, bound),
		"anonymous":             anonymous(t, s.dial(t)),
	} {
		for _, q := range searches {
			a := do(t, c, q)
			if a.code != ldap.LDAPResultOperationsError || len(a.entries) > 0 {
				t.Errorf("%s: %+v: result %d, %d entries", what, q, a.code, len(a.entries))
			}
		}
		// The connection is still good for the right password.
		wantCode(t, what+", agent", c.Bind(agent, agentPass), ldap.LDAPResultSuccess)
		if a := do(t, c, searches[2]); a.code != ldap.LDAPResultSuccess || len(a.entries) != 1 {
			t.Errorf("%s, then bound: result %d, %d entries", what, a.code, len(a.entries))
		}
	}
}

// denied has a bind denied on the connection.
func denied(t *testing.T, c *ldap.Conn) *ldap.Conn {
	t.Helper()
	wantCode(t, "wrong password", c.Bind(agent, "wrong"), ldap.LDAPResultInvalidCredentials)
	return c
}

// anonymous has the anonymous bind granted on the connection.
func anonymous(t *testing.T, c *ldap.Conn) *ldap.Conn {
	t.Helper()
	wantCode(t, "anonymous bind", c.UnauthenticatedBind(""), ldap.LDAPResultSuccess)
	return c
}

// TestMust8RemovedAgent takes the service account away while its connection is
// open. That is a matter of configuration, and no user is gone.
func TestMust8RemovedAgent(t *testing.T) {
	users := with(recorded(t), user("other", "Other"))
	s := start(t, users)
	c := s.dial(t)
	wantCode(t, "bind", c.Bind("cn=other,"+userBase, "pw"), ldap.LDAPResultSuccess)
	s.change(t, without(t, users, "other"))
	for _, q := range searches {
		if a := do(t, c, q); a.code != ldap.LDAPResultOperationsError || len(a.entries) > 0 {
			t.Errorf("%+v: result %d, %d entries", q, a.code, len(a.entries))
		}
	}
}

// TestMust8NotLoaded has a server whose directory was never loaded: all that
// Nextcloud may see of that is 52, and a connection that is closed when the
// bind could not be determined.
func TestMust8NotLoaded(t *testing.T) {
	s := startEmpty(t)
	for _, dn := range []string{agent, "cn=bob," + userBase, "cn=nobody," + userBase} {
		// That the server hangs up is part of it.
		if got := s.exchange(t, bindRequest(dn, "Passw0rd-bob")); !isBindResponse(got, ldap.LDAPResultUnavailable) {
			t.Errorf("bind as %s: answered % x", dn, got)
		}
	}
	c := s.dial(t)
	for _, q := range searches {
		if a := do(t, c, q); a.code != ldap.LDAPResultUnavailable || len(a.entries) > 0 {
			t.Errorf("%+v: result %d, %d entries", q, a.code, len(a.entries))
		}
	}
}

// startEmpty serves a directory that was never loaded. The daemon itself does
// not start without a users file, but other sources are not there at once.
func startEmpty(t *testing.T) *service {
	t.Helper()
	s := server.New(server.Config{Handler: &empty{
		binds:  bind.New(bind.Options{Directory: func(wire.DN) (bind.Directory, error) { return nil, bind.ErrNotLoaded }}),
		engine: search.New(search.Config{Forest: func() *directory.Forest { return nil }}),
	}})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, server.ErrServerClosed) {
			t.Error(err)
		}
	})
	return &service{addr: ln.Addr().String()}
}

type empty struct {
	binds  *bind.Pipeline
	engine *search.Engine
}

func (h *empty) Bind(ctx context.Context, c *server.Conn, req *wire.BindRequest) (server.Identity, error) {
	return h.binds.Bind(ctx, bind.Request{DN: string(req.Name), Password: req.Password, Addr: c.RemoteAddr().Addr()})
}

func (h *empty) Search(_ *server.Conn, req *wire.SearchRequest, w *server.SearchWriter) ([]byte, error) {
	res, err := h.engine.Search(nil, req, w)
	return res.Controls, err
}

func (h *empty) Compare(_ *server.Conn, req *wire.CompareRequest) (bool, error) {
	return h.engine.Compare(nil, req)
}
