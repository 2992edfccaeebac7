package local

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/cache"
	"ldapd/internal/directory"
	"ldapd/internal/mfa"
	"ldapd/internal/password"
)

const (
	totpSecret = "JBSWY3DPEHPK3PXP"
	authFile   = `
users:
  - {username: alice, password: "` + cheap + `", search: true}
  - {username: bob, password: "` + cheap + `", totp: {secret: ` + totpSecret + `}}
  - {username: carol, password: "` + cheap + `", active: false}
  - {username: dave}
`
)

func fixed() time.Time { return time.Unix(1_700_000_010, 0) }

// code returns the code of bob, some periods from now.
func code(t testing.TB, periods int) auth.Secret {
	t.Helper()
	factor, err := mfa.NewTOTP(totpSecret, mfa.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := factor.Code(fixed().Add(time.Duration(periods) * 30 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return auth.Secret(c)
}

func attempt(f *File, name string, password, code auth.Secret, in auth.CodeIn) auth.Attempt {
	a := auth.Attempt{Name: name, Password: password, Code: code, CodeIn: in}
	for _, u := range f.Users() {
		if u.Username == name {
			a.Known = true
			a.Account = directory.Account{UUID: u.UUID, Username: u.Username, Active: u.Active}
		}
	}
	return a
}

func reasonOf(err error) string {
	if d := (*auth.Denied)(nil); errors.As(err, &d) {
		return string(d.Reason)
	}
	return fmt.Sprint(err)
}

// TestOneHashPerAttempt counts the slow hashes: as it is one for every attempt,
// the time of a denial tells nothing.
func TestOneHashPerAttempt(t *testing.T) {
	f := parse(t, authFile)
	wrong := auth.Secret("000000")
	tests := []struct {
		name           string
		user           string
		password, code auth.Secret
		in             auth.CodeIn
		want           string // reason, or empty for granted
	}{
		{"right", "alice", "secret", "", auth.NoCode, ""},
		{"right with a code on the name", "alice", "secret", wrong, auth.InUsername, ""},
		{"wrong password", "alice", "wrong", "", auth.NoCode, "wrong_password"},
		{"wrong password with a code", "alice", "wrong", wrong, auth.InPassword, "wrong_password"},
		{"code for a user without", "alice", "secret", wrong, auth.InPassword, "code_unexpected"},
		{"right code", "bob", "secret", code(t, 0), auth.InPassword, ""},
		{"right code on the name", "bob", "secret", code(t, 0), auth.InUsername, ""},
		{"code of the period before", "bob", "secret", code(t, -1), auth.InPassword, ""},
		{"code of the period after", "bob", "secret", code(t, 1), auth.InPassword, ""},
		{"old code", "bob", "secret", code(t, -2), auth.InPassword, "wrong_code"},
		{"no code", "bob", "secret", "", auth.NoCode, "code_missing"},
		{"wrong code", "bob", "secret", wrong, auth.InPassword, "wrong_code"},
		{"wrong code on the name", "bob", "secret", wrong, auth.InUsername, "wrong_code"},
		{"static token", "bob", "secret", "abcdefgh", auth.InPassword, "wrong_code"},
		{"right code, wrong password", "bob", "wrong", code(t, 0), auth.InPassword, "wrong_password"},
		{"inactive", "carol", "secret", "", auth.NoCode, "inactive"},
		{"inactive, wrong password", "carol", "wrong", "", auth.NoCode, "inactive"},
		{"no password", "dave", "secret", "", auth.NoCode, "no_password"},
		{"unknown", "zoe", "secret", "", auth.NoCode, "unknown_user"},
		{"unknown, wrong password", "zoe", "wrong", "", auth.NoCode, "unknown_user"},
		{"unknown, code", "zoe", "secret", wrong, auth.InUsername, "unknown_user"},
	}
	for _, again := range []bool{false, true} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, again %v", tt.name, again), func(t *testing.T) {
				a := NewAuthenticator(f, cache.NewMemory(fixed), password.NewQueue(), fixed)
				if again {
					for _, name := range []string{"alice", "bob", "carol", "dave", "zoe"} {
						a.Authenticate(t.Context(), attempt(f, name, "secret", "", auth.NoCode))
					}
				}
				before := a.Hashes()
				g, err := a.Authenticate(t.Context(), attempt(f, tt.user, tt.password, tt.code, tt.in))
				if hashes := a.Hashes() - before; hashes != 1 {
					t.Errorf("%d slow hashes, want 1", hashes)
				}
				if tt.want != "" {
					if reasonOf(err) != tt.want {
						t.Errorf("%v, want %s", err, tt.want)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				want := auth.Granted{Search: tt.user == "alice", Source: auth.SourceHash, Factor: auth.FactorNone}
				if tt.user == "bob" {
					want.Factor = auth.FactorTOTP
				}
				if g != want {
					t.Errorf("granted %+v, want %+v", g, want)
				}
			})
		}
	}
}

func TestEmptyDirectoryHashes(t *testing.T) {
	a := NewAuthenticator(&File{}, cache.NewMemory(fixed), password.NewQueue(), fixed)
	_, err := a.Authenticate(t.Context(), auth.Attempt{Name: "zoe", Password: "x"})
	if reasonOf(err) != "unknown_user" || a.Hashes() != 1 {
		t.Errorf("%v after %d hashes", err, a.Hashes())
	}
}

// TestBorrowedHash sees that an unknown name takes the time of some user, and
// keeps to it, whatever its case.
func TestBorrowedHash(t *testing.T) {
	f := parse(t, authFile)
	a := NewAuthenticator(f, cache.NewMemory(fixed), password.NewQueue(), fixed)
	c := a.content.Load()
	used := map[*password.Hash]bool{}
	for i := range 200 {
		name := fmt.Sprintf("nobody%d", i)
		h := a.hashFor(c, nil, name)
		if h == a.decoy || h != a.hashFor(c, nil, strings.ToUpper(name)) {
			t.Fatalf("%s borrows %p", name, h)
		}
		used[h] = true
	}
	if len(used) != 3 {
		t.Errorf("%d hashes are borrowed, want those of all 3 users", len(used))
	}
}

func TestReplay(t *testing.T) {
	f := parse(t, authFile)
	store := cache.NewMemory(fixed)
	a := NewAuthenticator(f, store, password.NewQueue(), fixed)
	now := code(t, 0)
	// A code behind a wrong password is not used up.
	if _, err := a.Authenticate(t.Context(), attempt(f, "bob", "wrong", now, auth.InPassword)); reasonOf(err) != "wrong_password" {
		t.Fatal(err)
	}
	if _, err := a.Authenticate(t.Context(), attempt(f, "bob", "secret", now, auth.InPassword)); err != nil {
		t.Fatal(err)
	}
	for _, in := range []auth.CodeIn{auth.InPassword, auth.InUsername} {
		if _, err := a.Authenticate(t.Context(), attempt(f, "bob", "secret", now, in)); reasonOf(err) != "code_used" {
			t.Errorf("replay: %v", err)
		}
	}
	// Another process with the same store knows too.
	b := NewAuthenticator(f, store, password.NewQueue(), fixed)
	if _, err := b.Authenticate(t.Context(), attempt(f, "bob", "secret", now, auth.InPassword)); reasonOf(err) != "code_used" {
		t.Errorf("replay after a restart: %v", err)
	}
	if _, err := b.Authenticate(t.Context(), attempt(f, "bob", "secret", code(t, 1), auth.InPassword)); err != nil {
		t.Errorf("the next code: %v", err)
	}
}

type brokenCodes struct{}

var errBroken = errors.New("disk full")

func (brokenCodes) Claim(context.Context, string, int64, time.Time) (bool, error) {
	return false, errBroken
}

func TestStoreTroubleIsNotDenied(t *testing.T) {
	f := parse(t, authFile)
	a := NewAuthenticator(f, brokenCodes{}, password.NewQueue(), fixed)
	_, err := a.Authenticate(t.Context(), attempt(f, "bob", "secret", code(t, 0), auth.InPassword))
	if d := (*auth.Denied)(nil); !errors.Is(err, errBroken) || errors.As(err, &d) {
		t.Errorf("error %v, want %v", err, errBroken)
	}
}

func TestWaitForTurn(t *testing.T) {
	f := parse(t, authFile)
	queue := password.NewQueue()
	a := NewAuthenticator(f, cache.NewMemory(fixed), queue, fixed)
	defer occupy(t, queue)()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, at := range []auth.Attempt{
		attempt(f, "alice", "secret", "", auth.NoCode),
		attempt(f, "alice", "wrong", "", auth.NoCode),
		attempt(f, "zoe", "wrong", "", auth.NoCode),
		attempt(f, "bob", "secret", "000000", auth.InPassword),
	} {
		_, err := a.Authenticate(ctx, at)
		if d := (*auth.Denied)(nil); !errors.Is(err, context.Canceled) || errors.As(err, &d) {
			t.Errorf("%s: error %v, want %v", at.Name, err, context.Canceled)
		}
	}
}

// occupy takes all turns of a queue until free is called.
func occupy(t *testing.T, q *password.Queue) (free func()) {
	release, taken := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			if err := q.Do(t.Context(), netip.Addr{}, func() { taken <- struct{}{}; <-release }); err != nil {
				t.Error(err)
			}
		})
		<-taken
	}
	return func() { close(release); wg.Wait() }
}

func TestStamps(t *testing.T) {
	stamps := func(file, name string) [2]string {
		t.Helper()
		f := parse(t, file)
		a := NewAuthenticator(f, cache.NewMemory(fixed), password.NewQueue(), fixed)
		p, s := a.Stamps(attempt(f, name, "", "", auth.NoCode).Account)
		for _, stamp := range []string{p, s} {
			if strings.Contains(stamp, totpSecret) || stamp != "" && len(stamp) != 16 {
				t.Errorf("%s: stamp %q", name, stamp)
			}
		}
		return [2]string{p, s}
	}
	file := func(replace ...string) string { return strings.NewReplacer(replace...).Replace(authFile) }
	alice, bob := stamps(authFile, "alice"), stamps(authFile, "bob")
	if alice[0] == "" || alice[1] != "" || bob[0] == "" || bob[1] == "" || alice[0] == bob[0] {
		t.Errorf("alice %q, bob %q", alice, bob)
	}
	for _, name := range []string{"dave", "zoe"} {
		if got := stamps(authFile, name); got != [2]string{} {
			t.Errorf("%s: %q", name, got)
		}
	}
	tests := []struct {
		name, file              string
		password, factorChanges bool
	}{
		{"nothing", authFile, false, false},
		{"another user", file("dave", "eve"), false, false},
		{"another hash", file(cheap, strings.Replace(cheap, "salt", "pepper", 1)), true, false},
		{"the right to search", file("{username: bob,", "{username: bob, search: true,"), true, false},
		{"another secret", file(totpSecret, "KRSXG5CTMVRXEZLU"), false, true},
		{"the secret in other words", file(totpSecret, `"jbsw y3dp ehpk 3pxp="`), false, false},
		{"digits", file(totpSecret, totpSecret+", digits: 8"), false, true},
		{"period", file(totpSecret, totpSecret+", period: 60s"), false, true},
		{"algorithm", file(totpSecret, totpSecret+", algorithm: SHA256"), false, true},
		{"defaults written out", file(totpSecret, totpSecret+", algorithm: sha1, digits: 6, period: 30s"), false, false},
		{"no factor", file(", totp: {secret: "+totpSecret+"}", ""), false, true},
	}
	for _, tt := range tests {
		if got := stamps(tt.file, "bob"); (got[0] != bob[0]) != tt.password || (got[1] != bob[1]) != tt.factorChanges {
			t.Errorf("%s: %q, was %q", tt.name, got, bob)
		}
	}
}

func TestUpdate(t *testing.T) {
	f := parse(t, authFile)
	a := NewAuthenticator(f, cache.NewMemory(fixed), password.NewQueue(), fixed)
	alice := attempt(f, "alice", "secret", "", auth.NoCode)
	if _, err := a.Authenticate(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	a.Update(parse(t, authFile+"  - {username: eve}\n"))
	if _, err := a.Authenticate(t.Context(), alice); err != nil {
		t.Errorf("beside a new user: %v", err)
	}
	a.Update(parse(t, strings.Replace(authFile, cheap, strings.Replace(cheap, "salt", "pepper", 1), 1)))
	if _, err := a.Authenticate(t.Context(), alice); reasonOf(err) != "wrong_password" {
		t.Errorf("old password: %v", err)
	}
	a.Update(parse(t, strings.Replace(authFile, "search: true", "active: false", 1)))
	if _, err := a.Authenticate(t.Context(), alice); reasonOf(err) != "inactive" {
		t.Errorf("disabled: %v", err)
	}
	a.Update(parse(t, "users: [{username: bob}]"))
	if _, err := a.Authenticate(t.Context(), alice); reasonOf(err) != "unknown_user" {
		t.Errorf("removed: %v", err)
	}
}

// TestUpdateWhileBinding is for the race detector.
func TestUpdateWhileBinding(t *testing.T) {
	f := parse(t, authFile)
	a := NewAuthenticator(f, cache.NewMemory(fixed), password.NewQueue(), fixed)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if _, err := a.Authenticate(t.Context(), attempt(f, "alice", "secret", "", auth.NoCode)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 100 {
		a.Update(f)
	}
	wg.Wait()
}

func BenchmarkStamps(b *testing.B) {
	f, err := Parse("users.yaml", []byte(authFile), "")
	if err != nil {
		b.Fatal(err)
	}
	a := NewAuthenticator(f, cache.NewMemory(fixed), password.NewQueue(), fixed)
	bob := attempt(f, "bob", "", "", auth.NoCode).Account
	b.ReportAllocs()
	for b.Loop() {
		if _, factor := a.Stamps(bob); factor == "" {
			b.Fatal("no stamp")
		}
	}
}
