package policy

import (
	"slices"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/login"
	"ldapd/internal/verified"
)

// User is what the directory and the backend know of a user at the moment.
type User struct {
	Active                     bool
	PasswordStamp, FactorStamp string // of auth.Stamper
}

// Presented is one reading of a credential, whose password is remembered.
type Presented struct {
	CodeIn auth.CodeIn
	Codes  []verified.Code // digests of its code; none: there is no code
	Client string          // name of the client, or its address
	Logins *Logins         // nil: nobody has looked yet
}

// Logins are the login searches that a bind may belong to, when it was looked
// for them.
type Logins struct {
	Open   []Login       // the oldest first
	Rivals int           // other binds that look for theirs
	Strays bool          // binds came without one lately
	Waited time.Duration // since the bind came
}

// Login is an open login search.
type Login struct {
	Group int             // the same number for the same login
	Codes []verified.Code // digests of its code; none: there is no code
	Home  string
	Fresh bool // its bind may be on its way
}

// Do is what follows from a decision.
type Do uint8

const (
	Prove     Do = iota // ask the backend with what was presented
	Admit               // answer with 0
	Undecided           // answer with 52: the password is right, and which login it belongs to cannot be determined
	Reprove             // ask the backend whether the password is right still, then decide again
	Look                // look for login searches, then decide again
	Wait                // wait for Verdict.For, or until the login searches change, then look again
)

// Verdict is a decision.
type Verdict struct {
	Do Do
	// By is the proof that admits, if one was needed.
	By *verified.Proof
	// Window is a proof that would admit a bind without the new code that its
	// login has.
	Window *verified.Proof
	// Login is the index of the login search that the bind belongs to, -1 if it
	// belongs to none.
	Login int
	For   time.Duration
}

// Patience is how long a bind waits for others to finish that look for their
// logins as well.
const Patience = 10 * time.Second

// Decide says what to do with a bind whose password is remembered.
func Decide(r *Rules, u User, c *verified.Credential, p Presented, now time.Time) Verdict {
	d := decision{r: r, c: c, p: p, now: now}
	v := d.factor()
	doubted := Doubted(r, u, c, now)
	switch {
	case doubted && (v.Do == Admit || v.Do == Undecided):
		return Verdict{Do: Reprove, Login: -1}
	case doubted:
		v.Window = nil
	}
	return v
}

// Doubted reports that a password must be proved before memory answers for it.
func Doubted(r *Rules, u User, c *verified.Credential, now time.Time) bool {
	return c.Doubt || !u.Active ||
		c.PasswordStamp != u.PasswordStamp || c.FactorStamp != u.FactorStamp ||
		!now.Before(c.Told.Add(r.StaleFor)) ||
		!c.Factored && !now.Before(c.Proved.Add(r.MaxAge))
}

// Good returns a filter for the proofs that count at a time: those that have
// not expired, and where a factor is needed, prove one.
func Good(r *Rules, c *verified.Credential, now time.Time) func(*verified.Proof) bool {
	return func(f *verified.Proof) bool {
		return now.Before(r.Until(f)) && (!c.Factored || f.Factor != string(auth.FactorNone))
	}
}

// Knows reports that a code of the credential was proved at a home, so that
// further codes may be tried there when others used up what may be tried.
func Knows(r *Rules, c *verified.Credential, home string, now time.Time) bool {
	d := decision{r: r, c: c, now: now}
	return d.find(func(f *verified.Proof) bool { return f.Code.Key != "" && f.Home == home }) != nil
}

// KnowsCodes reports that there are logins by code with the password, wherever
// they were proved.
func KnowsCodes(r *Rules, c *verified.Credential, now time.Time) bool {
	d := decision{r: r, c: c, now: now}
	return d.find(func(f *verified.Proof) bool { return f.Code.Key != "" }) != nil
}

// decision is what Decide looks at.
type decision struct {
	r   *Rules
	c   *verified.Credential
	p   Presented
	now time.Time
}

func (d *decision) find(is func(*verified.Proof) bool) *verified.Proof {
	good := Good(d.r, d.c, d.now)
	for i := range d.c.Proofs {
		if f := &d.c.Proofs[i]; is(f) && good(f) {
			return f
		}
	}
	return nil
}

// proved returns the proof of a code at its home; nil if there is no code.
func (d *decision) proved(w verified.Way, codes []verified.Code, home string) *verified.Proof {
	return d.find(func(f *verified.Proof) bool {
		return f.Way == w && f.Code.Is(codes) && (f.Home == home || f.Home == "")
	})
}

var prove = Verdict{Do: Prove, Login: -1}

func admit(by *verified.Proof) Verdict { return Verdict{Do: Admit, By: by, Login: -1} }

// factor decides as if the password were beyond doubt.
func (d *decision) factor() Verdict {
	c, p := d.c, &d.p
	if p.CodeIn == auth.InPassword { // the string identifies itself
		f := d.proved(verified.ByPassword, p.Codes, HomeAt(p.Client))
		if f != nil && (d.r.Scope != ScopeOff || !c.Factored) {
			return admit(f)
		}
		return prove
	}
	if !c.Factored {
		return admit(nil)
	}
	if d.r.Scope == ScopeOff {
		return prove
	}
	if p.CodeIn == auth.InUsername {
		if f := d.proved(verified.ByName, p.Codes, HomeAt(p.Client)); f != nil {
			return admit(f)
		}
		return prove
	}
	if f := d.find(d.standing); f != nil {
		return d.inWindow(f)
	}
	if d.r.Scope != ScopeLogin {
		return prove
	}
	if p.Logins == nil {
		return Verdict{Do: Look, Login: -1}
	}
	return d.join()
}

// standing reports that a proof admits without a code.
func (d *decision) standing(f *verified.Proof) bool {
	switch {
	case f.Way == verified.ByItself, d.r.Scope == ScopeUser:
		return true
	case f.Way == verified.ByUnlock, d.r.Scope == ScopeClient:
		return f.Client == d.p.Client
	}
	return false
}

// inWindow is for a bind that a proof admits without a code. A new code of its
// login is worth a flow all the same: the login should outlive the proof.
func (d *decision) inWindow(f *verified.Proof) Verdict {
	if !d.r.CodeInUsername {
		return admit(f)
	}
	if d.p.Logins == nil {
		return Verdict{Do: Look, Login: -1}
	}
	open := d.p.Logins.Open
	one, _ := Only(open)
	if one < 0 || len(open[one].Codes) == 0 || d.proved(verified.ByName, open[one].Codes, open[one].Home) != nil {
		return admit(f)
	}
	return Verdict{Do: Prove, Window: f, Login: one}
}

// join decides for a bind whose code stands in a login search, if it has one.
func (d *decision) join() Verdict {
	in := d.p.Logins
	all := due(in.Open)
	if len(all) == 0 {
		// Of a login that sends its name each time, or by a client that
		// remembers what it found for the name.
		if d.find(func(f *verified.Proof) bool { return f.Way == verified.ByName }) != nil {
			return Verdict{Do: Undecided, Login: -1}
		}
		return prove
	}
	by := d.all(all, in.Open)
	one, _ := Only(in.Open)
	more := in.Rivals >= len(all) // binds than logins
	switch {
	case by == nil && one < 0 && in.Waited < Patience: // they differ
		return Verdict{Do: Wait, For: Patience - in.Waited, Login: -1}
	case by == nil && one < 0:
		return Verdict{Do: Undecided, Login: -1}
	case (more || in.Strays) && in.Waited < login.Hold:
		return Verdict{Do: Wait, For: login.Hold - in.Waited, Login: -1}
	case more:
		return Verdict{Do: Undecided, Login: -1}
	case by == nil:
		return Verdict{Do: Prove, Login: one}
	}
	return Verdict{Do: Admit, By: by, Login: all[len(all)-1]}
}

// all returns the proof of the newest of some logins, if the codes of all of
// them are proved. Then it does not matter to which one the bind belongs: if it
// takes that of a later bind, that one finds its.
func (d *decision) all(which []int, open []Login) (newest *verified.Proof) {
	for _, i := range which {
		if newest = d.proved(verified.ByName, open[i].Codes, open[i].Home); newest == nil {
			return nil
		}
	}
	return newest
}

// due returns the indices of the login searches whose bind may be on its way:
// the fresh ones, or if there are none, all.
func due(open []Login) (all []int) {
	fresh := slices.ContainsFunc(open, func(l Login) bool { return l.Fresh })
	for i, l := range open {
		if l.Fresh || !fresh {
			all = append(all, i)
		}
	}
	return all
}

// Only returns the index of the one login that a bind can belong to, and how
// many searches there are for it; -1 if there are several logins. Where some
// are fresh, it is one of those.
func Only(open []Login) (one, n int) {
	all := due(open)
	for _, i := range all {
		if open[i].Group != open[all[0]].Group {
			return -1, len(all)
		}
	}
	if len(all) == 0 {
		return -1, 0
	}
	return all[0], len(all)
}
