package search

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

const users = "ou=users," + base

// pages reads a search to its end in pages of the sizes given, in turn.
func pages(t *testing.T, e *Engine, req *ldap.SearchRequest, sizes ...int) (dns []string, n int) {
	t.Helper()
	var cookie []byte
	sort := req.Controls
	for {
		req.Controls = append(slices.Clone(sort), pagedControl(sizes[n%len(sizes)], cookie))
		w, code, controls := find(t, e, admin(), req)
		if code != 0 {
			t.Fatalf("page %d: %v", n, code)
		}
		dns = append(dns, w.dns...)
		n++
		if cookie = cookieOf(t, controls); len(cookie) == 0 {
			return dns, n
		}
		if n > 1000 {
			t.Fatal("paging does not end")
		}
	}
}

func TestPagesHoldEachEntryOnce(t *testing.T) {
	e := newEngine(newTree(t, 50))
	all, _, _ := find(t, e, admin(), request(t, base, ldap.ScopeSub, "(objectClass=*)"))
	for _, sizes := range [][]int{{1}, {2}, {7}, {10}, {25}, {50}, {400}, {500}, {25, 10}, {1, 50}} {
		got, _ := pages(t, e, request(t, base, ldap.ScopeSub, "(objectClass=*)"), sizes...)
		if !slices.Equal(got, all.dns) {
			t.Errorf("pages of %v: %d entries, want %d", sizes, len(got), len(all.dns))
		}
	}
}

func TestPageThatEndsWithTheResultHasNoCookie(t *testing.T) {
	e := newEngine(newTree(t, 20))
	if _, n := pages(t, e, request(t, users, ldap.ScopeOne, "(objectClass=user)"), 10); n != 2 {
		t.Errorf("20 entries in pages of 10 took %d pages", n)
	}
}

func TestPagesAcrossARefresh(t *testing.T) {
	old, refreshed := newTree(t, 30), newTree(t, 40)
	e := newEngine(old)
	req := request(t, users, ldap.ScopeOne, "(objectClass=user)")
	req.Controls = []ldap.Control{pagedControl(10, nil)}
	first, _, controls := find(t, e, admin(), req)
	e.cfg.Forest = func() *directory.Forest { return directory.NewForest(refreshed) }
	req.Controls = []ldap.Control{pagedControl(1000, cookieOf(t, controls))}
	rest, _, _ := find(t, e, admin(), req)
	want, _, _ := find(t, e, admin(), request(t, users, ldap.ScopeOne, "(objectClass=user)"))
	last := first.dns[len(first.dns)-1]
	if behind := want.dns[slices.Index(want.dns, last)+1:]; !slices.Equal(rest.dns, behind) {
		t.Errorf("behind %s come %d entries, want %d", last, len(rest.dns), len(behind))
	}
}

func TestCookieOfAnotherSearchIsAnOffset(t *testing.T) {
	e := newEngine(newTree(t, 30))
	req := request(t, users, ldap.ScopeOne, "(objectClass=user)")
	req.Controls = []ldap.Control{pagedControl(3, nil)}
	_, _, controls := find(t, e, admin(), req)
	req = request(t, "ou=groups,"+base, ldap.ScopeOne, "(cn=*)")
	all, _, _ := find(t, e, admin(), req)
	req.Controls = []ldap.Control{pagedControl(10, cookieOf(t, controls))}
	got, code, _ := find(t, e, admin(), req)
	if code != 0 || !slices.Equal(got.dns, all.dns[3:]) {
		t.Errorf("%v, %q; want %q", code, got.dns, all.dns[3:])
	}
}

func TestCookieOfAnotherServer(t *testing.T) {
	e := newEngine(newTree(t, 30))
	req := request(t, users, ldap.ScopeOne, "(objectClass=user)")
	req.Controls = []ldap.Control{pagedControl(3, nil)}
	_, _, controls := find(t, e, admin(), req)
	cookie := cookieOf(t, controls)
	for i := range cookie {
		forged := slices.Clone(cookie)
		forged[i] ^= 1
		req.Controls = []ldap.Control{pagedControl(3, forged)}
		if w, code, _ := find(t, e, admin(), req); code != ldap.ResultUnwillingToPerform || len(w.dns) > 0 {
			t.Fatalf("cookie with byte %d changed: %v, %d entries", i, code, len(w.dns))
		}
	}
	for _, forged := range []string{"x", strings.Repeat("x", 16), strings.Repeat("x", 100)} {
		req.Controls = []ldap.Control{pagedControl(3, []byte(forged))}
		if _, code, _ := find(t, e, admin(), req); code != ldap.ResultUnwillingToPerform {
			t.Errorf("cookie %q: %v", forged, code)
		}
	}
}

func TestPageOfSizeZeroEnds(t *testing.T) {
	e := newEngine(newTree(t, 30))
	req := request(t, users, ldap.ScopeOne, "(objectClass=user)")
	req.Controls = []ldap.Control{pagedControl(3, nil)}
	_, _, controls := find(t, e, admin(), req)
	req.Controls = []ldap.Control{pagedControl(0, cookieOf(t, controls))}
	w, code, controls := find(t, e, admin(), req)
	if code != 0 || len(w.dns) != 0 || len(cookieOf(t, controls)) != 0 {
		t.Errorf("%v, %d entries", code, len(w.dns))
	}
}

// A size limit ends the pages, never with code 4: Nextcloud drops such a page.
func TestPagedSizeLimit(t *testing.T) {
	e := newEngine(newTree(t, 30))
	req := request(t, users, ldap.ScopeOne, "(objectClass=user)")
	req.SizeLimit = 7
	if got, n := pages(t, e, req, 3); len(got) != 7 || n != 3 {
		t.Errorf("%d entries in %d pages, want 7 in 3", len(got), n)
	}
}

func sortControl(key string) ldap.Control {
	k, reverse := strings.CutPrefix(key, "-")
	b := []byte{0x04, byte(len(k))}
	b = append(b, k...)
	if reverse {
		b = append(b, 0x81, 1, 0xff)
	}
	b = append([]byte{0x30, byte(len(b))}, b...)
	return ldap.Control{OID: []byte(ldap.OIDSortRequest), Value: append([]byte{0x30, byte(len(b))}, b...)}
}

// sortResult returns the code in the sort response control.
func sortResult(t *testing.T, controls []byte) byte {
	t.Helper()
	list, err := ldap.ParseControls(nil, controls)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if string(c.OID) == ldap.OIDSortResponse {
			return c.Value[4]
		}
	}
	t.Fatal("no sort control in the response")
	return 0
}

func TestSort(t *testing.T) {
	e := newEngine(newTree(t, 12))
	for key, want := range map[string]string{
		"uidNumber":    "0 1 2 3 4 5 6 7 8 9 10 11",
		"-uidNumber":   "11 10 9 8 7 6 5 4 3 2 1 0",
		"cn":           "0 1 10 11 2 3 4 5 6 7 8 9",
		"title":        "0 3 6 9 1 10 4 7 11 2 5 8",
		"description":  "0 4 8 1 10 11 2 3 5 6 7 9",
		"-description": "1 10 11 2 3 5 6 7 9 0 4 8",
	} {
		req := request(t, users, ldap.ScopeOne, "(objectClass=user)", "cn")
		req.Controls = []ldap.Control{sortControl(key)}
		w, _, controls := find(t, e, admin(), req)
		var got []string
		for _, en := range w.entries {
			got = append(got, strings.TrimPrefix(en.GetAttributeValue("cn"), "user"))
		}
		if s := strings.Join(got, " "); s != want || sortResult(t, controls) != 0 {
			t.Errorf("%s: %s, want %s", key, s, want)
		}
		req.Controls = []ldap.Control{sortControl(key)}
		if dns, n := pages(t, e, req, 5); n != 3 || !slices.Equal(dns, w.dns) {
			t.Errorf("%s in pages: %q", key, dns)
		}
	}
}

func TestSortByWhatIsNotThere(t *testing.T) {
	e := newEngine(newTree(t, 3))
	req := request(t, users, ldap.ScopeOne, "(objectClass=user)")
	req.Controls = []ldap.Control{sortControl("nosuch")}
	w, code, controls := find(t, e, admin(), req)
	if code != 0 || len(w.dns) != 3 || sortResult(t, controls) != byte(ldap.ResultNoSuchAttribute) {
		t.Errorf("not critical: %v, %d entries", code, len(w.dns))
	}
	req.Controls[0].Critical = true
	w, code, controls = find(t, e, admin(), req)
	if code != ldap.ResultUnavailableCritical || len(w.dns) != 0 || sortResult(t, controls) != byte(ldap.ResultNoSuchAttribute) {
		t.Errorf("critical: %v, %d entries", code, len(w.dns))
	}
}

// countWriter takes entries and forgets them.
type countWriter struct {
	buf []byte
	n   int
}

func (w *countWriter) MessageID() int32      { return 1 }
func (w *countWriter) Buf() []byte           { return w.buf[:0] }
func (w *countWriter) Commit(b []byte) error { w.buf = b; w.n++; return nil }
func (w *countWriter) Err() error            { return nil }
func (w *countWriter) Slow()                 {}

func BenchmarkSearch(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		e := newEngine(newTree(b, n))
		v := admin()
		for _, bb := range []struct {
			name   string
			filter string
			page   int
			attrs  []string
		}{
			{"uid", "(&(objectClass=inetOrgPerson)(uid=uid-77))", 0, []string{"cn", "uid", "mail", "displayName", "sn", "givenName", "memberOf", "uidNumber", "gidNumber", "homeDirectory", "entryUUID", "sAMAccountName"}},
			{"nextcloud-login", "(&(objectClass=user)(memberOf=cn=group2,ou=groups," + base + ")(|(cn=user77)(mail=user77)))", 500, []string{"entryuuid", "nsuniqueid", "objectguid", "guid", "ipauniqueid", "dn", "uid", "samaccountname", "memberof", "cn", "mail", "displayname", "jpegphoto", "thumbnailphoto"}},
			{"nextcloud-login-code", "(&(objectClass=user)(memberOf=cn=group2,ou=groups," + base + ")(|(cn=user77;123456)(mail=user77;123456)))", 500, []string{"entryuuid", "nsuniqueid", "objectguid", "guid", "ipauniqueid", "dn", "uid", "samaccountname", "memberof", "cn", "mail", "displayname", "jpegphoto", "thumbnailphoto"}},
			{"memberOf", "(&(objectClass=user)(memberOf=cn=group2,ou=groups," + base + "))", 0, []string{"cn", "uid", "mail", "displayName", "sn", "givenName", "memberOf", "uidNumber", "gidNumber", "homeDirectory", "entryUUID", "sAMAccountName"}},
			{"presence", "(&(displayName=*)(displayName=person a77*))", 0, nil},
			{"absence", "(jpegPhoto=*)", 0, nil},
			{"substring", "(|(cn=*r77*)(displayName=*r77*)(mail=*r77*))", 0, nil},
			{"all", "(objectClass=*)", 0, nil},
			{"page", "(objectClass=user)", 500, nil},
		} {
			b.Run(fmt.Sprintf("%s/%d", bb.name, n), func(b *testing.B) {
				req := request(b, base, ldap.ScopeSub, bb.filter, bb.attrs...)
				if bb.page > 0 {
					req.Controls = []ldap.Control{pagedControl(bb.page, nil)}
				}
				w := &countWriter{}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := e.Search(v, req, w); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(w.n)/float64(b.N), "entries/op")
			})
		}
	}
}
