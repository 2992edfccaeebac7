package economy

import (
	"testing"
	"time"
)

// TestEconomy has a few people work: at Nextcloud's pace, and, more slowly, for
// long enough for factors to expire.
func TestEconomy(t *testing.T) {
	for name, o := range map[string]Options{
		"a few days": {Users: 7, Days: 2, Seed: 1},
		"a month":    {Users: 7, Days: 33, Seed: 1, Every: 2 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", r)
			if r.Most > 2 {
				t.Errorf("%d flows of a user on a day without a reason, at most 2 are allowed", r.Most)
			}
			if r.Ldapd.Denied != 0 || r.Undecided != 0 {
				t.Errorf("of %d right binds %d were denied, and of %d that could not be determined", r.Binds, r.Ldapd.Denied, r.Undecided)
			}
			if r.Access == 0 || r.Days > 30 && r.Wrong == 0 {
				t.Errorf("%d wrong binds, %d questions for access: this is no test", r.Wrong, r.Access)
			}
			if r.Ldapd.Sessions > 2*r.Users {
				t.Errorf("%d sessions are left of %d users", r.Ldapd.Sessions, r.Users)
			}
			// A flow each, and a code is good for one.
			if r.Direct.Flows != r.Binds+r.Wrong {
				t.Errorf("%d flows in direct mode for %d binds", r.Direct.Flows, r.Binds+r.Wrong)
			}
			if r.Cached.Denied == 0 || r.Direct.Denied <= r.Cached.Denied || r.Cached.Flows <= r.Ldapd.Flows {
				t.Errorf("cached %+v, direct %+v, ldapd %+v", r.Cached, r.Direct, r.Ldapd)
			}
		})
	}
}

// TestRunTwice comes to the same both times.
func TestRunTwice(t *testing.T) {
	run := func() Report {
		r, err := Run(t.Context(), Options{Users: 7, Days: 2, Seed: 2, Every: 2 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		r.Most = 0
		return r
	}
	one, two := run(), run()
	if one.Binds != two.Binds || one.Cached != two.Cached || one.Direct != two.Direct {
		t.Errorf("%+v\n%+v", one, two)
	}
}

// TestAgenda takes events in the order of their time.
func TestAgenda(t *testing.T) {
	var a agenda
	var got []time.Time
	for i := range 1000 {
		at := begin.Add(time.Duration(i*7919%1009) * time.Second)
		a.plan(at, func(now time.Time) error {
			got = append(got, now)
			return nil
		})
	}
	for len(a.events) > 0 {
		e := a.next()
		if err := e.do(e.at); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i < len(got); i++ {
		if got[i].Before(got[i-1]) {
			t.Fatalf("event %d comes after a later one", i)
		}
	}
	if len(got) != 1000 {
		t.Errorf("%d events", len(got))
	}
}
