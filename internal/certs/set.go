package certs

import (
	"bytes"
	"crypto/tls"
	"strings"
	"sync/atomic"
)

// Named is a certificate and the server name that it is for; an empty name
// stands for any.
type Named struct {
	Name        string
	Certificate *tls.Certificate
}

// Set chooses among certificates by the name that a client asks for. Its
// methods may be called from several goroutines.
type Set struct {
	fallback *Store
	named    atomic.Pointer[[]Named]
}

// NewSet returns a set that shows the certificate of a store until it is given
// others, and where none of those fits.
func NewSet(fallback *Store) *Set {
	s := &Set{fallback: fallback}
	s.named.Store(&[]Named{})
	return s
}

// Update replaces the certificates. Connections that are open keep theirs.
func (s *Set) Update(named []Named) {
	named = append([]Named(nil), named...)
	s.named.Store(&named)
}

// Choose returns the certificate for a server name, which is empty if the
// client sent none: the only one there is, whatever its name; else that of the
// name; else one for any name; else that of the store.
func (s *Set) Choose(name string) *tls.Certificate {
	named := *s.named.Load()
	if c := only(named); c != nil {
		return c
	}
	name = strings.TrimSuffix(name, ".")
	for _, n := range named {
		if name != "" && strings.EqualFold(n.Name, name) {
			return n.Certificate
		}
	}
	for _, n := range named {
		if n.Name == "" {
			return n.Certificate
		}
	}
	return s.fallback.current.Load()
}

// only returns the certificate that all of them are, nil if they differ.
func only(named []Named) *tls.Certificate {
	if len(named) == 0 {
		return nil
	}
	for _, n := range named[1:] {
		if !bytes.Equal(n.Certificate.Certificate[0], named[0].Certificate.Certificate[0]) {
			return nil
		}
	}
	return named[0].Certificate
}

// TLSConfig is Store.TLSConfig with the certificates of the set.
func (s *Set) TLSConfig() *tls.Config {
	c := s.fallback.TLSConfig()
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return s.Choose(hello.ServerName), nil
	}
	return c
}
