package guard

import (
	"context"
	"slices"
	"sync"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/recent"
)

// What may be tried. Of a million codes some are good at a time: three of an
// authenticator app, and those that are remembered at the place, 16 at most. So
// whoever has a user's password and plays all day at all places gets in with
// 11 × 19 in a million, once in 4 784 days.
const (
	guessesADay = 10
	guessWindow = 24 * time.Hour
	maxGuesses  = 64 // of a user that are kept: many may be compared at once, before the password is known to be right
	codeDigits  = 6  // longer ones cannot be guessed
	// sameCode is for how long a wrong code may be compared again: the backend
	// may have refused it for having been asked too often.
	sameCode = time.Minute
)

// maxGuessed bounds the users whose guesses are kept: about 8 MiB if all of
// them are guessed at.
const maxGuessed = 1 << 13

// GuessStore keeps guesses over restarts, and shares them with replicas. Keys
// and secrets are digests.
type GuessStore interface {
	// Guess notes that a secret was tried under a key, unless it is among those
	// of the window already. It returns how many there are, and whether this
	// one is new.
	Guess(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, fresh bool, err error)
	// Guessed returns how many there are, and whether the secret is among them.
	Guessed(ctx context.Context, key, secret [16]byte, window time.Duration) (n int, seen bool, err error)
	// Forgive forgets those of a key.
	Forgive(ctx context.Context, key [16]byte) error
}

// Guesses are the wrong codes that came with the right password. A code counts
// before anybody compares it, or parallel guesses would be free, and it is taken
// back when it turns out right. One that was wrong does not count again for a
// day, and after a minute it is not compared again: it would be right some time.
//
// Replicas that share a store do not know what is under way at the other ones.
// So each lets one code of a user through at a time, after which it knows how
// many there were: of n replicas that are asked at the same instant each lets
// one more through than it should, at most.
//
// When so many were tried as may be in a day, no code of the user is compared
// any more at the homes where wrong ones came from, nor where he has none that is
// remembered.
type Guesses struct {
	store GuessStore // nil: none
	now   func() time.Time
	key   Key

	mu    sync.Mutex
	users recent.Map[Digest, *guessed]
}

// guessed is what was tried of one user with one password.
type guessed struct {
	name   string // for people
	all    []guess
	shared int       // how many the store knew of
	asked  time.Time // when it was asked
	known  time.Time // when it said so
	grown  time.Time // when that was more than before
	warned [AllTried + 1]time.Time
}

type guess struct {
	code, home Digest
	place      string // the home, for people
	at         time.Time
	wrong      bool // somebody compared it; else it is under way, or could not be compared
	over       bool // its bind is, and the store was asked to note it
	told       bool // the store has noted it
}

// NewGuesses returns a counter; store may be nil.
func NewGuesses(store GuessStore, key Key, now func() time.Time) *Guesses {
	return &Guesses{store: store, key: key, now: now, users: recent.NewMap[Digest, *guessed](maxGuessed)}
}

// Try is a code that comes with the right password.
type Try struct {
	User string // UUID
	Name string // of the user, for people
	// Stamp changes with the password. What was tried with another one does not
	// count: whoever guessed has the old one.
	Stamp string
	Code  auth.Secret
	Home  string // where the code is good if it is remembered
	Known bool   // one is remembered there
}

// Begin is called before a code is answered. match says that it is one that is
// remembered at its home. The error says that no code is answered there now,
// right or wrong; wrong, that this one was compared before. Otherwise, and
// unless it matches, the code counts from now on, until Right takes it back.
func (g *Guesses) Begin(t Try, match bool) (wrong bool, limited *auth.Limited) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if match && g.users.Len() == 0 {
		return false, nil // nobody guesses
	}
	user, code, home := g.digests(t)
	u, _ := g.users.Get(user)
	now := g.now()
	if u == nil {
		u = &guessed{}
	}
	u.expire(now)
	if u.underWay(code) {
		return false, nil // it counts already
	}
	if u.closed(home, t.Known) {
		return false, &auth.Limited{Reason: auth.LimitCode}
	}
	if match {
		return false, nil
	}
	if g.store != nil && u.busy(now) && !u.clean(home, t.Known, code) {
		return false, &auth.Limited{Reason: auth.LimitCode}
	}
	u.name = t.Name
	g.users.Put(user, u)
	if i := u.index(code); i >= 0 {
		return len(t.Code) == codeDigits && now.Sub(u.all[i].at).Abs() >= sameCode, nil
	}
	u.all = append(u.all, guess{code: code, home: home, place: t.Home, at: now})
	return false, nil
}

// Elsewhere asks what other replicas and this one before its restart counted:
// for a code that counts, and else once in a while. It is Begin for what they
// know.
func (g *Guesses) Elsewhere(ctx context.Context, t Try) *auth.Limited {
	if g.store == nil {
		return nil
	}
	user, code, home := g.digests(t)
	g.mu.Lock()
	u, _ := g.users.Get(user)
	now := g.now()
	ask := u != nil && (u.underWay(code) || now.Sub(u.asked).Abs() >= minute)
	g.mu.Unlock()
	if u == nil {
		return nil
	}
	if ask {
		_ = g.look(ctx, user, u) // what is known already holds
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if u.shared >= guessesADay && !u.clean(home, t.Known, code) {
		return &auth.Limited{Reason: auth.LimitCode}
	}
	return nil
}

// Right takes back a code that turned out right.
func (g *Guesses) Right(t Try) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.users.Len() == 0 {
		return // nobody guesses
	}
	user, code, _ := g.digests(t)
	if u, ok := g.users.Get(user); ok {
		u.all = slices.DeleteFunc(u.all, func(o guess) bool { return o.code == code && !o.wrong })
	}
}

// Wrong says that a code with the right password was compared with those of the
// moment, and is none. It counts, also if nobody knew before that the password is
// right. It reports that with it as many were tried as may be.
func (g *Guesses) Wrong(ctx context.Context, t Try) (last bool) {
	user, code, home := g.digests(t)
	g.mu.Lock()
	u, _ := g.users.Get(user)
	if u == nil {
		u = &guessed{}
	}
	u.name = t.Name
	g.users.Put(user, u)
	if i := u.index(code); i >= 0 {
		u.all[i].wrong = true
	} else if len(u.all) < maxGuesses {
		u.all = append(u.all, guess{code: code, home: home, place: t.Home, at: g.now(), wrong: true, over: true})
	}
	g.mu.Unlock()
	return g.share(ctx, t)
}

// Unknown says that a code that counts could not be compared with those of the
// moment. It was with those that are remembered. One that does not count, since
// nobody said that its password is right, counts no more than before.
func (g *Guesses) Unknown(ctx context.Context, t Try) (last bool) { return g.share(ctx, t) }

// share tells the store of a code that counts, and learns what it knows.
func (g *Guesses) share(ctx context.Context, t Try) (last bool) {
	user, code, _ := g.digests(t)
	g.mu.Lock()
	u, _ := g.users.Get(user)
	counts := u != nil && u.index(code) >= 0
	g.mu.Unlock()
	if !counts {
		return false
	}
	n, fresh := 0, true
	if g.store != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
		defer cancel()
		var err error
		if n, fresh, err = g.store.Guess(ctx, user, code, guessWindow); err != nil {
			n, fresh = 0, true
		}
	}
	told := n > 0
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := u.index(code); i >= 0 {
		u.all[i].over, u.all[i].told = true, told
	}
	if told {
		u.share(n, g.now())
	}
	return fresh && u.total() == guessesADay
}

func (g *Guesses) user(user, stamp string) Digest { return g.key.Digest("guesses", user, stamp) }

func (g *Guesses) digests(t Try) (user, code, home Digest) {
	return g.user(t.User, t.Stamp), g.key.Digest("code", t.User, string(t.Code)), g.key.Digest("home", t.Home)
}

// expire forgets what was tried a day ago. A clock that was set back must not
// keep it for ever.
func (u *guessed) expire(now time.Time) {
	u.all = slices.DeleteFunc(u.all, func(o guess) bool { return now.Sub(o.at).Abs() >= guessWindow })
	if now.Sub(u.known).Abs() >= guessWindow {
		u.shared = 0
	}
}

func (u *guessed) index(code Digest) int {
	return slices.IndexFunc(u.all, func(o guess) bool { return o.code == code })
}

// total returns how many were tried: those that the store knows of, and those
// that it was not told of yet.
func (u *guessed) total() int {
	n := u.shared
	for i := range u.all {
		if !u.all[i].told {
			n++
		}
	}
	return max(n, len(u.all))
}

// busy reports that a code is under way.
func (u *guessed) busy(now time.Time) bool {
	return slices.ContainsFunc(u.all, func(o guess) bool { return !o.over && now.Sub(o.at).Abs() < minute })
}

// underWay reports that a code was let through, and that nobody has said yet
// that it is wrong.
func (u *guessed) underWay(code Digest) bool {
	i := u.index(code)
	return i >= 0 && !u.all[i].wrong
}

// closed reports that no further code is compared at a home.
func (u *guessed) closed(home Digest, known bool) bool {
	return u.total() >= guessesADay && !u.clean(home, known, Digest{})
}

// clean reports that a home is known, and that no code but the given one was
// tried there.
func (u *guessed) clean(home Digest, known bool, but Digest) bool {
	return known && !slices.ContainsFunc(u.all, func(o guess) bool { return o.home == home && o.code != but })
}
