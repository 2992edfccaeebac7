package recent

import (
	"encoding/binary"
	"testing"
	"time"
)

// d returns a digest of a number.
func d(n int) (out Digest) {
	binary.BigEndian.PutUint64(out[:], uint64(n))
	return out
}

var (
	key   = d(1 << 40)
	other = d(2 << 40)
	zero  Digest
)

func TestCounter(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := NewCounter(time.Minute, 8)
	if c.N(key, now) != 0 || c.Has(key, d(1), now) {
		t.Error("something is counted at first")
	}
	if !c.Add(key, d(1), now) || c.Add(key, d(1), now) || !c.Add(key, d(2), now) {
		t.Error("each secret counts once")
	}
	if got := c.N(key, now); got != 2 {
		t.Errorf("%d, want 2", got)
	}
	if !c.Has(key, d(1), now) || !c.Has(key, d(2), now) || c.Has(key, d(3), now) {
		t.Error("has not what was counted")
	}
	if c.N(other, now) != 0 || c.Has(other, d(1), now) {
		t.Error("counted under another key")
	}
}

// The zero secret stands for what cannot be told apart.
func TestCounterZeroSecret(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := NewCounter(time.Minute, 8)
	for i := range 40 {
		if !c.Add(key, zero, now) {
			t.Fatalf("not counted after %d", i)
		}
		if c.Has(key, zero, now) {
			t.Fatal("has the zero secret")
		}
	}
	if got := c.N(key, now); got != 40 {
		t.Errorf("%d, want 40", got)
	}
}

// The latest 16 secrets are told apart; one from before counts anew.
func TestCounterLatest(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := NewCounter(time.Minute, 8)
	for i := 1; i <= 50; i++ {
		if !c.Add(key, d(i), now) {
			t.Fatalf("%d is new, and not counted", i)
		}
		for j := 1; j <= 51; j++ {
			if got, want := c.Has(key, d(j), now), j <= i && j > i-16; got != want {
				t.Fatalf("after %d: has %d: %v, want %v", i, j, got, want)
			}
		}
	}
	if c.Add(key, d(35), now) {
		t.Error("one of the latest 16 counts again")
	}
	if !c.Add(key, d(34), now) {
		t.Error("one from before does not count again")
	}
	if got := c.N(key, now); got != 51 {
		t.Errorf("%d, want 51", got)
	}
}

// The window begins with the first thing that is counted.
func TestCounterWindow(t *testing.T) {
	begin := time.Unix(1e9, 0)
	for _, tt := range []struct {
		name  string
		later time.Duration
		want  int
	}{
		{"at once", 0, 2},
		{"the last moment", time.Minute - 1, 2},
		{"over", time.Minute, 0},
		{"long over", time.Hour, 0},
		{"a clock set back", -1, 0},
		{"a clock set back for long", -time.Hour, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := NewCounter(time.Minute, 8)
			c.Add(key, d(1), begin)
			c.Add(key, d(2), begin.Add(time.Minute/2)) // which does not stretch it
			now := begin.Add(tt.later)
			if got := c.N(key, now); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
			if got := c.Has(key, d(1), now); got != (tt.want > 0) {
				t.Errorf("has the first: %v", got)
			}
			if got := c.Add(key, d(1), now); got != (tt.want == 0) {
				t.Errorf("counts the first: %v", got)
			}
			if tt.want == 0 { // a window of its own
				if got := c.N(key, now.Add(time.Minute-1)); got != 1 {
					t.Errorf("%d in the next window, want 1", got)
				}
				if c.Has(key, d(2), now) {
					t.Error("has what is long over")
				}
			}
		})
	}
}

func TestCounterIsBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := NewCounter(time.Minute, 8)
	for i := range 1000 {
		c.Add(d(i), zero, now)
		c.Add(key, zero, now)
	}
	if n := c.tallies.Len(); n > 8 {
		t.Errorf("%d keys are kept, want 8 at most", n)
	}
	if got := c.N(key, now); got != 1000 {
		t.Errorf("%d of the key that is counted all the time, want 1000", got)
	}
}
