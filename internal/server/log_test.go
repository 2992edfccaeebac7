package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ldapd/internal/await"
	"ldapd/internal/ldap"
	"ldapd/internal/server"
)

func codeField(code int) zapcore.Field  { return zap.Int("code", code) }
func connField(id uint64) zapcore.Field { return zap.Uint64("conn", id) }

// refusal is an error with a word for the log.
type refusal struct{ error }

func (refusal) Reason() string  { return "wrong-password" }
func (r refusal) Unwrap() error { return ldap.Errorf(ldap.ResultInvalidCredentials, "no") }

// One line per operation. No password is in any of them, and assertion values
// and DNs go through the hook.
func TestLog(t *testing.T) {
	f := start(t, server.Config{
		Redact: func(attr, value []byte) []byte {
			return []byte(fmt.Sprintf("<%s %d>", attr, len(value)))
		},
		Handler: &handler{bind: func(_ context.Context, _ *server.Conn, req *ldap.BindRequest) (server.Identity, error) {
			if string(req.Password) != "secret" {
				return nil, refusal{errors.New("cause")}
			}
			return user("cn=alice"), nil
		}},
	})
	c := f.dial()
	c.exchange("30 18 02 01 01 60 13 02 01 03 04 08 'cn=alice' 80 04 'oops'", result(1, 0x61, 49, "no"))
	c.exchange(bindAlice, okBind)
	c.exchange(whoAmI, whoAmIAlice)
	c.exchange("30 2b 02 01 04 63 26 04 01 'o' 0a 01 02 0a 01 00 02 01 00 02 01 00 01 01 00 a3 0c 04 02 'cn' 04 06 'wonder' 30 04 04 02 'sn'",
		searchEntry, searchDone)
	c.exchange("30 19 02 01 08 6e 14 04 01 'o' 30 0f 04 08 'password' 04 03 'yes'", "30 0c 02 01 08 6f 07 0a 01 06 04 00 04 00")
	c.exchange("30 0c 02 01 09 4a 07 'cn=gone'", result(9, 0x6b, 53, "read-only: entries are changed where they come from, not over LDAP"))
	c.send(unbind)
	c.expectEnd()
	await.That(t, "the connection is gone", func() bool { return f.logs.FilterMessage("connection closed").Len() == 1 })
	got := f.text.lines(t)
	want := []string{
		"connection opened map[conn:1 tls:false]",
		"bind map[code:49 conn:1 dn:< 8> error:cause op:1 reason:wrong-password result:invalidCredentials]",
		"bind map[code:0 conn:1 dn:< 8> op:1 result:success]",
		"extended map[code:0 conn:1 dn:cn=alice oid:1.3.6.1.4.1.4203.1.11.3 op:2 result:success]",
		"search map[attrs:sn base:< 1> code:0 conn:1 dn:cn=alice entries:1 filter:(cn=<cn 6>) op:4 result:success scope:sub]",
		"compare map[base:< 1> code:6 conn:1 dn:cn=alice op:8 result:compareTrue]",
		"delete map[code:53 conn:1 dn:cn=alice error:unwillingToPerform: read-only: entries are changed where they come from, not over LDAP op:9 result:unwillingToPerform]",
		"connection closed map[conn:1]",
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("missing: %s", want[i])
		case i >= len(want):
			t.Errorf("too much: %s", got[i])
		case got[i] != want[i]:
			t.Errorf("line %d is\n  %s\nwant\n  %s", i, got[i], want[i])
		}
	}
	for _, e := range f.logs.All() {
		if client := e.ContextMap()["client"]; client != c.LocalAddr().String() {
			t.Errorf("%s: client %v", e.Message, client)
		}
	}
	for label, n := range map[string]float64{"bind": 2, "search": 1, "compareTrue": 1, "invalidCredentials": 1} {
		if got := f.metric("ldapd_operations_total", label); got != n {
			t.Errorf("%v operations counted with %s", got, label)
		}
	}
}

// What is left in a buffer from an earlier request, be it a password, must
// not come up as part of one that does not parse.
func TestLogOfMalformedRequests(t *testing.T) {
	f := start(t, server.Config{})
	c := f.dial()
	c.exchange(searchFor(4, strings.Repeat("b", 40)), result(4, 0x65, 1, "bind first"))
	secret := strings.Repeat("hunter2", 12)
	c.exchange(message(1, 0x60, append(lit(t, "02 01 03 04 01 'a' 80 54"), secret...)), result(1, 0x61, 49, "no"))
	c.sendBytes(bytes.Join([][]byte{
		lit(t, message(1, 0x60, append(lit(t, "02 01 03 04 01 'a' 80 54"), secret...))),
		lit(t, "30 05 02 01 04 63 00"),
	}, nil))
	c.expect(result(1, 0x61, 49, "no"), result(4, 0x65, 2, "search base: ber: truncated element"))
	c.exchange("30 05 02 01 04 60 00", result(4, 0x61, 2, "bind version: ber: truncated element"))
	c.exchange("30 05 02 01 04 6e 00", result(4, 0x6f, 2, "compare entry: ber: truncated element"))
	c.exchange("30 05 02 01 04 77 00", result(4, 0x78, 2, "extended requestName: ber: truncated element"))
	for _, line := range f.text.lines(t) {
		if strings.Contains(line, "hunter") || strings.Contains(line, "68 75 6e") {
			t.Errorf("the password is in the log: %s", line)
		}
		if strings.HasPrefix(line, "search") && strings.Contains(line, "search base") && !strings.Contains(line, "filter: ") {
			t.Errorf("a filter that was not sent is in the log: %s", line)
		}
	}
}

// A request may have a megabyte, its line in the log has not.
func TestLogOfLargeRequests(t *testing.T) {
	f := start(t, server.Config{})
	c := f.dial()
	c.exchange(searchFor(4, strings.Repeat("b", 9000)), result(4, 0x65, 1, "bind first"))
	for _, line := range f.text.lines(t) {
		if len(line) > 4000 {
			t.Errorf("a line of %d octets", len(line))
		}
		if strings.Contains(line, "search") && !strings.Contains(line, strings.Repeat("b", 1000)+strings.Repeat("b", 24)+"...") {
			t.Errorf("the base is not cut at 1024 octets: %s", line)
		}
	}
}
