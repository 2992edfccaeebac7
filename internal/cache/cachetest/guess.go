package cachetest

import (
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"ldapd/internal/cache"
)

func wantGuess(t *testing.T, s Store, key, secret [16]byte, window time.Duration, want int, wantFresh bool) {
	t.Helper()
	if n, fresh, err := s.Guess(t.Context(), key, secret, window); err != nil || n != want || fresh != wantFresh {
		t.Fatalf("guess: %d, %v, %v; want %d, %v", n, fresh, err, want, wantFresh)
	}
	wantGuessed(t, s, key, secret, window, want, secret != [16]byte{})
}

func wantGuessed(t *testing.T, s Store, key, secret [16]byte, window time.Duration, want int, wantSeen bool) {
	t.Helper()
	if n, seen, err := s.Guessed(t.Context(), key, secret, window); err != nil || n != want || seen != wantSeen {
		t.Fatalf("guessed: %d, %v, %v; want %d, %v", n, seen, err, want, wantSeen)
	}
}

// numbered is a secret, or a key.
func numbered(n int) (x [16]byte) {
	binary.BigEndian.PutUint64(x[:], uint64(n)+1)
	return x
}

func guess(t *testing.T, b Backend) {
	s, _ := start(t, b)
	const window = time.Minute
	key, zero := [16]byte{1}, [16]byte{}
	wantGuessed(t, s, key, [16]byte{7}, window, 0, false)
	for _, step := range []struct {
		secret byte
		n      int
		fresh  bool
	}{{7, 1, true}, {7, 1, false}, {8, 2, true}, {7, 2, false}, {8, 2, false}, {9, 3, true}} {
		wantGuess(t, s, key, [16]byte{step.secret}, window, step.n, step.fresh)
	}
	wantGuess(t, s, key, zero, window, 4, true) // no secret: always new
	wantGuess(t, s, key, zero, window, 5, true)
	wantGuess(t, s, [16]byte{2}, [16]byte{7}, window, 1, true)
	wantGuess(t, s, zero, [16]byte{7}, window, 1, true)
	wantGuessed(t, s, key, [16]byte{7}, window, 5, true)
	wantGuessed(t, s, key, [16]byte{6}, window, 5, false)
}

func guessWindow(t *testing.T, b Backend) {
	s, c := start(t, b)
	const window = time.Minute
	key, one, two := [16]byte{1}, [16]byte{1}, [16]byte{2}
	wantGuess(t, s, key, one, window, 1, true)
	c.Advance(40 * time.Second)
	wantGuess(t, s, key, two, window, 2, true)
	c.Advance(19 * time.Second)
	wantGuess(t, s, key, one, window, 2, false) // does not begin anew by that
	c.Advance(time.Second)
	wantGuessed(t, s, key, one, window, 1, false)
	wantGuessed(t, s, key, two, window, 1, true)
	wantGuess(t, s, key, one, window, 2, true)
	c.Advance(40 * time.Second)
	wantGuessed(t, s, key, two, window, 1, false)
	c.Advance(20 * time.Second)
	wantGuessed(t, s, key, one, window, 0, false)

	// A short window of one key does not end a long one of another.
	long := [16]byte{2}
	wantGuess(t, s, long, one, 24*time.Hour, 1, true)
	for i := range 3 {
		c.Advance(time.Hour)
		wantGuess(t, s, numbered(i), one, time.Second, 1, true)
	}
	wantGuess(t, s, long, two, 24*time.Hour, 2, true)
	c.Advance(23 * time.Hour)
	wantGuess(t, s, numbered(9), one, time.Second, 1, true) // clears away
	wantGuessed(t, s, long, two, 24*time.Hour, 1, true)
}

// guessClock: neither does a clock that was wrong keep a secret for ever, nor
// does setting it right lose all.
func guessClock(t *testing.T, b Backend) {
	const window = time.Minute
	key, one, two := [16]byte{1}, [16]byte{1}, [16]byte{2}
	for _, back := range []time.Duration{time.Second, 30 * time.Second, window, 24 * time.Hour, 10 * 365 * 24 * time.Hour} {
		for _, by := range []string{"guessed", "guess"} {
			t.Run(back.String()+" "+by, func(t *testing.T) {
				s, c := start(t, b)
				wantGuess(t, s, key, one, window, 1, true)
				c.Advance(time.Second)
				wantGuess(t, s, key, two, window, 2, true)
				c.Advance(-back)
				if by == "guess" {
					wantGuess(t, s, key, one, window, 2, false)
				}
				wantGuessed(t, s, key, two, window, 2, true)
				c.Advance(window - time.Second)
				wantGuessed(t, s, key, two, window, 2, true)
				c.Advance(time.Second)
				wantGuessed(t, s, key, two, window, 0, false)
				for i := range 3 { // they clear away what is over
					c.Advance(2 * window)
					wantGuess(t, s, numbered(i), one, window, 1, true)
				}
				if n := length(t, s); n > 1 {
					t.Errorf("%d keys held, want 1", n)
				}
				for i := range 3 {
					if err := s.Forgive(t.Context(), numbered(i)); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.Close(); err != nil { // the next one opens it again
					t.Fatal(err)
				}
			})
		}
	}
}

func guessesBounded(t *testing.T, b Backend) {
	s, c := start(t, b)
	const window = time.Hour
	key, most := [16]byte{0xff}, cache.MaxGuesses
	for i := range most + 10 {
		wantGuess(t, s, key, numbered(i), window, min(i+1, most), true)
		c.Advance(time.Second)
	}
	wantGuessed(t, s, key, numbered(9), window, most, false) // the oldest went
	wantGuessed(t, s, key, numbered(10), window, most, true)
	wantGuess(t, s, key, [16]byte{}, window, most, true)

	const rounds, batch = 20, 10
	for i := range rounds {
		for n := range batch {
			wantGuess(t, s, numbered(i*batch+n), [16]byte{1}, time.Minute, 1, true)
		}
		wantGuess(t, s, [16]byte{0xfe}, [16]byte{}, time.Minute, 1, true) // begins anew each time
		c.Advance(2 * time.Minute)
	}
	if n := length(t, s); n > 2*batch+3 {
		t.Fatalf("%d keys held, of which %d are of use", n, batch+2)
	}
}

// counts collects what concurrent guesses returned.
type counts struct {
	mu    sync.Mutex
	fresh []int // n of those that were new
	seen  int   // those that were not
}

func (c *counts) guess(t *testing.T, s Store, key, secret [16]byte) {
	n, fresh, err := s.Guess(t.Context(), key, secret, time.Minute)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		t.Error(err)
	case fresh:
		c.fresh = append(c.fresh, n)
	default:
		c.seen++
	}
}

// want wants that each one that was new got a number of its own, from 1 on.
func (c *counts) want(t *testing.T, fresh, seen int) {
	t.Helper()
	slices.Sort(c.fresh)
	for i, n := range c.fresh {
		if n != i+1 {
			t.Fatalf("numbers %v, want 1 to %d", c.fresh, fresh)
		}
	}
	if len(c.fresh) != fresh || c.seen != seen {
		t.Fatalf("%d new and %d seen, want %d and %d", len(c.fresh), c.seen, fresh, seen)
	}
}

// race has some try the same secrets at the same time, in all stores.
func race(t *testing.T, stores ...Store) {
	const workers, secrets = 8, 6
	key := [16]byte{1}
	var own, same counts
	var wg sync.WaitGroup
	for w := range workers {
		s := stores[w%len(stores)]
		wg.Go(func() {
			for i := range secrets {
				own.guess(t, s, key, numbered(w*secrets+i))
				same.guess(t, s, [16]byte{2}, numbered(i))
			}
		})
	}
	wg.Wait()
	own.want(t, workers*secrets, 0)
	same.want(t, secrets, (workers-1)*secrets)
	for _, s := range stores {
		wantGuessed(t, s, key, numbered(0), time.Minute, workers*secrets, true)
	}
}

func guessAtOnce(t *testing.T, b Backend) {
	s, _ := start(t, b)
	race(t, s)
}

func sharedGuesses(t *testing.T, b Backend) {
	if !b.Shared {
		return
	}
	one, c := start(t, b)
	two := again(t, b, c)
	race(t, one, two)
	if err := two.Forgive(t.Context(), [16]byte{1}); err != nil {
		t.Fatal(err)
	}
	wantGuessed(t, one, [16]byte{1}, numbered(0), time.Minute, 0, false)
}

func forgive(t *testing.T, b Backend) {
	s, c := start(t, b)
	const window = time.Minute
	one, two := [16]byte{1}, [16]byte{2}
	for _, key := range [][16]byte{one, two} {
		wantGuess(t, s, key, [16]byte{7}, window, 1, true)
		wantGuess(t, s, key, [16]byte{8}, window, 2, true)
	}
	for range 2 { // the second has nothing to forget
		if err := s.Forgive(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		wantGuessed(t, s, one, [16]byte{7}, window, 0, false)
		wantGuessed(t, s, two, [16]byte{7}, window, 2, true)
	}
	c.Advance(30 * time.Second)
	wantGuess(t, s, one, [16]byte{7}, window, 1, true)
	c.Advance(30 * time.Second) // of before it was forgiven nothing is left
	wantGuess(t, s, two, [16]byte{9}, window, 1, true)
	wantGuessed(t, s, one, [16]byte{7}, window, 1, true)
}
