package outpost

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/pires/go-proxyproto"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/await"
	"ldapd/internal/config"
)

// atProxy is an address of this machine where a proxy may be.
const atProxy = "127.0.0.9"

// claim is a PROXY header that says the client is at an address.
func claim(t *testing.T, version byte, addr string) []byte {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(version, &net.TCPAddr{IP: net.ParseIP(addr), Port: 4711}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 389})
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// dialFrom connects from an address of this machine, and begins with a header.
func dialFrom(ctx context.Context, peer, to string, header []byte, secured bool) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(peer)}, Timeout: await.Patience}
	c, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(header); err != nil {
		c.Close()
		return nil, err
	}
	if secured {
		return tls.Client(c, &tls.Config{InsecureSkipVerify: true}), nil
	}
	return c, nil
}

// cutOff is the result of a bind on a connection that ends without an answer.
const cutOff = ldap.ErrorNetwork

// bindBy is a bind by a peer with a header.
func (s *service) bindBy(t *testing.T, peer string, header []byte, secured bool, dn, password string) uint16 {
	t.Helper()
	to := s.LDAP().String()
	if secured {
		to = s.LDAPS().String()
	}
	nc, err := dialFrom(t.Context(), peer, to, header, secured)
	if err != nil {
		t.Fatal(err)
	}
	c := ldap.NewConn(nc, secured)
	c.SetTimeout(await.Patience)
	c.Start()
	defer c.Close()
	err = c.Bind(dn, password)
	var answer *ldap.Error
	if err != nil && (!errors.As(err, &answer) || answer.ResultCode >= ldap.ErrorNetwork) {
		return cutOff
	}
	return code(t, err)
}

// by is a browser at a peer, which begins each connection with a header.
func (b *browser) by(peer string, header func() []byte) *browser {
	dial := func(ctx context.Context, _, to string) (net.Conn, error) {
		return dialFrom(ctx, peer, to, header(), true)
	}
	return &browser{http: http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialTLSContext: dial}, Timeout: await.Patience}, page: b.page}
}

// try submits the form with a password that is wrong, and returns the status, 0
// if the connection was cut off.
func (b *browser) try(t *testing.T, user, forwardedFor string) int {
	t.Helper()
	form := url.Values{"action": {"unlock"}, "user": {user}, "password": {"wrong"}, "code": {"123456"}, "client": {"nextcloud"}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.page, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if forwardedFor != "" {
		req.Header.Set("X-Forwarded-For", forwardedFor)
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// windowed serves with a window that is open for bob at Nextcloud.
func windowed(t *testing.T, f *fake, env ...string) (*service, *browser) {
	t.Helper()
	s := start(t, append(f.env(), env...), quick, unlockable)
	s.loaded(t, 1)
	b := s.browser(t, nil)
	b.http.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	if status, page := b.send(t, "unlock", bob, secret, f.code(t), "nextcloud"); status != http.StatusOK {
		t.Fatalf("no window: %d: %s", status, page)
	}
	return s, b
}

// TestClaimedAddress has a thief who knows the password, and the address of a
// Nextcloud for which a window is open.
func TestClaimedAddress(t *testing.T) {
	f := newFake(t, authentiktest.Options{})
	s, _ := windowed(t, f)
	for _, secured := range []bool{false, true} {
		for version := byte(1); version <= 2; version++ {
			if got := s.bindBy(t, atNobodys, claim(t, version, atNextcloud), secured, userDN(bob), secret); got != cutOff {
				t.Errorf("version %d, TLS %v: result %d", version, secured, got)
			}
		}
	}
	if got := s.bindBy(t, atNobodys, nil, false, userDN(bob), secret); got != ldap.LDAPResultInvalidCredentials {
		t.Errorf("in his own name: result %d", got)
	}
	if got := s.bindBy(t, atNextcloud, nil, false, userDN(bob), secret); got != ldap.LDAPResultSuccess {
		t.Errorf("Nextcloud: result %d", got)
	}
	var told []string
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "proxy_protocol.trusted") {
			told = append(told, line)
		}
	}
	if len(told) != 1 || !strings.Contains(told[0], `"peer": "`+atNobodys+`"`) {
		t.Errorf("the log tells %q", told)
	}
}

// TestClaimsVoidNoLimit guesses with another address each time.
func TestClaimsVoidNoLimit(t *testing.T) {
	f := newFake(t, authentiktest.Options{})
	const limit, tries = 5, 20
	s := start(t, f.env(), quick, func(cfg *config.Config) { cfg.Limits.FailuresPerAddress = limit })
	s.loaded(t, 1)
	results := map[uint16]int{}
	for i := range tries {
		header := claim(t, byte(1+i%2), fmt.Sprintf("10.1.2.%d", i))
		results[s.bindBy(t, atNobodys, header, i%3 == 0, userDN(fmt.Sprint("guess", i)), "wrong")]++
	}
	if results[cutOff] != tries {
		t.Errorf("with headers: %v", results)
	}
	clear(results)
	for i := range tries {
		results[s.bindBy(t, atNobodys, nil, false, userDN(fmt.Sprint("guess", i)), "wrong")]++
	}
	if results[ldap.LDAPResultInvalidCredentials] != limit || results[ldap.LDAPResultBusy] != tries-limit {
		t.Errorf("without: %v", results)
	}
}

// TestClaimsOnThePage does the same on the unlock page, also by the header of
// HTTP.
func TestClaimsOnThePage(t *testing.T) {
	f := newFake(t, authentiktest.Options{})
	_, b := windowed(t, f)
	const limit, tries = 20, 40
	n := byte(0)
	addr := func() string { n++; return fmt.Sprintf("10.1.2.%d", n) }
	results := map[int]int{}
	claiming := b.by(atNobodys, func() []byte { return claim(t, 1+n%2, addr()) })
	for i := range tries {
		results[claiming.try(t, fmt.Sprint("guess", i), addr())]++
	}
	if results[0] != tries {
		t.Errorf("with PROXY headers: %v", results)
	}
	clear(results)
	plain := b.by(atNobodys, func() []byte { return nil })
	for i := range tries {
		results[plain.try(t, fmt.Sprint("guess", i), addr())]++
	}
	if results[http.StatusForbidden] != limit || results[http.StatusTooManyRequests] != tries-limit {
		t.Errorf("with X-Forwarded-For: %v", results)
	}
}

// TestNamedProxy has a proxy that authentik's variable names, as on a machine
// with authentik's container.
func TestNamedProxy(t *testing.T) {
	f := newFake(t, authentiktest.Options{})
	s, b := windowed(t, f, "AUTHENTIK_LISTEN__TRUSTED_PROXY_CIDRS="+atProxy)
	local := []byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00")
	const granted, denied = ldap.LDAPResultSuccess, ldap.LDAPResultInvalidCredentials
	for _, secured := range []bool{false, true} {
		for _, tt := range []struct {
			name   string
			peer   string
			header []byte
			want   uint16
		}{
			{"version 1", atProxy, claim(t, 1, atNextcloud), granted},
			{"version 2", atProxy, claim(t, 2, atNextcloud), granted},
			{"for another client", atProxy, claim(t, 2, atWiki), denied},
			{"for itself", atProxy, local, denied},
			{"without a header", atProxy, nil, denied},
			{"by another peer", atNobodys, claim(t, 2, atNextcloud), cutOff},
			{"by the client", atNextcloud, claim(t, 2, atNextcloud), cutOff},
		} {
			if got := s.bindBy(t, tt.peer, tt.header, secured, userDN(bob), secret); got != tt.want {
				t.Errorf("%s, TLS %v: result %d, want %d", tt.name, secured, got, tt.want)
			}
		}
	}
	// Users behind it count each for himself on the page, whatever they write
	// into the header themselves.
	proxied := b.by(atProxy, func() []byte { return nil })
	const limit = 20
	for _, user := range []string{"10.1.2.3", "10.1.2.4"} {
		results := map[int]int{}
		for i := range limit + 1 {
			results[proxied.try(t, fmt.Sprint("guess", i), fmt.Sprintf("10.9.9.%d, %s", i, user))]++
		}
		if results[http.StatusForbidden] != limit || results[http.StatusTooManyRequests] != 1 {
			t.Errorf("%s: %v", user, results)
		}
	}
	if !strings.Contains(s.log.String(), `"address": "10.1.2.3", "peer": "`+atProxy) {
		t.Error("the log does not name the proxy of who tried too often")
	}
}
