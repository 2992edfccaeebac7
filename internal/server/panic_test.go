package server_test

import (
	"context"
	"testing"

	"ldapd/internal/await"
	"ldapd/internal/ldap"
	"ldapd/internal/server"
)

// A panic ends its connection, is counted and logged with the stack, and
// touches no other.
func TestPanic(t *testing.T) {
	h := &handler{
		bind: func(_ context.Context, _ *server.Conn, req *ldap.BindRequest) (server.Identity, error) {
			if string(req.Name) != "cn=alice" {
				panic("bind")
			}
			return user(req.Name), nil
		},
		search: func(_ *server.Conn, req *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
			if string(req.Base) == "slow" {
				w.Slow()
			}
			panic("search")
		},
		compare: func(*server.Conn, *ldap.CompareRequest) (bool, error) { panic("compare") },
	}
	for name, request := range map[string]string{
		"search":      searchO,
		"slow search": searchFor(4, "slow"),
		"compare":     "30 10 02 01 08 6e 0b 04 01 'o' 30 06 04 01 'a' 04 01 'b'",
		"bind":        "30 18 02 01 01 60 13 02 01 03 04 06 'cn=bob' 80 06 'secret'",
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, server.Config{Handler: h})
			other := f.dialBound()
			c := f.dialBound()
			c.send(request)
			c.expectEnd()
			other.expectWho("cn=alice")
			if n := f.metric("ldapd_panics_total"); n != 1 {
				t.Errorf("%v panics counted", n)
			}
			if n := f.logs.FilterMessage("panic while serving a connection").Len(); n != 1 {
				t.Errorf("%d panics logged", n)
			}
			await.That(t, "the connection is gone", func() bool { return f.metric("ldapd_connections") == 1 })
		})
	}
}
