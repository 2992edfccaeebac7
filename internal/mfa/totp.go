package mfa

import (
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// Bounds of what NewTOTP takes.
const (
	minSecret = 10 // bytes; RFC 4226 wants 16, but 10 are in use everywhere
	maxSecret = 128
	minPeriod = 15 * time.Second
	maxPeriod = 5 * time.Minute
)

const (
	// skew is how many periods a code may be early or late (RFC 6238,
	// section 5.2).
	skew = 1
	// setBack is how far the clock may be set back without a used code
	// becoming good again.
	setBack = 10 * time.Minute
)

// TOTP is the second factor of one user: time-based codes (RFC 6238). The zero
// value matches no code.
type TOTP struct {
	secret    string // base32, upper-case, without padding
	period    int64  // seconds
	digits    otp.Digits
	algorithm otp.Algorithm
}

// Options are the parameters that an authenticator app is told beside the
// secret. A zero field takes its default.
type Options struct {
	Algorithm string        // SHA1 (default), SHA256 or SHA512
	Digits    int           // 6 (default) or 8
	Period    time.Duration // 30 s by default; whole seconds, 15 s to 5 min
}

// NewTOTP returns the factor with a secret in base32, in either case, with or
// without padding and blanks. The error does not hold the secret.
func NewTOTP(secret string, o Options) (TOTP, error) {
	t := TOTP{period: 30, digits: otp.DigitsSix, algorithm: otp.AlgorithmSHA1}
	secret = strings.ToUpper(strings.ReplaceAll(secret, " ", ""))
	t.secret = strings.TrimRight(secret, "=")
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(t.secret)
	if err != nil {
		return TOTP{}, errors.New("secret: must be base32 (letters A-Z and digits 2-7)")
	}
	if len(key) < minSecret || len(key) > maxSecret {
		return TOTP{}, fmt.Errorf("secret: %d bytes, must have %d to %d", len(key), minSecret, maxSecret)
	}
	switch strings.ToUpper(o.Algorithm) {
	case "", "SHA1":
	case "SHA256":
		t.algorithm = otp.AlgorithmSHA256
	case "SHA512":
		t.algorithm = otp.AlgorithmSHA512
	default:
		return TOTP{}, errors.New("algorithm: must be SHA1, SHA256 or SHA512")
	}
	switch o.Digits {
	case 0, 6:
	case 8:
		t.digits = otp.DigitsEight
	default:
		return TOTP{}, errors.New("digits: must be 6 or 8")
	}
	if o.Period != 0 {
		if o.Period < minPeriod || o.Period > maxPeriod || o.Period%time.Second != 0 {
			return TOTP{}, fmt.Errorf("period: must be whole seconds, from %v to %v", minPeriod, maxPeriod)
		}
		t.period = int64(o.Period / time.Second)
	}
	return t, nil
}

// Match looks for the period whose code this is: the current one or a
// neighbour. The counter that it returns is good for one login only; claim it
// from [UsedCodes] before the login is granted.
func (t TOTP) Match(code string, now time.Time) (counter int64, ok bool) {
	if t.period == 0 {
		return 0, false
	}
	current := now.Unix() / t.period
	for _, c := range [...]int64{current, current - 1, current + 1} {
		if c < 0 {
			continue
		}
		if good, err := hotp.ValidateCustom(code, uint64(c), t.secret, t.opts()); err == nil && good {
			return c, true
		}
	}
	return 0, false
}

// Until returns when a used counter may be forgotten, for it is out of reach.
func (t TOTP) Until(counter int64) time.Time {
	return time.Unix((counter+skew+1)*t.period, 0).Add(setBack)
}

// Code returns the code of the moment.
func (t TOTP) Code(now time.Time) (string, error) {
	if t.period == 0 {
		return "", errors.New("no TOTP secret")
	}
	return hotp.GenerateCodeCustom(t.secret, uint64(max(now.Unix(), 0)/t.period), t.opts())
}

func (t TOTP) opts() hotp.ValidateOpts {
	return hotp.ValidateOpts{Digits: t.digits, Algorithm: t.algorithm}
}

// String keeps the secret out of logs.
func (t TOTP) String() string { return "***" }

// GoString keeps the secret out of logs.
func (t TOTP) GoString() string { return "***" }
