package authtest

import (
	"context"
	"errors"

	"ldapd/internal/auth"
)

// testStamps has the stamps change with what they stand for.
func testStamps(s *suite) {
	st, ok := s.Auth.(auth.Stamper)
	if !ok {
		return
	}
	stamps := func() (password, factor string) {
		a, _ := s.Account(alice.Name)
		return st.Stamps(a)
	}
	password, factor := stamps()
	if password == "" {
		s.Error("the password has no stamp")
	}
	if p, f := stamps(); p != password || f != factor {
		s.Error("the stamps change by themselves")
	}
	s.Set(User{Name: alice.Name, Password: "new horse"})
	changed, _ := stamps()
	if changed == password {
		s.Error("the password changed, and not its stamp")
	}
	s.Set(User{Name: alice.Name, Password: "new horse", Factor: true})
	if p, f := stamps(); f == factor && f != "" || p != changed {
		s.Errorf("there is a factor: stamps %q, %q, before %q, %q", p, f, changed, factor)
	}
	a, _ := s.Account(nobody)
	if p, f := st.Stamps(a); p != "" || f != "" {
		s.Errorf("the stamps of nobody are %q, %q", p, f)
	}
}

// testRights has the right to search change as soon as it does.
func testRights(s *suite) {
	r, ok := s.Auth.(auth.Rights)
	if !ok {
		return
	}
	want := func(what, name string, want bool) {
		s.Helper()
		a, _ := s.Account(name)
		if may, known := r.MaySearch(a); known && may != want || !known && may {
			s.Errorf("%s: may search is %v, known %v", what, may, known)
		}
	}
	want("alice", alice.Name, false)
	want("dave", dave.Name, true)
	want("disabled", erin.Name, false)
	want("nobody", nobody, false)
	s.Set(User{Name: dave.Name, Password: right})
	want("withdrawn", dave.Name, false)
	s.Set(User{Name: alice.Name, Password: right, Search: true})
	want("given", alice.Name, true)
}

// testSession has a session that a bind left asked for access, and ended.
func testSession(s *suite) {
	k, ok := s.Auth.(auth.SessionKeeper)
	if !ok {
		return
	}
	for _, u := range []User{alice, dave} {
		account, _ := s.Account(u.Name)
		g := s.granted(u.Name, s.attempt(u.Name, right, nil))
		if g.Session == nil {
			continue // it leaves none of this user
		}
		if search, err := k.Access(s.Context(), account.Base, *g.Session, s.attempt(u.Name, "", nil).Addr); err != nil || search != u.Search {
			s.Errorf("%s: search %v, %v", u.Name, search, err)
		}
		if err := k.EndSession(s.Context(), account.Base, *g.Session, s.attempt(u.Name, "", nil).Addr); err != nil {
			s.Errorf("%s: %v", u.Name, err)
		}
		if _, err := k.Access(s.Context(), account.Base, *g.Session, s.attempt(u.Name, "", nil).Addr); !errors.Is(err, auth.ErrSessionGone) {
			s.Errorf("%s, ended: %v", u.Name, err)
		}
		g = s.granted(u.Name, s.attempt(u.Name, right, nil))
		s.Set(User{Name: u.Name, Password: right, Inactive: true})
		_, err := k.Access(s.Context(), account.Base, *g.Session, s.attempt(u.Name, "", nil).Addr)
		var d *auth.Denied
		if !errors.Is(err, auth.ErrSessionGone) && !(errors.As(err, &d) && d.Reason == auth.Inactive && d.Password == auth.Unjudged) {
			s.Errorf("%s, disabled: %v", u.Name, err)
		}
	}
}

// testTrouble has no trouble of the backend's read as a denial.
func testTrouble(s *suite) {
	code := s.Code(bob.Name)
	s.Break()
	g, err := s.try(s.attempt(bob.Name, right, inUsername(code)))
	s.undetermined("right, in trouble", g, err)
}

// testContext has an attempt end with its context, and not with a denial.
func testContext(s *suite) {
	g, err := s.Auth.Authenticate(ended(s.Context()), s.attempt(alice.Name, right, nil))
	if err != nil {
		s.undetermined("ended before", g, err)
	}
	held := s.Hold()
	if held == nil {
		return
	}
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		g, err := s.Auth.Authenticate(ctx, s.attempt(alice.Name, right, nil))
		s.undetermined("ended meanwhile", g, err)
	}()
	<-held
	cancel()
	<-done
}
