package economy

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/bind"
	"ldapd/internal/cache"
	"ldapd/internal/ldap"
	"ldapd/internal/login"
	"ldapd/internal/policy"
	"ldapd/internal/verified"
	"ldapd/internal/verified/keyring"
)

// maxAge is cache.max_age and mfa.remember.for.
const maxAge = 30 * 24 * time.Hour

// begin is when the simulation starts, a midnight.
var begin = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

// nextcloud is where all binds come from.
var nextcloud = netip.MustParseAddr("192.0.2.1")

// world is a simulation: one thing happens after the other.
type world struct {
	Report
	every time.Duration // of Options
	agenda
	*rand.Rand
	seconds atomic.Int64 // the time, since 1970
	end     time.Time
	people  []*person

	backend        *backend
	book           *verified.Book
	logins         *login.Tracker
	pipeline       *bind.Pipeline
	cached, direct outpost
	conns          uint64
}

// newWorld makes the part of the users whose number leaves the given rest.
func newWorld(ctx context.Context, o Options, rest, parts int) (*world, error) {
	w := &world{every: o.Every, Rand: rand.New(rand.NewPCG(o.Seed, uint64(rest))), end: begin.AddDate(0, 0, o.Days)}
	w.seconds.Store(begin.Unix())
	w.cached = outpost{newAuthentik(o.Users, w.end), map[string]time.Time{}}
	w.direct = outpost{newAuthentik(o.Users, w.end), nil}
	w.backend = &backend{
		now: w.now, people: map[string]*person{}, authentik: newAuthentik(o.Users, w.end), sessions: map[string]time.Time{},
	}
	for i := rest; i < o.Users; i += parts {
		name := fmt.Sprintf("user%06d", i)
		p := &person{
			id: i, name: name, dn: "cn=" + name + ",ou=users," + base, password: "password of " + name,
			factor: factorOf(i), wakes: 5*time.Hour + within(w.Rand, 3*time.Hour),
		}
		w.people = append(w.people, p)
		w.backend.people[name] = p
	}
	var key [32]byte
	keys, err := keyring.Parse(hex.EncodeToString(key[:]), nil)
	if err != nil {
		return nil, err
	}
	if w.book, err = verified.Open(ctx, verified.Options{Store: cache.NewMemory(w.now), Keys: keys, Now: w.now}); err != nil {
		return nil, err
	}
	w.logins = login.New(w.now)
	w.pipeline = bind.New(bind.Options{ // with the defaults of ldapd.example.yaml
		Directory:      func(ldap.DN) (bind.Directory, error) { return w.backend, nil },
		Authenticator:  w.backend,
		CodeInPassword: true, Separator: ";",
		Book:   w.book,
		Logins: w.logins,
		Rules: policy.Rules{
			Reprove: 12 * time.Hour, Access: time.Hour, StaleFor: 7 * 24 * time.Hour, MaxAge: maxAge,
			Scope: policy.ScopeLogin, Remember: maxAge, CodeInUsername: true,
		},
		Limits: guard.Limits{FailuresPerUser: 10, FailuresPerAddress: 300},
		Now:    w.now,
	})
	return w, nil
}

func (w *world) close() { w.pipeline.Close() }

func (w *world) now() time.Time { return time.Unix(w.seconds.Load(), 0).UTC() }

// run lets the days pass.
func (w *world) run(ctx context.Context) (Report, error) {
	for _, p := range w.people {
		for range syncClients {
			c := &client{person: p, every: w.every}
			if w.IntN(100) < pollers {
				c.every = w.every / polls
			}
			w.plan(begin.Add(p.wakes+within(w.Rand, time.Hour)), func(now time.Time) error { return w.login(ctx, c, now) })
		}
	}
	w.plan(begin, func(now time.Time) error { return w.midnight(ctx, now) })
	w.plan(begin.Add(expiry), w.expire)
	for {
		e := w.next()
		if !e.at.Before(w.end) {
			break
		}
		w.seconds.Store(e.at.Unix())
		if err := e.do(e.at); err != nil {
			return Report{}, err
		}
	}
	w.seconds.Store(w.end.Unix())
	w.endDay()
	w.backend.expire()
	w.Cached, w.Direct = w.cached.cost(w.Cached), w.direct.cost(w.Direct)
	w.Ldapd = w.backend.authentik.cost(w.Ldapd)
	w.Ldapd.Sessions = len(w.backend.sessions) // the others end none
	w.Access = w.backend.access
	return w.Report, nil
}

// cost adds what authentik counted.
func (a *authentik) cost(c Cost) Cost {
	c.Flows, c.Events, c.Sessions = a.flows, a.events, a.alive
	return c
}

// midnight ends a day and plans the next: everybody logs in with a browser,
// and some change the password.
func (w *world) midnight(ctx context.Context, now time.Time) error {
	w.endDay()
	w.pipeline.Sweep(ctx)
	for _, p := range w.people {
		visitor := &client{person: p, every: w.every}
		w.plan(now.Add(p.wakes+within(w.Rand, awake-visit)), func(now time.Time) error {
			visitor.until = now.Add(visit)
			return w.login(ctx, visitor, now)
		})
		if w.IntN(100) < changes {
			w.plan(now.Add(p.wakes+within(w.Rand, awake)), func(time.Time) error {
				p.changed++
				p.password = fmt.Sprintf("password %d of %s", p.changed, p.name)
				return nil
			})
		}
	}
	w.plan(now.AddDate(0, 0, 1), func(now time.Time) error { return w.midnight(ctx, now) })
	return ctx.Err()
}

func (w *world) endDay() {
	for _, p := range w.people {
		w.Most = max(w.Most, p.flows-p.reasons)
		p.flows, p.reasons = 0, 0
	}
}

// expire is authentik's clean-up, which it tells of.
func (w *world) expire(now time.Time) error {
	for _, hash := range w.backend.expire() {
		w.pipeline.SessionEnded(hash)
	}
	w.settle()
	w.plan(now.Add(expiry), w.expire)
	return nil
}

// login has somebody type what is right now into a client. A code serves once,
// so the next login waits for the next.
func (w *world) login(ctx context.Context, c *client, now time.Time) error {
	if c.factor != none {
		if free := c.free.Add(2 * step); now.Before(free) {
			w.plan(free, func(now time.Time) error { return w.login(ctx, c, now) })
			return nil
		}
		c.free = now
		c.code = code(now)
	}
	if c.factor != none || c.proved != c.person.password {
		c.proved = c.person.password
		c.reasons++
		w.Logins++
	}
	c.password, c.login = c.person.password, now
	c.cachedLost, c.directLost = false, false
	return w.bind(ctx, c, now)
}

// bind is one check of a client's credential.
func (w *world) bind(ctx context.Context, c *client, now time.Time) error {
	if !c.until.IsZero() && now.After(c.until) {
		return nil
	}
	right := c.right(now)
	if right {
		w.Binds++
	} else {
		w.Wrong++
		c.reasons++
	}
	err := w.ask(ctx, c)
	var denied *auth.Denied
	switch {
	case errors.As(err, &denied) && right:
		w.Ldapd.Denied++
	case errors.As(err, &denied):
		if c.until.IsZero() { // Nextcloud has logged it out
			w.plan(now.Add(comeBack), func(now time.Time) error { return w.login(ctx, c, now) })
		}
	case err != nil:
		w.Undecided++
	case !right:
		return fmt.Errorf("%s was granted what is not right", c.name)
	}
	w.beside(c, now, right)
	if denied == nil || right {
		w.plan(c.later(now, w.Rand), func(now time.Time) error { return w.bind(ctx, c, now) })
	}
	return nil
}

// ask does what Nextcloud does: the service account looks the login name up,
// and the user binds on another connection.
func (w *world) ask(ctx context.Context, c *client) error {
	w.conns++
	conn := w.conns
	w.logins.Searched(conn, nextcloud, "uuid of the service account", &login.Search{
		Name: c.name, Code: auth.Secret(c.code), Base: base, User: uuid(c.person),
	}, nil)
	_, err := w.pipeline.Bind(ctx, bind.Request{DN: c.dn, Password: []byte(c.password), Addr: nextcloud})
	w.logins.Closed(conn)
	w.settle()
	return err
}

// settle waits for what runs in the background, since the clock stands still.
func (w *world) settle() {
	for !w.pipeline.Settled() {
		runtime.Gosched()
	}
}

// beside has authentik's outpost answer the same, with the code behind the
// password. Who is denied tries on, as if Nextcloud had not ended the login.
func (w *world) beside(c *client, now time.Time, right bool) {
	for _, o := range []struct {
		*outpost
		*Cost
		lost *bool
	}{{&w.cached, &w.Cached, &c.cachedLost}, {&w.direct, &w.Direct, &c.directLost}} {
		if o.bind(now, c.person, c.password, c.code) || !right {
			continue
		}
		o.Denied++
		if !*o.lost {
			*o.lost = true
			o.Lost++
		}
	}
}
