package recent

import (
	"testing"
	"time"
)

func TestTally(t *testing.T) {
	const window = time.Minute
	begin := time.Unix(1_700_000_000, 0)
	two := Tally{}.At(begin, window).More().At(begin.Add(time.Second), window).More()
	for at, want := range map[time.Duration]int{
		0: 2, window - 1: 2, window: 0, time.Hour: 0, -1: 0,
	} {
		now := two.At(begin.Add(at), window)
		if now.N() != want {
			t.Errorf("after %v: %d, want %d", at, now.N(), want)
		}
		// What comes then begins a window if the one before it is over.
		end := begin.Add(window)
		if want == 0 {
			end = begin.Add(at + window)
		}
		if got := now.More().At(end.Add(-1), window).N(); got != want+1 {
			t.Errorf("after %v, with one more: %d, want %d", at, got, want+1)
		}
		if got := now.More().At(end, window).N(); got != 0 {
			t.Errorf("after %v, with one more, when the window is over: %d", at, got)
		}
	}
}
