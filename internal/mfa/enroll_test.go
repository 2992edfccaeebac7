package mfa

import (
	"bytes"
	"image/color"
	"strings"
	"testing"

	"github.com/boombuler/barcode/qr"
)

func TestEnroll(t *testing.T) {
	e, err := Enroll("ldapd", "alice@example.org", bytes.NewReader(bytes.Repeat([]byte{7}, 20)))
	if err != nil {
		t.Fatal(err)
	}
	if want := "A4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYH"; e.Secret != want {
		t.Errorf("secret %s, want %s", e.Secret, want)
	}
	for _, part := range []string{"otpauth://totp/ldapd:alice@example.org?", "secret=" + e.Secret, "issuer=ldapd", "period=30", "digits=6", "algorithm=SHA1"} {
		if !strings.Contains(e.URL, part) {
			t.Errorf("%s: no %s", e.URL, part)
		}
	}
	if _, err := NewTOTP(e.Secret, Options{}); err != nil {
		t.Error(err)
	}
}

func TestEnrollRefuses(t *testing.T) {
	const empty, colon = "enroll: issuer and account must not be empty", "enroll: a colon is not allowed"
	for _, tt := range []struct{ issuer, account, want string }{
		{"", "alice", empty}, {"ldapd", "", empty}, {"a:b", "alice", colon}, {"ldapd", "a:b", colon},
	} {
		if _, err := Enroll(tt.issuer, tt.account, nil); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("issuer %q, account %q: %v, want %s", tt.issuer, tt.account, err, tt.want)
		}
	}
	if _, err := Enroll("ldapd", "alice", bytes.NewReader(nil)); err == nil {
		t.Error("no error without randomness")
	}
}

// TestQR reads the drawing back, module by module.
func TestQR(t *testing.T) {
	e := Enrolment{URL: "otpauth://totp/ldapd:alice?secret=" + rfcSHA1}
	drawn, err := e.QR()
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(e.URL, qr.L, qr.Auto)
	if err != nil {
		t.Fatal(err)
	}
	size := code.Bounds().Dx()
	const quiet = 2
	lines := strings.Split(strings.TrimSuffix(drawn, "\n"), "\n")
	if want := (size + 2*quiet + 1) / 2; len(lines) != want {
		t.Fatalf("%d lines, want %d", len(lines), want)
	}
	halves := map[rune][2]bool{'█': {true, true}, '▀': {true, false}, '▄': {false, true}, ' ': {false, false}}
	for i, line := range lines {
		row, light := strings.CutPrefix(line, "\x1b[30;107m")
		row, reset := strings.CutSuffix(row, "\x1b[0m")
		if !light || !reset {
			t.Fatalf("line %d keeps the terminal's colours: %q", i, line)
		}
		modules := []rune(row)
		if len(modules) != size+2*quiet {
			t.Fatalf("line %d: %d modules, want %d", i, len(modules), size+2*quiet)
		}
		for j, m := range modules {
			for k, got := range halves[m] {
				x, y := j-quiet, 2*i+k-quiet
				inside := 0 <= x && x < size && 0 <= y && y < size
				if want := inside && code.At(x, y) == color.Black; got != want {
					t.Fatalf("module %d, %d: dark %v, want %v", x, y, got, want)
				}
			}
		}
	}
	if _, err := (Enrolment{URL: strings.Repeat("x", 5000)}).QR(); err == nil {
		t.Error("no error for more than fits")
	}
}
