package bind_test

import (
	"testing"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
	"ldapd/internal/directory"
)

// rights is a backend that may know who may search.
type rights struct {
	*altered
	may, known bool
}

func (r *rights) MaySearch(a directory.Account) (may, known bool) { return r.may && a.Active, r.known }

// The right to search is what the backend says, else what was known last, else
// what it was when the connection was bound.
func TestMaySearch(t *testing.T) {
	var r rights
	h, _ := newAltered(t, func(o *bind.Options) {
		r.altered = o.Authenticator.(*altered)
		o.Authenticator = &r
	})
	h.want("login", h.plain(nextcloud, "service", "service"), byFlow)
	for _, tt := range []struct {
		name       string
		may, known bool
		id         bind.Identity
		want       bool
	}{
		{"the backend knows", true, true, bind.Identity{UUID: "uuid-nobody", Base: base}, true},
		{"the backend knows better", false, true, bind.Identity{UUID: "uuid-service", Base: base, Search: true}, false},
		{"known last", false, false, bind.Identity{UUID: "uuid-service", Base: base}, true},
		{"of another tree", true, false, bind.Identity{UUID: "uuid-service", Base: otherBase}, false},
		{"when it was bound", false, false, bind.Identity{UUID: "uuid-nobody", Base: base, Search: true}, true},
		{"nobody knows", true, false, bind.Identity{UUID: "uuid-nobody", Base: base}, false},
	} {
		r.may, r.known = tt.may, tt.known
		if got := h.MaySearch(&tt.id); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	s := newServer(t, nil, nil) // which keeps no verified binds
	if !s.MaySearch(&bind.Identity{Search: true}) || s.MaySearch(&bind.Identity{}) {
		t.Error("without verified binds the right is not what it was")
	}
	if _, err := s.Forgive(t.Context(), directory.Account{UUID: "x"}); err != nil {
		t.Errorf("forgive: %v", err)
	}
}

// What is forgiven are the guesses with the password of now.
func TestForgiveWithThePasswordOfNow(t *testing.T) {
	h := newHouse(t, nil)
	h.change(func() { h.users["alice"].changed = 1 })
	for i := range 10 {
		h.plain(elsewhere, "alice;50000"+string(rune('0'+i)), "secret")
	}
	h.want("no more", h.plain(elsewhere, "alice;111111", "secret"), codeLimit)
	if all := h.Guessed(); len(all) != 1 || all[0].Name != "alice" || !all[0].Closed {
		t.Errorf("guessed: %+v", all)
	}
	a, _ := h.AccountByName("alice")
	if _, err := h.Forgive(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	h.want("forgiven", h.plain(elsewhere, "alice;111111", "secret"), byCode)
}

var (
	_ auth.Rights  = (*rights)(nil)
	_ auth.Stamper = (*rights)(nil)
)
