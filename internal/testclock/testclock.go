// Package testclock is a time that passes only when a test says so.
package testclock

import (
	"sync/atomic"
	"time"
)

// Clock stands still until it is moved. Its methods may be called at any time.
type Clock struct{ ns atomic.Int64 } // since 1970

// At returns a clock that shows t.
func At(t time.Time) *Clock {
	c := &Clock{}
	c.ns.Store(t.UnixNano())
	return c
}

// Now returns the time, in UTC.
func (c *Clock) Now() time.Time { return time.Unix(0, c.ns.Load()).UTC() }

// Advance puts the clock forward, or back.
func (c *Clock) Advance(d time.Duration) { c.ns.Add(int64(d)) }
