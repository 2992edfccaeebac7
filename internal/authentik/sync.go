package authentik

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"ldapd/internal/directory"
)

const (
	// overlap is how far behind a user may become visible that was saved: the
	// time of a transaction, and what the clocks of authentik's processes
	// differ by.
	overlap = 30 * time.Second
	// maxProbed is how many deleted users are searched for one by one, and
	// smallList how many users are rather read again.
	maxProbed = 8
	smallList = 5 * pageSize
	// maxChanged is how many changed users are read in turn. For more, all are
	// read, in parallel.
	maxChanged = 20 * pageSize
)

const (
	usersPath  = "core/users/"
	groupsPath = "core/groups/"
)

var (
	errNoUsers     = errors.New("authentik lists no users, not even the outpost's own: the token may lack the right to view them")
	errManyChanged = errors.New("more users changed than are read in turn")
	errManyGone    = errors.New("more users are gone than can be searched for")
)

// source reads users and groups.
type source struct {
	client   *Client
	count    func(endpoint string) // counts a request
	pageSize int                   // 0: pageSize
}

func usersQuery() url.Values {
	return url.Values{
		"ordering":       {"pk"},
		"include_groups": {"false"},
		"include_roles":  {"false"}, // since 2026.5; others ignore it
	}
}

// users reads all users. What is known of them shares its memory with the
// result.
func (s *source) users(ctx context.Context, known []directory.User) ([]directory.User, error) {
	all := scan[directory.User]{fetch: s.userPages(usersQuery(), known), compare: byPK, appends: true}
	users, err := all.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	if len(users) == 0 {
		return nil, errNoUsers
	}
	return users, nil
}

func (s *source) userPages(q url.Values, known []directory.User) func(context.Context, int) (page[directory.User], error) {
	return pages(s, usersPath, "users", q, func(u *User) (directory.User, error) {
		if u.PK == 0 || u.Username == "" {
			return directory.User{}, errors.New("a user without pk or name")
		}
		return convertUser(u, known), nil
	})
}

// saved reads the users, by PK, that were saved after a time of authentik's
// clock and are not known as they are, and perhaps others. Those saved a moment
// ago are among them each time; if that is more than a page, as after an
// import, their number must tell that nothing is new. It reports whether these
// are all: more may have been saved meanwhile.
func (s *source) saved(ctx context.Context, after time.Time, known []directory.User) (users []directory.User, complete bool, err error) {
	first, err := s.savedPages(after, known)(ctx, 1)
	if err != nil {
		return nil, false, fmt.Errorf("read changed users: %w", err)
	}
	if first.next == 0 {
		users = latest(first.results)
		return users, len(users) == first.count, nil
	}
	newest := after
	for i := range known {
		if t := known[i].Updated; t.After(newest) {
			newest = t
		}
	}
	users, _, err = s.walk(ctx, newest, known)
	if err != nil {
		return nil, false, err
	}
	count := 0
	for _, u := range merge(known, slices.Clone(users)) {
		if u.Updated.After(after) {
			count++
		}
	}
	if count == first.count {
		return users, true, nil
	}
	return s.walk(ctx, after, known)
}

// savedPages lists the users saved after a time, those saved last at the end.
func (s *source) savedPages(after time.Time, known []directory.User) func(context.Context, int) (page[directory.User], error) {
	q := usersQuery()
	q.Set("ordering", "last_updated")
	q.Set("last_updated__gt", after.UTC().Format("2006-01-02T15:04:05.000000Z"))
	return s.userPages(q, known)
}

// walk reads the users saved after a time in turn. What is saved again while it
// reads moves to the end, and the rest may be skipped; then they are not
// complete.
func (s *source) walk(ctx context.Context, after time.Time, known []directory.User) (users []directory.User, complete bool, err error) {
	fetch := s.savedPages(after, known)
	count := 0
	for number := 1; number > 0; {
		if number > maxChanged/pageSize {
			return nil, false, errManyChanged
		}
		p, err := fetch(ctx, number)
		if NotFound(err) {
			return latest(users), false, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("read changed users: %w", err)
		}
		if p.next != 0 && p.next <= number {
			return nil, false, fmt.Errorf("page %d is said to follow page %d", p.next, number)
		}
		users, count, number = append(users, p.results...), p.count, p.next
	}
	users = latest(users)
	return users, len(users) == count, nil
}

// latest sorts users by PK, and keeps of each what was saved last.
func latest(users []directory.User) []directory.User {
	slices.SortFunc(users, func(a, b directory.User) int {
		return cmp.Or(byPK(&a, &b), b.Updated.Compare(a.Updated))
	})
	return slices.CompactFunc(users, func(a, b directory.User) bool { return a.PK == b.PK })
}

// groups reads all groups, with the ids of their members.
func (s *source) groups(ctx context.Context) ([]memberGroup, error) {
	q := url.Values{
		"ordering":                {"pk"},
		"include_users":           {"false"},
		"include_children":        {"false"},
		"include_parents":         {"false"}, // since 2026.5, as the next
		"include_inherited_roles": {"false"},
	}
	all := scan[memberGroup]{
		fetch: pages(s, groupsPath, "groups", q, func(g *Group) (memberGroup, error) {
			if g.PK == "" {
				return memberGroup{}, errors.New("a group without pk")
			}
			return convertGroup(g), nil
		}),
		compare: byUUID,
	}
	groups, err := all.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	return groups, nil
}

// pages returns what fetches a page of a list and converts its elements.
func pages[A, B any](s *source, path, endpoint string, q url.Values, convert func(*A) (B, error)) func(context.Context, int) (page[B], error) {
	return func(ctx context.Context, number int) (page[B], error) {
		s.count(endpoint)
		p, err := fetchPage[A](ctx, s.client, path, q, number, cmp.Or(s.pageSize, pageSize))
		if err != nil {
			return page[B]{}, err
		}
		out := page[B]{next: p.next, count: p.count, results: make([]B, len(p.results))}
		for i := range p.results {
			if out.results[i], err = convert(&p.results[i]); err != nil {
				return page[B]{}, err
			}
		}
		return out, nil
	}
}

// newest returns the user that was saved last, and how many users there are.
// Its time is zero with versions before 2025.10, which don't tell.
func (s *source) newest(ctx context.Context) (User, int, error) {
	q := usersQuery()
	q.Set("ordering", "-last_updated")
	return s.one(ctx, q, 1)
}

// userCount returns how many users there are.
func (s *source) userCount(ctx context.Context) (int, error) {
	_, n, err := s.one(ctx, usersQuery(), 1)
	return n, err
}

// one reads the user at a place of a list, which counts from 1.
func (s *source) one(ctx context.Context, q url.Values, place int) (User, int, error) {
	s.count("users")
	p, err := fetchPage[User](ctx, s.client, usersPath, q, place, 1)
	if err != nil {
		return User{}, 0, fmt.Errorf("count users: %w", err)
	}
	if len(p.results) != 1 {
		return User{}, 0, errNoUsers
	}
	return p.results[0], p.count, nil
}

// withoutDeleted returns the users without those that are gone, as many as
// more are known than there are. The list has no ids only, but one user at a
// place costs little, and deleted users shift those behind them, so each is
// found by bisection.
func (s *source) withoutDeleted(ctx context.Context, users []directory.User, count int) ([]directory.User, error) {
	gone := len(users) - count
	if gone > maxProbed || len(users) <= smallList {
		return users, errManyGone
	}
	users = slices.Clone(users)
	for range gone {
		i, err := s.firstDeleted(ctx, users)
		if err != nil {
			return nil, err
		}
		users = slices.Delete(users, i, i+1)
	}
	return users, nil
}

// firstDeleted returns the place of the first user that is gone.
func (s *source) firstDeleted(ctx context.Context, users []directory.User) (int, error) {
	low, high := 0, len(users)-1
	for low < high {
		mid := (low + high) / 2
		u, _, err := s.one(ctx, usersQuery(), mid+1)
		switch {
		case NotFound(err):
			high = mid
		case err != nil:
			return 0, err
		case int64(u.PK) < users[mid].PK:
			return 0, errManyGone // one that is not known stands before
		case int64(u.PK) == users[mid].PK:
			low = mid + 1
		default:
			high = mid
		}
	}
	// The list may have changed meanwhile, and nobody is to be left out that
	// is there.
	s.count("user")
	var u User
	err := s.client.get(ctx, usersPath+strconv.FormatInt(users[low].PK, 10)+"/", nil, &u)
	switch {
	case NotFound(err):
		return low, nil
	case err != nil:
		return 0, fmt.Errorf("look for a deleted user: %w", err)
	}
	return 0, errManyGone
}

// horizon is a time of authentik's clock that has passed for certain. It goes
// on by itself, so that it does not stay behind where nothing is saved.
type horizon struct {
	at   time.Time // of authentik's clock
	seen time.Time // of ours
}

// now returns a time that is not after authentik's present one.
func (h *horizon) now(now time.Time) time.Time { return h.at.Add(max(0, now.Sub(h.seen))) }

// saw takes note of a time that authentik wrote.
func (h *horizon) saw(at, now time.Time) {
	if h.at.IsZero() || at.After(h.now(now)) {
		h.at, h.seen = at, now
	}
}
