package authtest

import (
	"errors"

	"ldapd/internal/auth"
)

// guess reports that a second factor was tried.
func guess(err error) bool {
	var d *auth.Denied
	return errors.As(err, &d) && d.Guess()
}

func testFactor(s *suite) {
	for in, with := range map[string]func(auth.Secret) func(*auth.Attempt){"name": inUsername, "password": inPassword} {
		what := func(text string) string { return "code behind the " + in + ": " + text }
		s.denied(what("none"), s.attempt(bob.Name, right, nil), auth.Right, auth.CodeMissing)
		s.denied(what("wrong"), s.attempt(bob.Name, right, with(wrongCode)), auth.Right, auth.WrongCode)
		s.denied(what("and password wrong"), s.attempt(bob.Name, wrong, with(wrongCode)), auth.Wrong, auth.WrongPassword)
		code := s.Code(bob.Name)
		s.denied(what("right, password wrong"), s.attempt(bob.Name, wrong, with(code)), auth.Wrong, auth.WrongPassword)
		// And it is not spent by that.
		if g := s.granted(what("right"), s.attempt(bob.Name, right, with(code))); g.Factor == auth.FactorNone || g.Search {
			s.Errorf("%s: granted %+v", what("right"), g)
		}
		s.denied(what("spent"), s.attempt(bob.Name, right, with(code)), auth.Right, auth.CodeUsed, auth.WrongCode)
		s.granted(what("the next"), s.attempt(bob.Name, right, with(s.Code(bob.Name))))
	}
}

// testNoFactor has a code that nobody asked for: it proves nothing.
func testNoFactor(s *suite) {
	for _, with := range []func(*auth.Attempt){inUsername(wrongCode), inPassword(wrongCode)} {
		a := s.attempt(alice.Name, right, with)
		g, err := s.try(a)
		var d *auth.Denied
		switch {
		case err == nil && g.Factor != auth.FactorNone:
			s.Errorf("code in %d: %s counts as proved", a.CodeIn, g.Factor)
		case errors.As(err, &d) && (d.Reason != auth.CodeUnexpected || d.Password != auth.Right):
			s.Errorf("code in %d: %+v", a.CodeIn, *d)
		case err != nil && d == nil:
			s.Errorf("code in %d: %v", a.CodeIn, err)
		}
		s.denied("wrong password with a code", s.attempt(alice.Name, wrong, with), auth.Wrong, auth.WrongPassword)
	}
}

// testQuiet has attempts that nobody is there for: they judge the password, and
// spend no code.
func testQuiet(s *suite) {
	if g := s.granted("no factor", s.attempt(alice.Name, right, quiet)); g.Factor != auth.FactorNone {
		s.Errorf("no factor: %s", g.Factor)
	}
	s.denied("no factor, wrong", s.attempt(alice.Name, wrong, quiet), auth.Wrong, auth.WrongPassword)
	s.denied("wrong", s.attempt(bob.Name, wrong, quiet), auth.Wrong, auth.WrongPassword)
	code := s.Code(bob.Name)
	s.denied("right", s.attempt(bob.Name, right, quiet), auth.Right, auth.CodeMissing)
	s.granted("the code behind it", s.attempt(bob.Name, right, inUsername(code)))
}
