package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"ldapd/internal/await"
	"ldapd/internal/certs"
)

// trusting returns a client's configuration that trusts a PEM file alone.
func trusting(t *testing.T, path string) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s has no certificate", path)
	}
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

func (r *running) dialTLS(client *tls.Config) (*goldap.Conn, error) {
	c, err := goldap.DialURL("ldaps://"+r.LDAPS().String(),
		goldap.DialWithTLSConfig(client), goldap.DialWithDialer(&net.Dialer{Timeout: await.Patience}))
	if err == nil {
		c.SetTimeout(await.Patience)
	}
	return c, err
}

func TestTLS(t *testing.T) {
	cfg := testConfig(t)
	r := start(t, cfg, demoUsers(t))
	client := trusting(t, filepath.Join(cfg.StateDir, certs.SelfSignedCert))

	c := r.dial(t)
	if err := c.StartTLS(client); err != nil {
		t.Fatalf("StartTLS: %v", err)
	}
	if err := c.Bind("cn=alice,ou=users,"+base, "demo-alice"); err != nil {
		t.Errorf("bind after StartTLS: %v", err)
	}
	s, err := r.dialTLS(client)
	if err != nil {
		t.Fatalf("LDAPS: %v", err)
	}
	defer s.Close()
	if err := s.Bind("cn=alice,ou=users,"+base, "demo-alice"); err != nil {
		t.Errorf("bind over LDAPS: %v", err)
	}
	if !strings.Contains(r.log.String(), r.certs.Fingerprint()) {
		t.Error("the fingerprint is not in the log")
	}
}

// New connections get the new certificate, those that are open stay as they
// are, and a broken file changes nothing.
func TestCertificateChanges(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(t)
	cfg.TLS.Cert, cfg.TLS.Key = filepath.Join(dir, certs.CertFile), filepath.Join(dir, certs.KeyFile)
	throwAway := func() *tls.Config {
		t.Helper()
		if err := certs.ThrowAway(dir, nil); err != nil {
			t.Fatal(err)
		}
		return trusting(t, filepath.Join(dir, certs.CAFile))
	}
	before := throwAway()
	r := start(t, cfg, demoUsers(t))
	open, err := r.dialTLS(before)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := open.Bind("cn=alice,ou=users,"+base, "demo-alice"); err != nil {
		t.Fatal(err)
	}
	stays := func(when string) {
		t.Helper()
		if who, err := open.WhoAmI(nil); err != nil || who.AuthzID != "dn:cn=alice,ou=users,"+base {
			t.Errorf("%s, the open connection: %v, %v", when, who, err)
		}
	}

	after := throwAway()
	r.reload <- os.Interrupt
	await.That(t, "the new certificate is in use", func() bool {
		c, err := r.dialTLS(after)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
	stays("with a new certificate")

	if err := os.WriteFile(cfg.TLS.Cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.reload <- os.Interrupt
	await.That(t, "the broken certificate is refused", func() bool {
		return strings.Contains(r.log.String(), "new certificate refused, the old one stays in use")
	})
	stays("with a broken certificate")
	c, err := r.dialTLS(after)
	if err != nil {
		t.Fatalf("after a broken certificate: %v", err)
	}
	c.Close()
}
