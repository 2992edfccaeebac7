package nextcloud

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/config"
)

// crowd returns the recorded users and n more.
func crowd(t *testing.T, n int) string {
	t.Helper()
	more := make([]string, n)
	for i := range more {
		more[i] = user(fmt.Sprintf("crowd%04d", i), fmt.Sprintf("Crowd %d", i), "nextcloud-users")
	}
	return with(recorded(t), more...)
}

// list is the search of Nextcloud's user list, without paging.
var list = query{
	base: userBase, scope: ldap.ScopeWholeSubtree,
	filter: "(&" + userFilter + "(displayName=*)(displayName=*))",
	attrs:  []string{"entryuuid", "dn", "displayname"},
}

// page returns a query for one page.
func (q query) page(size uint32, cookie []byte) query {
	q.size, q.cookie = size, cookie
	return q
}

// pages asks for page after page and returns the names of each.
func pages(t *testing.T, c *ldap.Conn, q query) (out [][]string) {
	t.Helper()
	for {
		a := do(t, c, q)
		if a.code != ldap.LDAPResultSuccess || !a.paged {
			t.Fatalf("page %d: result %d, paging control %v", len(out), a.code, a.paged)
		}
		out = append(out, names(a.entries))
		if len(a.cookie) == 0 {
			return out
		}
		if len(a.entries) == 0 {
			t.Fatalf("page %d is empty and has a cookie", len(out))
		}
		q.cookie = a.cookie
	}
}

func TestMust6Paging(t *testing.T) {
	s := start(t, crowd(t, 700))
	c := s.asAgent(t)
	all := names(find(t, c, list)) // without the control: all at once
	if len(all) != 730 {
		t.Fatalf("%d entries without paging, want 730", len(all))
	}

	for _, size := range []int{1, 2, 10, 25, 50, 400, 500, 729, 730, 731, 5000} {
		got := pages(t, c, list.page(uint32(size), nil))
		if !slices.Equal(slices.Concat(got...), all) {
			t.Errorf("size %d: the pages together are not the whole", size)
		}
		for i, p := range got {
			if want := min(size, len(all)-i*size); len(p) != want {
				t.Errorf("size %d: page %d has %d entries, want %d", size, i, len(p), want)
			}
		}
	}

	t.Run("size changes midway", func(t *testing.T) {
		a := do(t, c, list.page(25, nil))
		got := names(a.entries)
		for _, size := range []uint32{10, 400, 2} {
			a = do(t, c, list.page(size, a.cookie))
			got = append(got, names(a.entries)...)
		}
		if !slices.Equal(got, all[:437]) {
			t.Errorf("got %d entries that are not the first 437", len(got))
		}
	})

	t.Run("on another connection", func(t *testing.T) {
		a := do(t, c, list.page(25, nil))
		a = do(t, s.asAgent(t), list.page(25, a.cookie))
		if !slices.Equal(names(a.entries), all[25:50]) {
			t.Errorf("got %q", names(a.entries))
		}
	})

	t.Run("same page again", func(t *testing.T) {
		first := do(t, c, list.page(25, nil))
		for range 2 {
			if a := do(t, c, list.page(25, first.cookie)); !slices.Equal(names(a.entries), all[25:50]) {
				t.Errorf("got %q", names(a.entries))
			}
		}
	})

	t.Run("never closed", func(t *testing.T) {
		for range 2000 {
			if a := do(t, c, list.page(1, nil)); a.code != 0 || len(a.cookie) == 0 {
				t.Fatalf("result %d, cookie %x", a.code, a.cookie)
			}
		}
	})

	t.Run("foreign cookies", func(t *testing.T) {
		groups := query{base: groupBase, scope: ldap.ScopeWholeSubtree, filter: "(&(objectclass=group)(cn=*))", attrs: []string{"cn", "dn"}}
		want := names(find(t, c, groups))
		if len(want) != 6 {
			t.Fatalf("%d groups", len(want))
		}
		for _, n := range []uint32{1, 2, 5, 6, 25} { // read as: from entry n on
			cookie := do(t, c, list.page(n, nil)).cookie
			a := do(t, c, groups.page(3, cookie))
			from := min(int(n), len(want))
			if a.code != 0 || !slices.Equal(names(a.entries), want[from:min(from+3, len(want))]) {
				t.Errorf("cookie of entry %d: result %d, %q", n, a.code, names(a.entries))
			}
			if more := from+3 < len(want); more != (len(a.cookie) > 0) {
				t.Errorf("cookie of entry %d: more %v, cookie %x", n, more, a.cookie)
			}
		}
		// Of the same kind of search, as by another term typed meanwhile.
		other := list
		other.filter = "(&" + userFilter + "(displayName=*)(|(displayName=us)(displayName=us*)))"
		a := do(t, c, other.page(10, do(t, c, list.page(10, nil)).cookie))
		if a.code != 0 || len(a.entries) != 10 {
			t.Errorf("another term: result %d, %d entries", a.code, len(a.entries))
		}
	})

	t.Run("forged cookies", func(t *testing.T) {
		good := do(t, c, list.page(25, nil)).cookie
		forged := [][]byte{
			{0x19, 0, 0, 0, 0, 0, 0, 0}, // another server's
			{0},
			[]byte("25"),
			good[:len(good)-1],
			good[1:],
			append(slices.Clone(good), 0),
			bytes.Repeat([]byte{0xff}, 4096),
		}
		for i := range good {
			b := slices.Clone(good)
			b[i] ^= 1
			forged = append(forged, b)
		}
		for _, cookie := range forged {
			if a := do(t, c, list.page(25, cookie)); a.code != ldap.LDAPResultUnwillingToPerform || len(a.entries) > 0 {
				t.Errorf("cookie %.40x: result %d, %d entries", cookie, a.code, len(a.entries))
			}
		}
		if a := do(t, c, list.page(25, good)); !slices.Equal(names(a.entries), all[25:50]) {
			t.Errorf("the good cookie after them: result %d, %q", a.code, names(a.entries))
		}
	})

	t.Run("never code 4", func(t *testing.T) {
		for _, limit := range []int{1, 30, 730} {
			q := list.page(25, nil)
			q.limit = limit
			got := slices.Concat(pages(t, c, q)...)
			if !slices.Equal(got, all[:limit]) {
				t.Errorf("sizeLimit %d: got %d entries", limit, len(got))
			}
		}
	})
}

// TestMust6PagingServerLimit has a server that returns less at once than
// Nextcloud asks for.
func TestMust6PagingServerLimit(t *testing.T) {
	c := start(t, crowd(t, 700), func(cfg *config.Config) { cfg.Limits.Entries = 100 }).asAgent(t)
	got := pages(t, c, list.page(500, nil))
	for i, p := range got {
		if want := min(100, 730-100*i); len(p) != want {
			t.Errorf("page %d has %d entries, want %d", i, len(p), want)
		}
	}
	if a := do(t, c, list); a.code != ldap.LDAPResultSizeLimitExceeded || len(a.entries) != 100 {
		t.Errorf("without the control: result %d, %d entries", a.code, len(a.entries))
	}
}

// TestMust6PagingAcrossChange changes the directory between two pages: what
// stays comes once, what is new behind the last entry comes too.
func TestMust6PagingAcrossChange(t *testing.T) {
	users := crowd(t, 100)
	s := start(t, users)
	c := s.asAgent(t)
	before := names(find(t, c, list))
	first := do(t, c, list.page(50, nil))
	last := before[49]

	for _, gone := range []string{before[3], last, before[50], before[80]} {
		users = without(t, users, gone)
	}
	s.change(t, with(users, user("aaa", "New", "nextcloud-users"), user(last+"-and-a-half", "New", "nextcloud-users"), user("zzz", "New", "nextcloud-users")))

	var want []string
	for _, n := range names(find(t, c, list)) {
		if !slices.Contains(before[:50], n) && n != "aaa" {
			want = append(want, n)
		}
	}
	if len(want) != 130-50-2+2 {
		t.Fatalf("%d entries behind the first page: %q", len(want), want)
	}
	if got := slices.Concat(pages(t, c, list.page(25, first.cookie))...); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
