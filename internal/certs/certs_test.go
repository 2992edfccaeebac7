package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"ldapd/internal/atomicfile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handshake connects a client to a server with the store's configuration.
func handshake(t *testing.T, s *Store, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	go func() {
		err := tls.Server(a, s.TLSConfig()).HandshakeContext(t.Context())
		if err != nil {
			a.Close()
		}
		done <- err
	}()
	c := tls.Client(b, client)
	err := c.HandshakeContext(t.Context())
	if err != nil {
		b.Close()
	}
	if serverErr := <-done; err == nil {
		err = serverErr
	}
	return c.ConnectionState(), err
}

func pool(t *testing.T, path string) *x509.CertPool {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(data) {
		t.Fatalf("%s: no certificate", path)
	}
	return p
}

func open(t *testing.T, opt Options) *Store {
	t.Helper()
	s, err := Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSelfSigned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	opt := Options{Dir: dir, Names: []string{"ldap.example.org", "192.0.2.1"}}
	s := open(t, opt)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	roots := pool(t, filepath.Join(dir, SelfSignedCert))
	for _, name := range []string{"localhost", "127.0.0.1", "::1", host, "ldap.example.org", "192.0.2.1"} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			st, err := handshake(t, s, &tls.Config{RootCAs: roots, ServerName: name, MaxVersion: version})
			if err != nil || st.Version != version {
				t.Errorf("%s, version %#x: %v", name, version, err)
			}
		}
	}
	if _, err := handshake(t, s, &tls.Config{RootCAs: roots, ServerName: "other.example.org"}); err == nil {
		t.Error("another name is accepted")
	}
	st, err := os.Stat(filepath.Join(dir, SelfSigned))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", st.Mode(), err)
	}
	if again := open(t, opt); again.Fingerprint() != s.Fingerprint() {
		t.Error("a second start made another certificate")
	}
	if f := s.Fingerprint(); len(f) != 64 || strings.Trim(f, "0123456789abcdef") != "" {
		t.Errorf("fingerprint %q", f)
	}
	later := opt
	later.Now = func() time.Time { return s.Expires().Add(time.Second) }
	if renewed := open(t, later); renewed.Fingerprint() == s.Fingerprint() || !renewed.Expires().After(s.Expires()) {
		t.Error("an expired certificate is not renewed")
	}
}

func TestSelfSignedLacksName(t *testing.T) {
	dir := t.TempDir()
	open(t, Options{Dir: dir})
	core, logs := observer.New(zapcore.WarnLevel)
	open(t, Options{Dir: dir, Names: []string{"new.example.org"}, Log: zap.New(core)})
	if logs.FilterField(zap.String("name", "new.example.org")).Len() != 1 {
		t.Errorf("logs %v", logs.All())
	}
}

func TestOldProtocolsAreRefused(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	for _, c := range []*tls.Config{
		{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10},
		{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
		{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
		{CurvePreferences: []tls.CurveID{tls.CurveP521}},
	} {
		c.InsecureSkipVerify = true
		if st, err := handshake(t, s, c); err == nil {
			t.Errorf("accepted version %#x, suite %#x", st.Version, st.CipherSuite)
		}
	}
}

func TestReload(t *testing.T) {
	dir := t.TempDir()
	if err := ThrowAway(dir, nil); err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile)
	core, logs := observer.New(zapcore.InfoLevel)
	tick := make(chan time.Time)
	s := open(t, Options{Cert: cert, Key: key, Log: zap.New(core), Tick: tick})
	first := s.Fingerprint()

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	// Run takes a second tick only after it has dealt with the first.
	poll := func() { tick <- time.Time{}; tick <- time.Time{} }

	poll()
	if s.Fingerprint() != first || logs.Len() != 0 {
		t.Errorf("reloaded without a change: %v", logs.All())
	}

	// As a whole, for Run may still be at the second tick.
	if err := atomicfile.WriteFile(cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	poll()
	if s.Fingerprint() != first {
		t.Error("a broken certificate is in use")
	}
	if n := logs.FilterMessage("new certificate refused, the old one stays in use").Len(); n != 1 {
		t.Errorf("refused %d times in the log: %v", n, logs.All())
	}
	if _, err := handshake(t, s, &tls.Config{RootCAs: pool(t, filepath.Join(dir, CAFile)), ServerName: "localhost"}); err != nil {
		t.Errorf("after a broken certificate: %v", err)
	}
	if err := s.Reload(); err == nil {
		t.Error("Reload of a broken certificate: no error")
	}

	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	poll()
	if err := ThrowAway(dir, nil); err != nil {
		t.Fatal(err)
	}
	poll()
	if s.Fingerprint() == first {
		t.Error("a new certificate is not in use")
	}
	if _, err := handshake(t, s, &tls.Config{RootCAs: pool(t, filepath.Join(dir, CAFile)), ServerName: "localhost"}); err != nil {
		t.Errorf("after a new certificate: %v", err)
	}
	if n := logs.FilterMessage("certificate reloaded").FilterField(zap.String("sha256", s.Fingerprint())).Len(); n != 1 {
		t.Errorf("reloaded %d times in the log: %v", n, logs.All())
	}
	cancel()
	<-done
}

func TestExpiredIsWarned(t *testing.T) {
	dir := t.TempDir()
	if err := ThrowAway(dir, nil); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.WarnLevel)
	open(t, Options{
		Cert: filepath.Join(dir, CertFile), Key: filepath.Join(dir, KeyFile), Log: zap.New(core),
		Now: func() time.Time { return time.Now().Add(20 * 365 * 24 * time.Hour) },
	})
	if logs.FilterMessage("the certificate is not valid at this time").Len() != 1 {
		t.Errorf("logs %v", logs.All())
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	if err := ThrowAway(dir, []string{"a.example.org"}); err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile)
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, bytes.Repeat([]byte("x"), maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken")
	if err := os.Mkdir(broken, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, SelfSigned), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		opt  Options
		want string
	}{
		{Options{Cert: filepath.Join(dir, "none"), Key: key}, "no such file"},
		{Options{Cert: cert, Key: filepath.Join(dir, "none")}, "no such file"},
		{Options{Cert: filepath.Join(dir, CAFile), Key: key}, "private key does not match public key"},
		{Options{Cert: key, Key: cert}, "certificate " + key + " with key " + cert},
		{Options{Cert: big, Key: key}, "larger than"},
		{Options{Cert: dir, Key: key}, "not a regular file"},
		{Options{Dir: broken}, "remove it to have another made"},
		{Options{Dir: filepath.Join(cert, "x")}, "not a directory"},
	} {
		if _, err := Open(tt.opt); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %s", tt.opt, err, tt.want)
		}
	}
}

func TestThrowAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	if err := ThrowAway(dir, []string{"a.example.org"}); err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Cert: filepath.Join(dir, CertFile), Key: filepath.Join(dir, KeyFile)})
	for _, name := range []string{"a.example.org", "localhost", "127.0.0.1"} {
		if _, err := handshake(t, s, &tls.Config{RootCAs: pool(t, filepath.Join(dir, CAFile)), ServerName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 3 {
		t.Errorf("files %v, %v", files, err)
	}
	if st, err := os.Stat(filepath.Join(dir, KeyFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", st.Mode(), err)
	}
}
