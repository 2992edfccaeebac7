package sse

import (
	"sync/atomic"
	"time"
)

// clock is the time of authentik, ldapd and Nextcloud. It stands still until
// it is set.
type clock struct{ ns atomic.Int64 }

// began is when every story begins, on a Monday.
var began = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

func newClock() *clock {
	c := &clock{}
	c.ns.Store(began.UnixNano())
	return c
}

func (c *clock) Now() time.Time { return time.Unix(0, c.ns.Load()).UTC() }

func (c *clock) pass(d time.Duration) { c.ns.Add(int64(d)) }

const day = 24 * time.Hour
