package directory

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ldapd/internal/schema"
)

// random makes a directory whose values collide often.
func random(r *rand.Rand, n int) ([]User, []Group) {
	words := []string{"al", "ali", "Alice", "bob", "Bo", "Müller", "liddell", "x", "smith, z", "#1", "a  b"}
	word := func() string { return words[r.IntN(len(words))] }
	groups := make([]Group, n/4+1)
	for i := range groups {
		groups[i] = Group{UUID: id(fmt.Sprint("g", i)), Name: fmt.Sprint(word(), i), NumPK: int64(r.IntN(5)), Superuser: r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			groups[i].Parents = []string{id(fmt.Sprint("g", r.IntN(len(groups))))}
		}
	}
	users := make([]User, n)
	for i := range users {
		u := &users[i]
		*u = User{
			UUID: id(fmt.Sprint("u", i)), UID: word(), PK: int64(r.IntN(n)), Username: fmt.Sprint(word(), i),
			Name: word() + " " + word(), Email: fmt.Sprintf("%s%d@example.org", strings.Fields(word())[0], i), Active: r.IntN(2) == 0,
			Attrs: map[string]any{},
		}
		if r.IntN(2) == 0 {
			u.Attrs["title"] = []any{word(), word()}
		}
		if r.IntN(10) == 0 {
			u.Attrs["quota"] = r.IntN(3)
		}
		if r.IntN(10) == 0 {
			u.Attrs["telephoneNumber"] = fmt.Sprintf("+49 30-%d", r.IntN(10))
		}
		for range r.IntN(3) {
			u.Groups = append(u.Groups, groups[r.IntN(len(groups))].UUID)
		}
	}
	return users, groups
}

// scan returns the entries with a value for which ok holds.
func scan(s *Snapshot, at *schema.AttributeType, ok func(norm []byte) bool) []ID {
	var out []ID
	for i := range s.Len() {
		a, has := s.Entry(ID(i)).Attr(at.ID)
		if !has {
			continue
		}
		for v := range a.Values() {
			if norm, castable := at.Equality.Normalize(nil, v); castable && ok(norm) {
				out = append(out, ID(i))
				break
			}
		}
	}
	return out
}

// checkPosting fails unless p is ascending, consistent and holds all of want;
// if it is exact, nothing else.
func checkPosting(t *testing.T, what string, p Posting, want []ID) {
	t.Helper()
	got := slices.Collect(p.All())
	if len(got) != p.Len() || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("%s: length %d, entries %v", what, p.Len(), got)
	}
	for _, i := range want {
		if !slices.Contains(got, i) || !p.Has(i) {
			t.Errorf("%s: %d is missing in %v", what, i, got)
		}
	}
	if p.Exact() && len(got) != len(want) {
		t.Errorf("%s: exact, but %v is not %v", what, got, want)
	}
	if len(got) > 1 {
		lo, hi := got[1], got[len(got)-1]
		if part := p.Append(nil, lo, hi); !slices.Equal(part, got[1:len(got)-1]) {
			t.Errorf("%s: from %d to %d: %v of %v", what, lo, hi, part, got)
		}
	}
}

func TestIndexAgainstScan(t *testing.T) {
	for seed := range uint64(32) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			users, groups := random(r, int(seed)*3/2)
			s := build(t, users, groups)
			checkSchema(t, s)
			for _, name := range []string{"objectClass", "cn", "uid", "mail", "member", "uniqueMember", "memberOf", "memberUid", "uidNumber", "gidNumber", "entryUUID", "entryDN", "title", "ak-superuser"} {
				if _, ok := s.Equal(attrType(t, s, name), []byte("x")); !ok {
					t.Errorf("%s is not indexed", name)
				}
			}
			for _, at := range s.Schema.Types() {
				checkPresent(t, s, at)
				if at.Equality == nil {
					continue
				}
				norms := [][]byte{[]byte("nothing has this")}
				for i := range s.Len() {
					if a, ok := s.Entry(ID(i)).Attr(at.ID); ok {
						for v := range a.Values() {
							norm, _ := at.Equality.Normalize(nil, v)
							norms = append(norms, norm)
						}
					}
				}
				slices.SortFunc(norms, bytes.Compare)
				for _, norm := range slices.CompactFunc(norms, bytes.Equal) {
					if p, ok := s.Equal(at, norm); ok {
						checkPosting(t, fmt.Sprintf("%s=%s", at.Name, norm), p, scan(s, at, func(v []byte) bool { return bytes.Equal(v, norm) }))
					}
					if at.PrefixLike && len(norm) > 0 {
						checkPieces(t, s, at, r, norm)
					}
				}
			}
		})
	}
}

func checkPresent(t *testing.T, s *Snapshot, at *schema.AttributeType) {
	t.Helper()
	var want []ID
	for i := range s.Len() {
		if s.Entry(ID(i)).Has(at.ID) {
			want = append(want, ID(i))
		}
	}
	p, ok := s.Present(at)
	if ok {
		checkPosting(t, at.Name+"=*", p, want)
	} else if len(want) <= s.Len()/4 {
		t.Errorf("%s=*: %d of %d entries, and no index", at.Name, len(want), s.Len())
	}
}

// checkPieces tries substrings made of parts of a value.
func checkPieces(t *testing.T, s *Snapshot, at *schema.AttributeType, r *rand.Rand, norm []byte) {
	t.Helper()
	cut := func() (int, int) {
		a, b := r.IntN(len(norm)+1), r.IntN(len(norm)+1)
		return min(a, b), max(a, b)
	}
	a, b := cut()
	for _, pieces := range [][3][]byte{
		{norm[:b], nil, nil},
		{nil, norm[a:b], nil},
		{nil, nil, norm[a:]},
		{norm[:a], nil, norm[b:]},
	} {
		var inner [][]byte
		if pieces[1] != nil {
			inner = [][]byte{pieces[1]}
		}
		what := fmt.Sprintf("%s=%s*%s*%s", at.Name, pieces[0], pieces[1], pieces[2])
		p, ok := s.Substrings(at, pieces[0], inner, pieces[2])
		if !ok {
			if len(pieces[0]) > 0 || at.NameLike && (len(pieces[1]) >= 3 || len(pieces[2]) >= 3) {
				t.Errorf("%s is not indexed", what)
			}
			continue
		}
		want := scan(s, at, func(v []byte) bool {
			return len(v) >= len(pieces[0])+len(pieces[1])+len(pieces[2]) &&
				bytes.HasPrefix(v, pieces[0]) && bytes.HasSuffix(v, pieces[2]) && bytes.Contains(v[len(pieces[0]):], pieces[1])
		})
		checkPosting(t, what, p, want)
		narrow := p.Narrow()
		checkPosting(t, what+", narrowed", narrow, want)
		if narrow.Len() > p.Len() {
			t.Errorf("%s: narrowed from %d to %d", what, p.Len(), narrow.Len())
		}
	}
}

// TestIndexSelects: the indexes name few entries that do not match.
func TestIndexSelects(t *testing.T) {
	users, groups := bulk(2000, 100, 5)
	s := build(t, users, groups)
	for _, name := range []string{"cn", "uid", "entryUUID", "mail", "uidNumber"} {
		at := attrType(t, s, name)
		for i := range s.Len() {
			a, ok := s.Entry(ID(i)).Attr(at.ID)
			if !ok {
				continue
			}
			norm, _ := at.Equality.Normalize(nil, a.First())
			if p, ok := s.Equal(at, norm); !ok || p.Len() > 3 {
				t.Errorf("%s=%s names %d entries", name, norm, p.Len())
			}
		}
	}
	for piece, most := range map[string]int{"user001": 2300, "user0012": 240, "given0012": 130, "user001234": 40} {
		p, ok := s.Substrings(attrType(t, s, "cn"), nil, [][]byte{[]byte(piece)}, nil)
		if n := p.Narrow().Len(); !ok || n > most {
			t.Errorf("*%s* names %d entries", piece, n)
		}
	}
}
