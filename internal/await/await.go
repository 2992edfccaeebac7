// Package await has tests wait for what must happen, but at no time in
// particular.
package await

import (
	"testing"
	"time"
)

// Patience is how long anything may take before a test gives up. A busy machine
// may need much of it; nothing that works needs all.
const Patience = time.Minute

// That waits until cond holds; what says in the failure what did not happen. It
// looks again after a millisecond, and less often as time goes by.
func That(t testing.TB, what string, cond func() bool) {
	t.Helper()
	pause := time.Millisecond
	for deadline := time.Now().Add(Patience); !cond(); time.Sleep(pause) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
		pause = min(2*pause, 32*time.Millisecond)
	}
}

// Receive takes from a channel.
func Receive[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(Patience):
		t.Fatalf("not within %v: %s", Patience, what)
		panic("unreachable")
	}
}
