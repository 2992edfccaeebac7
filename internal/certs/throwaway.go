package certs

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"time"

	"ldapd/internal/atomicfile"
)

// Files that ThrowAway writes.
const (
	CAFile   = "ca.crt"
	CertFile = "server.crt"
	KeyFile  = "server.key"
)

// ThrowAway writes the certificate of a new authority, and a server
// certificate of it with its key, to dir, for trying TLS with clients that
// check. The key of the authority is not kept, so nothing else can be signed
// with it. The names are added to localhost and this machine's own.
func ThrowAway(dir string, names []string) error {
	now := time.Now()
	t := template(now, "ldapd throw-away CA")
	t.IsCA = true
	t.MaxPathLenZero = true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	caCert, caKey, err := issue(t, nil)
	if err != nil {
		return err
	}
	cert, key, err := issue(serverTemplate(now, names), &authority{caCert, caKey})
	if err != nil {
		return err
	}
	caPEM, _, err := encode(caCert, caKey)
	if err != nil {
		return err
	}
	certPEM, keyPEM, err := encode(cert, key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{{CAFile, caPEM, 0o644}, {KeyFile, keyPEM, 0o600}, {CertFile, certPEM, 0o644}} {
		if err := atomicfile.WriteFile(filepath.Join(dir, f.name), f.data, f.mode); err != nil {
			return err
		}
	}
	return nil
}
