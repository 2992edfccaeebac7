package ldap

import "testing"

func TestParseCompareRequest(t *testing.T) {
	b := unhex(t, "30 22 02 01 02 6e 1d 04 0d 63 6e 3d 61 6c 69 63 65 2c 64 63 3d 78 30 0c 04 03 75 69 64 04 05 61 6c 69 63 65")
	for _, b := range [][]byte{b, widen(b)} {
		req, err := ParseCompareRequest(body(t, b, OpCompareRequest))
		if err != nil || string(req.Entry) != "cn=alice,dc=x" || string(req.Attribute) != "uid" || string(req.Value) != "alice" {
			t.Errorf("%q, %v", req, err)
		}
	}
	for name, in := range map[string]string{
		"nothing":            "",
		"no assertion":       "04 01 61",
		"assertion a set":    "04 01 61 31 06 04 01 61 04 01 62",
		"empty assertion":    "04 01 61 30 00",
		"no value":           "04 01 61 30 03 04 01 61",
		"three values":       "04 01 61 30 09 04 01 61 04 01 62 04 01 63",
		"value not a string": "04 01 61 30 06 04 01 61 02 01 62",
	} {
		if req, err := ParseCompareRequest(unhex(t, in)); err == nil {
			t.Errorf("%s: %q", name, req)
		}
	}
}
