package login

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// desk is a Tracker whose clock stands still, and bob's searches and binds.
type desk struct {
	*Tracker
	t   *testing.T
	now time.Time
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, now: time.Unix(1e9, 0)}
	d.Tracker = New(func() time.Time { return d.now })
	return d
}

// search searches for bob, and returns the id of the search.
func (d *desk) search(conn uint64, code string) uint64 {
	d.Searched(conn, here, "nc", found("bob", "bob", code), nil)
	return d.last
}

func (d *desk) bind() *Bind { return d.Begin(d.Arrive(), here, "dc=x", "bob") }

// refused has a bind come that is refused.
func (d *desk) refused() {
	b := d.bind()
	defer b.End()
	b.Refused()
}

func (d *desk) sees(what string, b *Bind, want ...string) {
	d.t.Helper()
	if got := seen(b); !slices.Equal(got, want) {
		d.t.Errorf("%s: the bind sees %q, want %q", what, got, want)
	}
}

// wants fails unless a bind that comes now sees these logins.
func (d *desk) wants(what string, want ...string) {
	d.t.Helper()
	b := d.bind()
	defer b.End()
	d.sees(what, b, want...)
}

// What was searched for after a bind came cannot be its login.
func TestBindComesAfterItsSearch(t *testing.T) {
	d := newDesk(t)
	early := d.bind()
	d.search(1, "111111")
	b := d.bind()
	d.search(2, "222222")
	d.sees("before any search", early)
	d.sees("between two searches", b, "bob/111111")
	d.sees("the same, asked again", b.Again(), "bob/111111")
	d.wants("after both", "bob/222222") // the first one is that of b
	d.search(1, "111111")               // once more on its connection
	d.sees("its search replaced", b)
	d.wants("oldest first", "bob/222222", "bob/111111")
}

// Whatever takes its time before a bind's login is looked for, it is as of when
// it came.
func TestBindIsAsOfItsArrival(t *testing.T) {
	d := newDesk(t)
	d.search(1, "111111")
	came := d.Arrive()
	d.now = d.now.Add(1)
	d.search(2, "222222")
	d.bind().Stray()
	d.now = d.now.Add(freshFor)
	b := d.Begin(came, here, "dc=x", "bob")
	d.sees("a search came before it began", b, "bob/111111")
	if all, _ := b.Logins(); len(all) != 1 || !all[0].Fresh {
		t.Errorf("its search was not fresh when it came: %v", all)
	}
	if got := b.Rivals(); got != 1 {
		t.Errorf("%d rivals went without since it came, want 1", got)
	}
	d.wants("a bind that comes now, beside one that has its own", "bob/222222")
}

// A bind comes within milliseconds of its search. Whether that was so does not
// change while it waits.
func TestFresh(t *testing.T) {
	d := newDesk(t)
	fresh := func(what string, b *Bind, want ...bool) {
		t.Helper()
		all, _ := b.Logins()
		var got []bool
		for _, l := range all {
			got = append(got, l.Fresh)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	d.search(1, "111111")
	b := d.bind()
	d.now = d.now.Add(freshFor - 1)
	d.search(2, "222222")
	fresh("at the last moment", d.bind(), true, true)
	d.now = d.now.Add(1)
	fresh("too late beside a fresh one", d.bind(), true)
	d.now = d.now.Add(time.Hour)
	fresh("a bind that came long ago", b, true)
	fresh("entered again", b.Again(), true)
	fresh("much later", d.bind(), false, false)
}

// A bind that can be of one login only has it for its own, so that it is not in
// the way of others: a stranger's bind that waits for its answer does not keep
// the owner's waiting.
func TestOwn(t *testing.T) {
	t.Run("left out for others", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "666666")
		stranger := d.bind()
		d.sees("the stranger", stranger, "bob/666666")
		d.search(2, "123456")
		d.wants("the owner", "bob/123456")
		stranger.End()
		d.wants("when the stranger is gone", "bob/666666", "bob/123456")
	})
	t.Run("not if there are several", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "666666")
		d.search(2, "123456")
		b := d.bind()
		d.sees("one", b, "bob/666666", "bob/123456")
		d.wants("another", "bob/666666", "bob/123456")
		d.Closed(1)
		d.sees("when one is over", b, "bob/123456")
		d.search(1, "777777")
		d.wants("another then", "bob/777777")
	})
	t.Run("but if it is all there is", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "123456")
		poll := d.bind()
		d.sees("who polls without a search", poll, "bob/123456")
		d.wants("whose it is", "bob/123456")
	})
	t.Run("not with the right password", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "123456")
		thief := d.bind()
		d.sees("the thief", thief, "bob/123456")
		thief.Right()
		d.search(2, "")
		owner := d.bind()
		d.sees("the owner", owner, "bob/123456", "bob/")
		owner.Right()
		if thief.Rivals() != 1 || owner.Rivals() != 1 {
			t.Errorf("%d and %d rivals", thief.Rivals(), owner.Rivals())
		}
	})
	t.Run("not one that was granted before", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "123456")
		serve(d.Tracker, 1)
		d.search(1, "123456")
		poll := d.bind()
		d.sees("who polls", poll, "bob/123456")
		d.search(2, "666666")
		d.wants("the owner", "bob/123456", "bob/666666")
	})
	t.Run("both have one", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "111111")
		one := d.bind()
		d.sees("one", one, "bob/111111")
		d.search(2, "222222")
		two := d.bind()
		d.sees("the other", two, "bob/222222")
		one.Right()
		two.Right()
		if one.Rivals() != 0 || two.Rivals() != 0 {
			t.Errorf("%d and %d rivals", one.Rivals(), two.Rivals())
		}
	})
	t.Run("refused", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "666666")
		stranger := d.bind()
		d.sees("the stranger", stranger, "bob/666666")
		d.search(2, "123456")
		stranger.Refused()
		stranger.End()
		d.wants("it was his", "bob/123456")
	})
}

// What a bind is told of a login is what stood in its search.
func TestLogin(t *testing.T) {
	d := newDesk(t)
	id := d.search(1, "123456")
	all, _ := d.bind().Logins()
	want := Login{ID: id, Name: "bob", Code: "123456", Searcher: "nc", Fresh: true}
	if len(all) != 1 || all[0] != want {
		t.Errorf("%#v, want %#v", all, want)
	}
}

func TestTake(t *testing.T) {
	d := newDesk(t)
	take := func(what string, id uint64, want bool) {
		t.Helper()
		if got := take(d.Tracker, id); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	back := func(id uint64) { d.bind().Return(id) }
	take("what is not there", 1, false)
	d.search(1, "123456")
	take("a code", 1, true)
	take("a code again", 1, false)
	back(1)
	take("a code given back", 1, true)
	d.search(1, "123456")
	take("a code of a search that was replaced", 1, false)
	back(1)
	take("the same, given back", 1, false)
	d.now = d.now.Add(codeLife)
	take("a code in time", 2, true)
	back(2)
	d.now = d.now.Add(1)
	take("a code too late", 2, false)
	d.search(1, "123456")
	serve(d.Tracker, 3)
	take("a code after the bind", 3, false)
	d.search(2, "123456")
	take("a code after the bind, which another login waits for as well", 3, true)
	d.search(1, "")
	take("no code", d.last, false)
}

func TestServe(t *testing.T) {
	d := newDesk(t)
	served := func(what string, id uint64, want bool) {
		t.Helper()
		if got := serve(d.Tracker, id); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	served("what is not there", 1, false)
	d.search(1, "111111")
	served("a login", 1, true)
	served("the same", 1, false)
	d.search(2, "111111")
	d.search(3, "222222")
	served("another search for it", 1, true)
	d.wants("both served", "bob/222222")
	d.Closed(3)
	d.search(4, "111111")
	d.Closed(4) // one that served is over, and this may be it
	d.wants("one that served ended", "bob/111111")
	d.Closed(1)
	d.Closed(2)
	d.wants("all are over")

	d.search(1, "111111")
	early := d.bind()
	served("the search of a later bind", d.search(2, "111111"), true)
	d.sees("the earlier bind", early, "bob/111111")
	early.End()

	one, two := d.search(1, "111111"), d.search(2, "111111")
	served("one of two", one, true)
	served("the other by the same id", one, true)
	served("a third", one, false)
	if take(d.Tracker, one) || take(d.Tracker, two) {
		t.Error("a code is handed over after all binds")
	}
	d.search(1, "111111") // now there is one that serves, between two that do not
	d.search(3, "111111")
	d.Closed(3)
	d.wants("what ends is the one that served", "bob/111111", "bob/111111")
}

// A wrong password is of a login search as any other bind: one that lingers
// since its client is slowed down must not be in the way of the owner's. Who
// mistyped his password tries again with the same login, which is the bind's if
// there is no other.
func TestRefused(t *testing.T) {
	t.Run("the one login", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "666666")
		d.refused()
		d.wants("alone", "bob/666666")
		d.search(2, "123456")
		d.wants("another beside it", "bob/123456")
		d.search(3, "666666")
		d.wants("another search for it", "bob/123456")
		d.now = d.now.Add(refusedFor - 1)
		d.wants("to the last moment", "bob/123456")
		d.now = d.now.Add(1)
		d.wants("expired", "bob/666666", "bob/123456", "bob/666666")
	})
	t.Run("several, and no other", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "666666")
		d.refused()
		d.search(2, "777777")
		d.refused()
		d.wants("both may be tried again", "bob/666666", "bob/777777")
		b := d.bind()
		d.search(3, "123456")
		d.sees("the other came later than the bind", b, "bob/666666", "bob/777777")
		d.wants("the other came", "bob/123456")
		serve(d.Tracker, 3)
		d.wants("the other is served", "bob/666666", "bob/777777")
	})
	t.Run("for this user and address only", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "")
		d.refused()
		d.Searched(2, there, "nc", found("bob", "bob", ""), nil)
		d.Searched(3, there, "nc", found("bob", "bob", "123456"), nil)
		if got := expected(d.Tracker, there, "dc=x", "bob"); len(got) != 2 {
			t.Errorf("from another address: %q", got)
		}
	})
	t.Run("searches for the same login", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "666666")
		d.search(2, "666666")
		d.refused()
		d.wants("alone", "bob/666666", "bob/666666")
		d.search(3, "123456")
		d.wants("another beside them", "bob/123456")
	})
	t.Run("each of them has its own", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "666666")
		d.search(2, "666666")
		d.refused()
		serve(d.Tracker, d.search(3, "999999")) // when refusals are looked at again
		d.search(4, "123456")
		d.refused()
		d.wants("the second was of the second", "bob/123456")
	})
	t.Run("several logins", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "666666")
		d.search(2, "123456")
		d.refused()
		d.wants("none is marked", "bob/666666", "bob/123456")
	})
	t.Run("none", func(t *testing.T) {
		d := newDesk(t)
		b := d.bind()
		d.search(1, "123456") // later than the bind
		b.Refused()
		d.wants("nothing is marked", "bob/123456")
	})
	t.Run("never one that was granted", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "123456")
		serve(d.Tracker, 1)
		d.search(1, "123456")
		d.refused()
		d.wants("granted before", "bob/123456")
		d.search(2, "666666")
		d.refused()
		d.wants("so it was the other", "bob/123456")
		d.now = d.now.Add(goodFor - 1)
		d.Closed(2)
		d.refused()
		d.wants("to the last moment", "bob/123456")
		d.now = d.now.Add(1)
		d.refused()
		d.search(2, "777777")
		d.wants("long ago", "bob/777777")
	})
	t.Run("a grant lifts it", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "123456")
		b := d.bind()
		d.refused()
		b.Serve(1)
		d.search(1, "123456")
		d.search(2, "777777")
		d.wants("granted since", "bob/123456", "bob/777777")
	})
	// The stranger's next wrong password is of the login that is marked, and
	// not of the owner's new one.
	t.Run("one that is marked", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "")
		d.refused()
		d.search(2, "123456")
		d.search(3, "")
		d.refused()
		d.wants("the owner's is not", "bob/123456")
		d.Closed(2)
		d.search(4, "654321")
		d.refused()
		d.search(5, "123456")
		d.wants("and the next one had its own", "bob/123456")
	})
	t.Run("one that is marked, beside others that are not", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "")
		d.refused()
		d.search(2, "123456")
		d.search(3, "654321")
		d.search(4, "")
		d.refused()
		d.Closed(3)
		d.wants("it was that one's", "bob/123456")
	})
	t.Run("several, of which one is granted", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "666666")
		d.search(2, "123456")
		d.refused()
		d.refused() // the second try of a password, URL-decoded
		b := d.bind()
		_, changed := b.Logins()
		serve(d.Tracker, 2)
		if d.wants("the other is alone", "bob/666666"); !isClosed(changed) {
			t.Error("the bind was not told")
		}
		d.search(2, "123456")
		d.wants("the other is marked", "bob/123456")
		d.search(3, "777777")
		d.refused()
		d.wants("and had its bind", "bob/123456")
	})
	t.Run("several, of which one is over", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "666666")
		d.search(2, "123456")
		d.refused()
		d.Closed(1)
		d.wants("it was of that one", "bob/123456")
		d.search(3, "777777")
		serve(d.Tracker, 3)
		d.wants("also later", "bob/123456")
		d.search(1, "666666")
		serve(d.Tracker, d.last)
		d.search(4, "999999")
		d.wants("also when that one is granted", "bob/123456", "bob/999999")
	})
	t.Run("several, while another is over", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "666666")
		d.search(2, "123456")
		d.refused()
		d.search(3, "777777")
		d.Closed(3)
		serve(d.Tracker, 2)
		d.search(2, "123456")
		d.wants("it was of none that is over", "bob/123456")
	})
	t.Run("several, and the latest of many wrong passwords", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "666666")
		d.search(2, "123456")
		for range 2 * maxLeft {
			d.refused()
		}
		if n := len(d.users[d.bind().user].refusals); n != maxLeft {
			t.Errorf("%d are kept, want %d", n, maxLeft)
		}
	})
	t.Run("one after the other", func(t *testing.T) {
		d := newDesk(t)
		for i := range uint64(5) {
			d.search(i, fmt.Sprint("66666", i))
			d.refused()
		}
		d.search(7, "123456")
		d.wants("all of them are marked", "bob/123456")
		d.now = d.now.Add(refusedFor)
		d.Closed(7)
		d.search(8, "777777")
		d.refused()
		d.search(9, "123456")
		for i := range uint64(5) {
			d.Closed(i)
		}
		d.wants("those that linger had their binds", "bob/123456")
		if n := len(d.users[d.bind().user].refusals); n > 0 {
			t.Errorf("%d wrong passwords are kept whose login is known", n)
		}
	})
	t.Run("one that serves a bind", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "123456")
		serve(d.Tracker, 1)
		d.now = d.now.Add(goodFor)
		d.refused()
		d.search(2, "123456")
		d.wants("nothing waited for a bind", "bob/123456")
	})
}

// Rivals are those whose password is right, and who may want the same login:
// they look for one, or went without since the bind came.
func TestRivals(t *testing.T) {
	d := newDesk(t)
	b := d.bind()
	rivals := func(what string, want int) {
		t.Helper()
		if got := b.Rivals(); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	rivals("alone", 0)
	b.Right()
	rivals("itself", 0)
	again := b.Again()
	again.Right()
	rivals("itself again", 0)
	other := d.bind()
	rivals("another who may have the wrong password", 0)
	other.Right()
	rivals("with the right one", 1)
	more := other.Again()
	rivals("the same again", 1)
	other.End()
	rivals("not all ended it", 1)
	more.End()
	rivals("all did", 0)

	d.Begin(d.Arrive(), there, "dc=x", "bob").Right()
	d.Begin(d.Arrive(), here, "dc=x", "eve").Right()
	d.Begin(d.Arrive(), there, "dc=x", "bob").Stray()
	rivals("elsewhere, and others", 0)

	d.bind().Stray()
	rivals("went without when it came", 0)
	d.now = d.now.Add(1)
	gone := d.bind()
	gone.Right()
	gone.Stray()
	gone.End()
	rivals("went without since", 1)
	d.now = d.now.Add(Hold)
	d.bind().Stray()
	rivals("another", 2)
	d.now = d.now.Add(time.Hour)
	rivals("long ago, but since it came", 2)
	if got := d.bind().Rivals(); got != 1 { // b, whose password is right
		t.Errorf("a bind that comes later: %d, want 1", got)
	}
}

// However many went without a login, the latest ones are known, for as long as
// a bind may wait.
func TestManyStrays(t *testing.T) {
	d := newDesk(t)
	kept := func(what string, want int) {
		t.Helper()
		s, _ := d.strays.Get(user{here, "dc=x", "bob"})
		if len(s.left) != want {
			t.Errorf("%s: %d are kept, want %d", what, len(s.left), want)
		}
	}
	b := d.bind()
	d.now = d.now.Add(1)
	for range 2 * maxLeft {
		d.bind().Stray()
	}
	kept("at once", maxLeft)
	if got := b.Rivals(); got != maxLeft {
		t.Errorf("%d rivals, want %d", got, maxLeft)
	}
	later := d.bind()
	d.now = d.now.Add(leftFor - 1)
	for range maxLeft / 2 {
		d.bind().Stray()
	}
	kept("the latest", maxLeft)
	if got := later.Rivals(); got != maxLeft/2 {
		t.Errorf("%d rivals of a later bind, want %d", got, maxLeft/2)
	}
	d.now = d.now.Add(1)
	d.bind().Stray()
	kept("the first are long ago", maxLeft/2+1)
	d.now = d.now.Add(-2 * leftFor)
	d.bind().Stray()
	kept("a clock set back: none for long", 1)
}

func TestStrays(t *testing.T) {
	d := newDesk(t)
	b := d.bind()
	strays := func(what string, want bool) {
		t.Helper()
		if got := b.Strays(); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	strays("none", false)
	d.Begin(d.Arrive(), there, "dc=x", "bob").Stray()
	strays("elsewhere", false)
	d.bind().Stray()
	strays("one", true)
	d.now = d.now.Add(strayFor - 1)
	strays("the last moment", true)
	d.now = d.now.Add(1)
	strays("long ago", false)
	d.now = d.now.Add(-2 * strayFor)
	strays("a clock set back: no longer than that", false)
	d.now = d.now.Add(strayFor + 1)
	b.Stray()
	d.now = d.now.Add(strayFor - 1)
	strays("the latest counts", true)
}

// A bind that waits is told when its logins may be others.
func TestChanged(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(d *desk, other *Bind)
		want bool
	}{
		{"a search", func(d *desk, _ *Bind) { d.search(3, "333333") }, false},
		{"a read", func(d *desk, _ *Bind) { d.Searched(2, here, "nc", nil, []byte("bob")) }, false},
		{"its search replaced", func(d *desk, _ *Bind) { d.search(1, "333333") }, true},
		{"its connection closed", func(d *desk, _ *Bind) { d.Closed(1) }, true},
		{"another closed", func(d *desk, _ *Bind) { d.Closed(7) }, false},
		{"a bind begins", func(d *desk, _ *Bind) { d.bind() }, false},
		{"a bind ends", func(d *desk, other *Bind) { other.End() }, true},
		{"a bind ends twice", func(d *desk, other *Bind) {
			other.End()
			all, changed := d.waits()
			other.End()
			if isClosed(changed) || len(all) != 2 {
				d.t.Error("the second end ended something")
			}
		}, true},
		{"somebody else's bind ends", func(d *desk, _ *Bind) { d.Begin(d.Arrive(), here, "dc=x", "eve").End() }, false},
		{"a wrong password", func(d *desk, other *Bind) { d.Closed(2); d.refused() }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			d.search(1, "111111")
			d.search(2, "222222")
			other := d.bind()
			_, changed := d.waits()
			tt.then(d, other)
			if got := isClosed(changed); got != tt.want {
				t.Errorf("told: %v, want %v", got, tt.want)
			}
		})
	}
	t.Run("the mark of a wrong password", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "111111")
		other := d.bind()
		_, changed := d.waits()
		if other.Refused(); !isClosed(changed) {
			t.Error("not told")
		}
		d.search(2, "222222")
		d.wants("marked", "bob/222222")
	})
}

// waits has a bind wait for its logins to change.
func (d *desk) waits() ([]Login, <-chan struct{}) { return d.bind().Logins() }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A bind is over when all who answer it have ended it, each as often as it
// likes.
func TestEnd(t *testing.T) {
	for _, order := range [][]int{{0, 1}, {1, 0}, {0, 0, 1, 1, 0}, {1, 1, 1, 0}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			d := newDesk(t)
			b := d.bind()
			both := []*Bind{b, b.Again()}
			b.Right()
			ended := map[int]bool{}
			for _, i := range order {
				both[i].End()
				ended[i] = true
				want := 1
				if len(ended) == 2 {
					want = 0
				}
				other := d.bind()
				if got := other.Rivals(); got != want {
					t.Errorf("after %v: %d rivals, want %d", ended, got, want)
				}
				other.End()
			}
			empty(t, d.Tracker)
		})
	}
	t.Run("entered again after its end", func(t *testing.T) {
		d := newDesk(t)
		d.search(1, "111111")
		b := d.bind()
		d.search(2, "222222")
		b.End()
		again := b.Again()
		d.sees("as of when it came", again, "bob/111111")
		again.End()
		d.Closed(1)
		d.Closed(2)
		empty(t, d.Tracker)
	})
}
