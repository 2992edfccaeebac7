package policy

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/secret"
	"ldapd/internal/verified"
)

// FuzzDecide makes binds of bytes, and looks for one that is decided against
// the properties.
func FuzzDecide(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		f.Add(random(rnd))
	}
	f.Fuzz(check)
}

// TestDecideProperties is FuzzDecide with what chance brings.
func TestDecideProperties(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 1))
	did := map[Do]int{}
	for range 20_000 {
		text := random(rnd)
		check(t, text)
		if t.Failed() {
			t.FailNow()
		}
		did[newSource(text).bind().decide().Do]++
	}
	for do := Prove; do <= Wait; do++ {
		if did[do] < 100 {
			t.Errorf("%v was decided %d times, too seldom to be tested", do, did[do])
		}
	}
}

func random(rnd *rand.Rand) []byte {
	text := make([]byte, 64)
	for i := range text {
		text[i] = byte(rnd.Uint32())
	}
	return text
}

// source makes choices of bytes.
type source []byte

func newSource(text []byte) *source {
	s := source(text)
	return &s
}

// pick returns a number below n; 0 when the bytes are used up.
func (s *source) pick(n int) int {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return int(b) % n
}

func (s *source) maybe(one, of int) bool { return s.pick(of) < one }

func choose[T any](s *source, of ...T) T { return of[s.pick(len(of))] }

// time returns one that is around what the rules make a difference of.
func (s *source) time() time.Time {
	d := choose(s, 0, time.Hour, 24*time.Hour, 30*24*time.Hour, 90*24*time.Hour)
	return now.Add(choose(s, 0, -time.Nanosecond, time.Nanosecond) - d)
}

func (s *source) home() string { return choose(s, nc, wiki, web, "at 192.0.2.9", "") }

func (s *source) code() byte { return byte(s.pick(4)) }

func (s *source) bind() *bind {
	b := newBind()
	b.rules.Scope = choose(s, ScopeLogin, ScopeLogin, ScopeLogin, ScopeClient, ScopeUser, ScopeOff)
	b.rules.CodeInUsername = s.maybe(3, 4)
	b.rules.MaxAge = choose(s, 90*24*time.Hour, 24*time.Hour)
	b.user.Active = s.maybe(15, 16)
	b.cred.Factored = s.maybe(5, 6)
	b.cred.Doubt = s.maybe(1, 16)
	b.cred.PasswordStamp = choose(s, "p1", "p1", "p1", "p1", "p1", "p1", "p1", "p2")
	b.cred.FactorStamp = choose(s, "f1", "f1", "f1", "f1", "f1", "f1", "f1", "f2")
	if s.maybe(1, 8) {
		b.cred.Told, b.cred.Proved = s.time(), s.time()
	}
	for i := range s.pick(4) {
		f := proof(choose(s, verified.ByName, verified.ByName, verified.ByPassword, verified.ByItself, verified.ByPush, verified.ByUnlock), s.code(), s.home())
		f.ID = fmt.Sprint(f.Way, i)
		f.Client = choose(s, "web", "192.0.2.9")
		f.Factor = choose(s, "totp", "totp", "totp", "none")
		f.At = choose(s, f.At, s.time())
		if s.maybe(1, 3) {
			f.Until = s.time().Add(30 * 24 * time.Hour)
		}
		f.Cookie = choose[secret.String](s, "", "", "cookie")
		b.cred.Proofs = append(b.cred.Proofs, f)
	}
	b.said.Client = choose(s, "web", "192.0.2.9")
	if b.said.CodeIn = choose(s, auth.NoCode, auth.NoCode, auth.InUsername, auth.InPassword); b.said.CodeIn != auth.NoCode {
		b.said.Codes = codes(1 + s.code())
	}
	if s.maybe(1, 4) {
		return b
	}
	b.said.Logins = &Logins{
		Rivals: choose(s, 0, 0, 0, 1, 2), Strays: s.maybe(1, 4),
		Waited: choose(s, 0, time.Nanosecond, 500*time.Millisecond, 500*time.Millisecond-1, Patience-1, Patience, time.Hour),
	}
	for i := range s.pick(4) {
		l := Login{Group: i, Codes: codes(s.code()), Home: choose(s, nc, nc, wiki), Fresh: s.maybe(3, 4)}
		if i > 0 && s.maybe(1, 3) {
			l.Group, l.Codes, l.Home = b.said.Logins.Open[i-1].Group, b.said.Logins.Open[i-1].Codes, b.said.Logins.Open[i-1].Home
		}
		b.said.Logins.Open = append(b.said.Logins.Open, l)
	}
	return b
}

// clone returns a copy of what a decision looks at, to be changed.
func (b *bind) clone() *bind {
	c := *b
	c.cred.Proofs = slices.Clone(b.cred.Proofs)
	if in := b.said.Logins; in != nil {
		logins := *in
		logins.Open = slices.Clone(in.Open)
		c.said.Logins = &logins
	}
	return &c
}

// check fails if a bind is decided against a property.
func check(t *testing.T, text []byte) {
	b := newSource(text).bind()
	before := b.clone()
	v := b.decide()
	fail := func(property string) {
		t.Helper()
		t.Errorf("%s: %v for %+v, %+v, %+v, %+v, logins %+v", property, v, b.rules, b.user, b.cred, b.said, b.said.Logins)
	}
	if !reflect.DeepEqual(b, before) {
		fail("a decision changes nothing")
	}
	if again := b.decide(); again != v {
		fail("G8: equal binds are decided alike")
	}
	if doubt := Doubted(&b.rules, b.user, &b.cred, now); doubt && (v.Do == Admit || v.Do == Undecided || v.Window != nil) {
		fail("memory does not answer for a password in doubt")
	} else if !doubt && v.Do == Reprove {
		fail("what is not in doubt is not proved again")
	}
	checkAdmitted(b, v, fail)
	checkWaiting(b, v, fail)
	if v.Do != Admit {
		checkNotAdmitted(b, v, fail)
	}
	if v.Login >= 0 {
		if one, _ := Only(b.said.Logins.Open); v.Do == Prove && v.Login != one {
			fail("a code is asked about only if no other can be meant")
		}
	}
}

// checkAdmitted looks at what a bind is, or would be, admitted by.
func checkAdmitted(b *bind, v Verdict, fail func(string)) {
	for _, by := range []*verified.Proof{v.By, v.Window} {
		switch {
		case by == nil:
			continue
		case !slices.ContainsFunc(b.cred.Proofs, func(f verified.Proof) bool { return f.ID == by.ID }):
			fail("a proof is one of the credential's")
		case !now.Before(by.At.Add(b.rules.MaxAge)), !by.Until.IsZero() && !now.Before(by.Until):
			fail("fault 6: an expired proof admits nobody")
		case by.Until.IsZero() && by.Cookie == "" && !now.Before(by.At.Add(b.rules.Remember)):
			fail("an expired proof admits nobody")
		case b.cred.Factored && by.Factor == "none":
			fail("fault 3: what was proved without a factor does not count as one")
		case b.cred.Factored && b.rules.Scope == ScopeOff:
			fail("under scope off nothing is remembered")
		}
	}
	if v.Do != Admit {
		if v.By != nil {
			fail("who is not admitted is not admitted by a proof")
		}
		return
	}
	by := v.By
	if b.cred.Factored && by == nil {
		fail("G5: who has a factor proves it")
	}
	if by == nil {
		return
	}
	var presented []verified.Code
	home := HomeAt(b.said.Client)
	switch {
	case b.said.CodeIn != auth.NoCode:
		presented = b.said.Codes
	case v.Login >= 0:
		l := b.said.Logins.Open[v.Login]
		presented, home = l.Codes, l.Home
	case by.Way == verified.ByUnlock && b.rules.Scope != ScopeUser && by.Client != b.said.Client:
		fail("a window is for its client")
		return
	default: // by a window, an own password, or under a scope that asks for no code
		if by.Way != verified.ByUnlock && by.Way != verified.ByItself && b.rules.Scope == ScopeLogin {
			fail("under scope login a code is needed")
		}
		return
	}
	want := verified.ByName
	if b.said.CodeIn == auth.InPassword {
		want = verified.ByPassword
	}
	if by.Way != want || len(presented) == 0 || !by.Code.Is(presented) || by.Home != "" && by.Home != home {
		fail("G1: a code admits where it was proved at home")
	}
}

// checkWaiting looks at what a bind is to do before it is decided again.
func checkWaiting(b *bind, v Verdict, fail func(string)) {
	switch in := b.said.Logins; {
	case v.Do == Look && in != nil:
		fail("who has looked is not asked to look")
	case v.Login >= 0 && (in == nil || v.Login >= len(in.Open)):
		fail("a bind belongs to a login that is open")
	case v.Do != Wait:
		if v.For != 0 {
			fail("who is not to wait is told no time")
		}
	case in.Waited >= Patience || v.For <= 0 || in.Waited+v.For > Patience:
		fail("nobody waits longer than patience")
	default:
		later := b.clone()
		later.said.Logins.Waited += v.For
		if later.decide().Do == Wait {
			fail("after the wait it is decided")
		}
	}
}

// checkNotAdmitted looks at what must not help a bind that is not admitted. By a
// window it would be, were it not for its new code.
func checkNotAdmitted(b *bind, v Verdict, fail func(string)) {
	helped := func(change func(*bind)) bool {
		c := b.clone()
		change(c)
		return c.decide().Do == Admit && v.Window == nil
	}
	for i := range b.cred.Proofs {
		if helped(func(c *bind) { c.cred.Proofs = slices.Delete(c.cred.Proofs, i, i+1) }) {
			fail("to have proved less does not help")
		}
	}
	if helped(func(c *bind) { c.cred.Doubt = true }) {
		fail("doubt does not help")
	}
	in := b.said.Logins
	if in == nil {
		return
	}
	if helped(func(c *bind) { c.said.Logins.Rivals++ }) || helped(func(c *bind) { c.said.Logins.Strays = true }) {
		fail("rivals do not help")
	}
	if len(in.Open) == 0 {
		return
	}
	fresh := slices.ContainsFunc(in.Open, func(l Login) bool { return l.Fresh })
	for _, n := range []byte{0, 9} { // no code, and one that nobody proved
		other := Login{Group: len(in.Open), Codes: codes(n), Home: nc, Fresh: fresh}
		if helped(func(c *bind) { c.said.Logins.Open = append(c.said.Logins.Open, other) }) {
			fail("a login that differs does not help")
		}
		if helped(func(c *bind) { c.said.Logins.Open = slices.Insert(c.said.Logins.Open, 0, other) }) {
			fail("a login that differs does not help")
		}
	}
}
