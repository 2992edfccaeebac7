package verified

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ldapd/internal/cache"
	"ldapd/internal/secret"
	"ldapd/internal/verified/keyring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var alice = User{Base: "DC=ldap,DC=example", UUID: "6b1c5c4e-0000-4000-8000-000000000001"}

var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// keyText returns a key of 32 bytes that are n.
func keyText(n byte) string { return strings.Repeat(fmt.Sprintf("%02x", n), keyring.KeySize) }

func testKeys(t testing.TB, current byte, old ...byte) keyring.Ring {
	t.Helper()
	var texts []string
	for _, o := range old {
		texts = append(texts, keyText(o))
	}
	k, err := keyring.Parse(keyText(current), texts)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func open(t testing.TB, s Store) *Book { return openWith(t, s, cheap(t, 1)) }

func openWith(t testing.TB, s Store, k keyring.Ring) *Book {
	t.Helper()
	b, err := Open(t.Context(), Options{Store: s, Keys: k})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// prove is Search and Prove, as a bind does it.
func prove(t testing.TB, b *Book, k User, password secret.String, change func(c *Credential)) {
	t.Helper()
	_, epoch, _ := b.Search(t.Context(), k, password, netip.Addr{})
	if err := b.Prove(t.Context(), k, epoch, "alice", password, netip.Addr{}, change); err != nil {
		t.Fatalf("prove: %v", err)
	}
}

func at(when time.Time) func(c *Credential) {
	return func(c *Credential) { c.Proved, c.Told, c.Doubt = when, when, false }
}

// must returns the credential of a password, by Search.
func must(t testing.TB, b *Book, k User, password secret.String) *Credential {
	t.Helper()
	c, _, err := b.Search(t.Context(), k, password, netip.Addr{})
	if err != nil || c == nil {
		t.Fatalf("search: %v, %v, want a credential", c, err)
	}
	return c
}

func mustNot(t testing.TB, b *Book, k User, password secret.String) {
	t.Helper()
	if c, _, err := b.Search(t.Context(), k, password, netip.Addr{}); err != nil || c != nil {
		t.Fatalf("search: %v, %v, want nothing", c, err)
	}
}

func TestProve(t *testing.T) {
	store := cache.NewMemory(nil)
	b := open(t, store)
	if c, cold := b.Find(alice, "right"); c != nil || cold {
		t.Fatalf("an empty book found %v, cold %v", c, cold)
	}
	mustNot(t, b, alice, "right")
	places := []string{"nextcloud", "192.0.2.1"}
	session := &Session{Hash: "abc", Begin: start, End: start.Add(time.Hour), State: "cookie", Asked: start, Client: "192.0.2.1"}
	want := Proof{ID: "p", Way: ByName, Code: b.Code(alice, "123456"), Client: "nextcloud", Home: "search service", Factor: "totp", At: start, Until: start.Add(time.Hour), Cookie: "mfa", Asked: start, Used: start.Add(time.Second)}
	prove(t, b, alice, "right", func(c *Credential) {
		if c.ID == "" || !c.First.IsZero() {
			t.Errorf("a new credential is %+v", c)
		}
		c.ID = "not mine to set"
		c.Search, c.Factored = true, true
		c.PasswordStamp, c.FactorStamp = "p1", "f1"
		c.First, c.Proved, c.Told = start, start.Add(time.Minute), start.Add(2*time.Minute)
		c.Session = session
		c.Proofs = []Proof{want}
		c.Places = places
	})
	places[0] = "modified later"
	session.Hash = "modified later"

	check := func(t *testing.T, b *Book, c *Credential) {
		t.Helper()
		if !c.Search || !c.Factored || c.Doubt || c.PasswordStamp != "p1" || c.FactorStamp != "f1" || c.ID == "not mine to set" {
			t.Errorf("the credential is %+v", c)
		}
		if !c.First.Equal(start) || !c.Proved.Equal(start.Add(time.Minute)) || !c.Told.Equal(start.Add(2*time.Minute)) {
			t.Errorf("the times are %v %v %v", c.First, c.Proved, c.Told)
		}
		if s := (Session{Hash: "abc", Begin: start, End: start.Add(time.Hour), State: "cookie", Asked: start, Client: "192.0.2.1"}); c.Session == nil || *c.Session != s {
			t.Errorf("the session is %+v", c.Session)
		}
		if len(c.Proofs) != 1 || c.Proofs[0] != want {
			t.Errorf("the proofs are %+v", c.Proofs)
		}
		if !slices.Equal(c.Places, []string{"nextcloud", "192.0.2.1"}) || !slices.Equal(b.Places(alice), c.Places) {
			t.Errorf("the places are %v, of the user %v", c.Places, b.Places(alice))
		}
		if may, known := b.MaySearch(alice); !may || !known {
			t.Errorf("may search: %v, known %v", may, known)
		}
		if !c.Proofs[0].Code.Is(b.Codes(alice, "123456")) || c.Proofs[0].Code.Is(b.Codes(alice, "123457")) || c.Proofs[0].Code.Is(b.Codes(User{alice.Base, "other"}, "123456")) {
			t.Error("the code is not that of alice alone")
		}
		if k, id, ok := b.BySession("abc"); !ok || k != alice || id != c.ID {
			t.Errorf("by session: %v %v %v", k, id, ok)
		}
	}
	c, cold := b.Find(alice, "right")
	if c == nil || cold {
		t.Fatalf("found %v, cold %v", c, cold)
	}
	check(t, b, c)
	if c, cold := b.Find(alice, "wrong"); c != nil || cold {
		t.Errorf("found %v, cold %v for a wrong password", c, cold)
	}
	if c, _ := b.Find(User{alice.Base, "other"}, "right"); c != nil {
		t.Error("somebody else has the password")
	}
	if none := (Code{}); none.Is(b.Codes(alice, "")) {
		t.Error("no code is a code")
	}

	again := open(t, store) // after a restart
	if c, cold := again.Find(alice, "right"); c != nil || !cold {
		t.Fatalf("found %v, cold %v, though nothing was hashed", c, cold)
	}
	mustNot(t, again, alice, "wrong")
	check(t, again, must(t, again, alice, "right"))
	if c, cold := again.Find(alice, "right"); c == nil || cold {
		t.Errorf("found %v, cold %v after Search", c, cold)
	}
	if !reflect.DeepEqual(shape(b), shape(again)) {
		t.Errorf("the books differ: %v, %v", shape(b), shape(again))
	}
	if all := again.All(); len(all) != 1 || all[0].Username != "alice" || all[0].User != alice {
		t.Errorf("all: %v", all)
	}
}

// shape is what a book holds, to be compared.
func shape(b *Book) map[User]string {
	all := make(map[User]string)
	for _, e := range b.All() {
		all[e.User] = string(marshal(e.Record))
	}
	return all
}

func TestAnotherPassword(t *testing.T) {
	b := open(t, cache.NewMemory(nil))
	prove(t, b, alice, "first", at(start))
	id := must(t, b, alice, "first").ID
	prove(t, b, alice, "second", at(start.Add(time.Minute)))
	if c := must(t, b, alice, "first"); !c.Doubt || c.ID != id {
		t.Errorf("the first is %+v, want it in doubt", c)
	}
	if c := must(t, b, alice, "second"); c.Doubt {
		t.Error("the second is in doubt")
	}
	prove(t, b, alice, "first", at(start.Add(time.Hour)))
	if must(t, b, alice, "first").Doubt || must(t, b, alice, "second").Doubt {
		t.Error("one is in doubt, though none is new")
	}
	if cs := b.All()[0].Credentials; len(cs) != 2 || cs[0].ID != id {
		t.Errorf("the one proved last is not in front: %v", cs)
	}
}

func TestUpdate(t *testing.T) {
	store := cache.NewMemory(nil)
	b := open(t, store)
	prove(t, b, alice, "right", func(c *Credential) { c.Session = &Session{Hash: "s1"} })
	c := must(t, b, alice, "right")
	err := b.Update(t.Context(), alice, c.ID, func(c *Credential) bool {
		c.Told = start
		c.Session.Hash = "s2"
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if !c.Told.IsZero() || c.Session.Hash != "s1" {
		t.Error("a credential that was given out was modified")
	}
	if n, _ := b.Find(alice, "right"); n == nil || !n.Told.Equal(start) {
		t.Errorf("found %+v", n)
	}
	if _, _, ok := b.BySession("s1"); ok {
		t.Error("the old session is still there")
	}
	if _, id, ok := b.BySession("s2"); !ok || id != c.ID {
		t.Error("the new session is not there")
	}
	for _, id := range []string{"unknown", c.ID, c.ID} {
		if err := b.Update(t.Context(), alice, id, func(*Credential) bool { return false }); err != nil {
			t.Errorf("remove %s: %v", id, err)
		}
	}
	mustNot(t, b, alice, "right")
	if _, _, ok := b.BySession("s2"); ok {
		t.Error("the session of a removed credential is still there")
	}
	if v, _, err := store.Load(t.Context(), alice.UUID+" "+alice.Base); v != nil || err != nil {
		t.Errorf("the store still has %d bytes, %v", len(v), err)
	}
	if err := b.Update(t.Context(), User{"DC=x", "nobody"}, "x", nil); err != nil {
		t.Errorf("of an unknown user: %v", err)
	}
}

func TestRevoke(t *testing.T) {
	bob := User{alice.Base, "bob"}
	for _, tt := range []struct {
		name   string
		revoke func(ctx context.Context, b *Book) error
		bob    bool
	}{
		{"one", func(ctx context.Context, b *Book) error { return b.Revoke(ctx, alice) }, true},
		{"all", func(ctx context.Context, b *Book) error { return b.RevokeAll(ctx) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := cache.NewMemory(nil)
			b := open(t, store)
			prove(t, b, alice, "right", at(start))
			prove(t, b, bob, "bob's", at(start))
			_, epoch, _ := b.Search(t.Context(), alice, "right", netip.Addr{})
			if err := tt.revoke(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if c, cold := b.Find(alice, "right"); c != nil || cold {
				t.Errorf("found %v, cold %v", c, cold)
			}
			err := b.Prove(t.Context(), alice, epoch, "alice", "right", netip.Addr{}, at(start))
			if !errors.Is(err, ErrRevoked) || !errors.Is(err, cache.ErrRevoked) {
				t.Errorf("a flow that began before was recorded: %v", err)
			}
			mustNot(t, b, alice, "right")
			if c, _ := b.Find(bob, "bob's"); (c != nil) != tt.bob {
				t.Errorf("bob: %v", c)
			}
			again := open(t, store)
			mustNot(t, again, alice, "right")
			if tt.bob {
				must(t, again, bob, "bob's")
			}
			prove(t, b, alice, "right", at(start)) // begun after
			must(t, open(t, store), alice, "right")
		})
	}
}

func TestBounds(t *testing.T) {
	b := open(t, cache.NewMemory(nil))
	for i := range maxCredentials + 2 {
		prove(t, b, alice, secret.String(fmt.Sprint("password ", i)), at(start.Add(time.Duration(i)*time.Minute)))
	}
	prove(t, b, alice, "password 2", at(start.Add(time.Hour)))
	prove(t, b, alice, "new", at(start.Add(2*time.Hour)))
	if n := len(b.All()[0].Credentials); n != maxCredentials {
		t.Errorf("%d credentials, want %d", n, maxCredentials)
	}
	for password, want := range map[secret.String]bool{"password 1": false, "password 2": true, "password 3": false, "password 4": true, "new": true} {
		if c, _ := b.Find(alice, password); (c != nil) != want {
			t.Errorf("%q: %v, want %v", string(password), c != nil, want)
		}
	}
}
