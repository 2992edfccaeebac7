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
)

func TestParseKeys(t *testing.T) {
	raw := bytes.Repeat([]byte{0xfb}, keySize)
	want := testKeys(t, 0xfb).ID()
	for _, text := range []string{
		hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)), " " + hex.EncodeToString(raw) + "\n",
		base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw),
		base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
	} {
		k, err := ParseKeys(text, []string{keyText(2), text, keyText(2)})
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if k.ID() != want || len(k.all) != 2 || len(k.OldKeyChecks()) != 1 {
			t.Errorf("%q: key %s of %d", text, k.ID(), len(k.all))
		}
	}
	for _, text := range []string{"", "secret", keyText(1)[2:], keyText(1) + "00", strings.Repeat("g", 64), base64.StdEncoding.EncodeToString(raw[1:])} {
		for _, err := range []error{second(ParseKeys(text, nil)), second(ParseKeys(keyText(1), []string{text}))} {
			if err == nil {
				t.Errorf("%q was taken", text)
			} else if text != "" && strings.Contains(err.Error(), text) {
				t.Errorf("the error tells the key: %v", err)
			}
		}
	}
	if _, err := Open(t.Context(), Options{Store: cache.NewMemory(nil)}); err == nil {
		t.Error("a book was opened without a key")
	}
}

func second(_ Keys, err error) error { return err }

func TestKeyCheck(t *testing.T) {
	one, two := testKeys(t, 1), testKeys(t, 2, 1)
	if bytes.Equal(one.KeyCheck(), two.KeyCheck()) || len(one.KeyCheck()) != keySize {
		t.Error("two keys have the same check")
	}
	if old := two.OldKeyChecks(); len(old) != 1 || !bytes.Equal(old[0], one.KeyCheck()) {
		t.Error("the check of an old key is not what it was")
	}
	limits, err := one.Derive("limits")
	if err != nil || len(limits) != keySize || bytes.Equal(limits, one.KeyCheck()) {
		t.Errorf("derived %x, %v", limits, err)
	}
	if _, err := (Keys{}).Derive("x"); err == nil || (Keys{}).ID() != "" || (Keys{}).KeyCheck() != nil {
		t.Error("no key is one")
	}
}

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

	plain, err := keys.current.seal.Open(nil, nil, value[1+idSize:], sealedFor(alice))
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

// A value is of no use to another user, nor with another key, nor modified.
func TestSeal(t *testing.T) {
	store := cache.NewMemory(nil)
	b := openWith(t, store, cheap(t, 1))
	prove(t, b, alice, "right", at(start))
	value, _, err := store.Load(t.Context(), alice.UUID+" "+alice.Base)
	if err != nil {
		t.Fatal(err)
	}
	keys := cheap(t, 1)
	if r, err := keys.decode(alice, value); r == nil || err != nil {
		t.Fatalf("decoded %v, %v", r, err)
	}
	for i := range value {
		v := bytes.Clone(value)
		v[i] ^= 0x40
		if r, err := keys.decode(alice, v); r != nil || err == nil {
			t.Fatalf("with another byte %d: %v, %v", i, r, err)
		}
		if r, err := keys.decode(alice, value[:i]); r != nil || err == nil {
			t.Fatalf("cut to %d bytes: %v, %v", i, r, err)
		}
	}
	for _, tt := range []struct {
		of   User
		keys Keys
		want error
	}{
		{User{alice.Base, "bob"}, keys, errForged},
		{User{"DC=other", alice.UUID}, keys, errForged},
		{alice, cheap(t, 2), errNoSuch},
	} {
		if r, err := tt.keys.decode(tt.of, value); r != nil || !errors.Is(err, tt.want) {
			t.Errorf("%v: %v, %v, want %v", tt.of, r, err, tt.want)
		}
	}
	if _, err := keys.decode(alice, make([]byte, maxValue+1)); !errors.Is(err, errSize) {
		t.Errorf("a large value: %v", err)
	}
}

func TestUnreadable(t *testing.T) {
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
	mustNot(t, b, k, "right")
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
	if c.ID != id || !two.Matcher(alice, "123456")(c.Proofs[0].Code) || c.Proofs[0].Cookie != "cookie" {
		t.Errorf("by the old key: %+v", c)
	}
	v, _, _ := store.Load(t.Context(), name)
	if got := hex.EncodeToString(v[1 : 1+idSize]); got != cheap(t, 1).ID() {
		t.Errorf("written with %s before any change", got)
	}
	prove(t, two, alice, "right", at(start.Add(time.Hour)))
	v, _, _ = store.Load(t.Context(), name)
	if got := hex.EncodeToString(v[1 : 1+idSize]); got != two.keys.ID() {
		t.Errorf("written with %s after a change", got)
	}
	for _, c := range two.All()[0].Credentials {
		if want := (c.ID == id); (c.key == two.keys.ID()) != want {
			t.Errorf("the hash of %s is by %s", c.ID, c.key)
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
	if only.Matcher(alice, "123456")(c.Proofs[0].Code) {
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
	keys := cheap(f, 1)
	b := openWith(f, cache.NewMemory(nil), keys)
	prove(f, b, alice, "right", func(c *Credential) {
		c.Session = &Session{Hash: "h", State: "s", Begin: start}
		c.Proofs = []Proof{{ID: "p", Way: ByName, Code: b.Code(alice, "123456"), Cookie: "c", At: start}}
	})
	plain, err := marshal(b.All()[0].Record)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add(bytes.Replace(plain, []byte(`"m":8`), []byte(`"m":4000000000`), 1))
	f.Add([]byte(`{"c":[{}]}`))
	f.Add([]byte(`{"c":null}`))
	f.Add([]byte{version, 0, 0, 0, 0, 0, 0})
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
			if len(c.Proofs) > maxProofs || !c.cost.Valid() || keys.all[c.key] == nil {
				t.Fatalf("a credential is %+v", c)
			}
		}
		again, err := keys.canon(r.clone())
		if err != nil || !alike(r, again) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}
