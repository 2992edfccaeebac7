package testclock

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	at := time.Date(2026, 3, 2, 8, 0, 0, 1, time.UTC)
	c := At(at.In(time.FixedZone("east", 3600)))
	if now := c.Now(); now != at || c.Now() != now {
		t.Errorf("%v, want %v", now, at)
	}
	c.Advance(time.Hour + time.Nanosecond)
	if now, want := c.Now(), at.Add(time.Hour+1); now != want {
		t.Errorf("%v, want %v", now, want)
	}
	c.Advance(-2 * time.Hour)
	if now, want := c.Now(), at.Add(1-time.Hour); now != want {
		t.Errorf("%v, want %v", now, want)
	}
}
