package check

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ldapd/internal/certs"
	"ldapd/internal/config"
)

// writePair writes a certificate that ends at a time, with its key.
func writePair(t *testing.T, path string, until time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: until.AddDate(-1, 0, 0), NotAfter: until}
	cert, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A certificate that has expired is a problem, one that will soon is said so,
// be it given or the one that was made at the first start.
func TestExpiry(t *testing.T) {
	for _, tt := range []struct {
		left          time.Duration
		problem, note string
	}{
		{-time.Hour, "expired on ", ""},
		{expirySoon - time.Hour, "", "expires soon, on "},
		{expirySoon + time.Hour, "", "is valid until "},
	} {
		dir := t.TempDir()
		made := filepath.Join(dir, certs.SelfSigned)
		writePair(t, made, time.Now().Add(tt.left))
		for _, given := range []string{"", made} {
			cfg := config.Default()
			cfg.StateDir, cfg.TLS.Cert, cfg.TLS.Key = dir, given, given
			var r Report
			r.certificate(cfg)
			var problem string
			for _, err := range r.Problems {
				problem += err.Error()
			}
			notes := strings.Join(r.Notes, "\n")
			if (problem == "") != (tt.problem == "") || !strings.Contains(problem, tt.problem) || (notes == "") != (tt.note == "") || !strings.Contains(notes, tt.note) {
				t.Errorf("%v left, given %q: problem %q, notes %q", tt.left, given, problem, notes)
			}
		}
	}
}

// A certificate of the unlock page is looked at, too; browsers trust none that
// was made here.
func TestUnlockCertificate(t *testing.T) {
	pair := filepath.Join(t.TempDir(), "pair.pem")
	writePair(t, pair, time.Now().Add(-time.Hour))
	for _, tt := range []struct {
		listen, unlock, tls, backend string
		problems, notes              int
	}{
		{":443", "", "", config.BackendFile, 0, 1},
		{"", "", "", config.BackendFile, 0, 0},
		{":443", "", pair, config.BackendFile, 0, 0},
		{":443", "", "", config.BackendAuthentik, 0, 0},
		{":443", pair, "", config.BackendFile, 1, 0},
	} {
		cfg := config.Default()
		cfg.Backend, cfg.Listen.Unlock, cfg.Unlock.Cert, cfg.Unlock.Key, cfg.TLS.Cert = tt.backend, tt.listen, tt.unlock, tt.unlock, tt.tls
		var r Report
		r.unlock(cfg)
		if len(r.Problems) != tt.problems || len(r.Notes) != tt.notes {
			t.Errorf("%+v: problems %v, notes %q", tt, r.Problems, r.Notes)
		}
	}
}

// A database that cannot be reached is a problem; other stores have none.
func TestStoreCannotBeReached(t *testing.T) {
	cfg := config.Default()
	cfg.Cache.DSN = "postgres://ldapd@127.0.0.1:1/ldapd?sslmode=disable&connect_timeout=1"
	for store, problems := range map[string]int{config.CacheBolt: 0, config.CacheMemory: 0, config.CachePostgres: 1} {
		cfg.Cache.Store = store
		var r Report
		r.store(cfg)
		if len(r.Problems) != problems || len(r.Notes) != 0 {
			t.Errorf("%s: problems %v, notes %q", store, r.Problems, r.Notes)
		}
	}
}
