package backend

import (
	"testing"

	"ldapd/internal/config"
)

func TestOpenUnknown(t *testing.T) {
	cfg := config.Default()
	cfg.Backend = "ldap"
	if _, err := Open(Options{Config: cfg}); err == nil || err.Error() != `backend: there is no "ldap"` {
		t.Errorf("%v", err)
	}
}
