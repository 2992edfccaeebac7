package bind

import (
	"encoding/binary"
	"ldapd/internal/auth/guard"
	"testing"
	"time"
)

func numbered(i int) (d guard.Digest) {
	binary.BigEndian.PutUint64(d[:], uint64(i)+1)
	return d
}

func TestTableBounded(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	tab := table{window: time.Minute, max: 100}
	for i := range 10_000 {
		tab.add(numbered(i), guard.Digest{}, now)
		// In use, so it stays whatever comes in between.
		if i%10 == 0 {
			tab.add(guard.Digest{}, guard.Digest{}, now)
		}
		if n := len(tab.young) + len(tab.old); n > tab.max {
			t.Fatalf("%d tallies, want at most %d", n, tab.max)
		}
	}
	if n := tab.n(guard.Digest{}, now); n != 1000 {
		t.Errorf("counted %d, want 1000", n)
	}
	if n := tab.n(numbered(0), now); n != 0 {
		t.Errorf("the oldest is still there: %d", n)
	}
	if n := tab.n(numbered(9_999), now.Add(time.Minute)); n != 0 {
		t.Errorf("counted %d after the window", n)
	}
}
