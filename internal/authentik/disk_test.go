package authentik

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ldapd/internal/directory"
)

const diskHost = "https://auth.example.org/"

func diskFixture() *saved {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	id := "22222222-2222-4222-8222-222222222222"
	return &saved{
		host: diskHost, synced: at,
		settings: settings{
			outpost:    Outpost{PK: "x", Name: "LDAP", Type: "ldap", RefreshSeconds: 60},
			providers:  []Provider{{PK: 7, Name: "ldap", BaseDN: "dc=a", Certificate: &id, MFASupport: false}},
			generation: Version2026_5,
		},
		mirror: newMirror([]directory.User{
			{PK: 1, UUID: "00000000-0000-4000-8000-000000000001", Username: "a,b \"ä\"", Active: true, Updated: at,
				Attrs: map[string]any{"n": json.Number("12345678901234567890"), "l": []any{"x", nil, true}, "z": nil, "o": map[string]any{"k": "v"}}},
			{PK: 3, UUID: "00000000-0000-4000-8000-000000000003", Username: "c"},
		}, []memberGroup{
			{directory.Group{UUID: "10000000-0000-4000-8000-000000000001", Name: "g", NumPK: 5, Superuser: true}, []int64{1, 2}},
			{directory.Group{UUID: id, Name: "h", Parents: []string{"10000000-0000-4000-8000-000000000001"}}, []int64{3}},
		}),
	}
}

// unpacked returns the JSON of a snapshot.
func unpacked(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(data[len(diskMagic):]))
	if err != nil {
		t.Fatal(err)
	}
	z.Multistream(false)
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), SnapshotFile)
	want := diskFixture()
	for range 2 { // the second replaces the first
		if err := save(path, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := restore(path, diskHost)
	if err != nil {
		t.Fatal(err)
	}
	if !got.mirror.equal(want.mirror) {
		t.Errorf("users and groups differ: %+v", got.mirror)
	}
	if u := got.mirror.users; !u[0].Superuser || !u[1].Superuser || len(u[0].Groups) != 1 {
		t.Errorf("users are not linked to groups: %+v", u)
	}
	p := got.settings.providers
	if !got.synced.Equal(want.synced) || got.settings.generation != Version2026_5 || got.settings.outpost.RefreshSeconds != 60 ||
		len(p) != 1 || *p[0].Certificate != *want.settings.providers[0].Certificate || p[0].MFASupport || p[0].UIDStart != 0 {
		t.Errorf("got %+v", got)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("left over: %v, %v", files, err)
	}
}

func TestDiskIgnored(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, SnapshotFile)
	if err := save(path, diskFixture()); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	for name, tt := range map[string]struct {
		data []byte
		host string
		want string
	}{
		"empty":        {nil, diskHost, "size"},
		"cut":          {good[:len(good)-1], diskHost, "checksum"},
		"longer":       {append(bytes.Clone(good), 0), diskHost, "checksum"},
		"a bit":        {flip(len(diskMagic) + 30), diskHost, "checksum"},
		"checksum":     {flip(len(good) - 1), diskHost, "checksum"},
		"later format": {flip(len(diskMagic) - 2), diskHost, "version"},
		"other file":   {bytes.Repeat([]byte("x"), 1000), diskHost, "version"},
		"other host":   {good, "https://other.example.org/", "another authentik"},
	} {
		if err := os.WriteFile(path, tt.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := restore(path, tt.host); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if _, err := restore(dir, diskHost); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("directory: %v", err)
	}
	if _, err := restore(filepath.Join(dir, "none"), diskHost); !absent(err) {
		t.Errorf("no file: %v", err)
	}
	if err := save(filepath.Join(dir, "none", "x"), diskFixture()); err == nil {
		t.Error("written into no directory")
	}
}

func FuzzDisk(f *testing.F) {
	var b bytes.Buffer
	if err := encodeSaved(&b, diskFixture()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes()[len(diskMagic):])
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeSaved(bytes.NewReader(data), diskHost)
		if err == nil && (len(s.mirror.users) == 0 || len(s.settings.providers) == 0) {
			t.Error("accepted without users or providers")
		}
	})
}
