package bind_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
	"ldapd/internal/cache"
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/local"
	"ldapd/internal/mfa"
	"ldapd/internal/password"
	"ldapd/internal/policy"
	"ldapd/internal/testclock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	base = "dc=ldap,dc=goauthentik,dc=io"
	// cheap is a hash of "secret" that takes no time.
	cheap      = "pbkdf2_sha256$1$salt$ON9CizCTCOSMNofn+QvaDpzyU1aMIex1Sg4HarSrZCM="
	totpSecret = "JBSWY3DPEHPK3PXP"
)

// odd is the hash of a password that ends like one with a code: "odd;123456".
const odd = "pbkdf2_sha256$1$salt$ss2GF32szwYhO7JZNYXOY4JrIS1gTweYQZ+bawuIhmg="

const usersFile = `
users:
  - {username: service, password: "` + cheap + `", search: true}
  - {username: alice, password: "` + cheap + `", uid: 4ccb17}
  - {username: bob, password: "` + cheap + `", totp: {secret: ` + totpSecret + `}}
  - {username: carol, password: "` + cheap + `", active: false}
  - {username: odd, password: "` + odd + `"}
  - {username: "eve;123456", password: "` + cheap + `"}
  - {username: eve, password: "` + cheap + `", totp: {secret: ` + totpSecret + `}}
`

// people is a Directory over the users of a file.
type people []directory.User

func (p people) LoginName(dn ldap.DN) (string, bool) {
	if !strings.HasSuffix(strings.ToLower(dn.String()), base) {
		return "", false
	}
	for _, rdn := range dn {
		if t := strings.ToLower(rdn[0].Type); t == "cn" || t == "uid" {
			return rdn[0].Value, true
		}
	}
	return "", false
}

func (p people) AccountByName(name string) (directory.Account, bool) {
	for _, u := range p {
		if strings.EqualFold(u.Username, name) || strings.EqualFold(u.UID, name) {
			dn := "cn=" + u.Username + ",ou=users," + base
			return directory.Account{UUID: u.UUID, Username: u.Username, DN: dn, Active: u.Active}, true
		}
	}
	return directory.Account{}, false
}

// clock is moved by the test, and by who sleeps.
type clock struct{ *testclock.Clock }

func newClock() *clock { return &clock{testclock.At(time.Unix(1_700_000_010, 0))} }

// sleep waits without waiting.
func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.Advance(d)
	return ctx.Err()
}

// code returns the code of the moment.
func (c *clock) code(t *testing.T) string {
	t.Helper()
	factor, err := mfa.NewTOTP(totpSecret, mfa.Options{})
	if err != nil {
		t.Fatal(err)
	}
	code, err := factor.Code(c.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// server is a pipeline over the file backend.
type server struct {
	*bind.Pipeline
	*clock
	auth *local.Authenticator
}

func newServer(t testing.TB, codes mfa.UsedCodes, change func(*bind.Options)) *server {
	t.Helper()
	f, err := local.Parse("users.yaml", []byte(usersFile), "")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{clock: newClock()}
	if codes == nil {
		codes = cache.NewMemory(s.clock.Now)
	}
	s.auth = local.NewAuthenticator(f, codes, password.NewQueue(), s.clock.Now)
	o := bind.Options{
		Directory:      func(ldap.DN) (bind.Directory, error) { return people(f.Users()), nil },
		Authenticator:  s.auth,
		CodeInPassword: true,
		Rules:          policy.Rules{CodeInUsername: true},
		Separator:      ";",
		Now:            s.clock.Now,
		Sleep:          s.sleep,
	}
	if change != nil {
		change(&o)
	}
	s.Pipeline = bind.New(o)
	return s
}

func userDN(name string) string { return "cn=" + name + ",ou=users," + base }

func (s *server) bind(t *testing.T, dn, password string) (*bind.Identity, error) {
	t.Helper()
	return s.Bind(t.Context(), bind.Request{DN: dn, Password: []byte(password), Addr: netip.MustParseAddr("192.0.2.1")})
}

// words puts the outcome of a bind as log and client see it.
func words(id *bind.Identity, err error) string {
	outcome, reason := bind.Classify(err)
	if err == nil {
		return fmt.Sprintf("%s %s %s", outcome, id.Username, id.Factor)
	}
	code := -1
	if e := (*ldap.Error)(nil); errors.As(err, &e) {
		code = int(e.Code)
	}
	return fmt.Sprintf("%s %s %d", outcome, reason, code)
}

func TestBind(t *testing.T) {
	// CODE stands for the code of the moment.
	tests := []struct {
		name, dn, password string
		want               string
		hashes             int64
	}{
		{"right", userDN("alice"), "secret", "granted alice none", 1},
		{"case and spaces of the DN", "CN=Alice, OU=Users, DC=ldap, DC=goauthentik, DC=io", "secret", "granted alice none", 1},
		{"by uid", "uid=alice,ou=users," + base, "secret", "granted alice none", 1},
		{"by uid value", "uid=4ccb17,ou=users," + base, "secret", "granted alice none", 1},
		{"wrong password", userDN("alice"), "hunter2", "denied wrong_password 49", 1},
		{"unknown user", userDN("zoe"), "secret", "denied unknown_user 49", 1},
		{"inactive", userDN("carol"), "secret", "denied inactive 49", 1},
		{"outside the base", "cn=alice,ou=users,dc=example,dc=org", "secret", "denied unknown_user 49", 1},
		{"no user", "ou=users," + base, "secret", "denied unknown_user 49", 1},
		{"no DN", "alice", "secret", "refused bad_dn 34", 0},
		{"empty password", userDN("alice"), "", "refused no_secret 53", 0},

		{"code on the password", userDN("bob"), "secret;CODE", "granted bob totp", 1},
		{"code on the login name", userDN("bob;CODE"), "secret", "granted bob totp", 1},
		{"code on the login name, escaped", userDN(`bob\3bCODE`), "secret", "granted bob totp", 1},
		{"code missing", userDN("bob"), "secret", "denied code_missing 49", 1},
		{"wrong code on the login name", userDN("bob;000000"), "secret", "denied wrong_code 49", 1},
		{"wrong password, code on the login name", userDN("bob;CODE"), "hunter2", "denied wrong_password 49", 1},
		{"only a code", userDN("bob"), ";CODE", "denied wrong_password 49", 1},
		{"separator doubled", userDN("bob"), "secret;;CODE", "denied wrong_password 49", 2},
		{"codes in both places", userDN("bob;000000"), "secret;CODE", "granted bob totp", 1},

		// Two readings: two hashes, whoever it is and whatever is wrong.
		{"wrong code on the password", userDN("bob"), "secret;000000", "denied wrong_code 49", 2},
		{"wrong password with code", userDN("bob"), "hunter2;CODE", "denied wrong_password 49", 2},
		{"code for a user without", userDN("alice"), "secret;000000", "denied code_unexpected 49", 2},
		{"wrong password with code for a user without", userDN("alice"), "hunter2;000000", "denied wrong_password 49", 2},
		{"code of an unknown user", userDN("zoe"), "secret;000000", "denied unknown_user 49", 2},
		{"code of an inactive user", userDN("carol"), "secret;000000", "denied inactive 49", 2},
		{"codes in both places of an unknown user", userDN("zoe;000000"), "secret;000000", "denied unknown_user 49", 2},

		{"code on the login name for a user without", userDN("alice;123456"), "secret", "granted alice none", 1},
		{"code on the login name of an unknown user", userDN("zoe;123456"), "secret", "denied unknown_user 49", 1},
		{"no code on the login name", userDN("bob;12345"), "secret", "denied unknown_user 49", 1},
		{"only a code as login name", userDN(";123456"), "secret", "denied unknown_user 49", 1},
		{"password that looks like a code", userDN("odd"), "odd;123456", "granted odd none", 2},
		{"password that looks like a code, in part", userDN("odd"), "odd", "denied wrong_password 49", 1},
		{"password that looks like a code, with one on the name", userDN("odd;654321"), "odd;123456", "granted odd none", 2},
		{"literal login name first", userDN("eve;123456"), "secret", "granted eve;123456 none", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, nil, nil)
			fill := strings.NewReplacer("CODE", s.code(t))
			id, err := s.bind(t, fill.Replace(tt.dn), fill.Replace(tt.password))
			if got := words(id, err); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if n := s.auth.Hashes(); n != tt.hashes {
				t.Errorf("%d slow hashes, want %d", n, tt.hashes)
			}
			if err != nil && tt.password != "" && strings.Contains(err.Error(), fill.Replace(tt.password)) {
				t.Errorf("the error holds the password: %v", err)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	s := newServer(t, nil, remembering(t))
	for _, source := range []auth.Source{auth.SourceHash, auth.SourceMemory} {
		id, err := s.bind(t, userDN("SERVICE"), "secret")
		if err != nil {
			t.Fatal(err)
		}
		want := bind.Identity{UUID: id.UUID, Username: "service", Entry: userDN("service"), Search: true, Source: source, Factor: auth.FactorNone}
		if *id != want || id.DN() != want.Entry || len(id.UUID) != 36 {
			t.Errorf("%+v, want %+v", *id, want)
		}
	}
	if id, err := s.bind(t, userDN("alice"), "secret"); err != nil || id.Search {
		t.Errorf("alice: %+v, %v", id, err)
	}
}

func TestCodeIn(t *testing.T) {
	for _, tt := range []struct {
		name               string
		inPassword, inName bool
		dn, password       string
		want               string
		hashes             int64
	}{
		{"password only", true, false, "bob", "secret;CODE", "granted bob totp", 1},
		{"password only, code on the name", true, false, "bob;CODE", "secret", "denied unknown_user 49", 1},
		{"name only", false, true, "bob;CODE", "secret", "granted bob totp", 1},
		{"name only, code on the password", false, true, "bob", "secret;CODE", "denied code_in_secret 49", 1},
		{"nowhere", false, false, "bob", "secret;CODE", "denied code_in_secret 49", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, nil, func(o *bind.Options) { o.CodeInPassword, o.Rules.CodeInUsername = tt.inPassword, tt.inName })
			fill := strings.NewReplacer("CODE", s.code(t))
			got := words(s.bind(t, userDN(fill.Replace(tt.dn)), fill.Replace(tt.password)))
			if got != tt.want || s.auth.Hashes() != tt.hashes {
				t.Errorf("%s after %d hashes, want %s after %d", got, s.auth.Hashes(), tt.want, tt.hashes)
			}
		})
	}
}

func TestReplayAcrossReopenedStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	for i, want := range []string{"granted bob totp", "denied code_used 49"} {
		store, err := cache.Open(path, newClock().Now)
		if err != nil {
			t.Fatal(err)
		}
		s := newServer(t, store, nil)
		if got := words(s.bind(t, userDN("bob"), "secret;"+s.code(t))); got != want {
			t.Errorf("start %d: %s, want %s", i, got, want)
		}
		if got := words(s.bind(t, userDN("bob;"+s.code(t)), "secret")); got != "denied code_used 49" {
			t.Errorf("start %d: %s at the replay", i, got)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOneCodeAtOneInstant(t *testing.T) {
	store, err := cache.Open(filepath.Join(t.TempDir(), "state.db"), newClock().Now)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := newServer(t, store, remembering(t))
	code := s.code(t)
	var mu sync.Mutex
	got := map[string]int{}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			dn, password := userDN("bob"), "secret;"+code
			if i%2 == 1 {
				dn, password = userDN("bob;"+code), "secret"
			}
			w := words(s.Bind(t.Context(), bind.Request{DN: dn, Password: []byte(password)}))
			mu.Lock()
			got[w]++
			mu.Unlock()
		})
	}
	wg.Wait()
	// Those that are the same are one; the code is used by then for the others.
	if got["granted bob totp"] != 8 || got["denied code_used 49"] != 8 {
		t.Errorf("%v", got)
	}
}

// scripted answers with the errors it is given, then grants.
type scripted struct {
	errs []error
	seen []auth.Attempt
}

func (s *scripted) Authenticate(_ context.Context, a auth.Attempt) (auth.Granted, error) {
	s.seen = append(s.seen, a)
	if len(s.errs) == 0 {
		return auth.Granted{}, nil
	}
	err := s.errs[0]
	s.errs = s.errs[1:]
	return auth.Granted{}, err
}

func TestOutcomes(t *testing.T) {
	denied := func(r auth.Reason) error {
		d := &auth.Denied{Reason: r, Password: auth.Right}
		if r == auth.WrongPassword {
			d.Password = auth.Wrong
		}
		return fmt.Errorf("backend: %w", d)
	}
	trouble := errors.New("connection refused")
	tests := []struct {
		name, password string
		errs           []error
		want           string
		readings       int
	}{
		{"granted", "x", nil, "granted alice ", 1},
		{"first reading granted", "x;123456", nil, "granted alice ", 1},
		{"second reading granted", "x;123456", []error{denied(auth.WrongPassword)}, "granted alice ", 2},
		{"denied", "x", []error{denied(auth.WrongPassword)}, "denied wrong_password 49", 1},
		{"closer reading first", "x;123456", []error{denied(auth.WrongCode), denied(auth.WrongPassword)}, "denied wrong_code 49", 2},
		{"closer reading second", "x;123456", []error{denied(auth.WrongPassword), denied(auth.CodeMissing)}, "denied code_missing 49", 2},
		{"trouble", "x", []error{trouble}, "unknown unavailable 52", 1},
		{"trouble with the first reading", "x;123456", []error{trouble}, "unknown unavailable 52", 1},
		{"trouble with the second reading", "x;123456", []error{denied(auth.WrongPassword), trouble}, "unknown unavailable 52", 2},
		{"cancelled", "x", []error{context.Canceled}, "unknown unavailable 52", 1},
		{"an answer nobody classified", "x", []error{ldap.Errorf(ldap.ResultInvalidCredentials, "?")}, "unknown unavailable 52", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			auth := &scripted{errs: tt.errs}
			s := newServer(t, nil, func(o *bind.Options) { o.Authenticator = auth })
			id, err := s.bind(t, userDN("alice"), tt.password)
			if got := words(id, err); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if len(auth.seen) != tt.readings {
				t.Errorf("%d readings, want %d", len(auth.seen), tt.readings)
			}
			if strings.HasPrefix(tt.want, "unknown") && !errors.Is(err, tt.errs[len(tt.errs)-1]) {
				t.Errorf("%v has lost its cause", err)
			}
		})
	}
}

func TestAttempt(t *testing.T) {
	backend := &scripted{errs: []error{&auth.Denied{Reason: auth.WrongPassword, Password: auth.Wrong}}}
	s := newServer(t, nil, func(o *bind.Options) { o.Authenticator = backend })
	if _, err := s.bind(t, userDN("ALICE;abcdefgh"), "a;b;123456"); err != nil {
		t.Fatal(err)
	}
	for i, want := range []auth.Attempt{
		{Name: "ALICE", Known: true, Password: "a;b", Code: "123456", CodeIn: auth.InPassword},
		{Name: "ALICE", Known: true, Password: "a;b;123456", Code: "abcdefgh", CodeIn: auth.InUsername},
	} {
		got := backend.seen[i]
		if got.Account.Username != "alice" || got.Addr != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("reading %d: %+v", i, got)
		}
		got.Account, got.Addr = directory.Account{}, netip.Addr{}
		if got != want {
			t.Errorf("reading %d is not %+v", i, want)
		}
	}
}

func TestNotLoaded(t *testing.T) {
	s := newServer(t, nil, func(o *bind.Options) {
		o.Directory = func(ldap.DN) (bind.Directory, error) { return nil, bind.ErrNotLoaded }
	})
	if got := words(s.bind(t, userDN("alice"), "secret")); got != "unknown unavailable 52" {
		t.Error(got)
	}
}

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, "granted "},
		{fmt.Errorf("x: %w", &auth.Denied{Reason: auth.Inactive, Password: auth.Wrong}), "denied inactive"},
		{&auth.Limited{Reason: auth.LimitCode}, "limited limit_code"},
		{ldap.Errorf(ldap.ResultInvalidDNSyntax, ""), "refused bad_dn"},
		{ldap.Errorf(ldap.ResultUnwillingToPerform, ""), "refused no_secret"},
		{errors.New("x"), "unknown unavailable"},
	} {
		outcome, reason := bind.Classify(tt.err)
		if got := fmt.Sprint(outcome, " ", reason); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.err, got, tt.want)
		}
	}
}

// TestDeniedTellsNothing holds what the client sees of the reasons.
func TestDeniedTellsNothing(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range []auth.Reason{auth.UnknownUser, auth.Inactive, auth.NoPassword, auth.WrongPassword, auth.CodeMissing, auth.WrongCode, auth.CodeUsed, auth.CodeUnexpected} {
		var e *ldap.Error
		if !errors.As(&auth.Denied{Reason: r}, &e) || e.Code != ldap.ResultInvalidCredentials {
			t.Fatalf("%s is not 49", r)
		}
		seen[e.Message+e.MatchedDN] = true
	}
	if len(seen) != 1 {
		t.Errorf("the client sees %v", seen)
	}
}

func TestSecretPrintsNothing(t *testing.T) {
	a := auth.Attempt{Name: "alice", Password: "hunter2", Code: "424242"}
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %s", a, a, a, a.Password), fmt.Sprintf("%q %x", a.Password, a.Code), string(text)} {
		if strings.Contains(s, "hunter2") || strings.Contains(s, "424242") || !strings.Contains(s, "***") && !strings.Contains(s, "2a2a2a") {
			t.Errorf("prints as %s", s)
		}
	}
}

func BenchmarkWarmBind(b *testing.B) {
	s := newServer(b, nil, nil)
	req := bind.Request{DN: userDN("alice"), Password: []byte("secret"), Addr: netip.MustParseAddr("192.0.2.1")}
	if _, err := s.Bind(b.Context(), req); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Bind(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}
