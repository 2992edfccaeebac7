package bind_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/bind"
	"ldapd/internal/policy"
)

// Of several readings that are denied, the answer is about the first one whose
// password is right, or else the first one.
func TestClosestReading(t *testing.T) {
	wrong := auth.Denied{Reason: auth.WrongPassword, Password: auth.Wrong}
	inactive := auth.Denied{Reason: auth.Inactive, Password: auth.Wrong}
	noCode := auth.Denied{Reason: auth.CodeMissing, Password: auth.Right}
	badCode := auth.Denied{Reason: auth.WrongCode, Password: auth.Right}
	for _, tt := range []struct {
		name         string
		split, whole auth.Denied
		want         string
	}{
		{"the second is right", wrong, noCode, missing},
		{"the first is right", noCode, wrong, missing},
		{"both are", noCode, badCode, missing},
		{"both are, the other way round", badCode, noCode, wrongCode},
		{"none is", wrong, inactive, wrongPass},
		{"none is, the other way round", inactive, wrong, "denied inactive 49"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &authFunc{do: func(_ context.Context, at auth.Attempt) (auth.Granted, error) {
				if at.CodeIn == auth.InPassword {
					return auth.Granted{}, &tt.split
				}
				return auth.Granted{}, &tt.whole
			}}
			s := newServer(t, nil, func(o *bind.Options) { o.Authenticator = a })
			if got := words(s.bind(t, userDN("bob"), "secret;123456")); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// A wrong code counts if the answer is about it and says that its password is
// right. Five are the fewest that are listed.
func TestWhatIsAGuess(t *testing.T) {
	deny := func(d auth.Denied) func(*house, *altered) {
		return func(_ *house, a *altered) { a.deny = func(auth.Attempt) error { return &d } }
	}
	for _, tt := range []struct {
		name      string
		change    func(h *house, a *altered)
		user      string
		want      string
		wantCodes int
	}{
		{"a wrong code", func(*house, *altered) {}, "alice", wrongCode, 5},
		{"a password that nobody compared", deny(auth.Denied{Reason: auth.WrongCode}), "alice", wrongCode, 0},
		{"no access", deny(auth.Denied{Reason: auth.NoAccess, Password: auth.Right, Final: true}), "alice", "denied no_access 50", 0},
		{"a user whom the directory has not yet", deny(auth.Denied{Reason: auth.WrongCode, Password: auth.Right, Final: true}), "zoe", wrongCode, 0},
		{"trouble", func(h *house, _ *altered) { h.change(func() { h.down = true }) }, "alice", "unknown unavailable 52", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, a := newAltered(t, nil)
			tt.change(h, a)
			for i := range 5 {
				h.want("bind", h.plain(nextcloud, fmt.Sprint(tt.user, ";", 500000+i), "secret"), tt.want)
			}
			h.wantGuesses(tt.wantCodes)
		})
	}
	t.Run("not digits that belong to the password", func(t *testing.T) {
		h := newHouse(t, nil)
		h.change(func() { h.users["alice"].password = "secret;123456" })
		for i := range 5 {
			h.want("login", h.login(fmt.Sprint("alice;", 500000+i), "secret;123456"), wrongCode)
		}
		h.wantGuesses(5)
	})
}

// wantGuesses fails unless so many wrong codes are listed of all users.
func (h *house) wantGuesses(want int) {
	h.Helper()
	n := 0
	for _, g := range h.Guessed() {
		n += g.Codes
	}
	if n != want {
		h.Errorf("%d wrong codes, want %d", n, want)
	}
}

// The user whose codes are used up is counted once.
func TestMetricOfGuesses(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := newHouse(t, nil)
	o := h.options
	o.Metrics = bind.NewMetrics(reg)
	p := bind.New(o)
	defer p.Close()
	for i := range 12 {
		_, _ = p.Bind(t.Context(), bind.Request{DN: userDN(fmt.Sprint("alice;", 500000+i)), Password: []byte("secret"), Addr: nextcloud})
	}
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.GetName() == "ldapd_guesses_exhausted_total" {
			if n := m.GetMetric()[0].GetCounter().GetValue(); n != 1 {
				t.Errorf("%v, want 1", n)
			}
			return
		}
	}
	t.Error("there is no such metric")
}

// The same wrong password with other codes through login searches is another
// secret each time, as it is with codes in the DN.
func TestSecretsThroughLogins(t *testing.T) {
	h := newHouse(t, func(o *bind.Options) { o.Limits = guard.Limits{FailuresPerAddress: 3} })
	for i := range 3 {
		conn := h.search(elsewhere, fmt.Sprint("alice;", 500000+i))
		h.want("guess", h.plain(elsewhere, "alice", "wrong"), wrongPass)
		h.logins.Closed(conn)
	}
	h.want("another user from there", h.plain(elsewhere, "bob", "wrong"), limitAddr)
}

// A code that was used is away where the user's logins are elsewhere, and so is
// no other reason; at home each is what the backend says.
func TestDeniedAway(t *testing.T) {
	const turnedDown = "denied factor_denied 49"
	for _, tt := range []struct {
		reason          auth.Reason
		atHome, notHome string
	}{
		{auth.WrongCode, wrongCode, away},
		{auth.CodeUsed, "denied code_used 49", away},
		{auth.FactorDenied, turnedDown, turnedDown},
		{auth.CodeUnexpected, "denied code_unexpected 49", "denied code_unexpected 49"},
	} {
		t.Run(string(tt.reason), func(t *testing.T) {
			h, a := newAltered(t, nil)
			h.want("login", h.plain(nextcloud, "alice;111111", "secret"), byCode)
			a.deny = func(auth.Attempt) error {
				return &auth.Denied{Reason: tt.reason, Password: auth.Right, Final: true}
			}
			h.want("at home", h.plain(nextcloud, "alice;999999", "secret"), tt.atHome)
			h.want("elsewhere", h.plain(elsewhere, "alice;888888", "secret"), tt.notHome)
		})
	}
}

// A wrong code is denied also if the other reading of it was a password once.
func TestWrongCodeOfAnOldPassword(t *testing.T) {
	h := newHouse(t, func(o *bind.Options) { o.Rules.Scope = policy.ScopeOff })
	h.change(func() { h.users["alice"].password = "secret;123456" })
	h.want("the old password", h.plain(nextcloud, "alice;111111", "secret;123456"), byCode)
	h.change(func() { h.users["alice"].password = "secret" })
	h.want("the new one", h.plain(nextcloud, "alice;222222", "secret"), byCode)
	h.want("the old one", h.plain(nextcloud, "alice", "secret;123456"), wrongCode)
}
