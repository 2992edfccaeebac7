package authentik

import (
	"strings"
	"testing"

	"ldapd/internal/authentik/authentiktest"
	"ldapd/internal/certs"
)

func commonNames(named []certs.Named) string {
	var names []string
	for _, n := range named {
		names = append(names, n.Name+"="+n.Certificate.Leaf.Subject.CommonName)
	}
	return strings.Join(names, ",")
}

func TestCertificates(t *testing.T) {
	for _, v := range versions {
		t.Run(v, func(t *testing.T) {
			r := newRig(t, authentiktest.Options{Version: v})
			f := r.fake
			pair := authentiktest.NewCertificate(t, "first", "ldap.example.org")
			id := f.SetKeyPair(pair)
			p := authentiktest.Provider{PK: authentiktest.DefaultProvider, Name: "ldap", Application: "ldap", Certificate: id, TLSServerName: "ldap.example.org"}
			f.SetProvider(p)
			f.SetProvider(authentiktest.Provider{PK: 8, Name: "other", BaseDN: "dc=other", Application: "other", Certificate: id})
			f.SetOutpost(authentiktest.Outpost{PK: authentiktest.DefaultOutpost, Name: "LDAP", Providers: []int{authentiktest.DefaultProvider, 8}, Interval: 300})
			r.started()
			if got := commonNames(<-r.certs); got != "ldap.example.org=first,=first" {
				t.Errorf("certificates %s", got)
			}
			downloads := func() (int, int) {
				n := f.Counters().Requests
				return n[authentiktest.KeyPair], n[authentiktest.KeyPairKey] + n[authentiktest.KeyPairCert]
			}
			if asked, read := downloads(); asked != 1 || read != 2 {
				t.Errorf("asked %d times, read %d", asked, read)
			}
			f.ResetCounters()
			r.refresh()
			if asked, read := downloads(); asked != 1 || read != 0 {
				t.Errorf("unchanged: asked %d times, read %d", asked, read)
			}
			// The same key pair gets another certificate.
			renewed := authentiktest.NewCertificate(t, "renewed", "ldap.example.org")
			renewed.PK = id
			f.SetKeyPair(renewed)
			r.refresh()
			if got := commonNames(<-r.certs); got != "ldap.example.org=renewed,=renewed" {
				t.Errorf("certificates %s", got)
			}
			// What cannot be used leaves the one before, and all else goes on.
			for _, bad := range []func(k *authentiktest.KeyPairData){
				func(k *authentiktest.KeyPairData) { k.KeyPEM = "" },
				func(k *authentiktest.KeyPairData) { k.KeyForbidden = true },
				func(k *authentiktest.KeyPairData) { k.KeyPEM = pair.KeyPEM },
				func(k *authentiktest.KeyPairData) { k.CertPEM = "garbage" },
			} {
				k := authentiktest.NewCertificate(t, "bad")
				k.PK = id
				bad(&k)
				f.SetKeyPair(k)
				errors := value(t, r.c.o.Metrics.errors.WithLabelValues("certificate"))
				r.refresh()
				if n := value(t, r.c.o.Metrics.errors.WithLabelValues("certificate")); n != errors+1 {
					t.Errorf("%v errors, want %v", n, errors+1)
				}
				if len(r.certs) != 0 {
					t.Errorf("certificates %s", commonNames(<-r.certs))
				}
			}
			if r.errorKind() != "" {
				t.Errorf("error %q", r.errorKind())
			}
			f.RemoveKeyPair(id)
			r.refresh()
			if len(r.certs) != 0 {
				t.Error("an invisible pair is taken away")
			}
			p.Certificate = ""
			f.SetProvider(p)
			r.refresh()
			if got := commonNames(<-r.certs); got != "=renewed" {
				t.Errorf("certificates %s", got)
			}
		})
	}
}

func TestCertificateWithoutFingerprint(t *testing.T) {
	r := newRig(t, authentiktest.Options{})
	pair := authentiktest.NewCertificate(t, "first")
	pair.NoFingerprint = true
	pair.PK = r.fake.SetKeyPair(pair)
	r.fake.SetProvider(authentiktest.Provider{PK: authentiktest.DefaultProvider, Name: "ldap", Application: "ldap", Certificate: pair.PK})
	r.started()
	if got := commonNames(<-r.certs); got != "=first" {
		t.Errorf("certificates %s", got)
	}
	k := authentiktest.NewCertificate(t, "second")
	k.PK, k.NoFingerprint = pair.PK, true
	r.fake.SetKeyPair(k)
	r.refresh()
	if got := commonNames(<-r.certs); got != "=second" {
		t.Errorf("certificates %s", got)
	}
}
