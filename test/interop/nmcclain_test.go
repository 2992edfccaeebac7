package interop

import (
	"errors"
	"strings"
	"testing"

	"github.com/nmcclain/ldap"
)

// TestNmcclain is the client half of nmcclain/ldap. It has no compare, no
// whoami and no sorting, and its StartTLS reads from the connection beside the
// reader that Dial has started, so that it cannot be relied on.
func TestNmcclain(t *testing.T) {
	d := startDemo(t)
	code := codes(t)
	var out transcript

	find := func(c *ldap.Conn, base, filter string, attrs ...string) (*ldap.SearchResult, error) {
		return c.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases,
			0, 0, false, filter, attrs, nil))
	}
	rdns := func(what string, r *ldap.SearchResult, err error) {
		if err != nil {
			out.say(what, nmcclainCode(err))
			return
		}
		var names []string
		for _, e := range r.Entries {
			name, _, _ := strings.Cut(e.DN, ",")
			names = append(names, name)
		}
		out.say(what, strings.Join(names, " "))
	}

	c := nmcclain(t, d)
	_, err := find(c, base, "(uid=alice)")
	out.say("search before bind", nmcclainCode(err))
	for _, b := range []struct{ what, dn, password string }{
		{"bind alice", "cn=alice," + users, "demo-alice"},
		{"bind alice, wrong password", "cn=alice," + users, "wrong"},
		{"bind alice, empty password", "cn=alice," + users, ""},
		{"bind carol, inactive", "cn=carol," + users, "demo-carol"},
		{"bind bob, no code", "cn=bob," + users, "demo-bob"},
		{"bind bob, code on the password", "cn=bob," + users, "demo-bob;" + code[0]},
		{"bind bob, the same again", "cn=bob," + users, "demo-bob;" + code[0]},
		{"bind bob, the used code on the login name", "cn=bob;" + code[0] + "," + users, "demo-bob"},
		{"bind bob, code on the login name", "cn=bob;" + code[1] + "," + users, "demo-bob"},
	} {
		out.say(b.what, nmcclainCode(nmcclain(t, d).Bind(b.dn, b.password)))
	}

	if err := c.Bind("cn=ldapservice,"+users, "demo-ldapservice"); err != nil {
		t.Fatal(err)
	}
	r, err := find(c, users, "(uid=alice)", "cn", "mail", "memberOf")
	if err != nil {
		t.Fatal(err)
	}
	out.line("search uid=alice")
	for _, e := range r.Entries {
		out.line("  " + e.DN)
		for _, a := range e.Attributes {
			out.say("    "+a.Name, strings.Join(a.Values, " | "))
		}
	}
	r, err = find(c, users, "(cn=bob)")
	rdns("search cn", r, err)
	r, err = find(c, users, "(memberOf=cn=staff,"+groups+")")
	rdns("search memberOf", r, err)
	r, err = c.SearchWithPaging(ldap.NewSearchRequest(users, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases,
		0, 0, false, "(objectClass=person)", nil, nil), 2)
	rdns("paged by 2", r, err)
	_, err = find(c, "cn=nobody,"+users, "(objectClass=*)")
	out.say("search missing base", nmcclainCode(err))
	modify := ldap.NewModifyRequest("cn=alice," + users)
	modify.Replace("sn", []string{"x"})
	out.say("modify", nmcclainCode(c.Modify(modify)))

	s, err := ldap.DialTLS("tcp", d.ldaps, trusting(t, d))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out.say("bind over LDAPS", nmcclainCode(s.Bind("cn=alice,"+users, "demo-alice")))
	r, err = find(s, base, "(objectClass=*)")
	rdns("alice sees", r, err)

	expect(t, "nmcclain", out.String())
}

func nmcclain(t *testing.T, d *demo) *ldap.Conn {
	t.Helper()
	c, err := ldap.Dial("tcp", d.ldap)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func nmcclainCode(err error) any {
	var e *ldap.Error
	if errors.As(err, &e) {
		return e.ResultCode
	}
	if err != nil {
		return err
	}
	return 0
}
