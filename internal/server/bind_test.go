package server_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"ldapd/internal/await"
	"ldapd/internal/ldap"
	"ldapd/internal/server"
)

func TestBind(t *testing.T) {
	const name, secret = "04 08 'cn=alice'", "80 06 'secret'"
	for _, tt := range []struct{ name, send, want, who string }{
		{"anonymous", bindAnonymous, okBind, ""},
		{"simple", bindAlice, okBind, "cn=alice"},
		{"wrong password", "30 17 02 01 01 60 12 02 01 03" + name + "80 03 'xxx'", "30 0e 02 01 01 61 09 0a 01 31 04 00 04 02 'no'", ""},
		{"unauthenticated", "30 14 02 01 01 60 0f 02 01 03" + name + "80 00",
			result(1, 0x61, 53, "a bind with a name needs a password (RFC 4513 section 5.1.2)"), ""},
		{"password without name", "30 12 02 01 01 60 0d 02 01 03 04 00" + secret,
			result(1, 0x61, 49, "a bind with a password needs a name"), ""},
		{"version 2", "30 1a 02 01 01 60 15 02 01 02" + name + secret,
			result(1, 0x61, 2, "LDAP version 2 is not supported, only 3"), ""},
		{"SASL", "30 14 02 01 01 60 0f 02 01 03 04 00 a3 08 04 06 'GSSAPI'",
			result(1, 0x61, 7, "SASL is not supported, no mechanisms are offered; use a simple bind"), ""},
		{"SASL with credentials", "30 16 02 01 01 60 11 02 01 03 04 00 a3 0a 04 05 'PLAIN' 04 01 'x'",
			result(1, 0x61, 7, "SASL is not supported, no mechanisms are offered; use a simple bind"), ""},
		{"unknown choice", "30 0c 02 01 01 60 07 02 01 03 04 00 8a 00",
			result(1, 0x61, 7, "only simple binds are supported"), ""},
		{"no body", "30 05 02 01 01 60 00", result(1, 0x61, 2, "bind version: ber: truncated element"), ""},
		{"no authentication", "30 0a 02 01 01 60 05 02 01 03 04 00",
			result(1, 0x61, 2, "bind authentication: ber: truncated element"), ""},
		{"name too long", "30 0a 02 01 01 60 05 02 01 03 04 7f",
			result(1, 0x61, 2, "bind name: ber: truncated element"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, server.Config{})
			c := f.dial()
			c.expectWho("")
			c.exchange(tt.send, tt.want)
			c.expectWho(tt.who)
			// A bound connection ends up the same (RFC 4513 section 4).
			c.exchange(bindAlice, okBind)
			c.expectWho("cn=alice")
			c.exchange(tt.send, tt.want)
			c.expectWho(tt.who)
		})
	}
}

// Trouble is 52 and the end of the connection, and never a verdict on the
// password (../../docs: Nextcloud would drop its tokens).
func TestBindTrouble(t *testing.T) {
	unknown := result(1, 0x61, 52, "temporary failure, try again later")
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"unavailable", ldap.Errorf(ldap.ResultUnavailable, "later"), "30 11 02 01 01 61 0c 0a 01 34 04 00 04 05 'later'"},
		{"not classified", errors.New("database password is hunter2"), unknown},
		{"canceled", context.Canceled, unknown},
		{"deadline", context.DeadlineExceeded, result(1, 0x61, 52, "timed out, try again later")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, server.Config{TLSConfig: serverTLS(), Handler: &handler{
				bind: func(context.Context, *server.Conn, *ldap.BindRequest) (server.Identity, error) {
					return user("not to be used"), tt.err
				}}})
			c := f.dial()
			c.exchange(bindAlice, tt.want)
			c.expectEnd()
			// Nothing behind it is served. The end may overtake the answer:
			// there are octets that the server has not read.
			c = f.dial()
			c.send(bindAlice, searchO)
			if m, err := c.read(); err == nil && show(m) != show(lit(t, tt.want)) {
				t.Errorf("received %s", show(m))
			}
			c.expectEnd()
			if n := f.logs.FilterMessage("search").Len(); n != 0 {
				t.Errorf("%d searches served", n)
			}
		})
	}
}

func TestBindTimeout(t *testing.T) {
	f := start(t, server.Config{
		Limits: server.Limits{BindTime: 10 * time.Millisecond},
		Handler: &handler{bind: func(ctx context.Context, _ *server.Conn, _ *ldap.BindRequest) (server.Identity, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
	})
	c := f.dial()
	c.exchange(bindAlice, result(1, 0x61, 52, "timed out, try again later"))
	c.expectEnd()
}

func TestHangUpDuringBind(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error)
	f := start(t, server.Config{
		Handler: &handler{bind: func(ctx context.Context, _ *server.Conn, _ *ldap.BindRequest) (server.Identity, error) {
			close(began)
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		}},
	})
	c := f.dial()
	c.send(bindAlice)
	await.Receive(t, "bind", began)
	c.Close()
	if err := await.Receive(t, "the end of the bind", ended); err != context.Canceled {
		t.Errorf("the bind ended by %v", err)
	}
}

// RFC 4511 section 4.2.1: a bind is processed when all before it is done.
func TestBindWaitsForSearches(t *testing.T) {
	release := make(chan struct{})
	var searching atomic.Int32
	f := start(t, server.Config{Handler: &handler{
		search: func(c *server.Conn, _ *ldap.SearchRequest, w *server.SearchWriter) ([]byte, error) {
			searching.Add(1)
			defer searching.Add(-1)
			w.Slow()
			<-release
			if c.Identity() != user("cn=alice") {
				t.Errorf("the identity changed to %v under a search", c.Identity())
			}
			return nil, nil
		},
		bind: func(_ context.Context, _ *server.Conn, req *ldap.BindRequest) (server.Identity, error) {
			if n := searching.Load(); n != 0 {
				t.Errorf("bind while %d searches run", n)
			}
			return user(req.Name), nil
		},
	}})
	c := f.dialBound()
	bob := "30 18 02 01 01 60 13 02 01 03 04 06 'cn=bob' 80 06 'secret'"
	c.send(searchFor(4, "a"), searchFor(5, "b"), whoAmI, bob)
	c.expect(whoAmIAlice) // is sent, then the bind waits
	close(release)
	got := map[string]bool{show(c.recv()): true, show(c.recv()): true}
	for _, id := range []byte{4, 5} {
		if want := show(lit(t, result(id, 0x65, 0, ""))); !got[want] {
			t.Errorf("no %s in %v", want, got)
		}
	}
	c.expect(okBind)
	c.expectWho("cn=bob")
}

// What is pipelined behind a bind waits for it and has its identity; what was
// answered before it is not held up.
func TestPipelineAroundBind(t *testing.T) {
	release := make(chan struct{})
	f := start(t, server.Config{Handler: &handler{
		bind: func(_ context.Context, c *server.Conn, req *ldap.BindRequest) (server.Identity, error) {
			if c.Identity() != nil {
				t.Errorf("bound as %v while binding", c.Identity())
			}
			<-release
			return user(req.Name), nil
		},
	}})
	c := f.dial()
	c.send(whoAmI, bindAlice, whoAmI, searchO)
	c.expect(whoAmINobody)
	c.send(whoAmI)
	release <- struct{}{}
	c.expect(okBind, whoAmIAlice, searchEntry, searchDone, whoAmIAlice)
	c.send(bindAlice, bindAnonymous, whoAmI)
	release <- struct{}{}
	c.expect(okBind, okBind, whoAmINobody)
}

// A bind is over before anything behind it is read, so nothing can abandon or
// cancel it.
func TestBindCannotBeStopped(t *testing.T) {
	c := start(t, server.Config{}).dial()
	for range 20 {
		c.send(bindAlice, "30 06 02 01 05 50 01 01", "30 19 02 01 06 77 14 80 0b '1.3.6.1.1.8' 81 05 30 03 02 01 01")
		c.expect(okBind, result(6, 0x78, 119, "no such operation in flight"))
		c.expectWho("cn=alice")
	}
}
