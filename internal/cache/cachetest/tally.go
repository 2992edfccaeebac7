package cachetest

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"
)

func wantTally(t *testing.T, s Store, key, secret [16]byte, window time.Duration, want int) {
	t.Helper()
	if n, err := s.Tally(t.Context(), key, secret, window); err != nil || n != want {
		t.Fatalf("tally: %d, %v; want %d", n, err, want)
	}
	wantTallied(t, s, key, window, want)
}

func wantTallied(t *testing.T, s Store, key [16]byte, window time.Duration, want int) {
	t.Helper()
	if n, err := s.Tallied(t.Context(), key, window); err != nil || n != want {
		t.Fatalf("tallied: %d, %v; want %d", n, err, want)
	}
}

func tally(t *testing.T, b Backend) {
	s, _ := start(t, b)
	const window = time.Minute
	key, zero := [16]byte{1}, [16]byte{}
	wantTallied(t, s, key, window, 0)
	for _, step := range []struct {
		secret byte
		want   int
	}{{7, 1}, {7, 1}, {8, 2}, {8, 2}, {7, 3}, {7, 3}} {
		wantTally(t, s, key, [16]byte{step.secret}, window, step.want)
	}
	for i := range 3 { // no secret: always counts
		wantTally(t, s, key, zero, window, 4+i)
	}
	wantTally(t, s, key, [16]byte{7}, window, 7)
	wantTally(t, s, [16]byte{2}, [16]byte{7}, window, 1)
	wantTally(t, s, zero, [16]byte{0xff}, window, 1)
	wantTallied(t, s, key, window, 7)
}

func tallyWindow(t *testing.T, b Backend) {
	s, c := start(t, b)
	key := [16]byte{1}
	const window = time.Minute
	wantTally(t, s, key, [16]byte{1}, window, 1)
	c.Advance(59 * time.Second)
	wantTally(t, s, key, [16]byte{2}, window, 2)
	c.Advance(time.Second) // the window began with the first
	wantTallied(t, s, key, window, 0)
	wantTally(t, s, key, [16]byte{2}, window, 1)
	wantTally(t, s, key, [16]byte{2}, window, 1)
	// The clock was wrong, and is put right.
	c.Advance(-30 * time.Second)
	wantTally(t, s, key, [16]byte{3}, window, 2)
	c.Advance(-24 * time.Hour)
	wantTallied(t, s, key, window, 0)
	wantTally(t, s, key, [16]byte{3}, window, 1)
	wantTally(t, s, key, [16]byte{4}, window, 2)

	// A short window of one key does not end a long one of another.
	long := [16]byte{2}
	wantTally(t, s, long, [16]byte{1}, 24*time.Hour, 1)
	c.Advance(time.Hour)
	wantTally(t, s, [16]byte{3}, [16]byte{1}, time.Second, 1)
	c.Advance(time.Hour)
	wantTally(t, s, [16]byte{4}, [16]byte{1}, time.Second, 1)
	wantTally(t, s, long, [16]byte{2}, 24*time.Hour, 2)
}

func tallyAtOnce(t *testing.T, b Backend) {
	s, _ := start(t, b)
	const workers, each = 8, 5
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if _, err := s.Tally(t.Context(), [16]byte{1}, [16]byte{}, time.Minute); err != nil {
					t.Error(err)
				}
				if _, err := s.Tally(t.Context(), [16]byte{2}, [16]byte{9}, time.Minute); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantTallied(t, s, [16]byte{1}, time.Minute, workers*each)
	wantTallied(t, s, [16]byte{2}, time.Minute, 1)
}

func talliesBounded(t *testing.T, b Backend) {
	s, c := start(t, b)
	const rounds, batch = 20, 10
	for i := range rounds {
		for n := range batch {
			var key [16]byte
			binary.BigEndian.PutUint32(key[:], uint32(i*batch+n))
			wantTally(t, s, key, [16]byte{1}, time.Minute, 1)
		}
		wantTally(t, s, [16]byte{0xff}, [16]byte{}, time.Minute, 1) // begins anew each time
		c.Advance(2 * time.Minute)
	}
	if n := length(t, s); n > 2*batch+2 {
		t.Fatalf("%d counters held, of which %d are of use", n, batch+1)
	}
}
