package server_test

import (
	"crypto/tls"
	"strings"
	"sync"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"ldapd/internal/ldap"
	"ldapd/internal/server"
)

// A client of the world, many at once, over all three transports.
func TestGoLDAP(t *testing.T) {
	cfg := server.Config{TLSConfig: serverTLS(), Handler: &handler{
		search: func(c *server.Conn, req *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
			if c.Identity() == nil {
				return nil, ldap.Errorf(ldap.ResultOperationsError, "bind first")
			}
			for range 500 {
				if err := sendEntry(w, string(req.Base)+","+strings.Repeat("x", 300)); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}}}
	plain, secure := start(t, cfg), startTLS(t, cfg)
	insecure := &tls.Config{InsecureSkipVerify: true}
	session := func(url string, upgrade bool) {
		c, err := goldap.DialURL(url, goldap.DialWithTLSConfig(insecure))
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if upgrade {
			if err := c.StartTLS(insecure); err != nil {
				t.Errorf("StartTLS: %v", err)
			}
		}
		request := goldap.NewSearchRequest("o", goldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", nil, nil)
		if _, err := c.Search(request); !goldap.IsErrorWithCode(err, goldap.LDAPResultOperationsError) {
			t.Errorf("search before bind: %v", err)
		}
		if err := c.Bind("cn=alice", "wrong"); !goldap.IsErrorWithCode(err, goldap.LDAPResultInvalidCredentials) {
			t.Errorf("bind with a wrong password: %v", err)
		}
		if err := c.Bind("cn=alice", "secret"); err != nil {
			t.Errorf("bind: %v", err)
		}
		var searches sync.WaitGroup
		for range 4 {
			searches.Go(func() {
				res, err := c.Search(request)
				if err != nil || len(res.Entries) != 500 {
					t.Errorf("search: %v", err)
				}
			})
		}
		searches.Wait()
		if who, err := c.WhoAmI(nil); err != nil || who.AuthzID != "dn:cn=alice" {
			t.Errorf("WhoAmI: %v, %v", who, err)
		}
		if yes, err := c.Compare("o", "a", "yes"); !yes || err != nil {
			t.Errorf("compare: %v, %v", yes, err)
		}
		if err := c.Del(goldap.NewDelRequest("o", nil)); !goldap.IsErrorWithCode(err, goldap.LDAPResultUnwillingToPerform) {
			t.Errorf("delete: %v", err)
		}
		if err := c.Unbind(); err != nil {
			t.Errorf("unbind: %v", err)
		}
	}
	var sessions sync.WaitGroup
	for range 4 {
		sessions.Go(func() { session("ldap://"+plain.addr, false) })
		sessions.Go(func() { session("ldap://"+plain.addr, true) })
		sessions.Go(func() { session("ldaps://"+secure.addr, false) })
	}
	sessions.Wait()
}
