package ldap

import (
	"net"
	"slices"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"ldapd/internal/ber"
)

// exchange answers what go-ldap sends over a connection with what answer
// makes of it, until go-ldap hangs up.
func exchange(t *testing.T, client func(c *goldap.Conn), answer func(dst []byte, m Message) []byte) {
	t.Helper()
	near, far := net.Pipe()
	c := goldap.NewConn(near, false)
	c.SetTimeout(10 * time.Second)
	c.Start()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		var in []byte
		buf := make([]byte, 7) // messages come in pieces
		for {
			n, err := far.Read(buf)
			if err != nil {
				return
			}
			in = append(in, buf[:n]...)
			size, err := ber.Frame(in, 1<<20)
			if err != nil {
				t.Error(err)
				return
			}
			if size == 0 || size > len(in) {
				continue
			}
			m, err := ParseMessage(slices.Clone(in[:size]))
			if err != nil {
				t.Error(err)
				return
			}
			in = in[size:]
			if out := answer(nil, m); out != nil {
				if _, err := far.Write(out); err != nil {
					return
				}
			}
		}
	}()
	client(c)
	c.Close()
	<-done
}

// go-ldap sends each request, and reads the answer.
func TestGoLDAP(t *testing.T) {
	var ops []string
	exchange(t, func(c *goldap.Conn) {
		if err := c.Bind("cn=alice,dc=x", "secret"); err != nil {
			t.Error("bind:", err)
		}
		res, err := c.Search(goldap.NewSearchRequest("dc=x", goldap.ScopeSingleLevel, goldap.DerefAlways, 7, 8, true, "(cn=a*)", []string{"cn", "1.1"},
			[]goldap.Control{goldap.NewControlPaging(25)}))
		if !goldap.IsErrorWithCode(err, goldap.LDAPResultSizeLimitExceeded) {
			t.Error("search:", err)
		} else if len(res.Entries) != 1 || res.Entries[0].DN != "cn=alice,dc=x" || !slices.Equal(res.Entries[0].GetAttributeValues("cn"), []string{"alice", "Alice"}) {
			t.Error("search:", res.Entries)
		}
		if ok, err := c.Compare("cn=alice,dc=x", "cn", "alice"); !ok || err != nil {
			t.Error("compare:", ok, err)
		}
		if who, err := c.WhoAmI(nil); err != nil || who.AuthzID != "dn:cn=alice,dc=x" {
			t.Error("whoami:", who, err)
		}
		for name, err := range map[string]error{
			"add":      c.Add(&goldap.AddRequest{DN: "cn=new,dc=x", Attributes: []goldap.Attribute{{Type: "cn", Vals: []string{"new"}}}}),
			"modify":   c.Modify(&goldap.ModifyRequest{DN: "cn=new,dc=x", Changes: []goldap.Change{{Modification: goldap.PartialAttribute{Type: "cn"}}}}),
			"modifydn": c.ModifyDN(goldap.NewModifyDNRequest("cn=new,dc=x", "cn=old", true, "")),
			"delete":   c.Del(goldap.NewDelRequest("cn=new,dc=x", nil)),
		} {
			if !goldap.IsErrorWithCode(err, goldap.LDAPResultUnwillingToPerform) {
				t.Error(name, err)
			}
		}
		if err := c.Unbind(); err != nil {
			t.Error("unbind:", err)
		}
	}, func(dst []byte, m Message) []byte {
		ops = append(ops, m.Op.String())
		switch m.Op {
		case OpBindRequest:
			req, err := ParseBindRequest(m.Body)
			if err != nil || req.Version != 3 || string(req.Name) != "cn=alice,dc=x" || string(req.Password) != "secret" {
				t.Errorf("bind: %+v, %v", req, err)
			}
		case OpSearchRequest:
			var s SearchRequest
			err := s.Parse(m.Body, FilterLimits{})
			if err != nil || string(s.Base) != "dc=x" || s.Scope != ScopeOne || s.SizeLimit != 7 || s.TimeLimit != 8 || !s.TypesOnly ||
				len(s.Attributes) != 2 || string(s.Filter.AppendText(nil, nil)) != "(cn=a*)" {
				t.Errorf("search: %+v, %v", s, err)
			}
			controls, err := ParseControls(nil, m.Controls)
			if err != nil || len(controls) != 1 || string(controls[0].OID) != OIDPagedResults {
				t.Errorf("search: %+v, %v", controls, err)
			}
			attrs := appendAttribute(nil, "cn", "alice", "Alice")
			dst = append(AppendEntryHeader(dst, m.ID, str("cn=alice,dc=x"), len(attrs)), attrs...)
			return AppendResult(dst, m.ID, OpSearchResultDone, Errorf(ResultSizeLimitExceeded, "enough"), AppendPagedResults(nil, PagedResults{}))
		case OpCompareRequest:
			req, err := ParseCompareRequest(m.Body)
			if err != nil || string(req.Entry) != "cn=alice,dc=x" || string(req.Attribute) != "cn" || string(req.Value) != "alice" {
				t.Errorf("compare: %q, %v", req, err)
			}
			return AppendResult(dst, m.ID, OpCompareResponse, &Error{Code: ResultCompareTrue}, nil)
		case OpExtendedRequest:
			req, err := ParseExtendedRequest(m.Body)
			if err != nil || string(req.Name) != OIDWhoAmI || req.Value != nil {
				t.Errorf("extended: %q, %v", req, err)
			}
			return AppendExtendedResponse(dst, m.ID, nil, "", []byte("dn:cn=alice,dc=x"))
		case OpUnbindRequest:
			return nil
		default:
			return AppendResult(dst, m.ID, m.Op.Response(), Errorf(ResultUnwillingToPerform, "read-only"), nil)
		}
		return AppendResult(dst, m.ID, m.Op.Response(), nil, nil)
	})
	slices.Sort(ops[4:8])
	if want := []string{"bind", "search", "compare", "extended", "add", "delete", "modify", "modifydn", "unbind"}; !slices.Equal(ops, want) {
		t.Errorf("%q, want %q", ops, want)
	}
}
