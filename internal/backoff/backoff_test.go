package backoff

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func of(f float64) func() float64 { return func() float64 { return f } }

func TestNext(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name string
		b    Backoff
		want []time.Duration
	}{
		{"twice as long", Backoff{First: s, Last: 5 * s, Rand: of(0)}, []time.Duration{s, 2 * s, 4 * s, 5 * s, 5 * s}},
		{"half of it taken off", Backoff{First: s, Last: 3 * s, Rand: of(1)}, []time.Duration{s / 2, s, 3 * s / 2, 3 * s / 2}},
		{"four times", Backoff{First: s, Last: 64 * s, Factor: 4, Rand: of(0)}, []time.Duration{s, 4 * s, 16 * s, 64 * s, 64 * s}},
		{"always the same", Backoff{First: s, Last: s, Rand: of(0.5)}, []time.Duration{3 * s / 4, 3 * s / 4}},
	} {
		for range 2 { // the second time after a success
			var got []time.Duration
			for range tt.want {
				got = append(got, tt.b.Next())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
			}
			tt.b.Reset()
		}
	}
}

// Last may change from try to try: what was tried is another thing then.
func TestNextWithAnotherLast(t *testing.T) {
	b := Backoff{First: time.Second, Last: time.Second, Rand: of(0)}
	b.Next()
	b.Last = time.Minute
	if got := b.Next(); got != 2*time.Second {
		t.Errorf("%v", got)
	}
}

// Two that fail at one moment do not try again at one moment.
func TestNextDiffers(t *testing.T) {
	const n = 1000
	seen := make(map[time.Duration]bool)
	for range n {
		b := Backoff{First: time.Second, Last: time.Second}
		wait := b.Next()
		if wait <= time.Second/2 || wait > time.Second {
			t.Fatalf("%v", wait)
		}
		seen[wait] = true
	}
	if len(seen) < n/2 {
		t.Errorf("%d lengths in %d waits", len(seen), n)
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Backoff{First: time.Second, Last: time.Minute, Rand: of(0)}
		start := time.Now()
		for _, after := range []time.Duration{time.Second, 3 * time.Second} {
			if !b.Wait(t.Context()) || time.Since(start) != after {
				t.Errorf("after %v, want %v", time.Since(start), after)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if b.Wait(ctx) || time.Since(start) != time.Second {
			t.Errorf("ctx ended; after %v", time.Since(start))
		}
	})
}
