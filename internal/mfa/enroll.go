package mfa

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/boombuler/barcode/qr"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

// Enrolment is a new secret, and how to get it into an authenticator app.
type Enrolment struct {
	Secret string // base32, for the users file
	URL    string // otpauth://totp/...
}

// Enroll makes a secret of 160 bits from random (nil: crypto/rand), with the
// parameters that every app knows: SHA-1, six digits, 30 seconds. The issuer
// is the service's name in the app.
func Enroll(issuer, account string, random io.Reader) (Enrolment, error) {
	if issuer == "" || account == "" {
		return Enrolment{}, errors.New("enroll: issuer and account must not be empty")
	}
	if strings.Contains(issuer, ":") || strings.Contains(account, ":") {
		return Enrolment{}, errors.New("enroll: a colon is not allowed in issuer and account, it separates them")
	}
	key, err := totp.Generate(totp.GenerateOpts{
		Issuer:      issuer,
		AccountName: account,
		Period:      30,
		Digits:      otp.DigitsSix,
		Algorithm:   otp.AlgorithmSHA1,
		Rand:        random,
	})
	if err != nil {
		return Enrolment{}, fmt.Errorf("enroll: %w", err)
	}
	return Enrolment{Secret: key.Secret(), URL: key.URL()}, nil
}

// QR draws the URL for a terminal, two rows of modules to a line, dark on
// light whatever the terminal's colours are.
func (e Enrolment) QR() (string, error) {
	code, err := qr.Encode(e.URL, qr.L, qr.Auto)
	if err != nil {
		return "", fmt.Errorf("enroll: QR code: %w", err)
	}
	const quiet = 2 // light modules around the code
	size := code.Bounds().Dx()
	dark := func(x, y int) bool {
		if x < 0 || y < 0 || x >= size || y >= size {
			return false
		}
		r, _, _, _ := code.At(x, y).RGBA()
		return r == 0
	}
	var b strings.Builder
	for y := -quiet; y < size+quiet; y += 2 {
		b.WriteString("\x1b[30;107m") // black on bright white
		for x := -quiet; x < size+quiet; x++ {
			switch up, down := dark(x, y), dark(x, y+1); {
			case up && down:
				b.WriteRune('█')
			case up:
				b.WriteRune('▀')
			case down:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String(), nil
}
