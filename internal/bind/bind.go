// Package bind decides who a connection is. A bind has three outcomes: it is
// granted, it is denied, or it cannot be told. They are kept apart because
// clients act on them: Nextcloud ends all sessions of a user whose bind was
// denied, and waits when it could not be told.
package bind

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/mfa"
)

// Directory finds the user that a bind DN means.
type Directory interface {
	// LoginName returns the name that the DN asks for; not ok if it is no
	// DN of a user.
	LoginName(dn ldap.DN) (name string, ok bool)
	// AccountByName finds a user. For a name that nobody has it returns an
	// account with the Base only.
	AccountByName(name string) (directory.Account, bool)
}

// Request is a simple bind with a name and a password.
type Request struct {
	DN       string
	Password []byte
	Addr     netip.Addr // of the client; the zero value counts as one address
}

// Identity is who a connection is bound as.
type Identity struct {
	UUID     string
	Username string
	Entry    string // DN of the user's entry
	Base     string // base DN of the user's tree
	Search   bool   // may read the whole directory

	Source Source // how the bind was granted, for the log
	Factor Factor
}

// DN returns the DN of the user's entry.
func (i *Identity) DN() string { return i.Entry }

// Options make a Pipeline.
type Options struct {
	// Directory returns the tree that a DN belongs to, as it is at the
	// moment; nil if it belongs to none. The error says that this cannot be
	// told, because no tree was loaded yet.
	Directory     func(dn ldap.DN) (Directory, error)
	Authenticator Authenticator

	// Where a one-time code may stand, and what separates it from what it
	// stands behind.
	CodeInPassword bool
	CodeInUsername bool
	Separator      string

	Limits Limits
	Now    func() time.Time // nil: time.Now
}

// Pipeline answers binds, each in the steps of Bind.
type Pipeline struct {
	Options
	recaller Recaller // nil: the authenticator remembers nothing
	limiter  *limiter
}

// New returns a pipeline.
func New(o Options) *Pipeline {
	if o.Now == nil {
		o.Now = time.Now
	}
	recaller, _ := o.Authenticator.(Recaller)
	return &Pipeline{Options: o, recaller: recaller, limiter: newLimiter(o.Limits, o.Now)}
}

// Bind answers a request. The error is a *Denied (49 or 50), a *Limited (51), or an
// ldap.Error: 34 for what is no DN, 52 for all that could not be told.
func (p *Pipeline) Bind(ctx context.Context, req Request) (*Identity, error) {
	who, err := p.resolve(req.DN)
	if err != nil {
		return nil, err
	}
	attempts, err := p.takeApart(who, req)
	if err != nil {
		return nil, err
	}
	if g, ok := p.recall(attempts); ok {
		return who.identity(g), nil // not even counted: nothing to guess here
	}
	count := p.limiter.count(who, req)
	if err := p.limiter.admit(count); err != nil {
		return nil, err
	}
	g, err := p.authenticate(ctx, attempts)
	if err := p.record(count, p.explain(attempts, err)); err != nil {
		return nil, err
	}
	if g.Username != "" {
		if who.account, who.known = who.dir.AccountByName(g.Username); !who.known {
			return nil, couldNotTell(errNotYet)
		}
	}
	return who.identity(g), nil
}

// errNotYet is about a user who was made a moment ago.
var errNotYet = errors.New("the user is right, and not in the directory yet")

// subject is who a bind DN asks for.
type subject struct {
	name    string // as the client wrote it, without a code
	code    Secret // on the login name
	dir     Directory
	account directory.Account
	known   bool
}

func (s subject) identity(g Granted) *Identity {
	a := s.account
	return &Identity{UUID: a.UUID, Username: a.Username, Entry: a.DN, Base: a.Base, Search: g.Search, Source: g.Source, Factor: g.Factor}
}

// resolve finds the user. One that does not exist goes all the way, as it must
// not be told from one whose password is wrong.
func (p *Pipeline) resolve(text string) (subject, error) {
	dn, err := ldap.ParseDN(text)
	if err != nil {
		return subject{}, err // 34
	}
	dir, err := p.Directory(dn)
	if err != nil {
		return subject{}, couldNotTell(err)
	}
	if dir == nil {
		return subject{name: text}, nil
	}
	name, ok := dir.LoginName(dn)
	if !ok {
		return subject{name: text}, nil
	}
	who := subject{name: name, dir: dir}
	if who.account, who.known = dir.AccountByName(name); who.known || !p.CodeInUsername {
		return who, nil
	}
	if head, code, ok := mfa.Split(name, p.Separator); ok {
		who.name, who.code = head, Secret(code)
		who.account, who.known = dir.AccountByName(head)
	}
	return who, nil
}

// takeApart returns the ways to read the credential, in the order to try them.
// Their number depends on nothing but the shape of the password, so the time
// that they take tells nothing about the user.
func (p *Pipeline) takeApart(who subject, req Request) ([]Attempt, error) {
	if len(req.Password) == 0 {
		// RFC 4513, section 5.1.2.
		return nil, ldap.Errorf(ldap.ResultUnwillingToPerform, "unauthenticated bind: the password is empty")
	}
	whole := Attempt{Name: who.name, Account: who.account, Known: who.known, Addr: req.Addr, Password: Secret(req.Password)}
	if who.code != "" {
		whole.Code, whole.CodeIn = who.code, InUsername
	}
	if p.CodeInPassword {
		if head, code, ok := mfa.Split(whole.Password, p.Separator); ok {
			split := whole
			split.Password, split.Code, split.CodeIn = head, code, InPassword
			return []Attempt{split, whole}, nil
		}
	}
	return []Attempt{whole}, nil
}

// recall looks for a reading that needs no authentication.
func (p *Pipeline) recall(attempts []Attempt) (Granted, bool) {
	if p.recaller == nil || !attempts[0].Known {
		return Granted{}, false
	}
	for _, a := range attempts {
		if g, ok := p.recaller.Recall(a); ok {
			return g, true
		}
	}
	return Granted{}, false
}

// authenticate tries the readings. If all are denied, it tells of the one that
// came closest.
func (p *Pipeline) authenticate(ctx context.Context, attempts []Attempt) (Granted, error) {
	var denied *Denied
	for _, a := range attempts {
		g, err := p.Authenticator.Authenticate(ctx, a)
		if err == nil {
			return g, nil
		}
		if l := (*Limited)(nil); errors.As(err, &l) {
			return Granted{}, l
		}
		var d *Denied
		if !errors.As(err, &d) {
			return Granted{}, couldNotTell(err)
		}
		if d.Final {
			return Granted{}, d
		}
		if denied == nil || d.Reason.passwordRight() && !denied.Reason.passwordRight() {
			denied = d
		}
	}
	return Granted{}, denied
}

// explain names the likely mistake of a user who put a code behind the
// password where none is taken.
func (p *Pipeline) explain(attempts []Attempt, err error) error {
	var d *Denied
	if p.CodeInPassword || !errors.As(err, &d) || d.Reason != WrongPassword {
		return err
	}
	if _, _, ok := mfa.Split(attempts[0].Password, p.Separator); ok {
		return &Denied{Reason: CodeInSecret, Final: d.Final}
	}
	return err
}

// record counts a denied bind, and returns what the client is told. What could
// not be told counts nowhere. A bind that was under way when others reached
// the limit is held to it too, or parallel guesses would be free.
func (p *Pipeline) record(c count, err error) error {
	var denied *Denied
	if err != nil && !errors.As(err, &denied) {
		return err
	}
	if limited := p.limiter.settle(c, denied); limited != nil {
		return limited
	}
	return err
}

// key names the subject where failures are counted: the user, whichever name
// was used, or the name that nobody has.
func (s subject) key() string {
	if s.known {
		return "user " + s.account.UUID
	}
	return "name " + string(ldap.Fold(nil, []byte(s.name)))
}
