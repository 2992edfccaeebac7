package nextcloud

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/google/uuid"

	"ldapd/internal/await"
)

// The tests named TestMust are the things without which Nextcloud does not
// work, in the order of their numbers. Number 6 is in paging_test.go and
// number 8 in availability_test.go; number 9, that a wrong password which is
// sent twice counts once, is tested in internal/bind (limit_test.go).

// TestMust1ShortConnections makes the connections of a password check, many
// at a time: a bind, an unbind, and the server hangs up.
func TestMust1ShortConnections(t *testing.T) {
	s := start(t, recorded(t))
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 100 {
				s.checkPassword(t, "Passw0rd-bob", ldap.LDAPResultSuccess)
			}
		})
	}
	clients.Wait()
	s.checkPassword(t, "wrong", ldap.LDAPResultInvalidCredentials)

	// A connection that was denied may try again.
	c := s.dial(t)
	wantCode(t, "wrong password", c.Bind("cn=bob,"+userBase, "wrong"), ldap.LDAPResultInvalidCredentials)
	wantCode(t, "right password", c.Bind("cn=bob,"+userBase, "Passw0rd-bob"), ldap.LDAPResultSuccess)
}

// checkPassword is the whole of a connection that checks bob's password.
func (s *service) checkPassword(t *testing.T, password string, want byte) {
	got := s.exchange(t, slices.Concat(bindRequest("cn=bob,"+userBase, password), tlv(0x30, []byte{0x02, 1, 2}, []byte{0x42, 0})))
	if !isBindResponse(got, want) {
		t.Errorf("answered % x, want code %d", got, want)
	}
}

// exchange sends octets on a new connection and returns all that the server
// says until it closes.
func (s *service) exchange(t *testing.T, request []byte) []byte {
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(await.Patience))
	if _, err := c.Write(request); err != nil {
		t.Error(err)
		return nil
	}
	got, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("the server does not close: %v", err)
	}
	return got
}

// bindRequest returns the message number 1, a simple bind.
func bindRequest(dn, password string) []byte {
	return tlv(0x30, []byte{0x02, 1, 1}, tlv(0x60, []byte{0x02, 1, 3}, tlv(0x04, []byte(dn)), tlv(0x80, []byte(password))))
}

// isBindResponse reports whether b is one message, a BindResponse to number 1
// with the result code.
func isBindResponse(b []byte, code byte) bool {
	return len(b) >= 10 && int(b[1])+2 == len(b) && bytes.Equal(b[2:6], []byte{0x02, 1, 1, 0x61}) && b[9] == code
}

// tlv encodes an element of less than 128 octets.
func tlv(tag byte, content ...[]byte) []byte {
	b := bytes.Join(content, nil)
	return append([]byte{tag, byte(len(b))}, b...)
}

func TestMust2DNHandling(t *testing.T) {
	const odd, oddGroup = "Smith, Zoë+Co #1 (x*)", `Ä & Ö, "Team" <a=b>\c`
	s := start(t, with(recorded(t), user(odd, "Zoë Smith", oddGroup))+"  - {name: '"+oddGroup+"'}\n")
	c := s.asAgent(t)
	dns := []string{
		// As Nextcloud keeps it: in lower case, with hex escapes.
		`cn=smith\2c zoë\2bco #1 \28x\2A\29,ou=users,dc=ldap,dc=goauthentik,dc=io`,
		`cn=Smith\, Zoë\+Co #1 (x*),` + userBase,
		`CN=SMITH\, ZOË\+CO \#1 (X*),OU=USERS,DC=LDAP,DC=GOAUTHENTIK,DC=IO`,
		`cn=Smith\2C\20Zo\c3\ab\2BCo\20\231 \28x\2a\29,` + userBase,
		`cn = Smith\,  Zoë\+Co #1 (x*) , ou = users , DC=ldap, DC=goauthentik, DC=io`,
	}
	groupDNs := []string{
		`cn=ä & ö\2c \22team\22 \3ca\3db\3e\5cc,ou=groups,dc=ldap,dc=goauthentik,dc=io`,
		`cn=Ä & Ö\, \"Team\" \<a\=b\>\\c,` + groupBase,
		`CN=\C3\84 & \C3\96\, \22TEAM\22 \<A=B\>\5CC,OU=groups,` + base,
	}
	for _, dn := range dns {
		wantCode(t, "bind as "+dn, s.dial(t).Bind(dn, "pw"), ldap.LDAPResultSuccess)
		entries := find(t, c, query{base: dn, scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", attrs: []string{"cn"}})
		if len(entries) != 1 || entries[0].GetAttributeValue("cn") != odd || !strings.HasSuffix(strings.ToLower(entries[0].DN), ","+strings.ToLower(base)) {
			t.Errorf("base %s: got %v", dn, entries)
			continue
		}
		if again, err := ldap.ParseDN(entries[0].DN); err != nil || len(again.RDNs) != 5 || again.RDNs[0].Attributes[0].Value != odd {
			t.Errorf("the DN %s does not come back: %v, %v", entries[0].DN, again, err)
		}
		got := find(t, c, query{base: groupBase, scope: ldap.ScopeWholeSubtree, filter: "(&(member=" + ldap.EscapeFilter(dn) + ")(objectclass=group))", attrs: []string{"cn"}})
		if len(got) != 1 || got[0].GetAttributeValue("cn") != oddGroup {
			t.Errorf("member=%s: got %v", dn, got)
		}
	}
	for _, dn := range groupDNs {
		for _, scope := range []int{ldap.ScopeBaseObject, ldap.ScopeWholeSubtree} {
			entries := find(t, c, query{base: dn, scope: scope, filter: "(objectclass=group)", attrs: []string{"cn"}})
			if len(entries) != 1 || entries[0].GetAttributeValue("cn") != oddGroup {
				t.Errorf("base %s: got %v", dn, entries)
			}
		}
		got := find(t, c, query{base: userBase, scope: ldap.ScopeWholeSubtree, filter: "(&(objectclass=user)(memberof=" + ldap.EscapeFilter(dn) + "))", attrs: []string{"cn"}})
		if len(got) != 1 || got[0].GetAttributeValue("cn") != odd {
			t.Errorf("memberof=%s: got %v", dn, got)
		}
	}
	// Every DN that is returned ends in the base as it was configured.
	for _, e := range find(t, c, query{base: strings.ToLower(base), scope: ldap.ScopeWholeSubtree, filter: "(objectclass=*)", attrs: []string{"dn"}}) {
		if dn := "," + e.DN; len(dn) < len(base) || !strings.EqualFold(dn[len(dn)-len(base)-1:], ","+base) {
			t.Errorf("%s does not end in %s", e.DN, base)
		}
	}
}

func TestMust3BaseReads(t *testing.T) {
	c := start(t, recorded(t)).asAgent(t)
	alice := "cn=alice," + strings.ToLower(userBase)
	for _, tt := range []struct {
		base   string
		scope  int
		filter string
		size   uint32
		code   uint16
		names  []string
		match  string
	}{
		{base: alice, filter: userFilter, names: []string{"alice"}},
		{base: alice, filter: "(memberOf=CN=Staff," + groupBase + ")", names: []string{"alice"}},
		{base: alice, filter: "(memberOf=cn=dev," + groupBase + ")"},
		{base: alice, filter: "(objectclass=group)"},
		{base: alice, filter: "(&(displayName=*)" + userFilter + ")", names: []string{"alice"}},
		{base: alice, scope: ldap.ScopeWholeSubtree, filter: "(objectclass=*)", size: 1, names: []string{"alice"}},
		{base: alice, scope: ldap.ScopeWholeSubtree, filter: "(cn=bob)", size: 1},
		{base: alice, scope: ldap.ScopeSingleLevel, filter: "(objectclass=*)"},
		{base: "", filter: "(objectClass=*)", names: []string{""}},
		{base: "cn=nobody," + userBase, filter: "(objectClass=*)", code: 32, match: userBase},
		{base: "cn=nobody," + userBase, scope: ldap.ScopeWholeSubtree, filter: "(objectClass=*)", size: 1, code: 32, match: userBase},
		{base: "cn=a,cn=alice," + userBase, filter: "(objectClass=*)", code: 32, match: alice},
		{base: "ou=nowhere," + base, filter: "(objectClass=*)", code: 32, match: base},
		{base: "dc=example,dc=org", filter: "(objectClass=*)", code: 32},
	} {
		got := do(t, c, query{base: tt.base, scope: tt.scope, filter: tt.filter, attrs: []string{"dn"}, size: tt.size})
		if got.code != tt.code || !slices.Equal(names(got.entries), tt.names) || !strings.EqualFold(got.matched, tt.match) || len(got.cookie) > 0 {
			t.Errorf("%q scope %d %s: got %d %q %q, want %d %q %q", tt.base, tt.scope, tt.filter,
				got.code, names(got.entries), got.matched, tt.code, tt.names, tt.match)
		}
	}
}

func TestMust4Attributes(t *testing.T) {
	c := start(t, recorded(t)).asAgent(t)
	for _, tt := range []struct {
		base  string
		attrs []string
		want  []string
	}{
		{"cn=bob," + userBase, []string{""}, nil},
		{"cn=bob," + userBase, []string{"dn"}, nil},
		{"cn=bob," + userBase, []string{"nsuniqueid", "objectguid", "no such", "1.1"}, nil},
		{"cn=bob," + userBase, []string{"", "dn", "guid", "displayname", "samaccountname"}, []string{"displayName", "sAMAccountName"}},
		{"cn=bob," + userBase, []string{"DISPLAYNAME", "displayname", "displayName"}, []string{"displayName"}},
		{"cn=bob," + userBase, []string{"entryuuid", "memberof", "objectclass"}, []string{"entryUUID", "memberOf", "objectClass"}},
		{"cn=bob," + userBase, []string{"jpegphoto"}, nil},
		{"cn=bob," + userBase, []string{"userPassword"}, nil},
		{"cn=alice," + userBase, []string{"jpegphoto", "nextcloudquota", "telephonenumber"}, []string{"jpegPhoto", "nextcloudQuota", "telephoneNumber"}},
		// Compared in this case by the wizard.
		{"cn=staff," + groupBase, []string{"uniquemember", "memberuid", "member", "gidnumber", "primarygrouptoken", "zimbraMailForwardingAddress"},
			[]string{"gidNumber", "member", "memberUid", "uniqueMember"}},
	} {
		entries := find(t, c, query{base: tt.base, scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", attrs: tt.attrs})
		if len(entries) != 1 || !slices.Equal(attributes(entries[0]), tt.want) {
			t.Errorf("%s %q: got %v, want %q", tt.base, tt.attrs, entries, tt.want)
		}
	}

	all := find(t, c, query{base: "cn=alice," + userBase, scope: ldap.ScopeBaseObject, filter: "(objectClass=*)"})
	for name, want := range map[string]string{
		"cn": "alice", "displayName": "Alice Müller", "mail": "alice@example.org", "nextcloudQuota": "5 GB",
		"telephoneNumber": "+49 30 1234", "postalAddress": "Street 1$Berlin", "title": "Boss", "gidNumber": "2001",
		"uid": "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90",
	} {
		if got := all[0].GetAttributeValue(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if photo := all[0].GetRawAttributeValue("jpegPhoto"); !bytes.HasPrefix(photo, []byte{0xff, 0xd8, 0xff}) || !bytes.HasSuffix(photo, []byte{0xff, 0xd9}) {
		t.Errorf("the photo is not one: % x", photo)
	}

	// What the wizard offers as login attributes.
	a := do(t, c, query{base: base, scope: ldap.ScopeWholeSubtree, filter: userFilter, types: true, limit: 1})
	if a.code != ldap.LDAPResultSizeLimitExceeded || len(a.entries) != 1 {
		t.Fatalf("sizeLimit 1: got %d, %d entries", a.code, len(a.entries))
	}
	for _, at := range a.entries[0].Attributes {
		if len(at.Values) > 0 || strings.EqualFold(at.Name, "userPassword") {
			t.Errorf("typesOnly: got %s %q", at.Name, at.Values)
		}
	}
	if got := attributes(a.entries[0]); !slices.Contains(got, "displayName") || !slices.Contains(got, "mail") {
		t.Errorf("typesOnly: got %q", got)
	}

	a = do(t, c, query{base: userBase, scope: ldap.ScopeWholeSubtree, filter: "(CN=bob)", limit: 1})
	if a.code != ldap.LDAPResultSuccess || len(a.entries) != 1 {
		t.Errorf("sizeLimit 1 of 1: got %d, %d entries", a.code, len(a.entries))
	}
}

// attributes returns the names of an entry's attributes.
func attributes(e *ldap.Entry) []string {
	var out []string
	for _, a := range e.Attributes {
		out = append(out, a.Name)
	}
	slices.Sort(out)
	return out
}

func TestMust5Filters(t *testing.T) {
	c := start(t, recorded(t)).asAgent(t)
	staff := "cn=staff," + groupBase
	bob := "cn=bob," + userBase
	for _, tt := range []struct {
		base, filter string
		want         string
	}{
		{userBase, "(|(cn=bob))", "bob"},
		{userBase, "(&(cn=bob))", "bob"},
		{userBase, "(&(|(&(|(cn=bob)(cn=dave)))))", "bob dave"},
		{userBase, "(&(&(|(objectclass=user)))(|(memberof=" + staff + ")))", "alice bob carol"},
		{userBase, "(&" + userFilter + "(|(|(mailPrimaryAddress=ALICE@example.org)(mail=ALICE@example.org))(|(cn=dave))))", "alice dave"},
		{userBase, "(&(objectclass=user)(!(memberof=cn=nextcloud-users," + groupBase + ")))", "ldapservice"},
		{userBase, "(&(objectclass=user)(memberOf=*)(displayName=bo*))", "bob"},
		{userBase, "(&(|(displayName=bob b*)(mail=bob b*))(|(displayName=BOB*)(mail=x*)))", "bob"},
		{userBase, "(&(objectclass=user)(displayName=alice m\\c3\\bcl*))", "alice"},
		{userBase, "(telephoneNumber=+49-30-1234)", "alice"},
		{userBase, "(&(objectclass=nosuch)(cn=bob))", ""},
		{groupBase, "(&(objectclass=group)(|(cn=st)(cn=st*)))", "staff"},
		{groupBase, "(&(objectclass=group)(objectClass=posixGroup)(gidnumber=4002))", "staff"},
		{groupBase, "(&(objectclass=group)(objectClass=posixGroup)(gidnumber=2002))", ""},
		{groupBase, "(memberUid=bob)", "dev nextcloud-users staff"},
		{groupBase, "(uniqueMember=" + bob + ")", "dev nextcloud-users staff"},

		// Undefined is no match, and no error.
		{userBase, "(mailPrimaryAddress=*)", ""},
		{userBase, "(nosuch=*)", ""},
		{userBase, "(!(nosuch=bob))", ""},
		{userBase, "(|(nosuch=bob)(cn=bob))", "bob"},
		{userBase, "(&(!(nosuch=bob))(cn=bob))", ""},
		{groupBase, "(&(gidnumber=" + bob + ")(objectclass=group))", ""},
		{groupBase, "(|(gidnumber=" + bob + ")(cn=dev))", "dev"},
		{groupBase, "(gidnumber>=many)", ""},
		{groupBase, "(member=bob)", ""},
		{groupBase, "(member=cn=,,)", ""},
		{groupBase, "(entryuuid=8344)", ""},
		{groupBase, "(memberurl=*)", ""},
		{userBase, "(createTimestamp=yesterday)", ""},
		{userBase, "(userPassword=*)", ""},

		// Extensible.
		{userBase, "(cn:=BOB)", "bob"},
		{userBase, "(cn:caseExactMatch:=BOB)", ""},
		{userBase, "(cn:dn:=bob)", "bob"},
		{userBase, "(cn:1.2.3.4.5:=bob)", ""},
		{userBase, "(nosuch:1.2.840.113556.1.4.1941:=bob)", ""},
		{userBase, "(memberof:1.2.840.113556.1.4.1941:=bob)", ""},
		{userBase, "(&" + userFilter + "(displayName=*)(memberof:1.2.840.113556.1.4.1941:=" + staff + "))", "alice bob carol"},
		{userBase, "(memberof:1.2.840.113556.1.4.1941:=cn=all-staff," + groupBase + ")", "alice bob carol dave erin"},
		{groupBase, "(member:1.2.840.113556.1.4.1941:=" + bob + ")", "all-staff dev nextcloud-users staff"},
	} {
		entries := find(t, c, query{base: tt.base, scope: ldap.ScopeWholeSubtree, filter: tt.filter, attrs: []string{"dn"}})
		wantNames(t, tt.filter, entries, strings.Fields(tt.want)...)
	}
}

// TestMust7UniqueID looks at what Nextcloud knows a user by: it must be there,
// unique, and the same after a restart, and after the user was renamed.
func TestMust7UniqueID(t *testing.T) {
	const fixed = "0b8f7d0e-8a35-4c33-9a39-0a5c2f0d7f11"
	users := with(recorded(t), "  - {username: before, uuid: "+fixed+"}\n")
	s := start(t, users)
	c := s.asAgent(t)
	ids := func(c *ldap.Conn) map[string]string {
		out := map[string]string{}
		for _, e := range find(t, c, query{base: base, scope: ldap.ScopeWholeSubtree, filter: "(objectclass=*)", attrs: []string{"entryuuid"}}) {
			out[e.DN] = e.GetAttributeValue("entryUUID")
		}
		return out
	}
	first := ids(c)
	seen := map[string]bool{}
	for dn, id := range first {
		if u, err := uuid.Parse(id); err != nil || u.String() != id || seen[id] {
			t.Errorf("%s: entryUUID %q is none or not unique", dn, id)
		}
		seen[id] = true
		got := find(t, c, query{base: base, scope: ldap.ScopeWholeSubtree, filter: "(entryuuid=" + id + ")", attrs: []string{"dn"}, size: 2})
		if len(got) != 1 || got[0].DN != dn {
			t.Errorf("entryuuid=%s: got %v, want %s", id, got, dn)
		}
	}
	for dn, id := range ids(start(t, users).asAgent(t)) {
		if first[dn] != id {
			t.Errorf("%s: entryUUID %s after a restart, %s before", dn, id, first[dn])
		}
	}

	people := find(t, c, query{base: userBase, scope: ldap.ScopeWholeSubtree, filter: userFilter})
	if len(people) != 30 {
		t.Fatalf("%d users", len(people))
	}
	for _, e := range people {
		for _, name := range []string{"displayName", "mail", "memberOf", "objectClass", "uid"} {
			if e.GetAttributeValue(name) == "" {
				t.Errorf("%s has no %s", e.DN, name)
			}
		}
		if slices.Contains(attributes(e), "entryUUID") {
			t.Errorf("%s: entryUUID without being asked for", e.DN)
		}
		if id := e.GetAttributeValue("uid"); len(id) != 64 {
			t.Errorf("%s: uid %q, want the one of the file", e.DN, id)
		}
	}

	// A user without a name is shown by the username.
	before := "cn=before," + strings.ToLower(userBase)
	got := find(t, c, query{base: before, scope: ldap.ScopeBaseObject, filter: "(displayName=*)", attrs: []string{"displayname"}})
	if len(got) != 1 || got[0].GetAttributeValue("displayName") != "before" {
		t.Errorf("no display name: %v", got)
	}

	s.change(t, strings.Replace(users, "username: before,", "username: after,", 1))
	a := do(t, c, query{base: before, scope: ldap.ScopeBaseObject, filter: userFilter, attrs: []string{""}})
	if a.code != ldap.LDAPResultNoSuchObject {
		t.Errorf("the old name: result %d, want 32", a.code)
	}
	wantNames(t, "by UUID after the change of name", find(t, c, query{
		base: userBase, scope: ldap.ScopeWholeSubtree, filter: "(entryuuid=" + fixed + ")", attrs: []string{"dn"}, size: 2}), "after")
}
