package ldap

import (
	"testing"

	"ldapd/internal/ber"
)

// nextcloudLogin is the search that Nextcloud does for a login name.
func nextcloudLogin() []byte {
	equal := func(attr, value string) []byte { return tlv(byte(FilterEqual), str(attr), str(value)) }
	var attrs [][]byte
	for _, a := range []string{"entryuuid", "nsuniqueid", "objectguid", "guid", "ipauniqueid", "dn", "uid", "samaccountname", "memberof", "cn", "mail",
		"displayname", "jpegphoto", "thumbnailphoto"} {
		attrs = append(attrs, str(a))
	}
	return tlv(ber.Sequence, []byte{2, 1, 3},
		tlv(byte(OpSearchRequest), str("ou=users,DC=ldap,DC=goauthentik,DC=io"), []byte{0x0a, 1, 2, 0x0a, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0},
			tlv(byte(FilterAnd), equal("objectclass", "user"), equal("memberof", "cn=nextcloud-users,ou=groups,DC=ldap,DC=goauthentik,DC=io"),
				tlv(byte(FilterOr), equal("cn", "bob"), equal("mail", "bob"))),
			tlv(ber.Sequence, attrs...)),
		tlv(controlsTag, tlv(ber.Sequence, str(OIDPagedResults), str("\x30\x06\x02\x02\x01\xf4\x04\x00"))))
}

// parseLogin parses the search with all that goes with it, into s.
func parseLogin(t testing.TB, b []byte, s *SearchRequest) {
	m, err := ParseMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Parse(m.Body, FilterLimits{}); err != nil {
		t.Fatal(err)
	}
	if s.Controls, err = ParseControls(s.Controls[:0], m.Controls); err != nil {
		t.Fatal(err)
	}
	if p, err := ParsePagedResults(s.Controls[0].Value); err != nil || p.Size != 500 {
		t.Fatal(p, err)
	}
}

var (
	plainDN  = []byte("CN=Alice,OU=users,DC=ldap,DC=goauthentik,DC=io")
	entryDN  = str("cn=alice,ou=users,dc=ldap,dc=goauthentik,dc=io")
	uuidAttr = appendAttribute(nil, "entryUUID", "0d0a3f0e-2d1c-4d19-9c0f-7d4c7a6a4d10")
)

// What every login does over and over does not allocate.
func TestNoAllocations(t *testing.T) {
	b := nextcloudLogin()
	var s SearchRequest
	parseLogin(t, b, &s)
	if want := "(&(objectclass=user)(memberof=cn=nextcloud-users,ou=groups,DC=ldap,DC=goauthentik,DC=io)(|(cn=bob)(mail=bob)))"; string(s.Filter.AppendText(nil, nil)) != want {
		t.Fatal("not Nextcloud's search")
	}
	dst := make([]byte, 0, 1024)
	for name, f := range map[string]func(){
		"search request": func() { parseLogin(t, b, &s) },
		"bind request": func() {
			if _, err := ParseBindRequest([]byte{2, 1, 3, 4, 0, 0x80, 0}); err != nil {
				t.Fatal(err)
			}
		},
		"plain DN": func() {
			var err error
			if dst, err = NormalizeDN(dst[:0], plainDN); err != nil {
				t.Fatal(err)
			}
		},
		"result":       func() { dst = AppendResult(dst[:0], 3, OpSearchResultDone, nil, nil) },
		"entry header": func() { dst = append(AppendEntryHeader(dst[:0], 3, entryDN, len(uuidAttr)), uuidAttr...) },
	} {
		if a := testing.AllocsPerRun(100, f); a != 0 {
			t.Errorf("%s: %v allocations", name, a)
		}
	}
}

func BenchmarkSearchRequest(b *testing.B) {
	b.ReportAllocs()
	in := nextcloudLogin()
	var s SearchRequest
	for b.Loop() {
		parseLogin(b, in, &s)
	}
}

func BenchmarkNormalizeDN(b *testing.B) {
	for _, bm := range []struct{ name, dn string }{
		{"plain", string(plainDN)},
		{"escaped", `cn=smith\2c zoë\2bco #1 \28x\2A\29,ou=users,dc=ldap,dc=goauthentik,dc=io`},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			dn, dst := []byte(bm.dn), make([]byte, 0, 256)
			for b.Loop() {
				var err error
				if dst, err = NormalizeDN(dst[:0], dn); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendEntryHeader(b *testing.B) {
	b.ReportAllocs()
	dst := make([]byte, 0, 256)
	for b.Loop() {
		dst = AppendEntryHeader(dst[:0], 3, entryDN, 700)
	}
}
