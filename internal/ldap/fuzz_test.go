package ldap

import (
	"bytes"
	"errors"
	"reflect"
	"regexp"
	"testing"
	"unicode/utf8"

	goldap "github.com/go-ldap/ldap/v3"

	"ldapd/internal/ber"
)

// parseAny parses the body of an operation with the parser that belongs to
// it, and says how many values that took from it.
func parseAny(t *testing.T, op Op, body []byte, s *SearchRequest) int {
	switch op {
	case OpBindRequest:
		if req, err := ParseBindRequest(body); err == nil && req.Auth == AuthSASL && req.Mechanism == nil {
			t.Fatal("SASL without a mechanism")
		}
	case OpSearchRequest:
		if err := s.Parse(body, FilterLimits{}); err == nil {
			var fresh SearchRequest
			if err := fresh.Parse(body, FilterLimits{}); err != nil || fresh.Scope != s.Scope || fresh.SizeLimit != s.SizeLimit ||
				fresh.TimeLimit != s.TimeLimit || fresh.TypesOnly != s.TypesOnly || !bytes.Equal(fresh.Base, s.Base) ||
				!reflect.DeepEqual(fresh.Filter, s.Filter) || len(fresh.Attributes) != len(s.Attributes) {
				t.Fatalf("%+v when reused, %+v when not, %v", s, fresh, err)
			}
			if s.SizeLimit < 0 || s.TimeLimit < 0 || s.Scope > ScopeSub {
				t.Fatalf("%+v", s)
			}
			checkFilter(t, s.Filter, FilterLimits{}.withDefaults())
			return len(s.Attributes) + len(s.Filter)
		}
	case OpCompareRequest:
		_, _ = ParseCompareRequest(body)
	case OpExtendedRequest:
		if req, err := ParseExtendedRequest(body); err == nil {
			if id, err := CancelID(req.Value); err == nil && id < 0 {
				t.Fatal(id)
			}
		}
	case OpAbandonRequest:
		if id, err := AbandonID(body); err == nil && id < 0 {
			t.Fatal(id)
		}
	}
	return 0
}

func FuzzMessage(f *testing.F) {
	for _, s := range []string{
		ldapsearchPacket,
		"30 05 02 01 03 42 00",
		"30 06 02 01 05 50 01 04",
		"30 84 00 00 00 10 02 01 01 60 84 00 00 00 07 02 01 03 04 00 80 00",
		"30 18 02 01 01 60 13 02 01 03 04 00 a3 0c 04 08 45 58 54 45 52 4e 41 4c 04 00",
		"30 22 02 01 02 6e 1d 04 0d 63 6e 3d 61 6c 69 63 65 2c 64 63 3d 78 30 0c 04 03 75 69 64 04 05 61 6c 69 63 65",
		"30 15 02 01 04 77 10 80 07 31 2e 33 2e 36 2e 31 81 05 30 03 02 01 03",
		"30 0e 02 01 05 4a 00 a0 07 30 05 04 03 31 2e 32",
	} {
		b := unhex(f, s)
		f.Add(b)
		f.Add(widen(b))
	}
	f.Add(nextcloudLogin())
	f.Fuzz(func(t *testing.T, b []byte) {
		var s SearchRequest
		m, err := ParseMessage(unhex(t, ldapsearchPacket))
		if err != nil || s.Parse(m.Body, FilterLimits{}) != nil {
			t.Fatal("setup")
		}
		m, err = ParseMessage(b)
		if err != nil {
			// The bodies are hostile too where the message is not whole.
			for _, op := range []Op{OpBindRequest, OpSearchRequest, OpCompareRequest, OpExtendedRequest, OpAbandonRequest} {
				parseAny(t, op, b, &s)
			}
			return
		}
		if m.ID < 0 || len(m.Body)+len(m.Controls) > len(b) || m.Controls != nil && len(m.Body)+len(m.Controls)+4 > len(b) {
			t.Fatalf("%+v", m)
		}
		if n, err := ber.Frame(b, len(b)); n != len(b) || err != nil {
			t.Fatalf("a message of %d bytes in a frame of %d, %v", len(b), n, err)
		}
		if n := parseAny(t, m.Op, m.Body, &s); n > len(m.Body) {
			t.Fatalf("%d values in %d bytes", n, len(m.Body))
		}
		_, _ = ParseControls(nil, m.Controls)
		again, err := ParseMessage(widen(tlv(ber.Sequence, ber.AppendInt(nil, ber.Integer, int64(m.ID)), tlv(byte(OpUnbindRequest)))))
		if err != nil || again.ID != m.ID {
			t.Fatalf("messageID %d comes back as %d, %v", m.ID, again.ID, err)
		}
	})
}

var (
	cleanAttr = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*(;[A-Za-z0-9-]+)*$`)
	cleanRule = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)
)

// checkFilter checks that f hangs together and says whether all in it is
// what a string filter can hold.
func checkFilter(t *testing.T, f Filter, limits FilterLimits) (clean bool) {
	if len(f) == 0 || len(f) > limits.Terms || f[0].Next != len(f) {
		t.Fatalf("%+v", f)
	}
	clean = true
	var walk func(i, depth int)
	walk = func(i, depth int) {
		n := f[i]
		if n.Next <= i || n.Next > len(f) || depth > limits.Depth {
			t.Fatalf("term %d of %+v at depth %d", i, f, depth)
		}
		switch n.Op {
		case FilterAnd, FilterOr, FilterNot:
			children := 0
			for c := i + 1; c < n.Next; c = f[c].Next {
				if f[c].Next > n.Next {
					t.Fatalf("term %d of %+v reaches out of its parent", c, f)
				}
				walk(c, depth+1)
				children++
			}
			if n.Op == FilterNot && children != 1 {
				t.Fatalf("a not of %d", children)
			}
		case FilterSubstrings:
			if n.Next == i+1 {
				t.Fatal("substrings without pieces")
			}
			for c := i + 1; c < n.Next; c++ {
				if f[c].Next != c+1 || f[c].Op == SubInitial && c != i+1 || f[c].Op == SubFinal && c != n.Next-1 {
					t.Fatalf("piece %d of %+v", c, f)
				}
				clean = clean && len(f[c].Value) > 0
			}
			clean = clean && cleanAttr.Match(n.Attr)
		default:
			if n.Next != i+1 {
				t.Fatalf("term %d of %+v holds others", i, f)
			}
			clean = clean && (cleanAttr.Match(n.Attr) || n.Op == FilterExtensible && n.Attr == nil) && (n.Rule == nil || cleanRule.Match(n.Rule))
		}
	}
	walk(0, 1)
	return clean
}

func FuzzFilter(f *testing.F) {
	for _, text := range []string{
		ldapsearchFilter, "(&)", "(|(&)(|))", "(cn=*)", "(cn=a*b*c)", "(:dn:2.4.6:=x)", `(cn=\28\00\ff)`, "(!(!(cn=x)))", "(n>=1)", "(n<=1)", "(n~=é)",
	} {
		p, err := goldap.CompileFilter(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.Bytes())
		f.Add(widen(p.Bytes()))
	}
	f.Add(deepFilter(40, FilterNot))
	f.Add(wideFilter(300, FilterOr))
	limits := FilterLimits{Depth: 16, Terms: 256}
	f.Fuzz(func(t *testing.T, in []byte) {
		filter, err := ParseFilter(in, limits)
		if err != nil {
			if more, err2 := ParseFilter(in, FilterLimits{Depth: 1 << 10, Terms: 1 << 20}); err2 == nil && !errors.Is(err, ErrFilterLimit) {
				t.Fatalf("%v, but with more allowed %+v", err, more)
			}
			return
		}
		clean := checkFilter(t, filter, limits)
		text := string(filter.AppendText(nil, nil))
		if len(text) > 3*len(in)+8*len(filter) || !utf8.ValidString(text) {
			t.Fatalf("%x: text %q", in, text)
		}
		if !clean {
			return
		}
		p, err := goldap.CompileFilter(text)
		if err != nil {
			t.Fatalf("%x: %s: %v", in, text, err)
		}
		back, err := ParseFilter(p.Bytes(), limits)
		if err != nil || !reflect.DeepEqual(back, filter) {
			t.Fatalf("%x: %s: %+v comes back as %+v, %v", in, text, filter, back, err)
		}
	})
}

func FuzzDN(f *testing.F) {
	for _, s := range []string{
		"", "dc=x", "cn=Alice, OU=Users , dc = x", `cn=smith\2c zoë\2bco #1 \28x\2A\29,ou=users,dc=ldap,dc=goauthentik,dc=io`,
		"cn=bob;123456,ou=users", `OU=Sales+CN=J.  Smith,DC=example`, "cn=#04024869", `cn=\ a\ `, `cn=a\\\ +sn=\+`, "cn=a,", "cn=a+",
		"oid.oid.x=1", "OID.2.5.4.3=x", "cn=e\x01\u0301", "cn=\xc3\x01\xad", "cn=ß，＋\u00a0", `cn=\ff\c3`, "cn=Ꭰꭰ", "b=1+a=2+c=3,d=4+c=5",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(checkDN)
}

func FuzzControls(f *testing.F) {
	for _, s := range []string{
		"30 25 04 16 31 2e 32 2e 38 34 30 2e 31 31 33 35 35 36 2e 31 2e 34 2e 33 31 39 01 01 ff 04 08 30 06 02 02 01 f4 04 00",
		`30 36 04 16 31 2e 32 2e 38 34 30 2e 31 31 33 35 35 36 2e 31 2e 34 2e 34 37 33
			04 1c 30 1a 30 11 04 02 63 6e 80 08 32 2e 35 2e 31 33 2e 33 81 01 ff 30 05 04 03 75 69 64`,
		"30 05 04 03 31 2e 32 30 08 04 01 31 04 00 01 01 00",
	} {
		b := unhex(f, s)
		f.Add(b)
		f.Add(widen(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		controls, err := ParseControls(nil, b)
		if len(controls) > maxControls {
			t.Fatalf("%d controls", len(controls))
		}
		checkValue(t, b)
		if err != nil {
			return
		}
		var again []byte
		for _, c := range controls {
			again = AppendControl(again, string(c.OID), c.Value)
			checkValue(t, c.Value)
		}
		back, err := ParseControls(nil, again)
		if err != nil || len(back) != len(controls) {
			t.Fatalf("%+v comes back as %+v, %v", controls, back, err)
		}
		for i, c := range controls {
			if !bytes.Equal(back[i].OID, c.OID) || !bytes.Equal(back[i].Value, c.Value) || back[i].Critical {
				t.Fatalf("%+v comes back as %+v", c, back[i])
			}
		}
	})
}

// checkValue parses the value of a control in all ways.
func checkValue(t *testing.T, value []byte) {
	if p, err := ParsePagedResults(value); err == nil {
		back, err := ParseControls(nil, AppendPagedResults(nil, p))
		if err != nil {
			t.Fatal(err)
		}
		q, err := ParsePagedResults(back[0].Value)
		if err != nil || p.Size < 0 || q.Size != p.Size || !bytes.Equal(q.Cookie, p.Cookie) {
			t.Fatalf("%+v comes back as %+v, %v", p, q, err)
		}
	}
	if keys, err := ParseSortKeys(value); (err == nil) != (len(keys) > 0) || len(keys) > maxSortKeys {
		t.Fatalf("%d sort keys, %v", len(keys), err)
	}
	if id, err := CancelID(value); err == nil && id < 0 {
		t.Fatal(id)
	}
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{
		"", " ", "  Alice   Liddell ", "Straße", "ﬁ", "e\x01\u0301", "\xc3\x01\xad", "a\u0345\u0301", "Ꭰꭰ", "\u00a8 \u0301", "\u2028", "\ufdfa",
		"a" + string(bytes.Repeat([]byte("\u0301"), 40)), "a\u0345" + string(bytes.Repeat([]byte("\u0301"), 40)),
		"a" + string(bytes.Repeat([]byte("\u035d\u0345\u0316\u0338"), 16)), "ΐ\u0345", "\u1112\x01\u1161",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		before := bytes.Clone(in)
		got := Fold([]byte("x"), in)
		if !bytes.Equal(in, before) || got[0] != 'x' {
			t.Fatalf("%q became %q, dst %q", before, in, got)
		}
		got = got[1:]
		if again := Fold(nil, got); !bytes.Equal(again, got) {
			t.Fatalf("%q: %q, then %q", in, got, again)
		}
		if len(got) > 16*len(in) {
			t.Fatalf("%d bytes of %d", len(got), len(in))
		}
		if !utf8.Valid(in) {
			if !bytes.Equal(got, in) {
				t.Fatalf("%q: %q", in, got)
			}
			return
		}
		if !utf8.Valid(got) || bytes.Contains(got, []byte("  ")) || len(got) > 1 && (got[0] == ' ' || got[len(got)-1] == ' ') {
			t.Fatalf("%q: %q", in, got)
		}
		if upper := Fold(nil, asciiUpper(in)); !bytes.Equal(upper, got) {
			t.Fatalf("%q: %q, in capitals %q", in, got, upper)
		}
	})
}

func asciiUpper(s []byte) []byte {
	out := bytes.Clone(s)
	for i, c := range out {
		if c >= 'a' && c <= 'z' {
			out[i] = c - 'a' + 'A'
		}
	}
	return out
}
