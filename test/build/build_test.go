package build

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The modules that only tests of ldapd's own packages use.
var testOnly = []string{"github.com/go-asn1-ber/asn1-ber", "github.com/go-ldap/ldap/v3", "go.uber.org/goleak"}

// TestShipped holds ldapd's go.mod to what is in the binary.
func TestShipped(t *testing.T) {
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(command(t, "mod", "edit", "-json", "../../go.mod"), &mod); err != nil {
		t.Fatal(err)
	}
	shipped := strings.Fields(string(command(t, "list", "-C", "../..", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./cmd/ldapd")))
	for _, m := range mod.Require {
		if !m.Indirect && !slices.Contains(shipped, m.Path) && !slices.Contains(testOnly, m.Path) {
			t.Errorf("%s is in go.mod, but not in the binary: it belongs in test/go.mod", m.Path)
		}
	}
	for _, path := range testOnly {
		if slices.Contains(shipped, path) {
			t.Errorf("%s is in the binary", path)
		}
	}
}

func command(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return out
}
