package bind_test

import (
	"testing"

	"ldapd/internal/auth"
)

// newBlind returns a house in which alice is remembered by what cannot be read.
func newBlind(t *testing.T) (*house, *altered) {
	h, a := newAltered(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.close()
	h.damage()
	h.open()
	return h, a
}

// While the store cannot be asked, only what no memory changes is denied.
func TestDeniedBlind(t *testing.T) {
	const later = "unknown unavailable 52"
	for _, tt := range []struct {
		denied auth.Denied
		want   string
	}{
		{auth.Denied{Reason: auth.WrongPassword, Password: auth.Wrong}, wrongPass},
		{auth.Denied{Reason: auth.NoAccess, Password: auth.Right, Final: true}, "denied no_access 50"},
		{auth.Denied{Reason: auth.Policy, Password: auth.Right, Final: true}, "denied policy 49"},
		{auth.Denied{Reason: auth.WrongCode, Password: auth.Right, Final: true}, later},
		{auth.Denied{Reason: auth.CodeMissing, Password: auth.Right, Final: true}, later},
		{auth.Denied{Reason: auth.CodeUnexpected, Password: auth.Wrong}, "denied code_unexpected 49"},
		{auth.Denied{Reason: auth.FactorUnusable, Final: true}, later}, // of a backend that asks for the factor first
	} {
		t.Run(string(tt.denied.Reason), func(t *testing.T) {
			h, a := newBlind(t)
			a.deny = func(auth.Attempt) error { return &tt.denied }
			h.want("bind", h.plain(elsewhere, "alice", "secret"), tt.want)
		})
	}
}

// A bind that may be of several logins waits for all but one to be over also
// while the store cannot be asked. Then its code is proved; but one that is
// wrong may be remembered.
func TestSeveralLoginsBlind(t *testing.T) {
	for _, tt := range []struct{ code, want string }{
		{"222222", byCode},
		{"999999", "unknown unavailable 52"},
	} {
		h, _ := newBlind(t)
		other := h.search(nextcloud, "alice;333333")
		h.search(nextcloud, "alice;"+tt.code)
		h.asleep = func() { h.logins.Closed(other) }
		h.want(tt.code, h.plain(nextcloud, "alice", "secret"), tt.want)
	}
}
