package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ldapd/internal/atomicfile"
)

const (
	// SelfSigned holds certificate and key in Options.Dir, mode 0600. They
	// share a file so that a crash cannot leave halves of two pairs.
	SelfSigned = "tls.pem"
	// SelfSignedCert is the certificate alone, for clients to trust.
	SelfSignedCert = "tls.crt"
)

const (
	lifetime = 10 * 365 * 24 * time.Hour
	skew     = time.Hour // clocks of clients may be behind
)

// ensureSelfSigned returns the path of the self-signed pair.
func ensureSelfSigned(opt Options) (string, error) {
	path := filepath.Join(opt.Dir, SelfSigned)
	switch data, err := atomicfile.Read(path, maxFile); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", err
	default:
		c, err := tls.X509KeyPair(data, data)
		if err != nil {
			return "", fmt.Errorf("%s: %w; remove it to have another made", path, err)
		}
		if opt.Now().Before(c.Leaf.NotAfter) {
			return path, nil
		}
	}
	if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
		return "", err
	}
	cert, key, err := issue(serverTemplate(opt.Now(), opt.Names), nil)
	if err != nil {
		return "", err
	}
	certPEM, keyPEM, err := encode(cert, key)
	if err != nil {
		return "", err
	}
	if err := atomicfile.WriteFile(filepath.Join(opt.Dir, SelfSignedCert), certPEM, 0o644); err != nil {
		return "", err
	}
	return path, atomicfile.WriteFile(path, slices.Concat(certPEM, keyPEM), 0o600)
}

// serverTemplate is for localhost, this machine and the names.
func serverTemplate(now time.Time, names []string) *x509.Certificate {
	t := template(now, "ldapd")
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	all := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil && host != "" {
		all = append(all, host)
	}
	for _, name := range append(all, names...) {
		if ip, err := netip.ParseAddr(name); err == nil {
			t.IPAddresses = append(t.IPAddresses, ip.AsSlice())
		} else if !slices.Contains(t.DNSNames, name) {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	return t
}

func template(now time.Time, name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(lifetime),
		BasicConstraintsValid: true,
	}
}

// authority signs what it issues.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a key and a certificate for it, signed by ca or by itself.
func issue(t *x509.Certificate, ca *authority) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, nil, fmt.Errorf("make a serial number: %w", err)
	}
	if ca == nil {
		ca = &authority{t, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

func encode(cert *x509.Certificate, key *ecdsa.PrivateKey) (certPEM, keyPEM []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode a key: %w", err)
	}
	var c, k bytes.Buffer
	if err := errors.Join(
		pem.Encode(&c, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
		pem.Encode(&k, &pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	); err != nil {
		return nil, nil, err
	}
	return c.Bytes(), k.Bytes(), nil
}
