package bindsim_test

import (
	"fmt"
	"hash/crc32"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// guesser tries distinct passwords of the owner from one kind of place.
type guesser struct {
	*world
	got    *tally
	before string

	mu sync.Mutex
	n  int
}

func (g *guesser) password() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
	return fmt.Sprint(g.before, g.n)
}

// play guesses with so many at a time until the end.
func (g *guesser) play(at int, end time.Time, guess func(password string) answer) {
	var all sync.WaitGroup
	for range at {
		all.Go(func() {
			for time.Now().Before(end) {
				a := guess(g.password())
				if g.got.add(a); a == busy {
					time.Sleep(time.Second)
				} else {
					time.Sleep(20 * time.Millisecond)
				}
			}
		})
	}
	all.Wait()
}

// TestWithoutAPassword is G2 and G3: whoever guesses passwords of the owner is
// limited where the owner never was, and slowed down where he is at home; and all
// that the owner does there is granted.
func TestWithoutAPassword(t *testing.T) {
	const lasts = 2 * time.Minute // the next minutes are the same
	strangers := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	for _, tt := range []struct {
		name      string
		withCode  func(password string) string
		undecided int // of a hundred of the owner's binds, at most
	}{
		{"without codes", func(string) string { return "" }, 0},
		{"with codes", func(p string) string { return fmt.Sprintf("%06d", crc32.ChecksumIEEE([]byte(p))%guessable) }, 33},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, false)
				defer w.stop()
				r := w.replicas[0]
				o := newOwner(w, 1)
				code := w.app.code(step(time.Now()))
				if a := w.login(r, code, password); a != granted {
					t.Fatalf("the first login: %d", a)
				}
				secret := password + ";" + w.app.code(step(time.Now())-1)
				if a := w.bind(r, mailer, "", secret); a != granted {
					t.Fatalf("the mail client: %d", a)
				}

				end := time.Now().Add(lasts)
				kinds := map[string]*guesser{}
				var all sync.WaitGroup
				attack := func(kind string, at int, guess func(password string) answer) {
					g := &guesser{world: w, got: newTally(1), before: kind}
					kinds[kind] = g
					all.Go(func() { g.play(at, end, guess) })
				}
				for i, s := range strangers {
					attack(fmt.Sprint("strange ", i), 20, func(p string) answer { return w.bind(r, s, "", p) })
				}
				attack("page", 20, func(p string) answer { return w.unlock(r, netip.MustParseAddr("192.0.2.9"), "", p) })
				attack("beside Nextcloud", 10, func(p string) answer { return w.bind(r, nextcloud, "", p) })
				attack("through Nextcloud", 20, func(p string) answer { return w.login(r, tt.withCode(p), p) })
				attack("beside the mail client", 5, func(p string) answer { return w.bind(r, mailer, "", p) })

				var mu sync.Mutex
				slowest := time.Duration(0)
				timed := func(of *tally, do func() answer) {
					begin := time.Now()
					a := do()
					mu.Lock()
					defer mu.Unlock()
					of.add(a)
					slowest = max(slowest, time.Since(begin))
				}
				all.Go(func() {
					for time.Now().Before(end) {
						timed(o.web, func() answer { return w.login(r, code, password) })
						timed(o.mail, func() answer { return w.bind(r, mailer, "", secret) })
						time.Sleep(5 * time.Second)
					}
				})
				all.Go(func() { // a new device, each minute
					for time.Now().Before(end) {
						time.Sleep(29 * time.Second)
						timed(o.logins, func() answer { return w.login(r, w.app.code(step(time.Now())), password) })
					}
				})
				all.Wait()
				t.Logf("owner: sessions %v; logins %v; mail %v; the slowest answer after %v", o.web, o.logins, o.mail, slowest)
				for kind, g := range kinds {
					perDay := float64(g.got.sum(denied)) * float64(day) / float64(lasts)
					t.Logf("%-22s: %v; that is %.0f guesses a day", kind, g.got, perDay)
					// A turn a second, ten a minute before that, and those that came
					// together when the minute began.
					most := (60 + 10 + 20) * 24 * 60.0
					if strings.HasPrefix(kind, "strange") || kind == "page" {
						most = 10 * 24 * 60
					}
					if perDay > most {
						t.Errorf("%s: %.0f guesses a day", kind, perDay)
					}
				}
				for name, seen := range map[string]*tally{"sessions": o.web, "logins": o.logins, "mail": o.mail} {
					// A stranger's search with a code, a moment before that of the
					// owner, may be the one that his bind belongs to, for as long as
					// the stranger waits for his turn.
					n, others := seen.sum(granted), seen.all()-seen.sum(granted)
					if n == 0 || 100*others > tt.undecided*seen.all() || others != seen.sum(undecided) {
						t.Errorf("of the owner's %s not all were granted: %v", name, seen)
					}
				}
			})
		})
	}
}

// TestMemoryIsNoOracle: where a user was never granted, the right password is
// answered as a wrong one beyond the limit; and so are codes.
func TestMemoryIsNoOracle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, false)
		defer w.stop()
		r, stranger := w.replicas[0], netip.MustParseAddr("192.0.2.1")
		code := w.app.code(step(time.Now()))
		if a := w.login(r, code, password); a != granted {
			t.Fatal(a)
		}
		for i := range 10 {
			w.bind(r, stranger, "", fmt.Sprint("wrong ", i))
		}
		for _, try := range []struct{ behind, secret string }{{"", password}, {";" + code, password}, {"", password + ";" + code}, {"", "wrong"}, {";000001", password}} {
			if a := w.bind(r, stranger, try.behind, try.secret); a != busy {
				t.Errorf("alice%s with %q: %d", try.behind, try.secret, a)
			}
		}
		if a := w.unlock(r, stranger, w.app.code(step(time.Now())+1), password); a != busy {
			t.Errorf("the page: %d", a)
		}
	})
}

// TestNothingRemembered: parallel guesses of codes with a password that nobody
// has logged in with yet. No code can count before its password is known to be
// right, so those that are right too late are refused.
func TestNothingRemembered(t *testing.T) {
	const trials, burst = 20, 200
	for _, replicas := range []int{1, 2} {
		in := 0
		for trial := range trials {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, replicas, false)
				defer w.stop()
				w.app.lucky = true
				var all sync.WaitGroup
				var mu sync.Mutex
				for i := range burst {
					c := fmt.Sprintf("%06d", 1000*i)
					if i == trial*burst/trials {
						c = fmt.Sprintf("%06d", 1000*i+777) // the right one
					}
					all.Go(func() {
						time.Sleep(time.Duration(i)) // in this order
						from := netip.AddrFrom4([4]byte{100, 1, 0, byte(i)})
						if a := w.bind(w.replicas[i%replicas], from, ";"+c, password); a == granted {
							mu.Lock()
							defer mu.Unlock()
							in++
						}
					})
				}
				all.Wait()
			})
		}
		tries := float64(in) / trials * burst
		t.Logf("%d replicas: of %d parallel codes %.0f are worth trying", replicas, burst, tries)
		if tries > 12+10 {
			t.Errorf("%.0f codes are worth trying", tries)
		}
	}
}
