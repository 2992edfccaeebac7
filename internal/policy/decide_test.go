package policy

import (
	"fmt"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/login"
	"ldapd/internal/verified"
)

const (
	nc   = "search nextcloud" // home of what Nextcloud's account searched for
	wiki = "search wiki"
	web  = "at web" // home of what the client web sent in a bind
)

var now = time.Unix(1_800_000_000, 0)

// code returns the digest of a code; 0 is that of none.
func code(n byte) verified.Code {
	if n == 0 {
		return verified.Code{}
	}
	return verified.Code{Key: "k1", Sum: [32]byte{n}}
}

// codes returns the digests of a code, as a book with two keys makes them.
func codes(n byte) []verified.Code {
	if n == 0 {
		return nil
	}
	return []verified.Code{{Key: "k2", Sum: [32]byte{n, 2}}, code(n)}
}

// proof returns one that was made an hour ago by who has TOTP. Its id is its
// way with its code.
func proof(w verified.Way, n byte, home string) verified.Proof {
	return verified.Proof{
		ID: fmt.Sprint(w, n), Way: w, Code: code(n), Client: "web", Home: home, Factor: "totp", At: now.Add(-time.Hour),
	}
}

// window returns one that the user opened for a client on the unlock page.
func window(client string) verified.Proof {
	f := proof(verified.ByUnlock, 0, "")
	f.Client, f.Until = client, now.Add(time.Hour)
	return f
}

func with(f verified.Proof, change func(*verified.Proof)) verified.Proof {
	change(&f)
	return f
}

// withoutFactor returns a proof of when the user had none.
func withoutFactor(f verified.Proof) verified.Proof {
	return with(f, func(f *verified.Proof) { f.Factor = string(auth.FactorNone) })
}

func expired(f verified.Proof) verified.Proof {
	return with(f, func(f *verified.Proof) { f.At = now.Add(-rules().Remember) })
}

// open returns a fresh login search by Nextcloud.
func open(group int, n byte) Login {
	return Login{Group: group, Codes: codes(n), Home: nc, Fresh: true}
}

func stale(l Login) Login {
	l.Fresh = false
	return l
}

func logins(all ...Login) *Logins { return &Logins{Open: all} }

func rules() Rules {
	return Rules{
		Reprove: 24 * time.Hour, StaleFor: 7 * 24 * time.Hour, MaxAge: 90 * 24 * time.Hour,
		Scope: ScopeLogin, Remember: 30 * 24 * time.Hour, CodeInUsername: true,
	}
}

// bind is all that a decision looks at.
type bind struct {
	rules Rules
	user  User
	cred  verified.Credential
	said  Presented
}

// newBind returns a bind from web, of somebody with a factor.
func newBind() *bind {
	return &bind{
		rules: rules(),
		user:  User{Active: true, PasswordStamp: "p1", FactorStamp: "f1"},
		cred: verified.Credential{
			Factored: true, PasswordStamp: "p1", FactorStamp: "f1", Proved: now.Add(-time.Hour), Told: now.Add(-time.Hour),
		},
		said: Presented{Client: "web"},
	}
}

func (b *bind) decide() Verdict { return Decide(&b.rules, b.user, &b.cred, b.said, now) }

// String says all of a verdict.
func (v Verdict) String() string {
	s := []string{"prove", "admit", "undecided", "reprove", "look", "wait"}[v.Do]
	if v.By != nil {
		s += " by " + v.By.ID
	}
	if v.Window != nil {
		s += " or by " + v.Window.ID
	}
	if v.Login >= 0 {
		s += fmt.Sprint(" login ", v.Login)
	}
	if v.For != 0 {
		s += fmt.Sprint(" ", v.For)
	}
	return s
}

// The changes that rows are made of.
type change = func(*bind)

func noFactor(b *bind) { b.cred.Factored = false }

func proofs(all ...verified.Proof) change { return func(b *bind) { b.cred.Proofs = all } }

func scope(s Scope) change { return func(b *bind) { b.rules.Scope = s } }

func from(client string) change { return func(b *bind) { b.said.Client = client } }

func behindName(n byte) change {
	return func(b *bind) { b.said.CodeIn, b.said.Codes = auth.InUsername, codes(n) }
}

func behindPassword(n byte) change {
	return func(b *bind) { b.said.CodeIn, b.said.Codes = auth.InPassword, codes(n) }
}

func sees(all ...Login) change { return func(b *bind) { b.said.Logins = logins(all...) } }

func rivals(n int) change { return func(b *bind) { b.said.Logins.Rivals = n } }

func strays(b *bind) { b.said.Logins.Strays = true }

func waited(d time.Duration) change { return func(b *bind) { b.said.Logins.Waited = d } }

func doubted(b *bind) { b.cred.Doubt = true }

func noCodeInName(b *bind) { b.rules.CodeInUsername = false }

func TestDecide(t *testing.T) {
	byName, byPassword := proof(verified.ByName, 1, nc), proof(verified.ByPassword, 1, web)
	inBind := proof(verified.ByName, 1, web)
	for _, tt := range []struct {
		name    string
		changes []change
		want    string
	}{
		// Without a factor the password is enough (G5: as long as there is none).
		{"no factor", []change{noFactor}, "admit"},
		{"no factor, code behind the name", []change{noFactor, behindName(1)}, "admit"},
		{"no factor, scope off", []change{noFactor, scope(ScopeOff)}, "admit"},
		{"no factor, in doubt", []change{noFactor, doubted}, "reprove"},

		// A code behind the password. It may be part of it, so the string is
		// good for what it was proved as.
		{"string proved", []change{proofs(byPassword), behindPassword(1)}, "admit by password1"},
		{"string not proved", []change{proofs(byPassword), behindPassword(2)}, "prove"},
		{"string not proved, no factor", []change{noFactor, behindPassword(1)}, "prove"},
		{"string proved without a factor, none needed", []change{noFactor, proofs(withoutFactor(byPassword)), behindPassword(1)}, "admit by password1"},
		{"string proved without a factor, none needed, scope off", []change{noFactor, scope(ScopeOff), proofs(withoutFactor(byPassword)), behindPassword(1)}, "admit by password1"},
		{"fault 3: string proved without a factor, one is needed", []change{proofs(withoutFactor(byPassword)), behindPassword(1)}, "prove"},
		{"fault 3: the same under scope user", []change{scope(ScopeUser), proofs(withoutFactor(byPassword)), behindPassword(1)}, "prove"},
		{"string proved, scope off", []change{scope(ScopeOff), proofs(byPassword), behindPassword(1)}, "prove"},
		{"string proved, no window for another", []change{scope(ScopeUser), proofs(byPassword), behindPassword(2)}, "prove"},
		{"string expired", []change{proofs(expired(byPassword)), behindPassword(1)}, "prove"},
		{"G1: string away from home", []change{proofs(byPassword), behindPassword(1), from("192.0.2.9")}, "prove"},
		{"G1: string of an older version", []change{proofs(proof(verified.ByPassword, 1, "")), behindPassword(1), from("192.0.2.9")}, "admit by password1"},
		{"code of the name behind the password", []change{proofs(inBind), behindPassword(1)}, "prove"},
		{"string in doubt", []change{proofs(byPassword), behindPassword(1), doubted}, "reprove"},
		{"string not proved, in doubt", []change{proofs(byPassword), behindPassword(2), doubted}, "prove"},
		{"code of another key", []change{proofs(with(byPassword, func(f *verified.Proof) { f.Code.Key = "k3" })), behindPassword(1)}, "prove"},

		// A code behind the name in the bind DN.
		{"code proved", []change{proofs(inBind), behindName(1)}, "admit by name1"},
		{"code not proved", []change{proofs(inBind), behindName(2)}, "prove"},
		{"code proved, scope client", []change{scope(ScopeClient), proofs(inBind), behindName(1)}, "admit by name1"},
		{"code proved, scope off", []change{scope(ScopeOff), proofs(inBind), behindName(1)}, "prove"},
		{"G1: code away from home", []change{proofs(inBind), behindName(1), from("192.0.2.9")}, "prove"},
		{"G1: code of a login search in a bind DN", []change{proofs(byName), behindName(1)}, "prove"},
		{"G1: code of an older version, anywhere", []change{proofs(proof(verified.ByName, 1, "")), behindName(1), from("192.0.2.9")}, "admit by name1"},
		{"G5: code proved without a factor", []change{proofs(withoutFactor(inBind)), behindName(1)}, "prove"},
		{"code behind the password, in the name", []change{proofs(byPassword), behindName(1)}, "prove"},
		{"code in a window", []change{proofs(window("web")), behindName(2)}, "prove"},

		// A password alone, and what stands for its factor.
		{"no proof, codes behind the password only", []change{noCodeInName, scope(ScopeClient)}, "prove"},
		{"password that is the code, too", []change{proofs(proof(verified.ByItself, 0, web)), noCodeInName, from("elsewhere")}, "admit by itself0"},
		{"the same, scope off", []change{proofs(proof(verified.ByItself, 0, web)), scope(ScopeOff)}, "prove"},
		{"the same, without a factor", []change{proofs(withoutFactor(proof(verified.ByItself, 0, web))), noCodeInName, scope(ScopeClient)}, "prove"},
		{"window", []change{proofs(window("web")), noCodeInName}, "admit by unlock0"},
		{"window, scope client", []change{proofs(window("web")), noCodeInName, scope(ScopeClient)}, "admit by unlock0"},
		{"window, scope user", []change{proofs(window("web")), noCodeInName, scope(ScopeUser), from("elsewhere")}, "admit by unlock0"},
		{"window, scope off", []change{proofs(window("web")), noCodeInName, scope(ScopeOff)}, "prove"},
		{"window for another client", []change{proofs(window("mail")), noCodeInName, scope(ScopeClient)}, "prove"},
		{"window that is not the first", []change{proofs(window("mail"), window("web")), noCodeInName}, "admit by unlock0"},
		{"window closed", []change{proofs(with(window("web"), func(f *verified.Proof) { f.Until = now })), noCodeInName, scope(ScopeClient)}, "prove"},
		{"window in doubt", []change{proofs(window("web")), noCodeInName, doubted}, "reprove"},
		{"fault 3: window opened without a factor", []change{proofs(withoutFactor(window("web"))), noCodeInName, scope(ScopeClient)}, "prove"},
		{"fault 6: window older than max_age", []change{
			proofs(with(window("web"), func(f *verified.Proof) { f.At = now.Add(-24 * time.Hour) })), noCodeInName, scope(ScopeClient),
			func(b *bind) { b.rules.MaxAge = 24 * time.Hour },
		}, "prove"},
		{"push, scope client", []change{proofs(proof(verified.ByPush, 0, web)), noCodeInName, scope(ScopeClient)}, "admit by push0"},
		{"push, scope client, from another", []change{proofs(proof(verified.ByPush, 0, web)), noCodeInName, scope(ScopeClient), from("elsewhere")}, "prove"},
		{"push, scope user", []change{proofs(proof(verified.ByPush, 0, web)), noCodeInName, scope(ScopeUser), from("elsewhere")}, "admit by push0"},
		{"push, scope login", []change{proofs(proof(verified.ByPush, 0, web)), sees(open(0, 0))}, "prove login 0"},
		{"code, scope client", []change{proofs(byName), noCodeInName, scope(ScopeClient)}, "admit by name1"},

		// In a window, a new code of the login is worth a flow.
		{"window, nobody has looked", []change{proofs(window("web"))}, "look"},
		{"window, nobody has looked, in doubt", []change{proofs(window("web")), doubted}, "look"},
		{"window, no login", []change{proofs(window("web")), sees()}, "admit by unlock0"},
		{"window, login without a code", []change{proofs(window("web")), sees(open(0, 0))}, "admit by unlock0"},
		{"window, login with a new code", []change{proofs(window("web")), sees(open(0, 1))}, "prove or by unlock0 login 0"},
		{"window, login with a new code, in doubt", []change{proofs(window("web")), sees(open(0, 1)), doubted}, "prove login 0"},
		{"window, login with a proved code", []change{proofs(window("web"), byName), sees(open(0, 1))}, "admit by unlock0"},
		{"window, login with a code proved elsewhere", []change{proofs(window("web"), proof(verified.ByName, 1, wiki)), sees(open(0, 1))}, "prove or by unlock0 login 0"},
		{"window, logins that differ", []change{proofs(window("web")), sees(open(0, 1), open(1, 2))}, "admit by unlock0"},
		{"window, fresh login beside one that lingers", []change{proofs(window("web")), sees(stale(open(0, 1)), open(1, 2))}, "prove or by unlock0 login 1"},
		{"window, fresh login without a code beside one that lingers", []change{proofs(window("web")), sees(stale(open(0, 1)), open(1, 0))}, "admit by unlock0"},
		{"window, rivals do not matter", []change{proofs(window("web")), sees(open(0, 0)), rivals(3), strays}, "admit by unlock0"},

		// Scope login: the code stands in the login search.
		{"nobody has looked", nil, "look"},
		{"nobody has looked, in doubt", []change{doubted}, "look"},
		{"scope client does not look", []change{scope(ScopeClient)}, "prove"},
		{"no login, no proof", []change{sees()}, "prove"},
		{"no login, but one that could be it", []change{proofs(byName), sees()}, "undecided"},
		{"no login, but one that could be it, in doubt", []change{proofs(byName), sees(), doubted}, "reprove"},
		{"no login, proof expired", []change{proofs(expired(byName)), sees()}, "prove"},
		{"no login, proved otherwise", []change{proofs(byPassword), sees()}, "prove"},
		{"no login, proved without a factor", []change{proofs(withoutFactor(byName)), sees()}, "prove"},
		{"login without a code", []change{proofs(byName), sees(open(0, 0))}, "prove login 0"},
		{"login with a new code", []change{proofs(byName), sees(open(0, 2))}, "prove login 0"},
		{"fault 2: login with a new code, which a rival may want", []change{proofs(byName), sees(open(0, 2)), rivals(1)}, "wait 500ms"},
		{"fault 2: login with a new code, somebody polled", []change{sees(open(0, 2)), strays}, "wait 500ms"},
		{"fault 2: login with a new code, nobody else came", []change{sees(open(0, 2)), strays, waited(login.Hold)}, "prove login 0"},
		{"fault 2: login with a new code, the rival is still there", []change{proofs(byName), sees(open(0, 2)), rivals(1), waited(login.Hold)}, "undecided"},
		{"fault 2: login without a code, a rival may want its push", []change{proofs(byName), sees(open(0, 0)), rivals(1)}, "wait 500ms"},
		{"login with a new code, in doubt", []change{proofs(byName), sees(open(0, 2)), doubted}, "prove login 0"},
		{"login with a proved code", []change{proofs(byName), sees(open(0, 1))}, "admit by name1 login 0"},
		{"login that lingers", []change{proofs(byName), sees(stale(open(0, 1)))}, "admit by name1 login 0"},
		{"login with a proved code, in doubt", []change{proofs(byName), sees(open(0, 1)), doubted}, "reprove"},
		{"login with an expired code", []change{proofs(expired(byName)), sees(open(0, 1))}, "prove login 0"},
		{"G1: login of another searcher", []change{proofs(proof(verified.ByName, 1, wiki)), sees(open(0, 1))}, "prove login 0"},
		{"G1: login with a code of the bind DN", []change{proofs(inBind), sees(open(0, 1))}, "prove login 0"},
		{"G1: the address does not matter, the searcher does", []change{proofs(byName), sees(open(0, 1)), from("192.0.2.9")}, "admit by name1 login 0"},
		{"G1: login with a code of an older version", []change{proofs(proof(verified.ByName, 1, "")), sees(open(0, 1))}, "admit by name1 login 0"},
		{"G5: login with a code proved without a factor", []change{proofs(withoutFactor(byName)), sees(open(0, 1))}, "prove login 0"},
		{"login with a code from behind the password", []change{proofs(proof(verified.ByPassword, 1, nc)), sees(open(0, 1))}, "prove login 0"},

		// Others with the right password, who may be thieves.
		{"fault 2: as many rivals as logins", []change{proofs(byName), sees(open(0, 1)), rivals(1)}, "wait 500ms"},
		{"fault 2: after a while", []change{proofs(byName), sees(open(0, 1)), rivals(1), waited(login.Hold - 1)}, "wait 1ns"},
		{"fault 2: they are still there", []change{proofs(byName), sees(open(0, 1)), rivals(1), waited(login.Hold)}, "undecided"},
		{"fault 2: the same, in doubt", []change{proofs(byName), sees(open(0, 1)), rivals(1), waited(login.Hold), doubted}, "reprove"},
		{"as many binds as searches for one login", []change{proofs(byName), sees(open(0, 1), open(0, 1)), rivals(1)}, "admit by name1 login 1"},
		{"one more", []change{proofs(byName), sees(open(0, 1), open(0, 1)), rivals(2), waited(login.Hold)}, "undecided"},
		{"fault 2: somebody polled: he may be this one", []change{proofs(byName), sees(open(0, 1)), strays}, "wait 500ms"},
		{"fault 2: somebody polled, in time", []change{proofs(byName), sees(open(0, 1)), strays, waited(login.Hold - 1)}, "wait 1ns"},
		{"fault 2: somebody polled, nobody else came", []change{proofs(byName), sees(open(0, 1)), strays, waited(login.Hold)}, "admit by name1 login 0"},
		{"fault 2: somebody polled, another came", []change{proofs(byName), sees(open(0, 1)), strays, waited(login.Hold), rivals(1)}, "undecided"},
		{"waiting, in doubt", []change{proofs(byName), sees(open(0, 1)), strays, doubted}, "wait 500ms"},

		// Logins that differ.
		{"one is new", []change{proofs(byName), sees(open(0, 1), open(1, 2))}, "wait 10s"},
		{"one is new, the other way round", []change{proofs(byName), sees(open(0, 2), open(1, 1))}, "wait 10s"},
		{"one has no code", []change{proofs(byName), sees(open(0, 1), open(1, 0))}, "wait 10s"},
		{"one is new, at the last moment", []change{proofs(byName), sees(open(0, 1), open(1, 2)), waited(Patience - 1)}, "wait 1ns"},
		{"one is new, nothing happened", []change{proofs(byName), sees(open(0, 1), open(1, 2)), waited(Patience)}, "undecided"},
		{"one is new, nothing happened, in doubt", []change{proofs(byName), sees(open(0, 1), open(1, 2)), waited(Patience), doubted}, "reprove"},
		{"both are new", []change{sees(open(0, 1), open(1, 2)), waited(Patience)}, "undecided"},
		{"G3: a stranger's lingers", []change{proofs(byName), sees(stale(open(0, 2)), open(1, 1), stale(open(2, 3)))}, "admit by name1 login 1"},
		{"G3: a stranger's lingers, new login", []change{proofs(byName), sees(stale(open(0, 3)), open(1, 2))}, "prove login 1"},
		{"a thief's rival counts for the fresh ones only", []change{proofs(byName), sees(stale(open(0, 1)), open(0, 1)), rivals(1)}, "wait 500ms"},
		{"both linger", []change{proofs(byName), sees(stale(open(0, 1)), stale(open(1, 2)))}, "wait 10s"},
		{"both are proved", []change{proofs(byName, proof(verified.ByName, 2, nc)), sees(open(0, 2), open(1, 1))}, "admit by name1 login 1"},
		{"both are proved, one elsewhere", []change{proofs(byName, proof(verified.ByName, 2, wiki)), sees(open(0, 1), open(1, 2))}, "wait 10s"},
		{"both are proved, each with its bind", []change{proofs(byName, proof(verified.ByName, 2, nc)), sees(open(0, 1), open(1, 2)), rivals(1)}, "admit by name2 login 1"},
		{"both are proved, a third bind", []change{proofs(byName, proof(verified.ByName, 2, nc)), sees(open(0, 1), open(1, 2)), rivals(2)}, "wait 500ms"},
		{"both are proved, somebody polled", []change{proofs(byName, proof(verified.ByName, 2, nc)), sees(open(0, 1), open(1, 2)), strays}, "wait 500ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBind()
			for _, change := range tt.changes {
				change(b)
			}
			if got := b.decide().String(); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestDoubted(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change change
		want   bool
	}{
		{"nothing", func(*bind) {}, false},
		{"another password was right since", doubted, true},
		{"user disabled", func(b *bind) { b.user.Active = false }, true},
		{"fault 5: password changed", func(b *bind) { b.user.PasswordStamp = "p2" }, true},
		{"G5: factor gained or changed", func(b *bind) { b.user.FactorStamp = "f2" }, true},
		{"told long ago", func(b *bind) { b.cred.Told = now.Add(-b.rules.StaleFor) }, true},
		{"told in time", func(b *bind) { b.cred.Told = now.Add(1 - b.rules.StaleFor) }, false},
		{"proved long ago, no factor", func(b *bind) { noFactor(b); b.cred.Proved = now.Add(-b.rules.MaxAge) }, true},
		{"proved in time, no factor", func(b *bind) { noFactor(b); b.cred.Proved = now.Add(1 - b.rules.MaxAge) }, false},
		{"proved long ago: with a factor its proofs expire", func(b *bind) { b.cred.Proved = now.Add(-b.rules.MaxAge) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBind()
			tt.change(b)
			if got := Doubted(&b.rules, b.user, &b.cred, now); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
			proofs(window("web"))(b) // by which it would be admitted
			noCodeInName(b)
			want := Admit
			if tt.want {
				want = Reprove
			}
			if got := b.decide().Do; got != want {
				t.Errorf("decided %v, want %v", got, want)
			}
		})
	}
}

// Who knows of codes, and where.
func TestKnows(t *testing.T) {
	for _, tt := range []struct {
		name     string
		changes  []change
		here, at bool
	}{
		{"nothing", nil, false, false},
		{"a code, here", []change{proofs(proof(verified.ByName, 1, nc))}, true, true},
		{"a code behind the password, here", []change{proofs(proof(verified.ByPassword, 1, nc))}, true, true},
		{"a code elsewhere", []change{proofs(proof(verified.ByName, 1, wiki))}, false, true},
		{"G1: a code of an older version, which has no home", []change{proofs(proof(verified.ByName, 1, ""))}, false, true},
		{"one here, one elsewhere", []change{proofs(proof(verified.ByName, 1, wiki), proof(verified.ByName, 2, nc))}, true, true},
		{"no code, here", []change{proofs(proof(verified.ByPush, 0, nc))}, false, false},
		{"expired", []change{proofs(expired(proof(verified.ByName, 1, nc)))}, false, false},
		{"fault 3: proved without a factor", []change{proofs(withoutFactor(proof(verified.ByPassword, 1, nc)))}, false, false},
		{"proved without a factor, none is needed", []change{noFactor, proofs(withoutFactor(proof(verified.ByPassword, 1, nc)))}, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBind()
			for _, change := range tt.changes {
				change(b)
			}
			if got := Knows(&b.rules, &b.cred, nc, now); got != tt.here {
				t.Errorf("knows one here: %v, want %v", got, tt.here)
			}
			if got := KnowsCodes(&b.rules, &b.cred, now); got != tt.at {
				t.Errorf("knows one at all: %v, want %v", got, tt.at)
			}
		})
	}
}

func TestOnly(t *testing.T) {
	for _, tt := range []struct {
		name   string
		open   []Login
		one, n int
	}{
		{"none", nil, -1, 0},
		{"one", []Login{open(0, 1)}, 0, 1},
		{"one that lingers", []Login{stale(open(0, 1))}, 0, 1},
		{"several searches for it", []Login{open(0, 1), open(0, 1), open(0, 1)}, 0, 3},
		{"several that linger", []Login{stale(open(0, 1)), stale(open(0, 1))}, 0, 2},
		{"they differ", []Login{open(0, 1), open(0, 1), open(2, 1)}, -1, 3},
		{"they differ from the first one on", []Login{open(0, 1), open(1, 2), open(1, 2)}, -1, 3},
		{"they differ and linger", []Login{stale(open(0, 1)), stale(open(1, 1))}, -1, 2},
		{"one is fresh", []Login{stale(open(0, 1)), open(1, 2), stale(open(2, 3))}, 1, 1},
		{"several are fresh", []Login{stale(open(0, 1)), open(1, 2), stale(open(0, 1)), open(1, 2)}, 1, 2},
		{"the fresh ones differ", []Login{stale(open(0, 1)), open(1, 2), open(2, 3)}, -1, 2},
	} {
		if one, n := Only(tt.open); one != tt.one || n != tt.n {
			t.Errorf("%s: %d, %d, want %d, %d", tt.name, one, n, tt.one, tt.n)
		}
	}
}
