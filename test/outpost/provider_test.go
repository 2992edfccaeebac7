package outpost

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/await"
)

// signal has everything read again, as with authentik's own outpost.
const signal = syscall.SIGUSR1

// The providers of several tests: one inside of another, and one beside them.
const (
	innerDN = "dc=inner," + rootDN
	otherDN = "dc=other,dc=example"
)

// several gives the outpost two more providers, each with its own application.
func (f *fake) several(change func(*authentiktest.Provider)) {
	for i, base := range []string{innerDN, otherDN} {
		p := authentiktest.Provider{
			PK: 8 + i, Name: fmt.Sprintf("ldap%d", 8+i), BaseDN: base, BindFlow: authentiktest.DefaultFlow,
			Application: fmt.Sprintf("app%d", 8+i),
		}
		change(&p)
		f.SetProvider(p)
	}
	f.SetOutpost(authentiktest.Outpost{PK: authentiktest.DefaultOutpost, Name: "LDAP", Interval: 300, Providers: []int{authentiktest.DefaultProvider, 8, 9}})
}

// TestSeveralProviders chooses by base DN, the longest that fits.
func TestSeveralProviders(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		f.several(func(*authentiktest.Provider) {})
		f.DenyAccess("app8", alice)
		f.DenyAccess("app9", bob)
		s := f.serve(t)
		for _, tt := range []struct {
			base, user, pw string
			want           uint16
		}{
			{rootDN, alice, secret, ldap.LDAPResultSuccess},
			{innerDN, alice, secret, ldap.LDAPResultInsufficientAccessRights},
			{otherDN, alice, secret, ldap.LDAPResultSuccess},
			{rootDN, bob, secret + ";" + f.code(t), ldap.LDAPResultSuccess},
			{innerDN, bob, secret + ";" + f.code(t), ldap.LDAPResultSuccess},
			{otherDN, bob, secret + ";" + f.code(t), ldap.LDAPResultInsufficientAccessRights},
			{"dc=example", alice, secret, ldap.LDAPResultInvalidCredentials},
		} {
			if got := s.bind(t, "cn="+tt.user+",ou=users,"+tt.base, tt.pw); got != tt.want {
				t.Errorf("%s below %s: result %d, want %d", tt.user, tt.base, got, tt.want)
			}
		}
		// The right to search is that of the provider that one was bound to.
		for base, want := range map[string]int{rootDN: 6, otherDN: 1} {
			c := s.as(t, "cn="+agent+",ou=users,"+base, secret)
			if n := len(find(t, c, "ou=users,"+base, users)); n != want {
				t.Errorf("the service account sees %d users below %s, want %d", n, base, want)
			}
		}
	})
}

// TestLocalAccounts has accounts of a users file beside authentik's: they need
// no flow, and hide those of the same name.
func TestLocalAccounts(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		f.AddUser(authentiktest.User{Username: "local-alice", Name: "Remote Alice", Password: secret})
		s := start(t, append(f.env(), "LDAPD_FILE_PATH="+usersFile(t)), quick)
		s.loaded(t, 1)
		f.ResetCounters()
		c := s.as(t, userDN("local-service"), "pw")
		if got := names(find(t, c, usersDN, "(cn=local-alice)"), "displayName"); !slices.Equal(got, []string{"Local Alice"}) {
			t.Errorf("local-alice is %q", got)
		}
		if n := len(find(t, c, usersDN, users)); n != 6+2 {
			t.Errorf("%d users", n)
		}
		for _, tt := range []struct {
			user, pw string
			want     uint16
		}{
			{"local-alice", "pw", ldap.LDAPResultSuccess},
			{"local-alice", secret, ldap.LDAPResultInvalidCredentials},
			{"local-service", secret, ldap.LDAPResultInvalidCredentials},
		} {
			if got := s.bind(t, userDN(tt.user), tt.pw); got != tt.want {
				t.Errorf("%s, %s: result %d, want %d", tt.user, tt.pw, got, tt.want)
			}
		}
		if n := f.flows(); n != 0 {
			t.Errorf("%d flows for local accounts", n)
		}
		if got := s.bind(t, userDN(alice), secret); got != ldap.LDAPResultSuccess {
			t.Errorf("alice of authentik: result %d", got)
		}
		// With authentik gone they are what is left.
		f.Stop()
		if got := s.bind(t, userDN("local-service"), "pw"); got != ldap.LDAPResultSuccess {
			t.Errorf("local service account, authentik down: result %d", got)
		}
	})
}

// shown returns the name in the certificate that a client gets for a server
// name, by LDAPS and by StartTLS.
func (s *service) shown(t *testing.T, name string) (ldaps, startTLS string) {
	t.Helper()
	cfg := &tls.Config{ServerName: name, InsecureSkipVerify: true}
	c, err := tls.Dial("tcp", s.LDAPS().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l := s.dial(t)
	if err := l.StartTLS(cfg); err != nil {
		t.Fatal(err)
	}
	state, ok := l.TLSConnectionState()
	if !ok {
		t.Fatal("no TLS after StartTLS")
	}
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName, state.PeerCertificates[0].Subject.CommonName
}

func (s *service) wantShown(t *testing.T, name, want string) {
	t.Helper()
	if ldaps, startTLS := s.shown(t, name); ldaps != want || startTLS != want {
		t.Errorf("for %q LDAPS shows %q and StartTLS %q, want %q", name, ldaps, startTLS, want)
	}
}

// TestCertificates shows the certificates of the providers, by server name, and
// new ones without dropping connections.
func TestCertificates(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		first := f.SetKeyPair(authentiktest.NewCertificate(t, "first", "first.example.org"))
		second := f.SetKeyPair(authentiktest.NewCertificate(t, "second", "second.example.org"))
		f.provider(func(p *authentiktest.Provider) { p.Certificate, p.TLSServerName = first, "first.example.org" })
		s := start(t, f.env())
		s.loaded(t, 1)
		// One certificate is for every name.
		for _, name := range []string{"first.example.org", "else.example.org"} {
			s.wantShown(t, name, "first")
		}
		old := s.dial(t)
		if err := old.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
			t.Fatal(err)
		}
		if err := old.Bind(userDN(agent), secret); err != nil {
			t.Fatal(err)
		}

		f.several(func(p *authentiktest.Provider) {
			if p.PK == 8 {
				p.Certificate, p.TLSServerName = second, "second.example.org"
			}
		})
		s.reload <- signal
		await.That(t, "the second certificate is shown", func() bool { got, _ := s.shown(t, "SECOND.example.org"); return got == "second" })
		s.wantShown(t, "first.example.org", "first")
		if got, _ := s.shown(t, "else.example.org"); got == "first" || got == "second" {
			t.Errorf("for another name: %q", got)
		}

		renewed := authentiktest.NewCertificate(t, "renewed", "first.example.org")
		renewed.PK = first
		f.SetKeyPair(renewed)
		s.reload <- signal
		await.That(t, "the renewed certificate is shown", func() bool { got, _ := s.shown(t, "first.example.org"); return got == "renewed" })
		if n := len(find(t, old, rootDN, users)); n != 6 {
			t.Errorf("%d users on the connection from before", n)
		}

		// A pair that lost its key is not used; the one before is.
		broken := authentiktest.NewCertificate(t, "broken", "first.example.org")
		broken.PK, broken.KeyPEM = first, ""
		f.SetKeyPair(broken)
		s.reload <- signal
		await.That(t, "the broken pair is refused", func() bool { return s.metric(t, `ldapd_authentik_sync_errors_total{kind="certificate"}`) >= 1 })
		s.wantShown(t, "first.example.org", "renewed")
	})
}

// TestOwnCertificate shows the certificate of the configuration, whatever
// authentik has.
func TestOwnCertificate(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		theirs := f.SetKeyPair(authentiktest.NewCertificate(t, "theirs", "ldap.example.org"))
		f.provider(func(p *authentiktest.Provider) { p.Certificate, p.TLSServerName = theirs, "ldap.example.org" })
		ours := authentiktest.NewCertificate(t, "ours", "ldap.example.org")
		dir := t.TempDir()
		for name, text := range map[string]string{"crt": ours.CertPEM, "key": ours.KeyPEM} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := start(t, append(f.env(), "LDAPD_TLS_CERT="+filepath.Join(dir, "crt"), "LDAPD_TLS_KEY="+filepath.Join(dir, "key")))
		s.loaded(t, 1)
		s.wantShown(t, "ldap.example.org", "ours")
		if n := f.Counters().Requests[authentiktest.KeyPairKey]; n != 0 {
			t.Errorf("the private key was downloaded %d times", n)
		}
	})
}

// TestStrangeDirectory is section 15, 8.
func TestStrangeDirectory(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		strange := []string{`comma, plus+quote"`, "semi;colon", "looks;123456", "two  blanks", "Zoë Müller", "日本", "#hash", `back\slash`, "less<more>", "eq=ual", "(star*)"}
		for _, name := range strange {
			f.AddUser(authentiktest.User{Username: name, Name: name, Password: secret, Groups: []string{staff},
				Attributes: map[string]any{"cn": "builtin", "s": "text", "n": 1.5, "b": true, "null": nil, "list": []any{"a", 1}, "map": map[string]any{"a": "b"}}})
		}
		f.AddGroup(authentiktest.Group{PK: "aaaaaaaa-0000-4000-8000-000000000001", Name: "twin 1"})
		f.AddGroup(authentiktest.Group{PK: "aaaaaaaa-0000-4000-8000-000000000002", Name: "twin, 2", Parents: []string{"twin 1"}})
		f.SetGroup(authentiktest.Group{PK: "aaaaaaaa-0000-4000-8000-000000000001", Name: "twin 1", Parents: []string{"twin, 2"}})
		s := f.serve(t)
		c := s.as(t, userDN(agent), secret)
		for _, name := range strange {
			found := find(t, c, usersDN, "(cn="+ldap.EscapeFilter(name)+")")
			if len(found) != 1 || !has(found[0], "memberOf", "cn="+staff+","+groupsDN) || !has(found[0], "cn", name) {
				t.Errorf("%q: found %v", name, names(found, "cn"))
				continue
			}
			for _, dn := range []string{found[0].DN, "cn=" + ldap.EscapeDN(name) + "," + usersDN} {
				if got := s.bind(t, dn, secret); got != ldap.LDAPResultSuccess {
					t.Errorf("bind as %s: result %d", dn, got)
				}
			}
		}
		if n := len(find(t, c, groupsDN, "(&(objectClass=groupOfNames)(cn=twin*))")); n != 2 {
			t.Errorf("%d of two groups with one number", n)
		}
	})
}

// The page size of authentik's outpost, which a slow authentik may need small.
func TestPageSize(t *testing.T) {
	f := newFake(t, authentiktest.Options{})
	s := start(t, append(f.env(), "AUTHENTIK_LDAP__PAGE_SIZE=3"))
	s.loaded(t, 1)
	sizes := make(map[string]bool)
	for _, r := range f.Requests() {
		if strings.HasSuffix(r.Path, "/core/users/") && strings.Contains(r.RawQuery, "ordering=pk") {
			q, err := url.ParseQuery(r.RawQuery)
			if err != nil {
				t.Fatal(err)
			}
			sizes[q.Get("page_size")] = true
		}
	}
	delete(sizes, "1") // a question for one user
	if len(sizes) != 1 || !sizes["3"] {
		t.Errorf("lists of users were asked for in pages of %v", sizes)
	}
	if n := len(find(t, s.as(t, userDN(agent), secret), usersDN, "(objectClass=person)")); n < 5 {
		t.Errorf("%d users", n)
	}
}
