package interop

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

// TestGoLDAP is go-ldap, the client that most Go programs use.
func TestGoLDAP(t *testing.T) {
	d := startDemo(t)
	code := codes(t)
	var out transcript

	c := goLDAP(t, d)
	if r, err := c.Search(search("", ldap.ScopeBaseObject, "(objectClass=*)", "namingContexts")); err != nil {
		t.Fatal(err)
	} else {
		out.say("root DSE", r.Entries[0].GetAttributeValue("namingContexts"))
	}
	_, err := c.Search(search(base, ldap.ScopeWholeSubtree, "(uid=alice)"))
	out.say("search before bind", resultCode(err))

	for _, b := range []struct{ what, dn, password string }{
		{"bind alice", "cn=alice," + users, "demo-alice"},
		{"bind alice, wrong password", "cn=alice," + users, "wrong"},
		{"bind carol, inactive", "cn=carol," + users, "demo-carol"},
		{"bind bob, no code", "cn=bob," + users, "demo-bob"},
		{"bind bob, code on the password", "cn=bob," + users, "demo-bob;" + code[0]},
		{"bind bob, the same again", "cn=bob," + users, "demo-bob;" + code[0]},
		{"bind bob, the used code on the login name", "cn=bob;" + code[0] + "," + users, "demo-bob"},
		{"bind bob, code on the login name", "cn=bob;" + code[1] + "," + users, "demo-bob"},
	} {
		out.say(b.what, resultCode(goLDAP(t, d).Bind(b.dn, b.password)))
	}
	out.say("bind alice, empty password", resultCode(c.UnauthenticatedBind("cn=alice,"+users)))

	if err := c.Bind("cn=ldapservice,"+users, "demo-ldapservice"); err != nil {
		t.Fatal(err)
	}
	out.say("whoami", whoami(t, c))
	out.line("search uid=alice")
	out.entries(c.Search(search(users, ldap.ScopeWholeSubtree, "(uid=alice)", "cn", "mail", "memberOf")))
	out.line("search cn=bob")
	out.entries(c.Search(search(users, ldap.ScopeSingleLevel, "(cn=bob)", "displayName", "objectClass")))
	out.rdns("search memberOf")(c.Search(search(users, ldap.ScopeWholeSubtree, "(memberOf=cn=staff,"+groups+")")))

	paging := ldap.NewControlPaging(3)
	for {
		req := search(users, ldap.ScopeWholeSubtree, "(objectClass=person)")
		req.Controls = []ldap.Control{paging}
		r, err := c.Search(req)
		out.rdns("page")(r, err)
		if err != nil {
			break
		}
		answer, ok := ldap.FindControl(r.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok || len(answer.Cookie) == 0 {
			break
		}
		paging.SetCookie(answer.Cookie)
	}
	for _, reverse := range []bool{false, true} {
		req := search(users, ldap.ScopeWholeSubtree, "(objectClass=person)")
		req.Controls = []ldap.Control{ldap.NewControlServerSideSortingWithSortKeys([]*ldap.SortKey{
			{AttributeType: "cn", Reverse: reverse},
		})}
		out.rdns(fmt.Sprintf("sorted by cn, reverse %v", reverse))(c.Search(req))
	}
	req := search(users, ldap.ScopeWholeSubtree, "(objectClass=person)")
	req.SizeLimit = 1
	_, err = c.Search(req)
	out.say("search size limit", resultCode(err))
	req = search(users, ldap.ScopeWholeSubtree, "(objectClass=person)")
	req.Controls = []ldap.Control{ldap.NewControlString("1.2.3.4", true, "")}
	_, err = c.Search(req)
	out.say("unknown critical control", resultCode(err))

	for _, mail := range []string{"alice@example.org", "bob@example.org"} {
		same, err := c.Compare("cn=alice,"+users, "mail", mail)
		if err != nil {
			t.Errorf("compare: %v", err)
		}
		out.say("compare "+mail, same)
	}
	_, err = c.Search(search("cn=nobody,"+users, ldap.ScopeBaseObject, "(objectClass=*)"))
	out.say("search missing base", resultCode(err))
	add := ldap.NewAddRequest("cn=new,"+users, nil)
	add.Attribute("objectClass", []string{"person"})
	out.say("add", resultCode(c.Add(add)))
	modify := ldap.NewModifyRequest("cn=alice,"+users, nil)
	modify.Replace("sn", []string{"x"})
	out.say("modify", resultCode(c.Modify(modify)))
	out.say("rename", resultCode(c.ModifyDN(ldap.NewModifyDNRequest("cn=alice,"+users, "cn=eve", true, ""))))
	out.say("delete", resultCode(c.Del(ldap.NewDelRequest("cn=alice,"+users, nil))))
	if err := c.Unbind(); err != nil {
		t.Errorf("unbind: %v", err)
	}

	c = goLDAP(t, d)
	if err := c.StartTLS(trusting(t, d)); err != nil {
		t.Fatal(err)
	}
	out.say("bind over StartTLS", resultCode(c.Bind("cn=alice,"+users, "demo-alice")))
	c, err = ldap.DialURL("ldaps://"+d.ldaps, ldap.DialWithTLSConfig(trusting(t, d)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out.say("bind over LDAPS", resultCode(c.Bind("cn=alice,"+users, "demo-alice")))
	out.rdns("alice sees")(c.Search(search(base, ldap.ScopeWholeSubtree, "(objectClass=*)")))

	expect(t, "go-ldap", out.String())
}

func goLDAP(t *testing.T, d *demo) *ldap.Conn {
	t.Helper()
	c, err := ldap.DialURL("ldap://" + d.ldap)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func search(base string, scope int, filter string, attrs ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, 0, false, filter, attrs, nil)
}

func whoami(t *testing.T, c *ldap.Conn) string {
	t.Helper()
	r, err := c.WhoAmI(nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.AuthzID
}

// resultCode is an error's result code, with the matched DN if it has one.
func resultCode(err error) string {
	if err == nil {
		return "0"
	}
	var e *ldap.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	if e.MatchedDN != "" {
		return fmt.Sprintf("%d, matched %s", e.ResultCode, e.MatchedDN)
	}
	return fmt.Sprint(e.ResultCode)
}

// trusting accepts the demo's certificate and no other.
func trusting(t *testing.T, d *demo) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(d.ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", d.ca)
	}
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}

// transcript is what a client was answered, a line each.
type transcript struct{ strings.Builder }

func (o *transcript) line(s string) { o.WriteString(s + "\n") }

func (o *transcript) say(what string, outcome any) { fmt.Fprintf(o, "%s: %v\n", what, outcome) }

// rdns writes the first RDN of each entry found.
func (o *transcript) rdns(what string) func(*ldap.SearchResult, error) {
	return func(r *ldap.SearchResult, err error) {
		if err != nil {
			o.say(what, resultCode(err))
			return
		}
		var names []string
		for _, e := range r.Entries {
			name, _, _ := strings.Cut(e.DN, ",")
			names = append(names, name)
		}
		o.say(what, strings.Join(names, " "))
	}
}

func (o *transcript) entries(r *ldap.SearchResult, err error) {
	if err != nil {
		o.line("  " + resultCode(err))
		return
	}
	for _, e := range r.Entries {
		o.line("  " + e.DN)
		for _, a := range e.Attributes {
			o.say("    "+a.Name, strings.Join(a.Values, " | "))
		}
	}
}
