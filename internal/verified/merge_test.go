package verified

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ldapd/internal/cache"
	"ldapd/internal/verified/keyring"
)

// times returns pointers to all times of a record with one credential, by name.
func times(r *Record) map[string]*time.Time {
	all := make(map[string]*time.Time)
	c := &r.Credentials[0]
	for name, of := range map[string]any{"": c, "session ": c.Session, "proof ": &c.Proofs[0]} {
		v := reflect.ValueOf(of).Elem()
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue
			}
			if p, ok := v.Field(i).Addr().Interface().(*time.Time); ok {
				all[name+v.Type().Field(i).Name] = p
			}
		}
	}
	return all
}

// A change makes no difference that is one of some time only, by less than a
// second. A window and a session end exactly when they do.
func TestAlike(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	record := func() *Record {
		r := &Record{Username: "alice", Credentials: []Credential{{
			ID: "c", Session: &Session{Hash: "s"}, Proofs: []Proof{{ID: "p", Way: ByPush}}, verifier: newVerifier(t, b, "right"),
		}}}
		for _, p := range times(r) {
			*p = start
		}
		return r
	}
	if n := len(times(record())); n < 9 {
		t.Fatalf("%d times of a record", n)
	}
	verifier := record().Credentials[0].verifier
	like := func(what string, change func(before, after *Record), want bool) {
		t.Helper()
		before, after := record(), record()
		before.Credentials[0].verifier, after.Credentials[0].verifier = verifier, verifier
		change(before, after)
		if got := alike(before, after); got != want {
			t.Errorf("%s: alike %v, want %v", what, got, want)
		}
	}
	like("nothing", func(_, _ *Record) {}, true)
	for name := range times(record()) {
		exact := name == "session End" || name == "proof Until"
		like(name+" a little later", func(_, after *Record) { *times(after)[name] = start.Add(time.Second - 1000) }, !exact)
		like(name+" a little earlier", func(_, after *Record) { *times(after)[name] = start.Add(1000 - time.Second) }, !exact)
		like(name+" later", func(_, after *Record) { *times(after)[name] = start.Add(time.Second) }, false)
		like(name+" set", func(before, _ *Record) { *times(before)[name] = time.Time{} }, false)
		like(name+" not set", func(_, after *Record) { *times(after)[name] = time.Time{} }, false)
	}
	like("no session any more", func(_, after *Record) { after.Credentials[0].Session = nil }, false)
	like("a session", func(before, _ *Record) { before.Credentials[0].Session = nil }, false)
	like("no proof any more", func(_, after *Record) { after.Credentials[0].Proofs = nil }, false)
	like("a proof", func(before, _ *Record) { before.Credentials[0].Proofs = nil }, false)
	if !alike(nil, nil) || alike(nil, record()) || alike(record(), nil) {
		t.Error("a record is alike none")
	}
}

// A copy shares nothing that may be modified.
func TestClone(t *testing.T) {
	r := &Record{Credentials: []Credential{{ID: "c", Places: []string{"here"}, Proofs: []Proof{{ID: "p"}}, Session: &Session{Hash: "s"}}}}
	c := &r.clone().Credentials[0]
	c.ID, c.Places[0], c.Proofs[0].ID, c.Session.Hash = "x", "x", "x", "x"
	if o := r.Credentials[0]; o.ID != "c" || o.Places[0] != "here" || o.Proofs[0].ID != "p" || o.Session.Hash != "s" {
		t.Errorf("modified to %+v with %+v", o, o.Session)
	}
	if n := (*Record)(nil).clone(); n == nil || len(n.Credentials) > 0 {
		t.Errorf("of none: %+v", n)
	}
}

func TestMarks(t *testing.T) {
	for _, tt := range []struct{ before, later, want mark }{
		{0, changed, changed}, {0, proved, proved}, {0, removed, removed},
		{changed, changed, changed}, {changed, proved, proved}, {changed, removed, removed},
		{proved, changed, proved}, {proved, proved, proved}, {proved, removed, removed},
		{removed, changed, changed}, {removed, proved, proved}, {removed, removed, removed},
	} {
		before := marks{"other": changed}
		if tt.before > 0 {
			before["c"] = tt.before
		}
		got := before.add(marks{"c": tt.later})
		if got["c"] != tt.want || got["other"] != changed || len(got) != 2 {
			t.Errorf("%v after %v: %v, want %v", tt.later, tt.before, got, tt.want)
		}
	}
	if got := marks(nil).add(marks{"c": removed}); len(got) != 1 {
		t.Errorf("after nothing: %v", got)
	}
}

// What the store has, and what it does not know yet.
func TestMerge(t *testing.T) {
	hash := func(n byte) *verifier { return &verifier{scheme: keyring.Scheme{Key: "k"}, slow: digest{n}} }
	cred := func(id string, n byte, search bool) Credential {
		return Credential{ID: id, Search: search, verifier: hash(n)}
	}
	rec := func(name string, all ...Credential) *Record { return &Record{Username: name, Credentials: all} }
	// say puts a record in words: the credentials in order, in capitals if they may search.
	say := func(r *Record) string {
		if r == nil {
			return "none"
		}
		s := r.Username
		for _, c := range r.Credentials {
			s += fmt.Sprint(" ", c.ID, c.slow[0])
			if c.Search {
				s += "*"
			}
		}
		return s
	}
	for _, tt := range []struct {
		name        string
		stored, own *Record
		unsaved     marks
		want        string
	}{
		{"nothing", rec("s", cred("a", 1, false)), rec("o", cred("a", 1, true)), nil, "s a1"},
		{"nothing of none", nil, rec("o", cred("a", 1, true)), nil, "none"},
		{"changed", rec("s", cred("a", 1, false), cred("b", 2, false)), rec("o", cred("a", 1, true), cred("b", 2, true)), marks{"b": changed}, "o a1 b2*"},
		{"changed here, removed there", rec("s", cred("a", 1, false)), rec("o", cred("b", 2, true)), marks{"b": changed}, "o a1"},
		{"changed here, proved there as another", rec("s", cred("a", 1, false)), rec("o", cred("b", 1, true)), marks{"b": changed}, "o a1"},
		{"changed here, all removed there", nil, rec("o", cred("b", 2, true)), marks{"b": changed}, "none"},
		{"proved", rec("s", cred("a", 1, false), cred("b", 2, false)), rec("o", cred("b", 2, true)), marks{"b": proved}, "o b2* a1"},
		{"proved anew", rec("s", cred("a", 1, false)), rec("o", cred("b", 2, true)), marks{"b": proved}, "o b2* a1"},
		{"proved, of none", nil, rec("o", cred("b", 2, true)), marks{"b": proved}, "o b2*"},
		{"proved in both, under two names", rec("s", cred("a", 1, false), cred("b", 2, false)), rec("o", cred("c", 2, true)), marks{"c": proved}, "o b2* a1"},
		{"proved in both, the first", rec("s", cred("a", 1, false), cred("b", 2, false)), rec("o", cred("c", 1, true)), marks{"c": proved}, "o a1* b2"},
		{"removed", rec("s", cred("a", 1, false), cred("b", 2, false)), rec("o", cred("b", 2, false)), marks{"a": removed}, "o b2"},
		{"removed, and nothing is left", rec("s", cred("a", 1, false)), nil, marks{"a": removed}, "none"},
	} {
		if got := say(merge(tt.stored, tt.own, tt.unsaved)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	// The same digest by another key is another password.
	other := cred("c", 1, true)
	other.verifier = &verifier{scheme: keyring.Scheme{Key: "another"}, slow: digest{1}}
	if got := say(merge(rec("s", cred("a", 1, false)), rec("o", other), marks{"c": proved})); got != "o c1* a1" {
		t.Errorf("by another key: %s", got)
	}
	// One that was hashed anew, by the current key, stays one.
	anew := cred("a", 5, true)
	anew.verifier = &verifier{scheme: keyring.Scheme{Key: "another"}, slow: digest{5}}
	if got := say(merge(rec("s", cred("a", 1, false)), rec("o", anew), marks{"a": proved})); got != "o a5*" {
		t.Errorf("hashed anew: %s", got)
	}
	var many []Credential
	for i := range maxCredentials {
		many = append(many, cred(fmt.Sprint("m", i), byte(10+i), false))
	}
	if got := merge(rec("s", many...), rec("o", cred("b", 2, true)), marks{"b": proved}); len(got.Credentials) != maxCredentials || got.Credentials[0].ID != "b" {
		t.Errorf("too many: %s", say(got))
	}
}

// While the store is down memory keeps no more than at other times, and what a
// new password puts in doubt is told with it later.
func TestBoundsWhileDown(t *testing.T) {
	h := newHub()
	r := h.connect()
	b := openWith(t, r, cheap(t, 1))
	prove(t, b, alice, "first", at(start))
	r.set(func(r *replica) { r.down = true })
	prove(t, b, alice, "second", at(start))
	r.set(func(r *replica) { r.down = false })
	if err := b.saveAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := openWith(t, h.connect(), cheap(t, 1))
	if !must(t, other, alice, "first").Doubt || must(t, other, alice, "second").Doubt {
		t.Error("the doubt was not told")
	}
	r.set(func(r *replica) { r.down = true })
	for i := range 2 * maxCredentials {
		prove(t, b, alice, secretOf(fmt.Sprint(i)), at(start))
	}
	if n := len(b.All()[0].Credentials); n != maxCredentials {
		t.Errorf("%d credentials in memory, want %d", n, maxCredentials)
	}
}

// A password that is compared with a hash by an old key, and is another one, is
// kept by the current key.
func TestAnotherPasswordAfterRotation(t *testing.T) {
	store := cache.NewMemory(nil)
	prove(t, openWith(t, store, cheap(t, 1)), alice, "first", at(start))
	prove(t, openWith(t, store, cheap(t, 2, 1)), alice, "second", at(start))
	again := openWith(t, store, cheap(t, 2, 1))
	must(t, again, alice, "second")
	must(t, again, alice, "first")
	must(t, openWith(t, store, cheap(t, 2, 1)), alice, "first")
}

// What was revoked elsewhere is forgotten as soon as the store says so, and read
// again.
func TestRevokedElsewhereWhenWritten(t *testing.T) {
	store := cache.NewMemory(nil)
	b, other := openWith(t, store, cheap(t, 1)), openWith(t, store, cheap(t, 1))
	prove(t, b, alice, "right", at(start))
	id := must(t, b, alice, "right").ID
	if err := other.Revoke(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	if err := b.Update(t.Context(), alice, id, func(c *Credential) bool { c.Search = true; return true }); err != nil {
		t.Fatal(err)
	}
	if c, _ := b.Find(alice, "right"); c != nil {
		t.Error("it answers")
	}
	if _, ok := b.stale[alice]; !ok || len(b.reload) != 1 {
		t.Error("it is not read again")
	}
}

// What is recorded while all is read is not replaced by what was read before.
func TestProvedWhileAllIsRead(t *testing.T) {
	store := &early{Store: cache.NewMemory(nil)}
	b := openWith(t, store, cheap(t, 1))
	prove(t, b, alice, "first", at(start))
	store.read = func() {
		store.read = nil
		prove(t, b, alice, "second", at(start.Add(time.Minute)))
	}
	if err := b.readAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, _ := b.Find(alice, "second"); c == nil {
		t.Error("what was proved meanwhile is gone")
	}
}

// A session belongs to the credential that had it last.
func TestSessionsOfOthers(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	bob := User{alice.Base, "bob"}
	publish := func(k User, hash string) {
		u, err := b.user(k)
		if err != nil {
			t.Fatal(err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.publish(u, &Record{Credentials: []Credential{{ID: "c", Session: &Session{Hash: hash}}}})
	}
	publish(alice, "s")
	publish(bob, "s")
	publish(alice, "another")
	if k, _, ok := b.BySession("s"); !ok || k != bob {
		t.Errorf("by session: %v, %v", k, ok)
	}
	publish(alice, "")
	if k, _, ok := b.BySession(""); ok {
		t.Errorf("%v has a session without a name", k)
	}
}

// All users are listed by name, then by tree and id.
func TestAllIsInOrder(t *testing.T) {
	b := openWith(t, cache.NewMemory(nil), cheap(t, 1))
	var want []string
	for _, name := range []string{"alice", "bob"} {
		for _, base := range []string{"dc=a", "dc=b"} {
			for _, uuid := range []string{"1", "2"} {
				want = append(want, name+" "+base+" "+name+uuid)
			}
		}
	}
	for _, i := range []int{5, 2, 7, 0, 3, 6, 1, 4} {
		f := strings.Fields(want[i])
		name, k := f[0], User{f[1], f[2]}
		_, epoch, _ := b.Search(t.Context(), k, "right", netip.Addr{})
		if err := b.Prove(t.Context(), k, epoch, name, "right", netip.Addr{}, at(start)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, e := range b.All() {
		got = append(got, e.Username+" "+e.Base+" "+e.UUID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Books of two processes do not know each other's digests in memory.
func TestMemoryIsOfOneProcess(t *testing.T) {
	store := cache.NewMemory(nil)
	one, two := openWith(t, store, cheap(t, 1)), openWith(t, store, cheap(t, 1))
	if a, b := one.fast.Of("base", "uuid", "right"), two.fast.Of("base", "uuid", "right"); equal(&a, &b) {
		t.Error("they have one key")
	}
}

// Without a store, or keys, there is no book.
func TestOpenNeeds(t *testing.T) {
	if _, err := Open(t.Context(), Options{Keys: cheap(t, 1)}); err == nil {
		t.Error("opened without a store")
	}
	if _, err := Open(t.Context(), Options{Store: cache.NewMemory(nil)}); err == nil {
		t.Error("opened without keys")
	}
}

// What could not be read when the book was opened is read later; else nothing
// is.
func TestOpenReadsLater(t *testing.T) {
	h := newHub()
	for _, down := range []bool{false, true} {
		r := h.connect()
		r.set(func(r *replica) { r.down = down })
		b := openWith(t, r, cheap(t, 1))
		if b.staleAll != down || len(b.reload) > 0 != down || b.behind != down {
			t.Errorf("down %v: all is stale: %v, to be read: %v, behind %v", down, b.staleAll, len(b.reload) > 0, b.behind)
		}
	}
}
