package mfa

import (
	"encoding/base32"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// The secrets of RFC 6238, appendix B, which differ in length.
const (
	rfcSHA1   = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	rfcSHA256 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA"
	rfcSHA512 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA"
)

func TestMatchRFC6238(t *testing.T) {
	tests := []struct {
		algorithm, secret string
		unix              int64
		code              string
	}{
		{"SHA1", rfcSHA1, 59, "94287082"},
		{"SHA256", rfcSHA256, 59, "46119246"},
		{"SHA512", rfcSHA512, 59, "90693936"},
		{"SHA1", rfcSHA1, 1111111109, "07081804"},
		{"SHA256", rfcSHA256, 1234567890, "91819424"},
		{"SHA512", rfcSHA512, 20000000000, "47863826"},
	}
	for _, tt := range tests {
		factor, err := NewTOTP(tt.secret, Options{Algorithm: tt.algorithm, Digits: 8})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(tt.unix, 0)
		if counter, ok := factor.Match(tt.code, now); !ok || counter != tt.unix/30 {
			t.Errorf("%s at %d: counter %d, %v", tt.algorithm, tt.unix, counter, ok)
		}
		if code, err := factor.Code(now); err != nil || code != tt.code {
			t.Errorf("%s at %d: code %s, %v; want %s", tt.algorithm, tt.unix, code, err, tt.code)
		}
	}
}

func TestMatchWindow(t *testing.T) {
	factor, err := NewTOTP("jbsw y3dp ehpk 3pxp", Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_010, 0) // the first second of a period
	code, err := factor.Code(now)
	if err != nil {
		t.Fatal(err)
	}
	want := now.Unix() / 30
	for _, tt := range []struct {
		shift time.Duration
		ok    bool
	}{
		{0, true}, {29 * time.Second, true}, {59 * time.Second, true}, {-30 * time.Second, true},
		{60 * time.Second, false}, {-31 * time.Second, false}, {24 * time.Hour, false},
	} {
		counter, ok := factor.Match(code, now.Add(tt.shift))
		if ok != tt.ok || ok && counter != want {
			t.Errorf("%v later: counter %d, %v; want %d, %v", tt.shift, counter, ok, want, tt.ok)
		}
		if ok && !factor.Until(counter).After(now.Add(tt.shift)) {
			t.Errorf("%v later: the counter may be forgotten while its code is good", tt.shift)
		}
	}
	for _, code := range []string{"", "12345", "1234567", "abcdef", strings.Repeat("1", 1000)} {
		if _, ok := factor.Match(code, now); ok {
			t.Errorf("%q matches", code)
		}
	}
	if _, ok := factor.Match("123456", time.Unix(-1000, 0)); ok {
		t.Error("matches before 1970")
	}
	if _, ok := (TOTP{}).Match("", now); ok {
		t.Error("the zero factor matches")
	}
}

func TestMatchPeriod(t *testing.T) {
	factor, err := NewTOTP(rfcSHA1, Options{Period: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_040, 0)
	code, err := factor.Code(now)
	if err != nil {
		t.Fatal(err)
	}
	if counter, ok := factor.Match(code, now.Add(119*time.Second-40*time.Second)); !ok || counter != now.Unix()/60 {
		t.Errorf("counter %d, %v", counter, ok)
	}
}

// TestMatchEpoch has the first periods of all, before which there is no counter.
func TestMatchEpoch(t *testing.T) {
	factor, err := NewTOTP(rfcSHA1, Options{})
	if err != nil {
		t.Fatal(err)
	}
	epoch := time.Unix(0, 0)
	first, err := factor.Code(epoch)
	if err != nil {
		t.Fatal(err)
	}
	if counter, ok := factor.Match(first, epoch); !ok || counter != 0 {
		t.Errorf("the first code: counter %d, %v", counter, ok)
	}
	before, err := hotp.GenerateCodeCustom(rfcSHA1, math.MaxUint64, hotp.ValidateOpts{Digits: otp.DigitsSix})
	if err != nil {
		t.Fatal(err)
	}
	if counter, ok := factor.Match(before, epoch); ok {
		t.Errorf("the code before the first: counter %d", counter)
	}
}

// TestNewTOTPBounds takes what is just allowed.
func TestNewTOTPBounds(t *testing.T) {
	for _, bytes := range []int{10, 128} {
		secret := base32.StdEncoding.EncodeToString(make([]byte, bytes))
		if _, err := NewTOTP(secret, Options{}); err != nil {
			t.Errorf("%d bytes: %v", bytes, err)
		}
	}
	for _, o := range []Options{
		{Digits: 6}, {Digits: 8}, {Period: 15 * time.Second}, {Period: 5 * time.Minute},
		{Algorithm: "sha1"}, {Algorithm: "sha256"}, {Algorithm: "sha512"},
	} {
		if _, err := NewTOTP(rfcSHA1, o); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestCodeOfNoSecret(t *testing.T) {
	if code, err := (TOTP{}).Code(time.Now()); err == nil {
		t.Errorf("code %s", code)
	}
}

func TestNewTOTPRefuses(t *testing.T) {
	tests := []struct {
		name, secret string
		o            Options
		want         string
	}{
		{"empty", "", Options{}, "secret: 0 bytes"},
		{"short", "JBSWY3DP", Options{}, "secret: 5 bytes"},
		{"long", strings.Repeat("A", 208), Options{}, "secret: 130 bytes"},
		{"not base32", "JBSWY3DPEHPK3PX1", Options{}, "secret: must be base32"},
		{"algorithm", rfcSHA1, Options{Algorithm: "MD5"}, "algorithm: must be"},
		{"digits", rfcSHA1, Options{Digits: 7}, "digits: must be"},
		{"short period", rfcSHA1, Options{Period: time.Second}, "period: must be"},
		{"long period", rfcSHA1, Options{Period: time.Hour}, "period: must be"},
		{"broken period", rfcSHA1, Options{Period: 30500 * time.Millisecond}, "period: must be"},
		{"negative period", rfcSHA1, Options{Period: -time.Minute}, "period: must be"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewTOTP(tt.secret, tt.o)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Fatalf("error %v, want %s", err, tt.want)
			}
			if tt.secret != "" && strings.Contains(err.Error(), tt.secret) {
				t.Error("the error holds the secret")
			}
		})
	}
}

func TestTOTPPrintsNoSecret(t *testing.T) {
	factor, err := NewTOTP(rfcSHA1, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, factor); s != "***" {
			t.Errorf("%s gives %s", format, s)
		}
	}
}
