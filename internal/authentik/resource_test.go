package authentik

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"ldapd/internal/authentik/authentiktest"
)

func TestOutpost(t *testing.T) {
	eachVersion(t, func(t *testing.T, o authentiktest.Options) {
		f := newFlows(t, o)
		got, err := f.c.Outpost(t.Context())
		if err != nil || got.PK != authentiktest.DefaultOutpost || got.Name != "LDAP" || got.Type != "ldap" || got.Config.LogLevel != "info" || got.Managed != nil {
			t.Errorf("%+v, %v", got, err)
		}
		for seconds, want := range map[int]time.Duration{-1: 5 * time.Minute, 0: 5 * time.Minute, 1: 30 * time.Second, 29: 30 * time.Second, 60: time.Minute} {
			got.RefreshSeconds = integer(seconds)
			if d := got.RefreshInterval(); d != want {
				t.Errorf("%d s: %v, want %v", seconds, d, want)
			}
		}
		f.RemoveOutpost(authentiktest.DefaultOutpost)
		if _, err := f.c.Outpost(t.Context()); !errors.Is(err, ErrNoOutpost) {
			t.Errorf("error %v", err)
		}
	})
}

// An administrator's token sees all outposts, in order of their names.
func TestOutpostOfLDAP(t *testing.T) {
	s := authentiktest.New(t, authentiktest.Options{Admin: true})
	s.SetOutpost(authentiktest.Outpost{PK: "11111111-1111-4111-8111-111111111111", Name: "A proxy", Type: "proxy"})
	got, err := newClient(t, Config{Host: s.URL, Token: StaticToken(s.Token)}).Outpost(t.Context())
	if err != nil || got.PK != authentiktest.DefaultOutpost {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRootConfig(t *testing.T) {
	eachVersion(t, func(t *testing.T, o authentiktest.Options) {
		got, err := newFlows(t, o).c.RootConfig(t.Context())
		if err != nil || got.CacheTimeoutFlows != 300 || (got.CacheTimeoutReputation != nil) != (o.Version == authentiktest.V2025_10) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestProviders(t *testing.T) {
	f := newFlows(t, authentiktest.Options{})
	f.SetProvider(authentiktest.Provider{PK: 8, Name: "a", BaseDN: "dc=other", BindFlow: "x", Application: "other", NoMFA: true, UIDStart: 5, GIDStart: 6, TLSServerName: "ldap.example.org"})
	f.SetOutpost(authentiktest.Outpost{PK: authentiktest.DefaultOutpost, Name: "LDAP", Providers: []int{7, 8}})
	got, err := f.c.Providers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Provider{
		{PK: 8, Name: "a", BaseDN: "dc=other", BindFlow: "x", Application: "other", TLSServerName: "ldap.example.org", UIDStart: 5, GIDStart: 6, SearchMode: "direct", BindMode: "direct"},
		{PK: 7, Name: "ldap", BaseDN: authentiktest.DefaultBaseDN, BindFlow: authentiktest.DefaultFlow, UnbindFlow: authentiktest.DefaultInvalidation, Application: "ldap", UIDStart: 2000, GIDStart: 4000, SearchMode: "direct", BindMode: "direct", MFASupport: true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestKeyPair(t *testing.T) {
	eachVersion(t, func(t *testing.T, o authentiktest.Options) {
		f := newFlows(t, o)
		data := authentiktest.NewCertificate(t, "ldap", "ldap.example.org")
		pk := f.SetKeyPair(data)
		pair, err := f.c.KeyPair(t.Context(), pk)
		if err != nil || pair.PK != pk || pair.Fingerprint == nil || *pair.Fingerprint == "" {
			t.Errorf("%+v, %v", pair, err)
		}
		cert, err := f.c.Certificate(t.Context(), pk)
		if err != nil || string(cert) != data.CertPEM {
			t.Errorf("certificate %s, %v", cert, err)
		}
		key, err := f.c.PrivateKey(t.Context(), pk)
		if err != nil || string(key) != data.KeyPEM {
			t.Errorf("key differs, %v", err)
		}
		f.RemoveKeyPair(pk)
		if _, err := f.c.KeyPair(t.Context(), pk); !NotFound(err) {
			t.Errorf("error %v", err)
		}
	})
}

func TestUser(t *testing.T) {
	var u User
	if err := json.Unmarshal([]byte(`{"pk":4,"username":"alice","groups":["g"],"groups_obj":null,"new":{},"last_updated":"2025-01-03T00:00:00.5Z","date_joined":null,"password_change_date":"soon"}`), &u); err != nil {
		t.Fatal(err)
	}
	if u.PK != 4 || u.Username != "alice" || !u.Active || !slices.Equal(u.Groups, []string{"g"}) || !u.LastUpdated.Equal(time.Date(2025, 1, 3, 0, 0, 0, 5e8, time.UTC)) || !u.Joined.IsZero() || !u.Password.IsZero() {
		t.Errorf("%+v", u)
	}
	if err := json.Unmarshal([]byte(`{"is_active":false,"last_updated":"2025-01-03T00:00:00"}`), &u); err != nil || u.Active || u.Username != "" || u.LastUpdated.IsZero() {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestGroupParents(t *testing.T) {
	for text, want := range map[string][]string{
		`{}`:                             nil,
		`{"parent":null}`:                nil,
		`{"parent":"a"}`:                 {"a"},
		`{"parents":[]}`:                 {},
		`{"parents":["a","b"]}`:          {"a", "b"},
		`{"parent":"a","parents":["a"]}`: {"a"},
		`{"parent":"b","parents":["a"]}`: {"a", "b"},
	} {
		var g Group
		if err := json.Unmarshal([]byte(text), &g); err != nil || !slices.Equal(g.ParentIDs(), want) {
			t.Errorf("%s: %q, %v", text, g.ParentIDs(), err)
		}
	}
}
