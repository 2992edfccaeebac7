package authentiktest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"
)

// KeyPairData is a certificate-key pair of authentik.
type KeyPairData struct {
	PK      string // a UUID, derived from Name if empty
	Name    string
	CertPEM string // may be a chain, leaf first
	KeyPEM  string // none is stored if empty
	// KeyForbidden takes the right to see the key away.
	KeyForbidden bool
	// NoFingerprint sends null for the fingerprints.
	NoFingerprint bool
}

// NewCertificate makes a self-signed pair for names and addresses.
func NewCertificate(tb TB, name string, hosts ...string) KeyPairData {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatalf("authentiktest: key: %v", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		tb.Fatalf("authentiktest: serial number: %v", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatalf("authentiktest: certificate: %v", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatalf("authentiktest: key: %v", err)
	}
	return KeyPairData{
		Name:    name,
		CertPEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		KeyPEM:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})),
	}
}

// SetKeyPair adds a pair or replaces the one with its PK, tells every outpost
// to update, and returns the PK for Provider.Certificate.
func (s *Server) SetKeyPair(k KeyPairData) string {
	if k.PK == "" {
		k.PK = uuidOf("keypair", k.Name)
	}
	k.PK = strings.ToLower(k.PK)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keyPairs[k.PK] = k
	s.TriggerUpdate()
	return k.PK
}

// RemoveKeyPair deletes a pair; it is then as invisible as one without rights.
func (s *Server) RemoveKeyPair(pk string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keyPairs, strings.ToLower(pk))
}

// findKeyPair answers itself if the pair cannot be seen.
func (s *Server) findKeyPair(c *call) (KeyPairData, bool) {
	if !s.reader(c) {
		return KeyPairData{}, false
	}
	k, ok := s.keyPairs[strings.ToLower(c.arg)]
	if !ok {
		c.detail(http.StatusNotFound, "No CertificateKeyPair matches the given query.")
	}
	return k, ok
}

func (s *Server) keyPair(c *call) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, ok := s.findKeyPair(c)
	if !ok {
		return
	}
	v := map[string]any{
		"pk":                       k.PK,
		"name":                     k.Name,
		"fingerprint_sha256":       nil,
		"fingerprint_sha1":         nil,
		"cert_expiry":              nil,
		"cert_subject":             nil,
		"private_key_available":    k.KeyPEM != "",
		"certificate_download_url": s.base + "api/v3/crypto/certificatekeypairs/" + k.PK + "/view_certificate/?download",
		"private_key_download_url": s.base + "api/v3/crypto/certificatekeypairs/" + k.PK + "/view_private_key/?download",
		"managed":                  nil,
	}
	keyType := "private_key_type"
	if s.is2026() {
		keyType = "key_type"
	}
	v[keyType] = nil
	if block, _ := pem.Decode([]byte(k.CertPEM)); block != nil && !k.NoFingerprint {
		sum256, sum1 := sha256.Sum256(block.Bytes), sha1.Sum(block.Bytes)
		v["fingerprint_sha256"], v["fingerprint_sha1"] = colons(sum256[:]), colons(sum1[:])
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			v["cert_expiry"] = stamp(cert.NotAfter)
			v["cert_subject"] = cert.Subject.String()
			if k.KeyPEM != "" {
				v[keyType] = keyTypeOf(cert)
			}
		}
	}
	c.json(http.StatusOK, v)
}

// colons is how authentik writes fingerprints.
func colons(sum []byte) string {
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = hex.EncodeToString([]byte{b})
	}
	return strings.Join(parts, ":")
}

func keyTypeOf(cert *x509.Certificate) string {
	switch cert.PublicKeyAlgorithm {
	case x509.ECDSA:
		return "ec"
	case x509.Ed25519:
		return "ed25519"
	}
	return "rsa"
}

func (s *Server) keyPairCert(c *call) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if k, ok := s.findKeyPair(c); ok {
		s.download(c, k.CertPEM)
	}
}

func (s *Server) keyPairKey(c *call) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, ok := s.findKeyPair(c)
	switch {
	case !ok:
	case k.KeyForbidden:
		c.detail(http.StatusForbidden, "You do not have permission to perform this action.")
	default:
		s.download(c, k.KeyPEM)
	}
}

func (s *Server) download(c *call, data string) {
	if c.r.URL.Query().Has("download") {
		c.raw(http.StatusOK, "application/x-pem-file", []byte(data))
		return
	}
	c.json(http.StatusOK, map[string]string{"data": data})
}
