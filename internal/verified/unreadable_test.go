package verified

import (
	"bytes"
	"errors"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"ldapd/internal/cache"
)

func openBolt(t *testing.T) *cache.Bolt {
	t.Helper()
	s, err := cache.Open(filepath.Join(t.TempDir(), "store.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// flip changes one bit of a user's value, a negative byte being one from the
// end.
func flip(t *testing.T, s Store, k User, at int) {
	t.Helper()
	name, err := storeName(k)
	if err != nil {
		t.Fatal(err)
	}
	_, epoch, err := s.Load(t.Context(), name)
	if err == nil {
		err = s.Update(t.Context(), name, epoch, func(old []byte) ([]byte, error) {
			old = bytes.Clone(old)
			old[(at+len(old))%len(old)] ^= 4
			return old, nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// wantUnreadable wants that nobody takes a damaged value for none.
func wantUnreadable(t *testing.T, b *Book) {
	t.Helper()
	if c, cold := b.Find(alice, "right"); c != nil || !cold {
		t.Errorf("found %v, cold %v", c, cold)
	}
	if c, _, err := b.Search(t.Context(), alice, "right", netip.Addr{}); c != nil || !errors.Is(err, errUnreadable) {
		t.Errorf("search: %v, %v", c, err)
	}
	if c, cold := b.Find(alice, "right"); c != nil || !cold {
		t.Errorf("found %v, cold %v after the search", c, cold)
	}
}

// What cannot be read is not taken for nothing, until a proof takes its place.
func TestUnreadable(t *testing.T) {
	for name, where := range map[string]int{"version": 0, "key": 1, "nonce": 8, "text": 40, "tag": -1} {
		t.Run(name, func(t *testing.T) {
			s := openBolt(t)
			prove(t, openWith(t, s, cheap(t, 1)), alice, "right", at(start))
			flip(t, s, alice, where)
			b := openWith(t, s, cheap(t, 1))
			wantUnreadable(t, b)
			mustNot(t, b, User{alice.Base, "bob"}, "right") // nobody else's trouble
			prove(t, b, alice, "right", at(start.Add(time.Hour)))
			must(t, b, alice, "right")
			mustNot(t, b, alice, "wrong")
			if _, cold := b.Find(alice, "wrong"); cold {
				t.Error("cold after it was proved")
			}
			must(t, openWith(t, s, cheap(t, 1)), alice, "right")
		})
	}
}

// A value of a key that was taken away too early is such a value, too.
func TestUnreadableKey(t *testing.T) {
	s := openBolt(t)
	prove(t, openWith(t, s, cheap(t, 1)), alice, "right", at(start))
	wantUnreadable(t, openWith(t, s, cheap(t, 2)))
	must(t, openWith(t, s, cheap(t, 2, 1)), alice, "right") // and nothing is lost
}

// The value is damaged while memory has it.
func TestUnreadableLater(t *testing.T) {
	s := openBolt(t)
	b := openWith(t, s, cheap(t, 1))
	prove(t, b, alice, "right", at(start))
	id := must(t, b, alice, "right").ID
	flip(t, s, alice, -1)
	if c, _ := b.Find(alice, "right"); c == nil {
		t.Error("memory forgot without a reason")
	}
	// A change that is no proof cannot mend it, nor removes it.
	if err := b.Update(t.Context(), alice, id, func(c *Credential) bool { c.Told = start.Add(time.Hour); return true }); err != nil {
		t.Error(err)
	}
	wantUnreadable(t, b)
	flip(t, s, alice, -1)
	must(t, b, alice, "right") // as good as before

	flip(t, s, alice, -1)
	b.changed(alice.UUID + " " + alice.Base)
	if err := b.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantUnreadable(t, b)
	if err := b.readAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantUnreadable(t, b)
	if err := b.Revoke(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	mustNot(t, b, alice, "right")
	if _, cold := b.Find(alice, "right"); cold {
		t.Error("cold after it was revoked")
	}
}
