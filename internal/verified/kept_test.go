package verified

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"testing"
	"time"

	"ldapd/internal/cache"
	"ldapd/internal/secret"
)

// proofs returns so many proofs, each a minute younger than the one before.
func proofs(n int, name string, code func(i int) Code) (all []Proof) {
	for i := range n {
		all = append(all, Proof{ID: fmt.Sprint(name, i), Way: ByName, Code: code(i), At: start.Add(time.Duration(i) * time.Minute)})
	}
	return all
}

func ids(c *Credential) (all []string) {
	for _, p := range c.Proofs {
		all = append(all, p.ID)
	}
	return all
}

// names returns "name from" to "name to-1".
func names(name string, from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(name, i))
	}
	return all
}

// TestProofsAreFew: those that can be guessed are fewer than others, and the
// one takes no room of the other. The one used last stays.
func TestProofsAreFew(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	codes := proofs(16+5, "code", func(i int) Code { return b.Code(alice, "123456") })
	codes[0].Used = start.Add(time.Hour)
	codes[1].Asked = start.Add(time.Hour)
	codes[2].Used = start.Add(-time.Hour) // as if by another clock
	others := proofs(32+3, "other", func(int) Code { return Code{} })
	others[1].Asked = start.Add(time.Hour)
	var mixed []Proof
	for i := range others {
		if i < len(codes) {
			mixed = append(mixed, codes[i])
		}
		mixed = append(mixed, others[i])
	}
	prove(t, b, alice, "right", func(c *Credential) { c.Proofs = mixed })
	got := ids(must(t, b, alice, "right"))
	want := slices.Concat([]string{"code0", "code1"}, names("code", 7, 21), []string{"other1"}, names("other", 4, 35))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}

	// One more of a kind drops one of that kind.
	prove(t, b, alice, "right", func(c *Credential) {
		c.Proofs = append(c.Proofs, Proof{ID: "new", Code: b.Code(alice, "1"), At: start.Add(2 * time.Hour)})
	})
	got = ids(must(t, b, alice, "right"))
	if len(got) != 48 || slices.Contains(got, "code7") || !slices.Contains(got, "other1") {
		t.Errorf("kept %v", got)
	}
}

// TestProofsAreFewForEachPassword: what is kept of another one takes no room.
func TestProofsAreFewForEachPassword(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	for _, password := range []string{"first", "second"} {
		prove(t, b, alice, secretOf(password), func(c *Credential) {
			c.Proofs = proofs(20, password, func(int) Code { return b.Code(alice, "1") })
		})
	}
	for _, password := range []string{"first", "second"} {
		if got, want := ids(must(t, b, alice, secretOf(password))), names(password, 4, 20); !slices.Equal(got, want) {
			t.Errorf("kept %v, want %v", got, want)
		}
	}
}

// TestProofsOfOldValues: what an older version wrote is read, and held to
// today's bounds.
func TestProofsOfOldValues(t *testing.T) {
	keys := cheap(t, 1)
	b := openWith(t, cache.NewMemory(nil), keys)
	v := newVerifier(t, b, "right")
	var text bytes.Buffer
	fmt.Fprintf(&text, `{"n":"alice","c":[{"i":"id","h":{"k":%q,"m":%d,"t":%d,"p":%d,"s":%q},"s":true,"f":true,"tt":1,"p":[`,
		v.scheme.Key, v.scheme.Cost.Memory, v.scheme.Cost.Time, v.scheme.Cost.Threads, base64Of(v.slow[:]))
	code := b.Code(alice, "123456")
	for i := range 128 {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `{"i":"code%d","w":"name","ck":%q,"cs":%q,"c":"nextcloud","f":"totp","t":%d}`,
			i, code.Key, base64Of(code.Sum[:]), start.Add(time.Duration(i)*time.Minute).UnixMicro())
	}
	text.WriteString(`]}]}`)
	store := cache.NewMemory(nil)
	name, err := storeName(alice)
	if err != nil {
		t.Fatal(err)
	}
	value, err := keys.Seal(name, text.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	err = store.Update(t.Context(), name, 0, func([]byte) ([]byte, error) { return value, nil })
	if err != nil {
		t.Fatal(err)
	}
	c := must(t, openWith(t, store, keys), alice, "right")
	if got, want := ids(c), names("code", 112, 128); !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	p := c.Proofs[0]
	if p.Home != "" || !p.Used.IsZero() || p.Client != "nextcloud" || p.Factor != "totp" || !p.Code.Is(b.Codes(alice, "123456")) {
		t.Errorf("the proof is %+v", p)
	}
	if len(c.Places) != 0 || !c.Search || !c.Factored {
		t.Errorf("the credential is %+v", c)
	}
}

// TestOldValuesAreWrittenAsBefore: what is not set takes no room, so that an
// older version can read it.
func TestOldValuesAreWrittenAsBefore(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	prove(t, b, alice, "right", func(c *Credential) { c.Proofs = []Proof{{ID: "p"}} })
	text := marshal(b.All()[0].Record)
	for _, field := range []string{`"pl"`, `"o"`, `"l"`} {
		if bytes.Contains(text, []byte(field)) {
			t.Errorf("%s is written: %s", field, text)
		}
	}
}

func TestPlaces(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	if got := b.Places(alice); len(got) != 0 {
		t.Errorf("of nobody: %v", got)
	}
	prove(t, b, alice, "first", func(c *Credential) { c.Places = names("place", 0, 20) })
	if got, want := b.Places(alice), names("place", 0, 16); !slices.Equal(got, want) {
		t.Errorf("places %v, want %v", got, want)
	}
	prove(t, b, alice, "second", func(c *Credential) { c.Places = []string{"phone"} })
	if got := b.Places(alice); len(got) != 17 || !slices.Contains(got, "phone") || !slices.Contains(got, "place15") {
		t.Errorf("of two passwords: %v", got)
	}
	if err := b.Revoke(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	if got := b.Places(alice); len(got) != 0 {
		t.Errorf("after they were revoked: %v", got)
	}
}

// TestMaySearch: what was known last counts, whatever password it was with.
func TestMaySearch(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	check := func(may, known bool) {
		t.Helper()
		if m, k := b.MaySearch(alice); m != may || k != known {
			t.Errorf("may %v, known %v; want %v, %v", m, k, may, known)
		}
	}
	check(false, false)
	prove(t, b, alice, "first", func(c *Credential) { c.Search = true })
	check(true, true)
	prove(t, b, alice, "first", func(c *Credential) { c.Told = start })
	check(true, true)
	prove(t, b, alice, "second", func(c *Credential) { c.Told = start.Add(time.Minute) })
	check(false, true)
	prove(t, b, alice, "first", func(c *Credential) { c.Told = start.Add(time.Hour) })
	check(true, true)
	if err := b.Update(t.Context(), alice, must(t, b, alice, "first").ID, func(c *Credential) bool { c.Search = false; return true }); err != nil {
		t.Fatal(err)
	}
	check(false, true)
	if err := b.RevokeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(false, false)
}

// TestWhatIsRecorded: a new place, home or use is, and another time of use
// within a second is not.
func TestWhatIsRecorded(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	prove(t, b, alice, "right", func(c *Credential) { c.Proofs = []Proof{{ID: "p", At: start, Used: start}} })
	for _, tt := range []struct {
		name   string
		change func(c *Credential)
		want   bool
	}{
		{"nothing", func(*Credential) {}, false},
		{"used at the same time", func(c *Credential) { c.Proofs[0].Used = start.Add(999 * time.Millisecond) }, false},
		{"another id of the same proof", func(c *Credential) { c.Proofs[0].ID = "q" }, false},
		{"used a second later", func(c *Credential) { c.Proofs[0].Used = start.Add(time.Second) }, true},
		{"a home", func(c *Credential) { c.Proofs[0].Home = "here" }, true},
		{"a place", func(c *Credential) { c.Places = []string{"here"} }, true},
		{"places in another order", func(c *Credential) { c.Places = []string{"there", "here"} }, true},
	} {
		before, _ := b.Find(alice, "right")
		err := b.Update(t.Context(), alice, before.ID, func(c *Credential) bool { tt.change(c); return true })
		if err != nil {
			t.Fatal(err)
		}
		if after, _ := b.Find(alice, "right"); (after != before) != tt.want {
			t.Errorf("%s: recorded %v, want %v", tt.name, after != before, tt.want)
		}
	}
}

// TestCopiesShareNoPlaces: what was given out stays as it was.
func TestCopiesShareNoPlaces(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	prove(t, b, alice, "right", func(c *Credential) { c.Places = []string{"here"} })
	before, _ := b.Find(alice, "right")
	prove(t, b, alice, "right", func(c *Credential) { c.Places[0] = "there" })
	if before.Places[0] != "here" || b.Places(alice)[0] != "there" {
		t.Errorf("before %v, after %v", before.Places, b.Places(alice))
	}
}

func TestCodeIs(t *testing.T) {
	two, one := openWith(t, cache.NewMemory(nil), cheap(t, 2, 1)), openWith(t, cache.NewMemory(nil), cheap(t, 1))
	old, now := one.Code(alice, "123456"), two.Code(alice, "123456")
	if codes := two.Codes(alice, "123456"); len(codes) != 2 || !old.Is(codes) || !now.Is(codes) {
		t.Error("a code is not known by each key")
	}
	if now.Is(one.Codes(alice, "123456")) {
		t.Error("a code is known without its key")
	}
	swapped := Code{Key: now.Key, Sum: old.Sum}
	if swapped.Is(two.Codes(alice, "123456")) {
		t.Error("the digest by another key is one")
	}
	if none := (Code{}); none.Is([]Code{{}}) || now.Is(nil) {
		t.Error("no code is one")
	}
}

func secretOf(text string) secret.String { return secret.String(text) }

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// newVerifier returns what would be kept of a password of alice.
func newVerifier(t *testing.T, b *Book, password secret.String) *verifier {
	t.Helper()
	s := b.keys.Scheme()
	return &verifier{scheme: s, slow: b.keys.Password(s, alice.Base, alice.UUID, password)}
}

// TestMaySearchAsToldLast: what was told last counts, also of a password that
// was not the last one to be proved.
func TestMaySearchAsToldLast(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	prove(t, b, alice, "first", at(start))
	prove(t, b, alice, "second", at(start.Add(time.Minute)))
	err := b.Update(t.Context(), alice, must(t, b, alice, "first").ID, func(c *Credential) bool {
		c.Search, c.Told = true, start.Add(time.Hour)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if may, known := b.MaySearch(alice); !may || !known {
		t.Errorf("may %v, known %v", may, known)
	}
}
