// Package certs holds the certificate that the listeners show: files that are
// read again when they change, or a self-signed one made on first start.
package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/atomicfile"
)

// Poll is how often Run looks whether the files changed. Polling works
// where notification does not: symbolic links swapped by Kubernetes, network
// file systems.
const Poll = 5 * time.Second

// maxFile bounds a certificate or key file, in bytes.
const maxFile = 1 << 20

// Options of a Store. Cert and Key name PEM files and are both set or both
// empty; empty stands for a self-signed certificate kept in Dir.
type Options struct {
	Cert, Key string
	Dir       string   // made if missing
	Names     []string // further names and addresses for the self-signed one

	Log  *zap.Logger      // nil: none
	Tick <-chan time.Time // when Run looks; nil: each Poll
	Now  func() time.Time // nil: time.Now
}

// Store holds the current certificate. Its methods may be called from
// several goroutines.
type Store struct {
	opt     Options
	cert    string // the files in use
	key     string
	current atomic.Pointer[tls.Certificate]

	mu   sync.Mutex // held while loading
	seen [2]os.FileInfo
}

// Open loads the certificate, after making the self-signed one if that is
// asked for and there is none, or the one there has expired.
func Open(opt Options) (*Store, error) {
	if opt.Log == nil {
		opt.Log = zap.NewNop()
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	s := &Store{opt: opt, cert: opt.Cert, key: opt.Key}
	if opt.Cert == "" {
		path, err := ensureSelfSigned(opt)
		if err != nil {
			return nil, err
		}
		s.cert, s.key = path, path
	}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	if opt.Cert == "" {
		leaf := s.current.Load().Leaf
		for _, name := range opt.Names {
			if leaf.VerifyHostname(name) != nil {
				opt.Log.Warn("the self-signed certificate lacks a configured name; remove its file to have another made",
					zap.String("name", name), zap.String("file", s.cert))
			}
		}
	}
	return s, nil
}

// Reload reads the files. After an error the certificate in use stays.
func (s *Store) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Looked at before reading, so that a change during it is seen later.
	s.seen = s.look()
	return s.load()
}

func (s *Store) load() error {
	certPEM, err := atomicfile.Read(s.cert, maxFile)
	if err != nil {
		return err
	}
	keyPEM, err := atomicfile.Read(s.key, maxFile)
	if err != nil {
		return err
	}
	c, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", s.cert, s.key, err)
	}
	s.current.Store(&c)
	if now := s.opt.Now(); now.After(c.Leaf.NotAfter) || now.Before(c.Leaf.NotBefore) {
		s.opt.Log.Warn("the certificate is not valid at this time", zap.String("file", s.cert),
			zap.Time("from", c.Leaf.NotBefore), zap.Time("until", c.Leaf.NotAfter))
	}
	return nil
}

// Run reloads the files when they change, until ctx ends. A pair that cannot
// be used is logged once, and the one in use stays.
func (s *Store) Run(ctx context.Context) {
	tick := s.opt.Tick
	if tick == nil {
		t := time.NewTicker(Poll)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			s.poll()
		}
	}
}

func (s *Store) poll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.look()
	if same(now[0], s.seen[0]) && same(now[1], s.seen[1]) {
		return
	}
	s.seen = now
	before := s.Fingerprint()
	if err := s.load(); err != nil {
		s.opt.Log.Error("new certificate refused, the old one stays in use", zap.Error(err))
		return
	}
	if s.Fingerprint() != before {
		s.opt.Log.Info("certificate reloaded", zap.String("file", s.cert),
			zap.String("sha256", s.Fingerprint()), zap.Time("until", s.Expires()))
	}
}

// look returns the state of both files, nil for one that is not there.
func (s *Store) look() (seen [2]os.FileInfo) {
	for i, path := range [2]string{s.cert, s.key} {
		if st, err := os.Stat(path); err == nil {
			seen[i] = st
		}
	}
	return seen
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// Fingerprint returns the SHA-256 of the certificate in lower-case hex, as
// "openssl x509 -fingerprint -sha256" prints it with colons.
func (s *Store) Fingerprint() string {
	sum := sha256.Sum256(s.current.Load().Certificate[0])
	return hex.EncodeToString(sum[:])
}

// Expires returns the end of the certificate's validity.
func (s *Store) Expires() time.Time { return s.current.Load().Leaf.NotAfter }

// File returns the path of the certificate in use, for logs.
func (s *Store) File() string { return s.cert }

// TLSConfig returns a configuration for servers that always shows the
// current certificate: TLS 1.2 and later, authenticated encryption and
// forward secrecy only, no client certificates.
func (s *Store) TLSConfig() *tls.Config {
	return &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.current.Load(), nil
		},
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // for TLS 1.2; those of 1.3 are fixed
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384},
	}
}
