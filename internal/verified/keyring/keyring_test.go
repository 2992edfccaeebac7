package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ldapd/internal/password"
)

// keyText returns a key of 32 bytes that are n.
func keyText(n byte) string { return strings.Repeat(fmt.Sprintf("%02x", n), KeySize) }

func ring(t testing.TB, current byte, old ...byte) Ring {
	t.Helper()
	var texts []string
	for _, o := range old {
		texts = append(texts, keyText(o))
	}
	r, err := Parse(keyText(current), texts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParse(t *testing.T) {
	raw := bytes.Repeat([]byte{0xfb}, KeySize)
	want := ring(t, 0xfb).ID()
	for _, text := range []string{
		hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)), " " + hex.EncodeToString(raw) + "\n",
		base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw),
		base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
	} {
		k, err := Parse(text, []string{keyText(2), text, keyText(2)})
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if k.ID() != want || len(k.all) != 2 || len(k.OldChecks()) != 1 {
			t.Errorf("%q: key %s of %d", text, k.ID(), len(k.all))
		}
	}
	for _, text := range []string{"", "secret", keyText(1)[2:], keyText(1) + "00", strings.Repeat("g", 64), base64.StdEncoding.EncodeToString(raw[1:])} {
		for _, err := range []error{second(Parse(text, nil)), second(Parse(keyText(1), []string{text}))} {
			if err == nil {
				t.Errorf("%q was taken", text)
			} else if text != "" && strings.Contains(err.Error(), text) {
				t.Errorf("the error tells the key: %v", err)
			}
		}
	}
}

func second(_ Ring, err error) error { return err }

func TestCheck(t *testing.T) {
	one, two := ring(t, 1), ring(t, 2, 1)
	if bytes.Equal(one.Check(), two.Check()) || len(one.Check()) != KeySize {
		t.Error("two keys have the same check")
	}
	if old := two.OldChecks(); len(old) != 1 || !bytes.Equal(old[0], one.Check()) {
		t.Error("the check of an old key is not what it was")
	}
	limits, err := one.Derive("limits")
	if err != nil || len(limits) != KeySize || bytes.Equal(limits, one.Check()) {
		t.Errorf("derived %x, %v", limits, err)
	}
	if _, err := (Ring{}).Derive("x"); err == nil || (Ring{}).ID() != "" || (Ring{}).Check() != nil {
		t.Error("no key is one")
	}
}

// A value is of no use under another name, nor with another key, nor modified.
func TestSeal(t *testing.T) {
	one := ring(t, 1)
	sealed, err := one.Seal("alice", []byte("plain"))
	if err != nil || bytes.Contains(sealed, []byte("plain")) || len(sealed) != len("plain")+Overhead {
		t.Fatalf("%q, %v", sealed, err)
	}
	for _, r := range []Ring{one, ring(t, 2, 1)} {
		if plain, err := r.Open("alice", sealed); string(plain) != "plain" || err != nil {
			t.Fatalf("%q, %v", plain, err)
		}
	}
	for i := range sealed {
		v := bytes.Clone(sealed)
		v[i] ^= 0x40
		if _, err := one.Open("alice", v); err == nil {
			t.Errorf("opened with another byte %d", i)
		}
		if _, err := one.Open("alice", sealed[:i]); err == nil {
			t.Errorf("opened, cut to %d bytes", i)
		}
	}
	if again, err := one.Seal("alice", []byte("plain")); err != nil || bytes.Equal(again, sealed) {
		t.Error("sealed twice it is the same")
	}
	for _, tt := range []struct {
		what   string
		ring   Ring
		name   string
		sealed []byte
		want   error
	}{
		{"another name", one, "bob", sealed, ErrForged},
		{"another key", ring(t, 2), "alice", sealed, ErrNoKey},
		{"no key", Ring{}, "alice", sealed, ErrNoKey},
		{"another version", one, "alice", append([]byte{2}, sealed[1:]...), ErrVersion},
		{"nothing", one, "alice", nil, ErrDamaged},
	} {
		if _, err := tt.ring.Open(tt.name, tt.sealed); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.want)
		}
	}
	if _, err := (Ring{}).Seal("alice", nil); !errors.Is(err, ErrEmpty) {
		t.Errorf("sealed without a key: %v", err)
	}
}

// TestOpenOld opens a value as stores hold it already.
func TestOpenOld(t *testing.T) {
	sealed, err := hex.DecodeString("01e231b4ac18d38d51752f29a14bb151e0e45685b99fc5b1349a6bdf30438066c2d5dc46541d0371")
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := ring(t, 1).Open("alice", sealed); string(plain) != "plain" || err != nil {
		t.Errorf("%q, %v", plain, err)
	}
}

// Digests are of everything that goes into them, and stay what they are: a
// store holds them.
func TestDigests(t *testing.T) {
	r := ring(t, 1).WithCost(password.Cost{Memory: 8, Time: 1, Threads: 1})
	code := func(r Ring, base, user string) Digest {
		d, ok := r.Code(r.ID(), base, user, "123456")
		if !ok {
			t.Error("the current key is not here")
		}
		return d
	}
	pass := func(r Ring, base, user string) Digest { return r.Password(r.Scheme(), base, user, "secret") }
	for what, of := range map[string]func(r Ring, base, user string) Digest{"code": code, "password": pass} {
		d := of(r, "dc=a", "b")
		if d != of(r, "dc=a", "b") {
			t.Errorf("%s: not the same twice", what)
		}
		for _, o := range []Digest{of(r, "dc=b", "b"), of(r, "dc=a", "c"), of(r, "dc=ab", ""), of(ring(t, 2).WithCost(r.cost), "dc=a", "b")} {
			if o == d {
				t.Errorf("%s: the same of another", what)
			}
		}
	}
	if got := fmt.Sprintf("%x", code(r, "dc=a", "b")); got != "f7c34ff1230d3ac5b80de50d24cb59806f05c126694e2c41e5d0996bf900e8de" {
		t.Errorf("the digest of a code is %s now", got)
	}
	if got := fmt.Sprintf("%x", pass(r, "dc=a", "b")); got != "fc96e10482b92eb78bab9097dd7316d2c3feaf63fd4cdf45e6b7c4dd55932c0c" {
		t.Errorf("the hash of a password is %s now", got)
	}
	if _, ok := r.Code("another", "dc=a", "b", "123456"); ok || r.Has("another") || !ring(t, 2, 1).Has(r.ID()) {
		t.Error("which keys are here is wrong")
	}
}
