// Package bind decides who a connection is. Read it from Pipeline.Bind on: each
// step takes values and returns values. What memory makes of a bind is decided
// by package policy; a backend answers where it must (package auth).
package bind

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/login"
	"ldapd/internal/policy"
	"ldapd/internal/turns"
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
	Peer     netip.Addr // of the proxy that named Addr; Addr or zero: there is none
}

// Identity is who a connection is bound as.
type Identity struct {
	UUID     string
	Username string
	Entry    string // DN of the user's entry
	Base     string // base DN of the user's tree
	Search   bool   // may read the whole directory, when it was bound

	Source auth.Source // how the bind was granted, for the log
	Factor auth.Factor
}

// DN returns the DN of the user's entry.
func (i *Identity) DN() string { return i.Entry }

// Options make a Pipeline.
type Options struct {
	// Directory returns the tree that a DN belongs to, as it is at the
	// moment; nil if it belongs to none. The error says that this cannot be
	// determined, because no tree was loaded yet.
	Directory     func(dn ldap.DN) (Directory, error)
	Authenticator auth.Authenticator

	CodeInPassword bool   // a one-time code may stand behind the password
	Separator      string // of a code and what it stands behind

	Book   *verified.Book // of verified binds; nil: none are kept
	Rules  policy.Rules   // when they answer; and whether a code may stand behind the name
	Logins *login.Tracker // nil: there are no login searches

	// Client says who binds from an address. One without a name, or nil: each
	// address is a client of its own.
	Client func(netip.Addr) Client
	// Synced returns when the directory was known to be what the backend has;
	// nil: it always is.
	Synced func() time.Time

	Limits  guard.Limits
	Tallies guard.Tallies    // shared with other replicas; nil: there are none
	Guesses guard.GuessStore // nil: they are not kept over a restart
	Key     []byte           // that the replicas share; nil: one of this process

	Log     *zap.Logger      // of what happens in the background; nil: none
	Metrics *Metrics         // nil: none
	Now     func() time.Time // nil: time.Now
	// Sleep waits for a time, or until ctx ends; nil: it does.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Client is a program that binds its users here.
type Client struct {
	Name string
	// PerUserKeys says that it encrypts with what stands in its password
	// field, so that no code may stand there.
	PerUserKeys bool

	named bool // by the configuration
}

// Pipeline answers binds, each in the steps of Bind.
type Pipeline struct {
	Options
	key      guard.Key
	sessions auth.SessionKeeper // nil: the authenticator leaves none
	stamper  auth.Stamper       // nil: the authenticator knows of no changes
	rights   auth.Rights        // nil: only binds tell who may search
	failures *guard.Failures
	guesses  *guard.Guesses
	pushes   *guard.Pushes
	lane     *guard.Lane
	flights  *guard.Flights[answer]
	searches *searches
	renewals renewals
	// strangers wait here: nobody knows whether what they ask for is worth it.
	strangers *turns.Queue

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
	if o.Sleep == nil {
		o.Sleep = guard.Sleep
	}
	key := guard.NewKey()
	if o.Key != nil {
		key = guard.DeriveKey(o.Key)
	}
	p := &Pipeline{
		Options: o, key: key,
		failures: guard.NewFailures(o.Limits, o.Tallies, o.Now),
		guesses:  guard.NewGuesses(o.Guesses, key, o.Now),
		pushes:   guard.NewPushes(key, o.Now),
		lane:     guard.NewLane(o.Now, o.Sleep),
		flights:  guard.NewFlights[answer](),
		searches: newSearches(o.Book, o.Now),

		strangers: turns.New(strangersAtATime, strangersOfOne),
	}
	p.sessions, _ = o.Authenticator.(auth.SessionKeeper)
	p.stamper, _ = o.Authenticator.(auth.Stamper)
	p.rights, _ = o.Authenticator.(auth.Rights)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Close ends what runs in the background, and waits for it.
func (p *Pipeline) Close() {
	p.cancel()
	p.wg.Wait()
}

// Waiting returns how many binds wait for memory on disk or the backend, for
// the metric; identical ones share one run.
func (p *Pipeline) Waiting() int { return p.flights.Waiting() }

// Strangers returns how many binds of users who are not at home wait for those
// from the same address, for the metric.
func (p *Pipeline) Strangers() int { return p.strangers.Waiting() }

// Bind answers a request. The error is an *auth.Denied (49 or 50), an
// *auth.Limited (51), or an ldap.Error: 34 for what is no DN, 52 for all that
// cannot be determined.
func (p *Pipeline) Bind(ctx context.Context, req Request) (*Identity, error) {
	w, err := p.resolve(req.DN)
	if err != nil {
		return nil, err
	}
	if len(req.Password) == 0 {
		// RFC 4513, section 5.1.2.
		return nil, ldap.Errorf(ldap.ResultUnwillingToPerform, "unauthenticated bind: the password is empty")
	}
	at := p.place(w, req.Addr, req.Peer)
	said := p.present(w, at, auth.Secret(req.Password))
	j := p.joining(w, at)
	defer j.end()
	slow, err := p.gate(ctx, w, at, j)
	var a answer
	if err == nil {
		a, err = p.answer(ctx, w, at, said, j, slow)
	}
	if err != nil {
		j.refused()
		return nil, p.explain(said, err)
	}
	return a.identity(), nil
}

// answer is who was granted, and how.
type answer struct {
	auth.Granted
	who who
	// paired says that a login search brought the code, so that it is the
	// answer to one bind only.
	paired bool
}

// identity is who a connection is bound as from now on.
func (a answer) identity() *Identity {
	acc := a.who.account
	return &Identity{
		UUID: acc.UUID, Username: acc.Username, Entry: acc.DN, Base: acc.Base,
		Search: a.Search, Source: a.Source, Factor: a.Factor,
	}
}

// gate refuses a bind beyond the limits, so that memory is no oracle; or, where
// the user is at home, slows it down, so that he is never locked out.
func (p *Pipeline) gate(ctx context.Context, w who, at place, j *joining) (slow bool, err error) {
	l := p.failures.Over(at.from)
	switch {
	case l == nil:
		return false, nil
	case !p.trusts(w, at):
		return false, l
	}
	j.look() // for the logins of when the bind came: those of a second later are others'
	if err := p.lane.Pause(ctx, at.from.User); err != nil {
		return true, undetermined(err)
	}
	return true, nil
}

// answer asks memory, and if that does not know, does the work, once for all
// binds that are the same.
func (p *Pipeline) answer(ctx context.Context, w who, at place, said said, j *joining, slow bool) (answer, error) {
	a, ok, err := p.recall(ctx, w, at, said, j)
	if ok || err != nil {
		return a, err
	}
	id := p.key.Digest("bind", w.subject(), w.account.Base, at.addr.String(), string(said.code), string(said.whole))
	for {
		a, first, err := p.flights.Do(ctx, id, func(ctx context.Context) (answer, error) {
			own := j.again()
			defer own.end()
			p.background.Add(1)
			defer p.background.Add(-1)
			return p.work(ctx, w, at, said, own, slow)
		})
		if first || err != nil {
			return a, classified(err)
		}
		// It was another's work, and a login search serves but one bind.
		b, ok, err := p.recall(ctx, w, at, said, j)
		if ok || err != nil {
			return b, err
		}
		if !a.paired && a.Factor != auth.FactorDuo { // a push is confirmed for one
			return a, nil
		}
	}
}

// Binds of users who are not at home that may be worked on at a time.
const (
	strangersAtATime = 256
	strangersOfOne   = 16 // from one address
)

// work answers a bind that memory does not know at once. It takes care of what
// follows from the answer. Who is at home has it done slowly beyond the limits,
// but done; others wait for those from the same address, and what was denied
// meanwhile counts.
func (p *Pipeline) work(ctx context.Context, w who, at place, said said, j *joining, slow bool) (a answer, err error) {
	switch {
	case slow && p.remembers(w, said):
		return p.workNow(ctx, w, at, said, j) // it is the code that is new, and codes have a limit of their own
	case slow:
		if err := p.lane.Turn(ctx, at.from.User); err != nil {
			return answer{}, err
		}
		return p.workNow(ctx, w, at, said, j)
	case p.trusts(w, at):
		return p.workNow(ctx, w, at, said, j)
	}
	busy := p.strangers.Do(ctx, guard.Network(at.addr), func() {
		if l := p.failures.OverAnywhere(ctx, at.from); l != nil {
			err = l
			return
		}
		a, err = p.workNow(ctx, w, at, said, j)
	})
	switch {
	case errors.Is(busy, turns.ErrBusy):
		return answer{}, &auth.Limited{Reason: auth.LimitAddress}
	case busy != nil:
		return answer{}, busy
	}
	return a, err
}

// remembers reports that memory knows a password.
func (p *Pipeline) remembers(w who, said said) bool {
	return p.Book != nil && w.known && slices.ContainsFunc(said.readings, func(r auth.Attempt) bool {
		c, _ := p.Book.Find(w.key, r.Password)
		return c != nil
	})
}

// workNow is work, when it is time.
func (p *Pipeline) workNow(ctx context.Context, w who, at place, said said, j *joining) (answer, error) {
	a, ok, err := p.recall(ctx, w, at, said, j) // others may have been faster
	if ok || err != nil {
		return a, err
	}
	found, err := p.search(ctx, w, at, said)
	if err != nil {
		return answer{}, err
	}
	if a, ok, err = p.consult(ctx, w, at, said, found, j); ok || err != nil {
		return a, err
	}
	return p.prove(ctx, w, at, said, found, j)
}

// classified makes 52 of an error that nobody classified.
func classified(err error) error {
	var denied *auth.Denied
	var limited *auth.Limited
	var answered *ldap.Error
	switch {
	case err == nil, errors.As(err, &denied), errors.As(err, &limited):
		return err
	case errors.As(err, &answered) && answered.Code == ldap.ResultUnavailable:
		return err
	}
	return undetermined(err)
}
