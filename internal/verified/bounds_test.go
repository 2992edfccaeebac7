package verified

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"ldapd/internal/cache"
	"ldapd/internal/secret"
	"ldapd/internal/verified/keyring"
)

// A record may be as large as a value, sealed, and not larger. What is trimmed
// does not count.
func TestLargest(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	record := func(places ...string) *Record {
		return &Record{Credentials: []Credential{{ID: "c", Places: places, verifier: newVerifier(t, b, "right")}}}
	}
	room := maxValue - keyring.Overhead - len(marshal(record("")))
	most := strings.Repeat("x", room)
	r, err := b.keys.canon(record(most))
	if err != nil {
		t.Fatalf("the largest: %v", err)
	}
	if v, err := b.keys.encode(alice, r); err != nil || len(v) != maxValue {
		t.Errorf("its value is of %d bytes, %v", len(v), err)
	} else if again, err := b.keys.decode(alice, v); err != nil || !alike(r, again) {
		t.Errorf("it is read as another: %v", err)
	}
	if _, err := b.keys.canon(record(most + "x")); !errors.Is(err, errSize) {
		t.Errorf("a larger one: %v", err)
	}

	large := record()
	for _, p := range proofs(2*maxOthers, "p", func(int) Code { return Code{} }) {
		p.Cookie = secret.String(strings.Repeat("x", maxValue/maxOthers/2))
		large.Credentials[0].Proofs = append(large.Credentials[0].Proofs, p)
	}
	if len(marshal(large)) <= maxValue {
		t.Fatal("it is not large")
	}
	if r, err := b.keys.canon(large); err != nil || len(r.Credentials[0].Proofs) != maxOthers {
		t.Errorf("what is trimmed counts: %v", err)
	}
}

// A value that no version wrote is damaged, and nothing of it is used.
func TestDamaged(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	prove(t, b, alice, "first", func(c *Credential) { c.Proofs = []Proof{{ID: "p", Code: b.Code(alice, "123456")}} })
	prove(t, b, alice, "second", at(start))
	good := marshal(b.All()[0].Record)
	for _, tt := range []struct {
		name   string
		damage func(r *recordJSON)
	}{
		{"no id", func(r *recordJSON) { r.Credentials[1].ID = "" }},
		{"two of one id", func(r *recordJSON) { r.Credentials[1].ID = r.Credentials[0].ID }},
		{"a cost that cannot be", func(r *recordJSON) { r.Credentials[1].Hash.Time = 0 }},
		{"a short hash", func(r *recordJSON) { r.Credentials[1].Hash.Sum = r.Credentials[1].Hash.Sum[1:] }},
		{"a short hash by a key that is gone", func(r *recordJSON) { r.Credentials[1].Hash.Key, r.Credentials[1].Hash.Sum = "gone", nil }},
		{"a short code", func(r *recordJSON) { r.Credentials[1].Proofs[0].CodeSum = nil }},
	} {
		var r recordJSON
		if err := json.Unmarshal(good, &r); err != nil {
			t.Fatal(err)
		}
		tt.damage(&r)
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := b.keys.unmarshal(text); r != nil || !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v, %v", tt.name, r, err)
		}
	}
	if r, err := b.keys.unmarshal(good[:len(good)-1]); r != nil || !errors.Is(err, errDamaged) {
		t.Errorf("half of it: %v, %v", r, err)
	}
	if r, err := b.keys.unmarshal(good); r == nil || err != nil {
		t.Errorf("undamaged: %v, %v", r, err)
	}
	if _, err := b.keys.decode(alice, make([]byte, maxValue)); errors.Is(err, errSize) {
		t.Error("the largest is too large")
	}
}

// No code takes no room.
func TestNoCodeIsNotWritten(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	prove(t, b, alice, "right", func(c *Credential) { c.Proofs = []Proof{{ID: "p"}} })
	if text := marshal(b.All()[0].Record); bytes.Contains(text, []byte(`"cs"`)) {
		t.Errorf("it is written: %s", text)
	}
}
