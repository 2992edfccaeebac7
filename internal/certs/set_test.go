package certs

import (
	"crypto/tls"
	"path/filepath"
	"testing"
)

// throwAway returns a new certificate.
func throwAway(t *testing.T) *tls.Certificate {
	t.Helper()
	dir := t.TempDir()
	if err := ThrowAway(dir, nil); err != nil {
		t.Fatal(err)
	}
	c, err := tls.LoadX509KeyPair(filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

func TestSet(t *testing.T) {
	store := open(t, Options{Dir: t.TempDir()})
	own := store.current.Load()
	a, b := throwAway(t), throwAway(t)
	copied := *a
	for _, tt := range []struct {
		name  string
		named []Named
		asked string
		want  *tls.Certificate
	}{
		{"none", nil, "a.example.org", own},
		{"the only one, asked for", []Named{{"a.example.org", a}}, "a.example.org", a},
		{"the only one, not asked for", []Named{{"a.example.org", a}}, "b.example.org", a},
		{"the only one, no name asked for", []Named{{"a.example.org", a}}, "", a},
		{"one pair for all", []Named{{"a.example.org", a}, {"b.example.org", &copied}}, "c.example.org", a},
		{"by name", []Named{{"a.example.org", a}, {"b.example.org", b}}, "b.example.org", b},
		{"case and the dot of the root", []Named{{"a.example.org", a}, {"B.example.org", b}}, "b.EXAMPLE.org.", b},
		{"no such name", []Named{{"a.example.org", a}, {"b.example.org", b}}, "c.example.org", own},
		{"no name", []Named{{"a.example.org", a}, {"b.example.org", b}}, "", own},
		{"any name", []Named{{"", a}, {"b.example.org", b}}, "c.example.org", a},
		{"a name before any", []Named{{"", a}, {"b.example.org", b}}, "b.example.org", b},
		{"any name, none asked for", []Named{{"b.example.org", b}, {"", a}}, "", a},
	} {
		s := NewSet(store)
		s.Update(tt.named)
		if got := s.Choose(tt.asked); string(got.Certificate[0]) != string(tt.want.Certificate[0]) {
			t.Errorf("%s: another certificate", tt.name)
		}
	}
}

// TestSetTLSConfig says that one configuration shows what the set has now.
func TestSetTLSConfig(t *testing.T) {
	store := open(t, Options{Dir: t.TempDir()})
	s := NewSet(store)
	c := s.TLSConfig()
	if c.MinVersion != tls.VersionTLS12 || len(c.CipherSuites) == 0 {
		t.Error("not the configuration of the store")
	}
	a, b := throwAway(t), throwAway(t)
	shown := func() string {
		got, err := c.GetCertificate(&tls.ClientHelloInfo{ServerName: "b.example.org"})
		if err != nil {
			t.Fatal(err)
		}
		return string(got.Certificate[0])
	}
	if shown() != string(store.current.Load().Certificate[0]) {
		t.Error("not that of the store")
	}
	named := []Named{{"a.example.org", a}, {"b.example.org", b}}
	s.Update(named)
	named[1].Certificate = a // the set has its own list
	if shown() != string(b.Certificate[0]) {
		t.Error("not that of the name")
	}
	s.Update(nil)
	if shown() != string(store.current.Load().Certificate[0]) {
		t.Error("not that of the store again")
	}
}
