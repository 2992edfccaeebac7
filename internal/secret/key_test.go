package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"ldapd/internal/secret"
)

func TestParseKey(t *testing.T) {
	raw := bytes.Repeat([]byte{0xfb}, secret.KeySize)
	for _, text := range []string{
		hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)), " " + hex.EncodeToString(raw) + "\n",
		base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw),
		base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
	} {
		if got, err := secret.ParseKey(text); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%q: %x, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "planted", hex.EncodeToString(raw[1:]), hex.EncodeToString(raw) + "00", strings.Repeat("g", 64)} {
		if got, err := secret.ParseKey(text); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %x, %v", text, got, err)
		}
	}
}
