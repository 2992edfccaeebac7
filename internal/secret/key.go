package secret

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// KeySize is the size of a key, in bytes.
const KeySize = 32

var errKey = fmt.Errorf("must be %d bytes in hex or base64", KeySize)

// ParseKey reads a key in hex or any base64, with blanks around it. The error
// does not hold it.
func ParseKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if raw, err := decode(text); err == nil && len(raw) == KeySize {
			return raw, nil
		}
	}
	return nil, errKey
}
