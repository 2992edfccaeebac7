package outpost

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"ldapd/internal/await"
	"ldapd/internal/certs"
	"ldapd/internal/config"
)

// Addresses of this machine, each of a client of its own.
const (
	atNextcloud = "127.0.0.1"
	atWiki      = "127.0.0.2"
	atNobodys   = "127.0.0.3"
)

// unlockable serves the page, for two clients.
func unlockable(cfg *config.Config) {
	cfg.Listen.Unlock = "127.0.0.1:0"
	for name, addr := range map[string]string{"nextcloud": atNextcloud, "wiki": atWiki} {
		network := config.Network{Prefix: netip.PrefixFrom(netip.MustParseAddr(addr), 32)}
		cfg.Clients = append(cfg.Clients, config.Client{Name: name, Networks: []config.Network{network}})
	}
}

// bindFrom is bind by the client of an address.
func (s *service) bindFrom(t *testing.T, addr, dn, password string) uint16 {
	t.Helper()
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}, Timeout: await.Patience}
	c, err := ldap.DialURL("ldap://"+s.LDAP().String(), ldap.DialWithDialer(d))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetTimeout(await.Patience)
	return code(t, c.Bind(dn, password))
}

// browser is somebody on the unlock page.
type browser struct {
	http http.Client
	page string
}

// browser trusts certificates, in PEM.
func (s *service) browser(t *testing.T, trusted []byte) *browser {
	t.Helper()
	m := regexp.MustCompile(`listening \{"for": "unlock", "address": "([^"]+)"`).FindStringSubmatch(s.log.String())
	if m == nil {
		t.Fatal("there is no page")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(trusted)
	return &browser{
		http: http.Client{
			Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}},
			Timeout:   await.Patience,
		},
		page: "https://" + m[1] + "/unlock",
	}
}

// send submits the form, and returns the status and the page.
func (b *browser) send(t *testing.T, action, user, password, code string, clients ...string) (int, string) {
	t.Helper()
	form := url.Values{"action": {action}, "user": {user}, "password": {password}, "code": {code}, "client": clients}
	resp, err := b.http.PostForm(b.page, form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{password, code} {
		if secret != "" && strings.Contains(string(body), secret) {
			t.Errorf("%q is on the page", secret)
		}
	}
	return resp.StatusCode, string(body)
}

// TestUnlock opens a window on the page, in which the plain password is enough
// at one client, and nowhere else.
func TestUnlock(t *testing.T) {
	eachVersion(t, func(t *testing.T, f *fake) {
		s := start(t, f.env(), quick, unlockable)
		s.loaded(t, 1)
		cert, err := os.ReadFile(filepath.Join(s.state, certs.SelfSignedCert))
		if err != nil {
			t.Fatal(err)
		}
		b := s.browser(t, cert)
		resp, err := b.http.Get(b.page)
		if err != nil {
			t.Fatal(err)
		}
		form, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(form), `value="nextcloud"`) {
			t.Fatalf("%d, %v: %s", resp.StatusCode, err, form)
		}

		const granted, denied = ldap.LDAPResultSuccess, ldap.LDAPResultInvalidCredentials
		binds := func(when string, want map[string]uint16) {
			t.Helper()
			for addr, want := range want {
				if got := s.bindFrom(t, addr, userDN(bob), secret); got != want {
					t.Errorf("%s, from %s: result %d, want %d", when, addr, got, want)
				}
			}
		}
		closed := map[string]uint16{atNextcloud: denied, atWiki: denied, atNobodys: denied}
		send := func(want int, action, user, password, code string, clients ...string) {
			t.Helper()
			if got, page := b.send(t, action, user, password, code, clients...); got != want {
				t.Errorf("%s: status %d, want %d: %s", action, got, want, page)
			}
		}
		binds("before", closed)
		send(http.StatusForbidden, "unlock", bob, secret, "", "nextcloud")
		send(http.StatusForbidden, "unlock", bob, secret, "000000", "nextcloud")
		f.later(2 * time.Second) // for one after a wrong code, authentik takes none
		send(http.StatusForbidden, "unlock", bob, "Wr0ng", f.code(t), "nextcloud")
		send(http.StatusForbidden, "unlock", nobody, secret, f.code(t), "nextcloud")
		binds("refused", closed)

		send(http.StatusOK, "unlock", bob, secret, f.code(t), "nextcloud")
		f.ResetCounters()
		binds("open", map[string]uint16{atNextcloud: granted, atWiki: denied, atNobodys: denied})
		if n := f.Counters().Logins; n != 0 {
			t.Errorf("%d logins in the window", n)
		}
		if got := s.bindFrom(t, atNextcloud, userDN(bob), "wrong"); got != denied {
			t.Errorf("wrong password in the window: result %d", got)
		}
		c := f.code(t)
		f.Stop()
		if got := s.bindFrom(t, atNextcloud, userDN(bob), secret); got != granted {
			t.Errorf("authentik down: result %d", got)
		}
		send(http.StatusServiceUnavailable, "end", bob, secret, c)
		f.Start()

		used := f.code(t)
		send(http.StatusOK, "unlock", bob, secret, used, "nextcloud")
		send(http.StatusForbidden, "end", bob, secret, "") // or a thief would have the owner logged out
		send(http.StatusForbidden, "end", bob, secret, used)
		f.later(2 * time.Second)
		send(http.StatusForbidden, "end", bob, "Wr0ng", f.code(t))
		binds("not ended", map[string]uint16{atNextcloud: granted})
		send(http.StatusOK, "end", bob, secret, f.code(t))
		binds("ended", closed)
		send(http.StatusOK, "unlock", bob, secret, f.code(t), "nextcloud", "wiki")
		binds("both", map[string]uint16{atNextcloud: granted, atWiki: granted, atNobodys: denied})
		s.forgetOne(t, bob)
		binds("revoked", closed)

		if !strings.Contains(s.log.String(), `unlocked {"user": "ldapd-bob"`) {
			t.Error("the log does not say who unlocked")
		}
	})
}
