package verified

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ldapd/internal/cache"
	"ldapd/internal/secret"
	"ldapd/internal/verified/keyring"
)

// Nothing that is secret is in a store, nor in what is inside its seal.
func TestAtRest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	store, err := cache.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := testKeys(t, 7)
	b := openWith(t, store, keys)
	const password, code, cookie, state, name = "planted-password", "987654", "planted-cookie", "planted-state", "alice"
	prove(t, b, alice, password, func(c *Credential) {
		c.Session = &Session{Hash: "h", State: state}
		c.Proofs = []Proof{{ID: "p", Way: ByName, Code: b.Code(alice, code), Cookie: cookie, At: start}}
	})
	value, _, err := store.Load(t.Context(), alice.UUID+" "+alice.Base)
	if err != nil || value == nil {
		t.Fatalf("the value is %v, %v", value, err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil || len(file) == 0 {
		t.Fatal(err)
	}
	for _, planted := range []string{password, code, cookie, state, name} {
		for _, text := range []string{planted, base64.StdEncoding.EncodeToString([]byte(planted)), hex.EncodeToString([]byte(planted))} {
			if bytes.Contains(file, []byte(text)) {
				t.Errorf("the file holds %q", text)
			}
		}
	}

	plain, err := keys.Open(sealedFor(alice), value)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(plain, []byte(password)) || bytes.Contains(plain, []byte(code)) {
		t.Errorf("inside the seal: %s", plain)
	}
	var r struct {
		C []struct {
			H struct {
				M, T, P int
				S       []byte
			}
		}
	}
	if err := json.Unmarshal(plain, &r); err != nil {
		t.Fatal(err)
	}
	if h := r.C[0].H; h.M < 19456 || h.T < 2 || h.P != 1 || len(h.S) != 32 {
		t.Errorf("the hash is %+v", h)
	}
}

// A value is of no use to another user; package keyring sees to the rest.
func TestSealedForUser(t *testing.T) {
	store := cache.NewMemory(nil)
	b := openWith(t, store, cheap(t, 1))
	prove(t, b, alice, "right", at(start))
	value, _, err := store.Load(t.Context(), alice.UUID+" "+alice.Base)
	if err != nil {
		t.Fatal(err)
	}
	keys := codec{cheap(t, 1)}
	if r, err := keys.decode(alice, value); r == nil || err != nil {
		t.Fatalf("decoded %v, %v", r, err)
	}
	for _, of := range []User{{alice.Base, "bob"}, {"DC=other", alice.UUID}} {
		if r, err := keys.decode(of, value); r != nil || !errors.Is(err, keyring.ErrForged) {
			t.Errorf("%v: %v, %v", of, r, err)
		}
	}
	if _, err := keys.decode(alice, make([]byte, maxValue+1)); !errors.Is(err, errSize) {
		t.Errorf("a large value: %v", err)
	}
}

func TestNoKey(t *testing.T) {
	if _, err := Open(t.Context(), Options{Store: cache.NewMemory(nil)}); err == nil {
		t.Error("a book was opened without a key")
	}
}

func TestGarbage(t *testing.T) {
	store := cache.NewMemory(nil)
	for i, garbage := range []string{"", "x", "\x01", "{}", strings.Repeat("\x01", 100)} {
		name := fmt.Sprint("user", i, " ", alice.Base)
		err := store.Update(t.Context(), name, 0, func([]byte) ([]byte, error) { return []byte(garbage), nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"no user", " ", "x"} { // but names
		if err := store.Update(t.Context(), name, 0, func([]byte) ([]byte, error) { return []byte("x"), nil }); err != nil {
			t.Fatal(err)
		}
	}
	logs, seen := observer.New(zap.InfoLevel)
	m := NewMetrics(nil)
	b, err := Open(t.Context(), Options{Store: store, Keys: cheap(t, 1), Log: zap.New(logs), Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	if len(b.All()) != 0 || value(t, m.errors.WithLabelValues(string(opDecode))) != 6 || seen.Len() != 1 {
		t.Errorf("%v, %v errors, logged %v", b.All(), value(t, m.errors.WithLabelValues(string(opDecode))), seen.All())
	}
	k := User{alice.Base, "user1"}
	if c, _, err := b.Search(t.Context(), k, "right", netip.Addr{}); c != nil || !errors.Is(err, errUnreadable) {
		t.Errorf("search: %v, %v", c, err)
	}
	prove(t, b, k, "right", at(start))
	must(t, openWith(t, store, cheap(t, 1)), k, "right")
	if _, _, err := b.Search(t.Context(), User{alice.Base, ""}, "x", netip.Addr{}); err == nil {
		t.Error("somebody without an id is somebody")
	}
}

func TestRotation(t *testing.T) {
	store := cache.NewMemory(nil)
	one := openWith(t, store, cheap(t, 1))
	prove(t, one, alice, "right", func(c *Credential) {
		c.Proved = start
		c.Proofs = []Proof{{ID: "p", Code: one.Code(alice, "123456"), Cookie: "cookie"}}
	})
	prove(t, one, alice, "other", at(start))
	id := must(t, one, alice, "right").ID
	name := alice.UUID + " " + alice.Base

	two := openWith(t, store, cheap(t, 2, 1))
	c := must(t, two, alice, "right")
	if c.ID != id || !c.Proofs[0].Code.Is(two.Codes(alice, "123456")) || c.Proofs[0].Cookie != "cookie" {
		t.Errorf("by the old key: %+v", c)
	}
	writtenWith := func(n byte) bool {
		v, _, err := store.Load(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = testKeys(t, n).Open(name, v)
		return err == nil
	}
	if !writtenWith(1) {
		t.Error("written with another key before any change")
	}
	prove(t, two, alice, "right", at(start.Add(time.Hour)))
	if !writtenWith(2) {
		t.Error("written with an old key after a change")
	}
	for _, c := range two.All()[0].Credentials {
		if want := (c.ID == id); (c.scheme.Key == two.keys.ID()) != want {
			t.Errorf("the hash of %s is by %s", c.ID, c.scheme.Key)
		}
	}
	if two.Code(alice, "1").Key != two.keys.ID() {
		t.Error("new codes are by an old key")
	}

	both := openWith(t, store, cheap(t, 2, 1))
	if c := must(t, both, alice, "right"); c.ID != id {
		t.Errorf("the id is %s, was %s", c.ID, id)
	}
	must(t, both, alice, "other")

	only := openWith(t, store, cheap(t, 2)) // the old key is gone
	c = must(t, only, alice, "right")
	if c.Proofs[0].Code.Is(only.Codes(alice, "123456")) {
		t.Error("a code is known without its key")
	}
	mustNot(t, only, alice, "other")
	if none := openWith(t, store, cheap(t, 3)); len(none.All()) != 0 {
		t.Errorf("another key reads %v", none.All())
	}
}

func TestTooLarge(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	_, epoch, _ := b.Search(t.Context(), alice, "right", netip.Addr{})
	err := b.Prove(t.Context(), alice, epoch, "alice", "right", netip.Addr{}, func(c *Credential) {
		c.Session = &Session{State: secret.String(strings.Repeat("x", maxValue))}
	})
	if !errors.Is(err, errSize) {
		t.Errorf("recorded: %v", err)
	}
	if c, _ := b.Find(alice, "right"); c != nil {
		t.Error("memory has it")
	}
}

func TestTimes(t *testing.T) {
	zone := time.FixedZone("x", 3600)
	for _, tt := range []struct{ in, want time.Time }{
		{time.Time{}, time.Time{}},
		{time.Unix(0, 0), time.UnixMicro(1)}, // which is not none
		{start.In(zone), start},
		{start.Add(1999 * time.Nanosecond), start.Add(time.Microsecond)},
		{time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)},
	} {
		if got := moment(micros(tt.in)); !got.Equal(tt.want) || got.Location() != time.UTC {
			t.Errorf("%v is %v", tt.in, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	keys := codec{cheap(f, 1)}
	b := openWith(f, cache.NewMemory(nil), keys.Ring)
	prove(f, b, alice, "right", func(c *Credential) {
		c.Session = &Session{Hash: "h", State: "s", Begin: start}
		c.Proofs = []Proof{{ID: "p", Way: ByName, Code: b.Code(alice, "123456"), Cookie: "c", At: start}}
	})
	plain := marshal(b.All()[0].Record)
	f.Add(plain)
	f.Add(bytes.Replace(plain, []byte(`"c":[{`), []byte(`"c":[{"t0":-9223372036854775808,`), 1))
	f.Add(bytes.Replace(plain, []byte(`"m":8`), []byte(`"m":4000000000`), 1))
	f.Add([]byte(`{"c":[{}]}`))
	f.Add([]byte(`{"c":null}`))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := keys.decode(alice, data); r != nil && err != nil {
			t.Fatal("a record and an error")
		}
		r, err := keys.unmarshal(data)
		if r == nil || err != nil {
			return
		}
		if len(r.Credentials) == 0 || len(r.Credentials) > maxCredentials {
			t.Fatalf("%d credentials", len(r.Credentials))
		}
		for i := range r.Credentials {
			c := &r.Credentials[i]
			if len(c.Proofs) > maxCodes+maxOthers || !c.scheme.Cost.Valid() || !keys.Has(c.scheme.Key) {
				t.Fatalf("a credential is %+v", c)
			}
		}
		again, err := keys.canon(r.clone())
		if err != nil || !alike(r, again) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}
