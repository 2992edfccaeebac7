package search

import (
	"testing"

	"ldapd/internal/ldap"
)

// The root DSE, which anybody may read, names a release and no commit.
func TestVendorVersion(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3": "1.2.3", "1.2": "1.2", "v1.2.3-rc.1": "1.2.3-rc.1",
		"v1.2.3-14-gc725083": "1.2.3", "v1.2.3-14-gc725083-dirty": "1.2.3", "1.2.3-dirty": "1.2.3",
		"v2.0.0-beta2-3-gc725083": "2.0.0-beta2", "1.2.3+c725083": "1.2.3",
		"c725083": "", "c725083-dirty": "", "1234567": "", "dev": "", "docker": "", "": "",
	} {
		if got := release(version); got != want {
			t.Errorf("%s: vendorVersion %q, want %q", version, got, want)
		}
	}
	for version, want := range map[string]string{"v1.2.3-1-gc725083": "1.2.3", "c725083-dirty": ""} {
		e := newEngine(newTree(t, 1))
		e.cfg.Version = version
		res, code, _ := find(t, e, nil, request(t, "", ldap.ScopeBase, "(objectClass=*)", "+"))
		if code != ldap.ResultSuccess || len(res.entries) != 1 {
			t.Fatalf("code %v, %d entries", code, len(res.entries))
		}
		if got := res.entries[0].GetAttributeValue("vendorVersion"); got != want {
			t.Errorf("%s: vendorVersion %q", version, got)
		}
	}
}
