package mfa

import (
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	tests := []struct {
		name, in, sep string
		head, code    string
		ok            bool
	}{
		{"six digits", "secret;123456", ";", "secret", "123456", true},
		{"eight letters and digits", "secret;aB3dE6gH", ";", "secret", "aB3dE6gH", true},
		{"static token of twelve", "secret;abcdef123456", ";", "secret", "abcdef123456", true},
		{"last separator", "a;b;123456", ";", "a;b", "123456", true},
		{"two codes", "a;111111;222222", ";", "a;111111", "222222", true},
		{"separator doubled", "a;;123456", ";", "a;", "123456", true},
		{"other separator", "alice+123456", "+", "alice", "123456", true},
		{"long separator", "alice::123456", "::", "alice", "123456", true},
		{"not UTF-8 before", "\xff\xfe;123456", ";", "\xff\xfe", "123456", true},

		{"no separator", "secret123456", ";", "secret123456", "", false},
		{"empty", "", ";", "", "", false},
		{"empty separator", "secret;123456", "", "secret;123456", "", false},
		{"nothing before", ";123456", ";", ";123456", "", false},
		{"nothing after", "secret;", ";", "secret;", "", false},
		{"five digits", "secret;12345", ";", "secret;12345", "", false},
		{"seven digits", "secret;1234567", ";", "secret;1234567", "", false},
		{"six letters", "secret;abcdef", ";", "secret;abcdef", "", false},
		{"sign", "secret;+12345", ";", "secret;+12345", "", false},
		{"minus", "secret;-12345", ";", "secret;-12345", "", false},
		{"blank", "secret; 123456", ";", "secret; 123456", "", false},
		{"trailing blank", "secret;123456 ", ";", "secret;123456 ", "", false},
		{"digits that are not ASCII", "secret;١٢٣", ";", "secret;١٢٣", "", false},
		{"code not last", "secret;123456;x", ";", "secret;123456;x", "", false},
		{"first and last digit", "secret;090909", ";", "secret", "090909", true},
		{"first and last letters", "secret;azAZ09az", ";", "secret", "azAZ09az", true},
		{"before the digits", "secret;0000000/", ";", "secret;0000000/", "", false},
		{"after the digits", "secret;0000000:", ";", "secret;0000000:", "", false},
		{"before the capitals", "secret;AAAAAAA@", ";", "secret;AAAAAAA@", "", false},
		{"after the capitals", "secret;ZZZZZZZ[", ";", "secret;ZZZZZZZ[", "", false},
		{"before the small letters", "secret;aaaaaaa`", ";", "secret;aaaaaaa`", "", false},
		{"after the small letters", "secret;zzzzzzz{", ";", "secret;zzzzzzz{", "", false},
		{"underscore", "secret;abcd_fgh", ";", "secret;abcd_fgh", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			head, code, ok := Split(tt.in, tt.sep)
			if head != tt.head || code != tt.code || ok != tt.ok {
				t.Errorf("Split(%q, %q) = %q, %q, %v; want %q, %q, %v", tt.in, tt.sep, head, code, ok, tt.head, tt.code, tt.ok)
			}
		})
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"secret;123456", ";123456", "a;b;abcdefgh", "", ";", "x;abcdef123456"} {
		f.Add(s, ";")
	}
	f.Add("alice::123456", "::")
	f.Fuzz(func(t *testing.T, s, sep string) {
		head, code, ok := Split(s, sep)
		if !ok {
			if head != s || code != "" {
				t.Fatalf("Split(%q, %q) = %q, %q without a code", s, sep, head, code)
			}
			return
		}
		if head == "" || head+sep+code != s {
			t.Fatalf("Split(%q, %q) = %q, %q", s, sep, head, code)
		}
		if n := len(code); n != 6 && n != 8 && n != 12 {
			t.Fatalf("Split(%q, %q): code of %d characters", s, sep, n)
		}
		if sep != "" && len(sep) == 1 && strings.Contains(code, sep) {
			t.Fatalf("Split(%q, %q): separator in the code %q", s, sep, code)
		}
	})
}
