package daemon

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"ldapd/internal/auth/guard"
	"ldapd/internal/config"
	"ldapd/internal/control"
	"ldapd/internal/policy"
	"ldapd/internal/verified"
)

func TestGuessedConditions(t *testing.T) {
	first := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	nameOf := func(uuid string) string { return "name of " + uuid }
	closed := guard.Guessed{
		Name: "alice", Codes: 10, First: first, Last: first.Add(time.Hour), Closed: true, Until: first.Add(24 * time.Hour),
		Homes: []string{policy.HomeAt("192.0.2.7"), policy.HomeOfSearch("s"), "the unlock page"},
	}
	many := closed
	many.Homes = nil
	for i := range 9 {
		many.Homes = append(many.Homes, policy.HomeAt(fmt.Sprint(i)))
	}
	for _, tt := range []struct {
		g    guard.Guessed
		want string
	}{
		{closed, "somebody has the password of alice and tries codes: 10 wrong ones since 2026-07-01T12:00:00Z, the last one at 2026-07-01T13:00:00Z; " +
			"no more are compared until 2026-07-02T12:00:00Z where alice has no remembered login, " +
			"nor where they came from (at 192.0.2.7, logins that name of s searched for, the unlock page): " +
			"let alice change the password, or: ldapd cache forgive alice"},
		{guard.Guessed{Name: "bob", Codes: 5, First: first, Last: first, Homes: []string{"at x"}},
			"somebody has the password of bob and tries codes: 5 wrong ones since 2026-07-01T12:00:00Z, the last one at 2026-07-01T12:00:00Z: " +
				"let bob change the password, or: ldapd cache forgive bob"},
		{guard.Guessed{Name: "bob", Codes: 12, Closed: true, Until: first},
			"somebody has the password of bob and tries codes: 12 wrong ones within a day; no more are compared until 2026-07-01T12:00:00Z where bob has no remembered login: " +
				"let bob change the password, or: ldapd cache forgive bob"},
	} {
		if got := guessed([]guard.Guessed{tt.g}, nameOf); len(got) != 1 || got[0] != tt.want {
			t.Errorf("%q\nwant\n%q", got, tt.want)
		}
	}
	if got := guessed([]guard.Guessed{many}, nameOf); !strings.Contains(got[0], "(at 0, at 1, at 2, at 3, at 4, 4 more)") {
		t.Errorf("%q", got)
	}
	for name, want := range map[string]string{
		"alice.b@example.org": "forgive alice.b@example.org",
		"-rf":                 "forgive -- '-rf'",
		"a; rm -rf ~":         "forgive -- 'a; rm -rf ~'",
		"o'x$(id)":            `forgive -- 'o'\''x$(id)'`,
		"":                    "forgive -- ''",
	} {
		if got := guessed([]guard.Guessed{{Name: name}}, nameOf); !strings.HasSuffix(got[0], "ldapd cache "+want) {
			t.Errorf("%q: %q", name, got)
		}
	}
	for n, want := range map[int]string{0: "", 20: "", 21: "and 1 more users", 500: "and 480 more users"} {
		got := guessed(make([]guard.Guessed, n), nameOf)
		if len(got) > 21 || want == "" && len(got) != n || want != "" && !strings.HasPrefix(got[len(got)-1], want) {
			t.Errorf("of %d: %d, the last one %q", n, len(got), got)
		}
	}
}

func TestAwayConditions(t *testing.T) {
	now := time.Date(2026, 7, 2, 12, 0, 0, 0, time.UTC)
	got := away(map[string]time.Time{
		"192.0.2.7": now.Add(-time.Hour), "2001:db8::/64": now.Add(-2 * time.Hour), "cloud": now.Add(-3 * time.Hour),
		"192.0.2.8": now.Add(-25 * time.Hour),
	}, now)
	if len(got) != 3 {
		t.Fatalf("%q", got)
	}
	for i, want := range []string{
		`at 192.0.2.7, the last one at 2026-07-02T11:00:00Z,|clients: [{name: nextcloud, networks: ["192.0.2.7/32"]}]`,
		`at 2001:db8::/64, the last one at 2026-07-02T10:00:00Z,|clients: [{name: nextcloud, networks: ["2001:db8::/64"]}]`,
		`at cloud, the last one at 2026-07-02T09:00:00Z,|it is named in the configuration, so let it search with the account that it had`,
	} {
		for _, part := range strings.Split(want, "|") {
			if !strings.Contains(got[i], part) {
				t.Errorf("%q lacks %q", got[i], part)
			}
		}
	}
	many := make(map[string]time.Time)
	for i := range 100 {
		many[fmt.Sprint("192.0.2.", i)] = now
	}
	if got := away(many, now); len(got) != 21 || got[20] != "and 80 more clients at which such logins fail" {
		t.Errorf("of 100: %d, %q", len(got), got)
	}
}

func TestGoodAnywhere(t *testing.T) {
	now := time.Date(2026, 7, 2, 12, 0, 0, 0, time.UTC)
	rules := &policy.Rules{Remember: time.Hour, MaxAge: time.Hour}
	user := func(proofs ...verified.Proof) verified.Entry {
		return verified.Entry{Record: &verified.Record{Credentials: []verified.Credential{{}, {Proofs: proofs}}}}
	}
	code := verified.Code{Key: "k"}
	all := []verified.Entry{
		user(), user(verified.Proof{Code: code, Home: "at x", At: now}), user(verified.Proof{At: now}),
		user(verified.Proof{Code: code, At: now.Add(-time.Hour)}),
		user(verified.Proof{Code: code, At: now.Add(-time.Minute)}, verified.Proof{Code: code, At: now}),
	}
	if n := goodAnywhere(all, rules, now); n != 1 {
		t.Errorf("%d, want 1", n)
	}
}

// onlyCodesLimited is a configuration without the limits of a minute.
func onlyCodesLimited(t *testing.T) *config.Config {
	cfg := testConfig(t)
	cfg.Limits.FailuresPerUser, cfg.Limits.FailuresPerAddress = 0, 0
	return cfg
}

// TestForgiven has somebody who has bob's password try codes until no more are
// compared; everything says so, until an administrator forgives.
func TestForgiven(t *testing.T) {
	r := start(t, onlyCodesLimited(t), demoUsers(t))
	try := func(i int) uint16 {
		c := r.dialFrom(t, "127.0.0.4")
		defer c.Close()
		return code(t, c.Bind(fmt.Sprintf("cn=bob;%d,ou=users,%s", 700000+i, base), "demo-bob"))
	}
	get := func(path, accept string) string {
		t.Helper()
		_, body := r.get(t, path, accept)
		return body
	}
	defer http.DefaultClient.CloseIdleConnections()
	c, err := control.Dial(r.cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}

	if got := r.bind(t, "bob;"+currentCode(t), "demo-bob"); got != goldap.LDAPResultSuccess {
		t.Fatalf("bob: %d", got)
	}
	for i := range 10 {
		if got := try(i); got != goldap.LDAPResultUnavailable { // as bob may have moved there
			t.Errorf("code %d: %d", i, got)
		}
	}
	if got := try(10); got != goldap.LDAPResultBusy {
		t.Errorf("beyond the limit: %d", got)
	}
	for what, text := range map[string]string{
		"HTML": get("/status", "text/html"), "JSON": get("/status", "application/json"),
	} {
		for _, want := range []string{
			"somebody has the password of bob and tries codes: 1", "let bob change the password, or: ldapd cache forgive bob",
			"are answered 52 at 127.0.0.4", "somebody there has the password of a user",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q:\n%s", what, want, text)
			}
		}
	}
	if text := get("/metrics", ""); !strings.Contains(text, "\nldapd_guessed_users 1\n") || !strings.Contains(text, "\nldapd_binds_waiting 0\n") ||
		!strings.Contains(text, "\nldapd_binds_strangers_waiting 0\n") || !strings.Contains(text, "\nldapd_guesses_exhausted_total 1\n") {
		t.Error("/metrics does not say it")
	}
	st, err := c.Status(t.Context()) // which ldapd check repeats
	if err != nil || !strings.Contains(strings.Join(st.Warnings, "\n"), "somebody has the password of bob") {
		t.Errorf("status: %v, %v", st.Warnings, err)
	}

	for _, name := range []string{"alice", "nobody"} {
		if n, err := c.Forgive(t.Context(), name); n != 0 || (err == nil) != (name == "alice") {
			t.Errorf("forgive %s: %d, %v", name, n, err)
		}
	}
	if got := try(10); got != goldap.LDAPResultBusy {
		t.Errorf("others were forgiven: %d", got)
	}
	if n, err := c.Forgive(t.Context(), "BOB"); n < 10 || err != nil {
		t.Fatalf("forgive: %d, %v", n, err)
	}
	if got := try(11); got != goldap.LDAPResultUnavailable {
		t.Errorf("forgiven: %d", got)
	}
	if text := get("/status", ""); strings.Contains(text, "password of bob") {
		t.Errorf("afterwards: %s", text)
	}
	if text := get("/metrics", ""); !strings.Contains(text, "\nldapd_guessed_users 0\n") {
		t.Error("/metrics still tells of bob")
	}
}

// TestRevokeForgives: after a revocation there is nothing left to guess, and
// the user comes in again by code at once.
func TestRevokeForgives(t *testing.T) {
	r := start(t, onlyCodesLimited(t), demoUsers(t))
	for i := range 12 {
		r.bind(t, fmt.Sprint("bob;", 100000+i), "demo-bob")
	}
	if all := r.binds.Guessed(); len(all) != 1 || !all[0].Closed {
		t.Fatalf("%+v", all)
	}
	s := service{r.Daemon}
	account := s.accounts("bob")
	if len(account) != 1 {
		t.Fatalf("%+v", account)
	}
	if _, err := s.Revoke(t.Context(), account[0].UUID); err != nil {
		t.Fatal(err)
	}
	if all := r.binds.Guessed(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	if got := r.bind(t, "bob;"+currentCode(t), "demo-bob"); got != goldap.LDAPResultSuccess {
		t.Errorf("bob: %d", got)
	}
}
