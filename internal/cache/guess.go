package cache

import (
	"slices"
	"time"
)

// MaxGuesses is how many secrets are kept of those that were tried under a key.
const MaxGuesses = 64

// guess is a secret and when it was first tried.
type guess struct {
	secret [16]byte
	at     time.Time
}

// guesses are those under a key, the oldest first.
type guesses []guess

// current returns those of the window up to now. moved says that some were of
// a time to come, as the clock was set back: they are of now instead, so that
// they neither stay until then nor are lost.
func (g guesses) current(now time.Time, window time.Duration) (kept guesses, moved bool) {
	for _, x := range g {
		ahead := x.at.After(now)
		if ahead {
			x.at = now
		}
		if now.Sub(x.at) < window {
			kept, moved = append(kept, x), moved || ahead
		}
	}
	return kept, moved
}

// has tells whether a secret is among them, which a zero one never is.
func (g guesses) has(secret [16]byte) bool {
	return secret != [16]byte{} && slices.ContainsFunc(g, func(x guess) bool { return x.secret == secret })
}

// add adds a secret of now, in place of the oldest if there are too many.
func (g guesses) add(secret [16]byte, now time.Time) guesses {
	if len(g) >= MaxGuesses {
		g = g[len(g)-MaxGuesses+1:]
	}
	return append(g, guess{secret, now})
}

// end returns when the last of them leaves the window.
func (g guesses) end(window time.Duration) time.Time { return g[len(g)-1].at.Add(window) }
