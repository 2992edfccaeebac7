package authtest

import (
	"sync"

	"ldapd/internal/auth"
)

func testPassword(s *suite) {
	for _, u := range []User{alice, dave} {
		if g := s.granted(u.Name, s.attempt(u.Name, right, nil)); g.Factor != auth.FactorNone || g.Search != u.Search {
			s.Errorf("%s: granted %+v", u.Name, g)
		}
		s.denied(u.Name+", wrong", s.attempt(u.Name, wrong, nil), auth.Wrong, auth.WrongPassword)
		s.denied(u.Name+", another case", s.attempt(u.Name, "RIGHT HORSE", nil), auth.Wrong, auth.WrongPassword)
		s.granted(u.Name+" again", s.attempt(u.Name, right, nil))
	}
	s.denied("bob, wrong", s.attempt(bob.Name, wrong, nil), auth.Wrong, auth.WrongPassword)
}

// testSomebodyElse has a password that is right for others only: nobody may
// take it for right.
func testSomebodyElse(s *suite) {
	s.Set(User{Name: alice.Name, Password: "new horse"})
	s.denied("alice", s.attempt(alice.Name, right, nil), auth.Wrong, auth.WrongPassword)
	for _, password := range []auth.Secret{right, wrong} {
		if d := s.denial("nobody", s.attempt(nobody, password, nil)); d != nil && (d.Reason != auth.UnknownUser || d.Password == auth.Right) {
			s.Errorf("nobody: %+v", *d)
		}
	}
	// Who is disabled may not bind; the backend need not know more of it.
	for _, u := range []User{carol, erin} {
		if d := s.denial(u.Name, s.attempt(u.Name, right, nil)); d != nil && (d.Reason != auth.Inactive || d.Password == auth.Wrong) {
			s.Errorf("%s: %+v", u.Name, *d)
		}
		if d := s.denial(u.Name, s.attempt(u.Name, wrong, nil)); d != nil && (d.Reason != auth.Inactive || d.Password == auth.Right) {
			s.Errorf("%s, wrong: %+v", u.Name, *d)
		}
	}
}

// testAtOnce has the same attempts at the same time.
func testAtOnce(s *suite) {
	const n = 8
	all := func(a auth.Attempt) (granted, denied int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				_, err := s.Auth.Authenticate(s.Context(), a)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					granted++
				case guess(err):
					denied++
				default:
					s.Errorf("%s at once: %v", a.Name, err)
				}
			})
		}
		wg.Wait()
		return granted, denied
	}
	if granted, _ := all(s.attempt(alice.Name, right, nil)); granted != n {
		s.Errorf("%d of %d right binds are granted", granted, n)
	}
	if granted, denied := all(s.attempt(bob.Name, right, inUsername(s.Code(bob.Name)))); granted == 0 || granted+denied != n {
		s.Errorf("%d binds with one code are granted, %d denied", granted, denied)
	}
}

// testTime has each denial of one kind cost the same work, whoever it is of.
func testTime(s *suite) {
	work := func(a auth.Attempt) int {
		before := s.Work()
		s.denial(a.Name, a)
		return s.Work() - before
	}
	want := work(s.attempt(alice.Name, wrong, nil))
	for _, name := range []string{bob.Name, carol.Name, dave.Name, nobody, "nobody else"} {
		for _, code := range []func(*auth.Attempt){nil, inUsername(wrongCode)} {
			if got := work(s.attempt(name, wrong, code)); got != want {
				s.Errorf("%s: %d, want %d as for alice", name, got, want)
			}
		}
	}
	for _, name := range []string{carol.Name, nobody} {
		if got := work(s.attempt(name, right, nil)); got != want {
			s.Errorf("%s, right: %d, want %d", name, got, want)
		}
	}
}

// testChange has what is true by now counted, and nothing else.
func testChange(s *suite) {
	s.granted("before", s.attempt(alice.Name, right, nil))
	s.Set(User{Name: alice.Name, Password: "new horse"})
	s.denied("the old password", s.attempt(alice.Name, right, nil), auth.Wrong, auth.WrongPassword)
	s.granted("the new password", s.attempt(alice.Name, "new horse", nil))
	s.Set(User{Name: alice.Name, Password: "new horse", Factor: true})
	s.denied("a factor by now", s.attempt(alice.Name, "new horse", nil), auth.Right, auth.CodeMissing)
	if g := s.granted("with it", s.attempt(alice.Name, "new horse", inUsername(s.Code(alice.Name)))); g.Factor == auth.FactorNone {
		s.Error("with it: no factor")
	}
	s.Set(User{Name: alice.Name, Password: "new horse"})
	if g := s.granted("none any more", s.attempt(alice.Name, "new horse", nil)); g.Factor != auth.FactorNone {
		s.Errorf("none any more: %s", g.Factor)
	}
	s.Set(User{Name: alice.Name, Password: "new horse", Search: true})
	if g := s.granted("may search", s.attempt(alice.Name, "new horse", nil)); !g.Search {
		s.Error("may search: granted without")
	}
	s.Set(User{Name: alice.Name, Password: "new horse", Search: true, Inactive: true})
	if d := s.denial("disabled", s.attempt(alice.Name, "new horse", nil)); d != nil && d.Reason != auth.Inactive {
		s.Errorf("disabled: %s", d.Reason)
	}
}
