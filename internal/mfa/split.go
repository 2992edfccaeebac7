package mfa

import "strings"

// Split takes a code off the end of a password or a login name: it splits at
// the last sep, if what follows has the shape of a code and what comes before
// is not empty. Else, and with an empty sep, the whole string is the head, and
// ok is false.
//
// A code is six digits (TOTP), or 8 or 12 ASCII letters and digits. 6 and 8
// are what authentik's own outpost takes; 12 is the length of authentik's
// static tokens by default, which the outpost cannot take. A password can have
// that shape by chance, so the caller must also try the whole.
func Split[S ~string](s S, sep string) (head, code S, ok bool) {
	i := strings.LastIndex(string(s), sep)
	if i <= 0 || !codeShaped(string(s[i+len(sep):])) {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func codeShaped(s string) bool {
	switch len(s) {
	case 6, 8, 12:
	default:
		return false
	}
	for i := range len(s) {
		c := s[i]
		digit := '0' <= c && c <= '9'
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !digit && (!letter || len(s) == 6) {
			return false
		}
	}
	return true
}
