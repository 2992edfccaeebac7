package authentik

import (
	"errors"
	"fmt"
	"strings"

	"ldapd/internal/atomicfile"
)

// maxToken bounds what is read of a token file; authentik's have 60 characters.
const maxToken = 4 << 10

// TokenSource returns the token of the moment. It is asked for each request,
// so that a token that was replaced is in use at once.
type TokenSource func() (string, error)

// StaticToken returns the same token always.
func StaticToken(token string) TokenSource {
	return func() (string, error) { return checkToken(token) }
}

// FileToken reads the token from a file, blanks around it removed.
func FileToken(path string) TokenSource {
	return func() (string, error) {
		b, err := atomicfile.Read(path, maxToken)
		if err != nil {
			return "", fmt.Errorf("token_file: %w", err)
		}
		token, err := checkToken(string(b))
		if err != nil {
			return "", fmt.Errorf("token_file: %s: %w", path, err)
		}
		return token, nil
	}
}

// checkToken refuses what cannot be a token before it gets into a header.
func checkToken(token string) (string, error) {
	token = strings.TrimSpace(token)
	if token == "" {
		return "", errors.New("the token is empty")
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] >= 0x7f {
			return "", errors.New("the token holds a character that no token has")
		}
	}
	return token, nil
}
