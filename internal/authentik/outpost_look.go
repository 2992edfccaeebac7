package authentik

import (
	"context"
	"errors"
	"slices"
	"time"

	"ldapd/internal/directory"
)

// fewGroups is how many groups are read at each look; more at every second.
const fewGroups = 4 * pageSize

// delta is users and groups on their way from one state to the next.
type delta struct {
	from   time.Time // changes since, by authentik's clock; zero: it cannot tell
	users  []directory.User
	groups []memberGroup
	all    bool // read the groups in any case

	changed bool
}

// look reads what changed since the last time.
func (c *Controller) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	now := c.o.Now()
	d := delta{from: c.from, users: c.mirror.users, groups: c.mirror.groups}
	err := c.advance(ctx, &d)
	if d.changed {
		if &d.users[0] == &c.mirror.users[0] {
			d.users = slices.Clone(d.users) // a refresh may be comparing with them
		}
		c.mirror, c.unsaved = newMirror(d.users, d.groups), true
	}
	if err != nil {
		c.failed("changes", err)
	} else {
		c.succeeded("changes", now)
	}
	if d.changed {
		c.publish()
	}
}

// advance brings users and groups up to date. After an error d is what could
// be read, each of the two either new or old.
func (c *Controller) advance(ctx context.Context, d *delta) error {
	now := c.o.Now()
	c.looks++
	if !d.from.IsZero() {
		complete, err := c.advanceUsers(ctx, d)
		if err != nil {
			return err
		}
		if complete {
			c.from = c.horizon.now(now).Add(-overlap)
		} else if d.all {
			c.from = d.from
		}
	}
	if !d.all && !d.changed && len(d.groups) > fewGroups && c.looks%2 == 0 {
		return nil
	}
	groups, err := c.source.groups(ctx)
	if err != nil {
		return err
	}
	if c.mirror != nil {
		if err := c.believe("groups", len(c.mirror.groups), len(groups)); err != nil {
			return err
		}
	}
	if !sameGroups(groups, d.groups) {
		d.groups, d.changed = groups, true
	}
	return nil
}

// advanceUsers reports whether all is known that was saved before it.
func (c *Controller) advanceUsers(ctx context.Context, d *delta) (complete bool, err error) {
	saved, complete, err := c.source.saved(ctx, d.from, d.users)
	if errors.Is(err, errManyChanged) {
		c.reload, err = true, nil
	}
	if err != nil {
		return false, err
	}
	now := c.o.Now()
	for i := range saved {
		c.horizon.saw(saved[i].Updated, now)
	}
	before := d.users
	d.users = merge(d.users, saved)
	d.changed = d.changed || len(d.users) != len(before) || &d.users[0] != &before[0]
	if !complete {
		return false, nil // so their number tells nothing
	}
	count, err := c.source.userCount(ctx)
	if err != nil {
		return false, err
	}
	if count >= len(d.users) {
		if count == len(d.users) {
			c.surplus = 0
		} else if c.surplus++; c.surplus == 2 { // not just created
			c.surplus, c.reload = 0, true
		}
		return true, nil
	}
	users, err := c.source.withoutDeleted(ctx, d.users, count)
	switch {
	case errors.Is(err, errManyGone):
		c.reload = true
	case err != nil:
		return false, err
	default:
		d.users, d.changed = users, true
	}
	return true, nil
}
