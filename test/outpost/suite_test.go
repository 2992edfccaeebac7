package outpost

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/pquerna/otp/totp"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/await"
)

// site is an authentik with the users of the suite.
type site interface {
	env() []string
	password() string
	code(t *testing.T) string // of ldapd-bob, not used yet
}

var (
	_ site = (*fake)(nil)
	_ site = (*real)(nil)
)

// real is the authentik that the environment names.
type real struct {
	key  string
	used int64 // step of the last code
}

const totpStep = 30 // seconds

// variable returns a variable of the environment that must be set.
func variable(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set; see the package documentation", name)
	}
	return v
}

func (r *real) env() []string {
	var env []string
	for _, e := range os.Environ() {
		if strings.HasPrefix(e, "AUTHENTIK_HOST=") || strings.HasPrefix(e, "AUTHENTIK_TOKEN=") || strings.HasPrefix(e, "AUTHENTIK_INSECURE=") {
			env = append(env, e)
		}
	}
	return env
}

func (r *real) password() string { return os.Getenv("OUTPOST_TEST_PASSWORD") }

func (r *real) code(t *testing.T) string {
	t.Helper()
	for time.Now().Unix()/totpStep <= r.used {
		time.Sleep(time.Second)
	}
	now := time.Now()
	r.used = now.Unix() / totpStep
	c, err := totp.GenerateCode(r.key, now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSuite runs what needs no faults against the fake in each version, and
// against a real authentik if there is one.
func TestSuite(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) { suite(t, f) })
	t.Run("also upper case, no autocomplete, small pages", func(t *testing.T) {
		t.Parallel()
		f := newFake(t, authentiktest.Options{NoAutocomplete: true, PageSize: 2, MaxPageSize: 3})
		f.provider(func(p *authentiktest.Provider) { p.BaseDN = strings.ToUpper(rootDN) })
		suite(t, f)
	})
	if os.Getenv("AUTHENTIK_HOST") != "" {
		t.Run("real", func(t *testing.T) {
			variable(t, "AUTHENTIK_TOKEN")
			variable(t, "OUTPOST_TEST_PASSWORD")
			suite(t, &real{key: variable(t, "OUTPOST_TEST_TOTP")})
		})
	}
}

func suite(t *testing.T, at site) {
	s := start(t, at.env())
	s.loaded(t, 1)
	base := s.namingContext(t)
	t.Run("bind", func(t *testing.T) { bindRows(t, s, at, base) })
	t.Run("search", func(t *testing.T) { searchRows(t, s, at, base) })
}

// namingContext returns the base DN of the only provider, as the root DSE has
// it.
func (s *service) namingContext(t *testing.T) string {
	t.Helper()
	r, err := s.dial(t).Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"namingContexts"}, nil))
	if err != nil || len(r.Entries) != 1 || len(r.Entries[0].GetAttributeValues("namingContexts")) != 1 {
		t.Fatalf("root DSE: %v, %v", r, err)
	}
	return r.Entries[0].GetAttributeValue("namingContexts")
}

// bindRows has a row for each result of a bind, section 6.4 of the contract,
// but for what only a faulty authentik does.
func bindRows(t *testing.T, s *service, at site, base string) {
	pw := at.password()
	of := func(name string) string { return "cn=" + name + ",ou=users," + base }
	first, second := at.code(t), at.code(t)
	for _, tt := range []struct {
		name, dn, password string
		want               uint16
	}{
		{"passed, access ok, user info ok", of(alice), pw, ldap.LDAPResultSuccess},
		{"passed, directly below the base", "cn=" + alice + "," + base, pw, ldap.LDAPResultSuccess},
		{"passed, other case", strings.ToUpper(of(alice)), pw, ldap.LDAPResultSuccess},
		{"passed, code on the password", of(bob), pw + ";" + first, ldap.LDAPResultSuccess},
		{"no code, after one on the password", of(bob), pw, ldap.LDAPResultInvalidCredentials},
		{"passed, code on the name in the DN", of(bob + `\3b` + second), pw, ldap.LDAPResultSuccess},
		{"repeated, code on the password", of(bob), pw + ";" + first, ldap.LDAPResultSuccess},
		{"repeated, code on the name in the DN", of(bob + `\3b` + second), pw, ldap.LDAPResultSuccess},
		{"no code, after one on the name", of(bob), pw, ldap.LDAPResultUnavailable}, // which login it belongs to cannot be determined
		{"wrong secret", of(alice), "wrong", ldap.LDAPResultInvalidCredentials},
		{"wrong secret, and a code", of(bob), "wrong;123456", ldap.LDAPResultInvalidCredentials},
		{"wrong code", of(bob), pw + ";000000", ldap.LDAPResultInvalidCredentials},
		{"used code elsewhere", of(bob + `\3b` + first), pw, ldap.LDAPResultInvalidCredentials},
		{"used code, wrong secret", of(bob), "wrong;" + first, ldap.LDAPResultInvalidCredentials},
		{"unknown user", of(nobody), pw, ldap.LDAPResultInvalidCredentials},
		{"inactive user", of(carol), pw, ldap.LDAPResultInvalidCredentials},
		{"access denied by application policy", of(erin), pw, ldap.LDAPResultInsufficientAccessRights},
		{"access denied, wrong secret", of(erin), "wrong", ldap.LDAPResultInvalidCredentials},
		{"no provider for the DN", "cn=" + alice + ",dc=example,dc=org", pw, ldap.LDAPResultInvalidCredentials},
		{"no cn in the DN", "ou=users," + base, pw, ldap.LDAPResultInvalidCredentials},
		{"a group", "cn=" + staff + ",ou=groups," + base, pw, ldap.LDAPResultInvalidCredentials},
		{"no DN", alice, pw, ldap.LDAPResultInvalidDNSyntax},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := s.bind(t, tt.dn, tt.password); got != tt.want {
				t.Errorf("result %d, want %d", got, tt.want)
			}
		})
	}
	t.Run("no password", func(t *testing.T) {
		if got := code(t, s.dial(t).UnauthenticatedBind(of(alice))); got != ldap.LDAPResultUnwillingToPerform {
			t.Errorf("result %d", got)
		}
	})
	t.Run("anonymous", func(t *testing.T) {
		c := s.dial(t)
		if got := code(t, c.UnauthenticatedBind("")); got != ldap.LDAPResultSuccess {
			t.Errorf("result %d", got)
		}
		if _, err := c.Search(whole(base, users)); code(t, err) != ldap.LDAPResultOperationsError {
			t.Errorf("search: %v", err)
		}
	})
	t.Run("SASL", func(t *testing.T) {
		if got := code(t, s.dial(t).ExternalBind()); got != ldap.LDAPResultAuthMethodNotSupported {
			t.Errorf("result %d", got)
		}
	})
	t.Run("LDAP version other than 3", func(t *testing.T) {
		if got := s.exchange(t, "\x30\x0e\x02\x01\x01\x60\x09\x02\x01\x02\x04\x00\x80\x02pw"); got != ldap.LDAPResultProtocolError {
			t.Errorf("result %d", got)
		}
	})
	t.Run("undecodable", func(t *testing.T) {
		if got := s.exchange(t, "\x30\x09\x02\x01\x01\x60\x04\x02\x01\x03\x05"); got != ldap.LDAPResultProtocolError {
			t.Errorf("result %d", got)
		}
	})
}

// exchange sends a bind request with message ID 1, and returns the result code
// of the answer.
func (s *service) exchange(t *testing.T, request string) uint16 {
	t.Helper()
	c, err := net.Dial("tcp", s.LDAP().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(await.Patience))
	if _, err := c.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1024)
	n, err := c.Read(b)
	// A sequence, 02 01 01, a bind response, 0a 01 CODE.
	const before = "\x02\x01\x01\x61"
	if i := strings.Index(string(b[:n]), before); err == nil && i > 0 && n > i+len(before)+3 {
		return uint16(b[i+len(before)+3])
	}
	t.Fatalf("no bind response: % x, %v", b[:n], err)
	return 0
}

// searchRows has what somebody may see, section 6.3 of the contract.
func searchRows(t *testing.T, s *service, at site, base string) {
	of := func(name string) string { return "cn=" + name + ",ou=users," + base }
	t.Run("with the permission, everybody", func(t *testing.T) {
		c := s.as(t, of(agent), at.password())
		all := names(find(t, c, base, users), "cn")
		for _, name := range []string{alice, bob, carol, erin, agent} {
			if !slices.Contains(all, name) {
				t.Errorf("%s is not among %q", name, all)
			}
		}
		found := find(t, c, "ou=users,"+base, "(&(objectClass=user)(|(cn="+alice+")(mail="+alice+")))")
		if len(found) != 1 || !strings.EqualFold(found[0].DN, of(alice)) ||
			!has(found[0], "memberOf", "cn="+staff+",ou=groups,"+base) || !has(found[0], "ak-active", "TRUE") {
			t.Errorf("alice: %+v", found)
		}
		if found := find(t, c, base, "(cn="+carol+")"); len(found) == 0 || !has(found[0], "ak-active", "FALSE") {
			t.Errorf("carol: %+v", found)
		}
		groups := find(t, c, "ou=groups,"+base, "(&(objectClass=groupOfNames)(cn="+staff+"))")
		if len(groups) != 1 || !has(groups[0], "member", of(alice)) {
			t.Errorf("staff: %+v", groups)
		}
	})
	t.Run("without the permission, oneself", func(t *testing.T) {
		c := s.as(t, of(alice), at.password())
		if got := names(find(t, c, base, users), "cn"); !slices.Equal(got, []string{alice}) {
			t.Errorf("alice sees %q", got)
		}
	})
	t.Run("not bound, nothing", func(t *testing.T) {
		if _, err := s.dial(t).Search(whole(base, users)); code(t, err) != ldap.LDAPResultOperationsError {
			t.Errorf("%v", err)
		}
	})
}
