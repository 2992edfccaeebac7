package ldap

import "testing"

func TestParseExtendedRequest(t *testing.T) {
	for _, tt := range []struct {
		name, in, oid, value string
		hasValue             bool
	}{
		{"WhoAmI, libldap", "30 1e 02 01 02 77 19 80 17 31 2e 33 2e 36 2e 31 2e 34 2e 31 2e 34 32 30 33 2e 31 2e 31 31 2e 33", OIDWhoAmI, "", false},
		{"StartTLS, libldap", "30 1d 02 01 01 77 18 80 16 31 2e 33 2e 36 2e 31 2e 34 2e 31 2e 31 34 36 36 2e 32 30 30 33 37", OIDStartTLS, "", false},
		{"Cancel", "30 15 02 01 04 77 10 80 07 31 2e 33 2e 36 2e 31 81 05 30 03 02 01 03", "1.3.6.1", "\x30\x03\x02\x01\x03", true},
		{"empty value", "30 0e 02 01 04 77 09 80 05 31 2e 33 2e 36 81 00", "1.3.6", "", true},
	} {
		b := unhex(t, tt.in)
		for _, b := range [][]byte{b, widen(b)} {
			req, err := ParseExtendedRequest(body(t, b, OpExtendedRequest))
			if err != nil || string(req.Name) != tt.oid || string(req.Value) != tt.value || (req.Value != nil) != tt.hasValue {
				t.Errorf("%s: %q, %v", tt.name, req, err)
			}
		}
	}
	for name, in := range map[string]string{
		"nothing":      "",
		"plain string": "04 03 31 2e 33",
		"value only":   "81 00",
		"more behind":  "80 01 31 81 00 82 00",
		"value cut":    "80 01 31 81 04 00",
	} {
		if req, err := ParseExtendedRequest(unhex(t, in)); err == nil {
			t.Errorf("%s: %q", name, req)
		}
	}
}

func TestCancelID(t *testing.T) {
	if id, err := CancelID(unhex(t, "30 03 02 01 03")); id != 3 || err != nil {
		t.Errorf("%d, %v", id, err)
	}
	if id, err := CancelID(unhex(t, "30 84 00 00 00 06 02 04 00 00 01 00")); id != 256 || err != nil {
		t.Errorf("%d, %v", id, err)
	}
	for _, in := range []string{"", "30 00", "02 01 03", "30 02 02 00", "30 03 02 01 ff", "30 03 0a 01 03", "30 07 02 05 00 ff ff ff ff"} {
		if id, err := CancelID(unhex(t, in)); err == nil {
			t.Errorf("%q: %d", in, id)
		}
	}
}
