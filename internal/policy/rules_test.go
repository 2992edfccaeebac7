package policy

import (
	"testing"
	"time"

	"ldapd/internal/verified"
)

func TestUntil(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name             string
		maxAge, remember time.Duration
		proof            verified.Proof
		want             time.Duration // since it was proved
	}{
		{"as configured", 90 * day, 30 * day, verified.Proof{}, 30 * day},
		{"max_age is less", 7 * day, 30 * day, verified.Proof{}, 7 * day},
		{"the backend remembers, however little we would", 90 * day, day, verified.Proof{Cookie: "c"}, 90 * day},
		{"window", 90 * day, 30 * day, verified.Proof{Until: now.Add(time.Hour)}, time.Hour},
		{"window longer than what is configured by now", 90 * day, day, verified.Proof{Until: now.Add(30 * day)}, 30 * day},
		{"window of what the backend remembers", 90 * day, day, verified.Proof{Until: now.Add(30 * day), Cookie: "c"}, 30 * day},
		{"fault 6: window longer than max_age", day, 30 * day, verified.Proof{Until: now.Add(30 * day)}, day},
		{"fault 6: window longer than max_age, remembered", day, 30 * day, verified.Proof{Until: now.Add(30 * day), Cookie: "c"}, day},
	} {
		r := Rules{MaxAge: tt.maxAge, Remember: tt.remember}
		tt.proof.At = now
		if got := r.Until(&tt.proof).Sub(now); got != tt.want {
			t.Errorf("%s: good for %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A secret and an address must not be taken for each other.
func TestHomes(t *testing.T) {
	if HomeAt("search nextcloud") == HomeOfSearch("nextcloud") || HomeAt("x") == HomeOfSearch("x") || HomeAt("") == "" || HomeOfSearch("") == "" {
		t.Error("a client is at home where a searcher is, or everywhere")
	}
}
