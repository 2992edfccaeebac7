// Package bind decides who a connection is. A bind has three outcomes: it is
// granted, it is denied, or it cannot be told. They are kept apart because
// clients act on them: Nextcloud ends all sessions of a user whose bind was
// denied, and waits when it could not be told.
package bind

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/mfa"
	"ldapd/internal/verified"
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
	Peer     netip.Addr // of the other end of the connection: Addr, or the proxy that says so
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

	Book   *verified.Book // of verified binds; nil: none are kept
	Memory Memory         // when they answer
	Logins Logins         // nil: there are no login searches

	// Client says who binds from an address. One without a name, or nil: each
	// address is a client of its own.
	Client func(netip.Addr) Client
	// Synced returns when the directory was known to be what the backend has;
	// nil: it always is.
	Synced func() time.Time

	Limits  Limits
	Tallies Tallies // shared with other replicas; nil: there are none
	Key     []byte  // that the replicas share; nil: one of this process

	Log     *zap.Logger      // of what happens in the background; nil: none
	Metrics *Metrics         // nil: none
	Now     func() time.Time // nil: time.Now
}

// Client is a program that binds its users here.
type Client struct {
	Name string
	// PerUserKeys says that it encrypts with what stands in its password
	// field, so that no code may stand there.
	PerUserKeys bool
}

// Pipeline answers binds, each in the steps of Bind.
type Pipeline struct {
	Options
	sessions SessionKeeper // nil: the authenticator leaves none
	stamper  Stamper       // nil: the authenticator knows of no changes
	limiter  *limiter
	searches *searches
	renewals renewals

	ctx    context.Context // of what runs in the background
	cancel context.CancelFunc
	wg     sync.WaitGroup

	background atomic.Int64 // what runs there
}

// New returns a pipeline; Close it.
func New(o Options) *Pipeline {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Client == nil {
		o.Client = func(netip.Addr) Client { return Client{} }
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	p := &Pipeline{Options: o, limiter: newLimiter(o), searches: &searches{book: o.Book, now: o.Now, key: newKey()}}
	p.sessions, _ = o.Authenticator.(SessionKeeper)
	p.stamper, _ = o.Authenticator.(Stamper)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Close ends what runs in the background, and waits for it.
func (p *Pipeline) Close() {
	p.cancel()
	p.wg.Wait()
}

// Bind answers a request. The error is a *Denied (49 or 50), a *Limited (51), or an
// ldap.Error: 34 for what is no DN, 52 for all that could not be told.
//
// What memory answers is not held to the limits: there is nothing to guess, and
// whoever guesses a password must not lock its owner out.
func (p *Pipeline) Bind(ctx context.Context, req Request) (*Identity, error) {
	b, err := p.resolve(req)
	if err != nil {
		return nil, err
	}
	if err := p.takeApart(b); err != nil {
		return nil, err
	}
	g, ok, err := p.recall(b)
	if ok || err != nil {
		return b.identity(g, err)
	}
	if err := p.limiter.admit(ctx, p.limiter.count(b)); err != nil {
		return nil, err
	}
	g, ok, err = p.search(ctx, b)
	if !ok && err == nil {
		g, err = p.authenticate(ctx, b)
	}
	if err := p.settle(ctx, b, p.explain(b, err)); err != nil {
		p.leave(b, g)
		return nil, err
	}
	if b.right != nil {
		p.record(ctx, b, g)
	}
	if g.Username != "" {
		if b.account, b.known = b.dir.AccountByName(g.Username); !b.known {
			return nil, couldNotTell(errNotYet)
		}
	}
	return b.identity(g, nil)
}

// errNotYet is about a user who was made a moment ago.
var errNotYet = errors.New("the user is right, and not in the directory yet")

// login is a bind under way.
type login struct {
	req    Request
	client Client

	name    string // as the client wrote it, without a code
	code    Secret // on the name, in the DN or in a login search
	dir     Directory
	account directory.Account
	known   bool

	readings []reading
	guarded  bool // the password ends like a code, where none may stand

	// Of verified binds.
	key                        verified.Key
	passwordStamp, factorStamp string
	epoch                      uint64  // of the record, from before the authentication
	blind                      bool    // the store could not be asked
	open                       []Login // login searches
	looked                     bool    // for them
	paired                     bool    // one of them is what admits

	window *verified.Proof // would admit without the new code that the login has

	right *Attempt // the reading that was granted
	guess *Denied  // a second factor that was wrong, if the answer is that it cannot be told
}

// reading is one way to read a credential.
type reading struct {
	Attempt
	matched *verified.Credential // with this password
}

func (b *login) identity(g Granted, err error) (*Identity, error) {
	if err != nil {
		return nil, err
	}
	a := b.account
	return &Identity{UUID: a.UUID, Username: a.Username, Entry: a.DN, Base: a.Base, Search: g.Search, Source: g.Source, Factor: g.Factor}, nil
}

// resolve finds the user. One that does not exist goes all the way, as it must
// not be told from one whose password is wrong.
func (p *Pipeline) resolve(req Request) (*login, error) {
	b := &login{req: req, name: req.DN}
	dn, err := ldap.ParseDN(req.DN)
	if err != nil {
		return nil, err // 34
	}
	dir, err := p.Directory(dn)
	if err != nil {
		return nil, couldNotTell(err)
	}
	if dir == nil {
		return b, nil
	}
	name, ok := dir.LoginName(dn)
	if !ok {
		return b, nil
	}
	b.name, b.dir = name, dir
	if b.account, b.known = dir.AccountByName(name); b.known || !p.CodeInUsername {
		return b, nil
	}
	if head, code, ok := mfa.Split(name, p.Separator); ok {
		b.name, b.code = head, Secret(code)
		b.account, b.known = dir.AccountByName(head)
	}
	return b, nil
}

// takeApart finds the ways to read the credential, in the order to try them.
// Their number depends on nothing but the shape of the password and the
// client, so the time that they take tells nothing about the user.
func (p *Pipeline) takeApart(b *login) error {
	if len(b.req.Password) == 0 {
		// RFC 4513, section 5.1.2.
		return ldap.Errorf(ldap.ResultUnwillingToPerform, "unauthenticated bind: the password is empty")
	}
	b.client = p.clientAt(b.req.Addr)
	whole := Attempt{Name: b.name, Account: b.account, Known: b.known, Addr: b.req.Addr, Password: Secret(b.req.Password)}
	if b.code != "" {
		whole.Code, whole.CodeIn = b.code, InUsername
	}
	head, code, ends := mfa.Split(whole.Password, p.Separator)
	b.guarded = ends && b.client.PerUserKeys
	if ends && p.CodeInPassword && !b.guarded {
		split := whole
		split.Password, split.Code, split.CodeIn = head, code, InPassword
		b.readings = append(b.readings, reading{Attempt: split})
	}
	b.readings = append(b.readings, reading{Attempt: whole})
	return nil
}

// clientAt says who binds from an address.
func (p *Pipeline) clientAt(a netip.Addr) Client {
	c := p.Client(a)
	if c.Name == "" {
		c.Name = addressKey(a)
	}
	return c
}

// authenticate tries the readings. If all are denied, it tells of the one that
// came closest.
func (p *Pipeline) authenticate(ctx context.Context, b *login) (Granted, error) {
	taken, paired := p.pair(b)
	g, err := p.tryAll(ctx, b)
	if err == nil {
		return g, nil
	}
	var denied *Denied
	judged := errors.As(err, &denied) && denied.Reason.passwordRight()
	if paired && !judged {
		p.Logins.Return(taken) // no flow has judged the code
	}
	if (denied == nil || denied.Reason.factorWrong()) && p.windowOpen(b) {
		return p.byWindow(ctx, b, denied), nil
	}
	if !judged {
		return Granted{}, err
	}
	if !denied.Reason.factorWrong() || !b.several() && !b.blind {
		return Granted{}, denied
	}
	if denied.Reason.guess() {
		b.guess = denied
	}
	if b.several() {
		return Granted{}, p.undecided(b)
	}
	return Granted{}, couldNotTell(errBlind)
}

func (p *Pipeline) tryAll(ctx context.Context, b *login) (Granted, error) {
	var denied *Denied
	for i := range b.readings {
		r := &b.readings[i]
		g, err := p.Authenticator.Authenticate(ctx, r.Attempt)
		if err == nil {
			p.searches.forget(b.subject(), b.lookup(), r.Password)
			b.right = &r.Attempt
			return g, nil
		}
		if l := (*Limited)(nil); errors.As(err, &l) {
			return Granted{}, l
		}
		var d *Denied
		if !errors.As(err, &d) {
			return Granted{}, couldNotTell(err)
		}
		if d.Reason.passwordRight() {
			p.searches.forget(b.subject(), b.lookup(), r.Password)
		} else if r.matched != nil {
			p.forget(ctx, b.key, r.matched) // it was right once
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
func (p *Pipeline) explain(b *login, err error) error {
	var d *Denied
	if !errors.As(err, &d) {
		return err
	}
	if b.guarded { // whoever it is and whatever is wrong, or the text would tell
		told := *d
		told.guarded = true
		if d.Reason == WrongPassword {
			told.Reason = CodeGuarded
		}
		return &told
	}
	if p.CodeInPassword || d.Reason != WrongPassword {
		return err
	}
	if _, _, ok := mfa.Split(b.readings[0].Password, p.Separator); ok {
		return &Denied{Reason: CodeInSecret, Final: d.Final}
	}
	return err
}

// settle counts a denied bind, and returns what the client is told. What could
// not be told counts nowhere, unless a guess at the second factor is behind it.
// A bind that was under way when others reached the limit is held to it too, or
// parallel guesses would be free.
func (p *Pipeline) settle(ctx context.Context, b *login, err error) error {
	denied := b.guess
	if err != nil && !errors.As(err, &denied) && denied == nil {
		return err
	}
	if limited := p.limiter.settle(ctx, p.limiter.count(b), denied); limited != nil {
		return limited
	}
	return err
}

// subject names the user where failures are counted, whichever name was used,
// or the name that nobody has.
func (b *login) subject() string {
	if b.known {
		return "user " + b.account.UUID
	}
	return "name " + string(ldap.Fold(nil, []byte(b.name)))
}
