package authentik

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/certs"
	"ldapd/internal/directory"
)

// The versions of the API that can be told apart.
const (
	Version2025_6  = "2025.6"
	Version2025_10 = "2025.10"
	Version2026_5  = "2026.5"
)

// ErrNoProvider is the error of an outpost without an LDAP provider that is
// attached to an application.
var ErrNoProvider = errors.New("the outpost has no LDAP provider with an application")

// progress is a step of a refresh: an error, settings, or users.
type progress struct {
	err          error
	settingsRead bool // the error is of the users, so the settings were read

	settings *settings
	named    []certs.Named
	certErr  error

	loaded *loaded
}

// loaded is all users, from a time on while they were read.
type loaded struct {
	users []directory.User
	at    horizon // when reading began
	took  time.Duration
}

// refresh reads everything but the groups beside what Run does. The steps come
// through the channel, which is closed after the last one.
func (c *Controller) refresh(ctx context.Context, wg *sync.WaitGroup) <-chan progress {
	var known []directory.User
	if c.mirror != nil {
		known = c.mirror.users
	}
	steps := make(chan progress, 2) // never blocks
	wg.Go(func() {
		defer close(steps)
		p, err := c.readSettings(ctx)
		if err != nil {
			steps <- progress{err: err}
			return
		}
		steps <- p
		l, err := c.readUsers(ctx, known)
		if err != nil {
			steps <- progress{err: err, settingsRead: true}
			return
		}
		steps <- progress{loaded: l}
	})
	return steps
}

func (c *Controller) readSettings(ctx context.Context) (progress, error) {
	s := &settings{}
	var err error
	c.o.Metrics.request("outposts")
	if s.outpost, err = c.o.Client.Outpost(ctx); err != nil {
		return progress{}, fmt.Errorf("read the outpost: %w", err)
	}
	c.o.Metrics.request("providers")
	if s.providers, err = c.o.Client.Providers(ctx); err != nil {
		return progress{}, fmt.Errorf("read the providers: %w", err)
	}
	if len(s.providers) == 0 {
		return progress{}, ErrNoProvider
	}
	if s.generation, err = c.generation(ctx); err != nil {
		return progress{}, err
	}
	p := progress{settings: s}
	if c.o.Certificates != nil {
		p.named, p.certErr = c.keys.update(ctx, s.providers)
	}
	return p, nil
}

func (c *Controller) generation(ctx context.Context) (string, error) {
	c.o.Metrics.request("config")
	root, err := c.o.Client.RootConfig(ctx)
	if err != nil {
		return "", fmt.Errorf("read the configuration: %w", err)
	}
	u, _, err := c.source.newest(ctx)
	if err != nil {
		return "", err
	}
	return generation(root, &u), nil
}

// generation tells the version by what it has: authentik names it nowhere.
func generation(root RootConfig, u *User) string {
	switch {
	case u.LastUpdated.IsZero():
		return Version2025_6
	case root.CacheTimeoutReputation != nil:
		return Version2025_10
	}
	return Version2026_5
}

// Generation asks authentik for what tells its version: Version2025_6 stands
// for that and before, Version2025_10 for that up to 2026.5, Version2026_5 for
// that and later.
func (c *Client) Generation(ctx context.Context) (string, error) {
	root, err := c.RootConfig(ctx)
	if err != nil {
		return "", err
	}
	s := source{c, func(string) {}, 0}
	u, _, err := s.newest(ctx)
	if err != nil {
		return "", err
	}
	return generation(root, &u), nil
}

// readUsers reads all users. Groups are read at the end, by adopt.
func (c *Controller) readUsers(ctx context.Context, known []directory.User) (*loaded, error) {
	start := c.o.Now()
	l := &loaded{}
	newest, _, err := c.source.newest(ctx)
	if err != nil {
		return nil, err
	}
	if !newest.LastUpdated.IsZero() {
		l.at.saw(newest.LastUpdated.Time, c.o.Now())
	}
	if l.users, err = c.source.users(ctx, known); err != nil {
		return nil, err
	}
	l.took = c.o.Now().Sub(start)
	return l, nil
}

// adopt makes the users that were read the ones that are served, after a look
// at what changed meanwhile.
func (c *Controller) adopt(ctx context.Context, l *loaded) error {
	if c.mirror != nil {
		if err := c.believe("users", len(c.mirror.users), len(l.users)); err != nil {
			return err
		}
	}
	now := c.o.Now()
	d := delta{users: l.users, all: true}
	if !l.at.at.IsZero() {
		c.horizon.saw(l.at.at, l.at.seen)
		d.from = l.at.at.Add(-overlap)
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	c.reload = false
	if err := c.advance(ctx, &d); err != nil {
		return err
	}
	m := newMirror(d.users, d.groups)
	if c.mirror == nil || !m.equal(c.mirror) {
		c.mirror, c.unsaved = m, true
	}
	c.live = true
	c.succeeded("full", now)
	c.publish()
	c.keep()
	c.log.Info("authentik read", zap.Int("users", len(m.users)), zap.Int("groups", len(m.groups)),
		zap.String("version", c.settings.generation), zap.Duration("took", l.took+c.o.Now().Sub(now)))
	return nil
}

// errDoubted is the error of a list that lost so much that rather the token
// lost a right.
var errDoubted = errors.New("more than half are gone, which is believed only if it stays so for the refresh interval")

// believe refuses a list that lost more than half of what it had, and more
// than ten, until that was so for the refresh interval of the outpost. An
// empty list of users is never believed: see errNoUsers.
func (c *Controller) believe(what string, had, has int) error {
	if has >= had/2 || had-has <= 10 {
		delete(c.doubts, what)
		return nil
	}
	now := c.o.Now()
	since, ok := c.doubts[what]
	if !ok {
		c.doubts[what] = now
	}
	if !ok || now.Sub(since) < c.settings.outpost.RefreshInterval() {
		return fmt.Errorf("%d %s instead of %d: %w", has, what, had, errDoubted)
	}
	return nil
}
