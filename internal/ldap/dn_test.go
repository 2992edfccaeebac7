package ldap

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func rdn(avas ...string) RDN {
	var r RDN
	for i := 0; i < len(avas); i += 2 {
		r = append(r, AVA{avas[i], avas[i+1]})
	}
	return r
}

func TestParseDN(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want DN
		text string // "" for the same as in
	}{
		{"", nil, ""},
		// RFC 4514 section 4.
		{"UID=jsmith,DC=example,DC=net", DN{rdn("UID", "jsmith"), rdn("DC", "example"), rdn("DC", "net")}, ""},
		{"OU=Sales+CN=J.  Smith,DC=example,DC=net", DN{rdn("OU", "Sales", "CN", "J.  Smith"), rdn("DC", "example"), rdn("DC", "net")}, ""},
		{`CN=James \"Jim\" Smith\, III,DC=example,DC=net`, DN{rdn("CN", `James "Jim" Smith, III`), rdn("DC", "example"), rdn("DC", "net")}, ""},
		{`CN=Before\0dAfter,DC=example,DC=net`, DN{rdn("CN", "Before\rAfter"), rdn("DC", "example"), rdn("DC", "net")}, ""},
		{"1.3.6.1.4.1.1466.0=#04024869", DN{rdn("1.3.6.1.4.1.1466.0", "Hi")}, "1.3.6.1.4.1.1466.0=Hi"},
		{`CN=Lu\C4\8Di\C4\87`, DN{rdn("CN", "Lučić")}, "CN=Lučić"},

		// Nextcloud: lower-cased, hex pairs, UTF-8.
		{`cn=smith\2c zoë\2bco #1 \28x\2A\29,ou=users,dc=ldap,dc=goauthentik,dc=io`,
			DN{rdn("cn", "smith, zoë+co #1 (x*)"), rdn("ou", "users"), rdn("dc", "ldap"), rdn("dc", "goauthentik"), rdn("dc", "io")},
			`cn=smith\, zoë\+co #1 (x*),ou=users,dc=ldap,dc=goauthentik,dc=io`},
		// A code behind the login name.
		{"cn=bob;123456,ou=users", DN{rdn("cn", "bob;123456"), rdn("ou", "users")}, `cn=bob\;123456,ou=users`},
		{`cn=bob\;123456`, DN{rdn("cn", "bob;123456")}, ""},
		{`cn=bob\3b123456`, DN{rdn("cn", "bob;123456")}, `cn=bob\;123456`},

		// Spaces.
		{"  cn = alice , dc = x  ", DN{rdn("cn", "alice"), rdn("dc", "x")}, "cn=alice,dc=x"},
		{"cn=a + sn = b,dc=x", DN{rdn("cn", "a", "sn", "b"), rdn("dc", "x")}, "cn=a+sn=b,dc=x"},
		{"   ", nil, ""},
		{`cn=\ a\ ,dc=x`, DN{rdn("cn", " a "), rdn("dc", "x")}, ""},
		{`cn=a\  ,dc=x`, DN{rdn("cn", "a "), rdn("dc", "x")}, `cn=a\ ,dc=x`},
		{`cn=a\20\20`, DN{rdn("cn", "a  ")}, `cn=a \ `},
		{`cn=\ `, DN{rdn("cn", " ")}, ""},
		{`cn=\  `, DN{rdn("cn", " ")}, `cn=\ `},
		{`cn=\20 \20`, DN{rdn("cn", "   ")}, `cn=\  \ `},
		{`cn=a\\ ,dc=x`, DN{rdn("cn", `a\`), rdn("dc", "x")}, `cn=a\\,dc=x`},
		{`cn=a\\\ `, DN{rdn("cn", `a\ `)}, ""},

		// Escapes.
		{`cn=a\+b\,c\=d\<e\>f`, DN{rdn("cn", "a+b,c=d<e>f")}, `cn=a\+b\,c=d\<e\>f`},
		{`cn=\+\2b\2B`, DN{rdn("cn", "+++")}, `cn=\+\+\+`},
		{`cn=a\2cb+sn=c`, DN{rdn("cn", "a,b", "sn", "c")}, `cn=a\,b+sn=c`},
		{`cn=\#1`, DN{rdn("cn", "#1")}, ""},
		{"cn=1#", DN{rdn("cn", "1#")}, ""},
		{"cn=a=b", DN{rdn("cn", "a=b")}, ""},
		{"cn=a<b>c", DN{rdn("cn", "a<b>c")}, `cn=a\<b\>c`},
		{"cn=", DN{rdn("cn", "")}, ""},
		{"cn=,dc=x", DN{rdn("cn", ""), rdn("dc", "x")}, ""},
		{"cn=+sn=", DN{rdn("cn", "", "sn", "")}, ""},
		{`cn=a\00b`, DN{rdn("cn", "a\x00b")}, ""},
		{"cn=a\tb\x7f", DN{rdn("cn", "a\tb\x7f")}, `cn=a\09b\7f`},
		{`cn=\5c\22`, DN{rdn("cn", `\"`)}, `cn=\\\"`},

		// Hexadecimal BER.
		{"cn=#0400", DN{rdn("cn", "")}, "cn="},
		{"cn=#0C05416C696365 ,dc=x", DN{rdn("cn", "Alice"), rdn("dc", "x")}, "cn=Alice,dc=x"},
		{"cn=#04810161+sn=#130162", DN{rdn("cn", "a", "sn", "b")}, "cn=a+sn=b"},
		{"cn=#04012c", DN{rdn("cn", ",")}, `cn=\,`},

		// Not UTF-8.
		{"cn=M\xfcller", DN{rdn("cn", "M\xfcller")}, `cn=M\fcller`},
		{`cn=\ff\fe`, DN{rdn("cn", "\xff\xfe")}, ""},

		{"OID.2.5.4.3=x", DN{rdn("OID.2.5.4.3", "x")}, ""},
	} {
		t.Run(tt.in, func(t *testing.T) {
			got, err := ParseDN(tt.in)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Fatalf("%q, %v, want %q", got, err, tt.want)
			}
			text := tt.text
			if text == "" && len(tt.want) > 0 {
				text = tt.in
			}
			if got.String() != text {
				t.Errorf("text %s, want %s", got, text)
			}
			if back, err := ParseDN(text); err != nil || !reflect.DeepEqual(back, got) {
				t.Errorf("%s comes back as %q, %v", text, back, err)
			}
		})
	}
}

func TestParseDNRefuses(t *testing.T) {
	for _, in := range []string{
		"alice", "=", "=x", ",", "+", " ,", "cn", "cn ", "c n=x",
		"cn=a,", "cn=a, ", "cn=a+", "cn=a+ ", ",cn=a", "+cn=a", "cn=a,,dc=x", "cn=a,+dc=x", "cn=a++sn=b", "cn=a;,", "cn=a,dc",
		`cn=a\`, `cn=a\4`, `cn=a\4,dc=x`, `cn=a\zz`, `cn=\4g`, "cn=a\\\x00", "cn=a\\é",
		`cn="a"`, `cn=a"b`, "cn=a\x00b",
		"cn=#", "cn=#0", "cn=#04", "cn=#0402", "cn=#040141x", "cn=#04014142", "cn=#zz", "cn=#0480", "cn=#1f0100", "cn=#04 0141", `cn=#0401\41`,
		"cn=#0484ffffffff", "cn=#04887fffffffffffffff",
		"cn;binary=x", "é=x", "cn\x00=x", "c:n=x", "<GUID=00>",
	} {
		dn, err := ParseDN(in)
		if !errors.Is(err, ErrDN) || dn != nil {
			t.Errorf("ParseDN(%q): %q, %v", in, dn, err)
		}
		got, err := NormalizeDN([]byte("x"), []byte(in))
		if !errors.Is(err, ErrDN) || string(got) != "x" {
			t.Errorf("NormalizeDN(%q): %q, %v", in, got, err)
		}
		var e *Error
		if !errors.As(err, &e) || e.Code != ResultInvalidDNSyntax {
			t.Errorf("%q: not invalidDNSyntax: %v", in, err)
		}
	}
}

// Each line holds names of one entry, its normal form first.
func TestNormalizeDN(t *testing.T) {
	var all []string
	for _, same := range [][]string{
		{""},
		{"dc=x", "DC=X", " dc = x ", "domainComponent=x", "0.9.2342.19200300.100.1.25=X", "OID.0.9.2342.19200300.100.1.25=x"},
		{"cn=alice,ou=users,dc=x", "CN=Alice, OU=Users, DC=x", "commonName=ALICE,organizationalUnitName=users,dc=x", "2.5.4.3=alice,2.5.4.11=users,dc=x",
			`cn=\61lice,ou=users,dc=x`, "cn=#0405416c696365,ou=users,dc=x", "cn=  alice  ,ou=users,dc=x", `cn=\ alice\ ,ou=users,dc=x`,
			"cn=ａｌｉｃｅ,ou=users,dc=x", "oid.2.5.4.3=alice,ou=users,dc=x"},
		{"uid=bob", "userid=bob", "0.9.2342.19200300.100.1.1=bob", "UID=BOB"},
		{"sn=a", "surname=a", "2.5.4.4=a"},
		{"c=de", "countryName=DE", "2.5.4.6=de"},
		{"l=a", "localityName=a", "2.5.4.7=a"},
		{"st=a", "stateOrProvinceName=a", "2.5.4.8=a"},
		{"street=a", "streetAddress=a", "2.5.4.9=a"},
		{"o=a", "organizationName=a", "2.5.4.10=a"},
		{"mail=a@b", "rfc822Mailbox=A@B", "0.9.2342.19200300.100.1.3=a@b"},
		{"foo=a", "FOO=A"},
		{"oid.foo=a", "OID.foo=a"}, // not an OID
		{"cn=j. smith", "cn=J.  Smith", "cn=J. Smith", `cn=J.\20\20Smith`, "cn=J.\tSmith", "cn=J.\u00a0Smith"},
		{`cn=\ `, `cn=\20\20`, `cn=\ \ \ `, `cn=\09`},
		{"cn=", "cn=  ", `cn=\01`, "cn=#0400"},
		{`cn=smith\, zoë\+co #1 (x*),ou=users,dc=ldap,dc=goauthentik,dc=io`,
			`cn=smith\2c zoë\2bco #1 \28x\2A\29,ou=users,dc=ldap,dc=goauthentik,dc=io`,
			`CN=Smith\, Zoë\+Co #1 (x*),ou=users,DC=ldap,DC=goauthentik,DC=io`,
			"cn=Smith\\, Zoe\u0308\\+Co #1 \\28x*),ou=users,dc=ldap,dc=goauthentik,dc=io"},
		{"cn=strasse", "cn=Straße", "cn=STRASSE", "cn=STRA\u1e9eE"},
		{`cn=bob\;123456`, "cn=bob;123456", `cn=BOB\3B123456`},
		{`cn=\#1`, `cn=\231`, "cn=#04022331", "cn=＃1"},
		{`cn=a\,b`, `cn=a\2cb`, "cn=a，b"},
		{`cn=\"`, "cn=＂", `cn=\22`},
		{`cn=\<\>`, "cn=<>", `cn=\3c\3e`},
		{`cn=\\2c`, `cn=\5c2c`},
		{`cn=M\fcller`, "cn=M\xfcller"},

		// The parts of an RDN come in any order, whatever is escaped in them.
		{"cn=a+sn=b+uid=c,dc=x", "sn=b+cn=a+uid=c,dc=x", "uid=c+sn=b+cn=a,dc=x", "UID=C + SN=B + CN=A, DC=X"},
		{`cn=a\+b+sn=c\,d,dc=x`, `sn=c\2cd+cn=a\2bb,dc=x`, `SN=C\,D+CN=A\+B,dc=x`},
		{`cn=\\+sn=\+`, `sn=\2b+cn=\5c`, `sn=\++cn=\\`},
		{"cn=+sn=", "sn=+cn="},
		{"cn=a+ou=b,cn=c+ou=d,dc=x", "ou=b+cn=a,ou=d+cn=c,dc=x"},
		{"cn=a+cn=b", "cn=b+cn=a", "2.5.4.3=b+commonName=a"},
		{`cn=\ff+sn=é`, "sn=É+cn=\xff"},

		// These differ from all above.
		{"cn=a+sn=b,dc=x"}, {"cn=a,sn=b,dc=x"}, {"sn=b,cn=a,dc=x"}, {"ou=users,cn=alice,dc=x"}, {"uid=alice,ou=users,dc=x"},
		{"cn=alice"}, {"cn=alice,ou=users"}, {"cn=al ice"}, {`cn=alice\,ou=users\,dc=x`}, {"cn=bob"}, {`cn=a\+sn=b`}, {"cn=müller", "cn=Müller", "cn=mu\u0308ller"},
	} {
		want := same[0]
		all = append(all, want)
		for _, in := range same {
			got, err := NormalizeDN([]byte("before"), []byte(in))
			if err != nil || string(got) != "before"+want {
				t.Errorf("%q: %s, %v, want %s", in, strings.TrimPrefix(string(got), "before"), err, want)
			}
			dn, err := ParseDN(in)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := NormalizeDN(nil, []byte(dn.String())); err != nil || string(got) != want {
				t.Errorf("%q: its text %s is normalised to %s, %v", in, dn, got, err)
			}
		}
	}
	slices.Sort(all)
	for i := 1; i < len(all); i++ {
		if all[i] == all[i-1] {
			t.Errorf("two lines have %s", all[i])
		}
	}
}

func TestRDNString(t *testing.T) {
	if s := rdn("cn", "a+b", "sn", " c").String(); s != `cn=a\+b+sn=\ c` {
		t.Error(s)
	}
}

// checkDN holds what is true of any input; FuzzDN uses it too.
func checkDN(t *testing.T, in []byte) {
	dn, err := ParseDN(string(in))
	norm, normErr := NormalizeDN([]byte("x"), in)
	if (err == nil) != (normErr == nil) || string(norm[:1]) != "x" {
		t.Fatalf("%q: ParseDN %v, NormalizeDN %q, %v", in, err, norm, normErr)
	}
	norm = norm[1:]
	if err != nil {
		if !errors.Is(err, ErrDN) || !errors.Is(normErr, ErrDN) || dn != nil || len(norm) != 0 {
			t.Fatalf("%q: %q, %q, %v, %v", in, dn, norm, err, normErr)
		}
		return
	}
	if len(norm) > 16*len(in) || !utf8.Valid(norm) {
		t.Fatalf("%q: normal form %q", in, norm)
	}
	again, err := NormalizeDN(nil, norm)
	if err != nil || string(again) != string(norm) {
		t.Fatalf("%q: %q, then %q, %v", in, norm, again, err)
	}
	text := dn.String()
	if back, err := ParseDN(text); err != nil || !reflect.DeepEqual(back, dn) || !utf8.ValidString(text) {
		t.Fatalf("%q: %q, then %q, %v", in, dn, back, err)
	}
	for _, rdn := range dn {
		slices.Reverse(rdn)
	}
	same, err := NormalizeDN(nil, []byte(dn.String()))
	if err != nil || string(same) != string(norm) {
		t.Fatalf("%q: %q, but %q, %v, with RDNs reversed", in, norm, same, err)
	}
	parsed, err := ParseDN(string(norm))
	if err != nil || len(parsed) != len(dn) {
		t.Fatalf("%q: %d RDNs, %d in the normal form %q, %v", in, len(dn), len(parsed), norm, err)
	}
	for i := range dn {
		if len(parsed[i]) != len(dn[i]) {
			t.Fatalf("%q: RDN %d differs in the normal form %q", in, i, norm)
		}
	}
}

func TestDNOfTooManyParts(t *testing.T) {
	fits := strings.TrimSuffix(strings.Repeat("a=,", maxAVAs), ",")
	if dn, err := ParseDN(fits); err != nil || len(dn) != maxAVAs {
		t.Errorf("%d parts: %v", len(dn), err)
	}
	if _, err := ParseDN(fits + ",a="); err == nil {
		t.Errorf("%d parts are accepted", maxAVAs+1)
	}
	if _, err := NormalizeDN(nil, []byte(fits+"+a=")); err == nil {
		t.Errorf("%d parts are accepted", maxAVAs+1)
	}
}
