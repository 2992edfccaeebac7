package password

import (
	"fmt"
	"strings"
	"testing"
)

// Hashes of other programs: argon2id of the reference implementation's test
// suite, bcrypt of crypt_blowfish's, pbkdf2_sha256 of Python's hashlib.
const (
	argonOfPassword = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc" // password
	bcryptOfUU      = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"                           // U*U
	pbkdf2OfLetmein = "pbkdf2_sha256$20000$seasalt$HEKK1trd/bq6iLo7ut3wYjn33DUG3Go7c8cqhlhtF+g="               // letmein
)

func TestMatches(t *testing.T) {
	tests := []struct{ name, hash, password string }{
		{"argon2id", argonOfPassword, "password"},
		{"argon2id of Django", "argon2" + argonOfPassword, "password"},
		{"bcrypt 2a", bcryptOfUU, "U*U"},
		{"bcrypt 2b", strings.Replace(bcryptOfUU, "2a", "2b", 1), "U*U"},
		{"bcrypt 2y", strings.Replace(bcryptOfUU, "2a", "2y", 1), "U*U"},
		{"pbkdf2_sha256", pbkdf2OfLetmein, "letmein"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, err := Parse(tt.hash)
			if err != nil {
				t.Fatal(err)
			}
			if !h.Matches(tt.password) {
				t.Error("the right password does not match")
			}
			for _, wrong := range []string{"", tt.password + "x", strings.ToUpper(tt.password) + " ", strings.Repeat("x", 100_000)} {
				if h.Matches(wrong) {
					t.Errorf("%.20q matches", wrong)
				}
			}
			if s := fmt.Sprintf("%v %+v %s", h, h, h); strings.Contains(s, "$") {
				t.Errorf("prints as %s", s)
			}
		})
	}
}

func TestNew(t *testing.T) {
	s, err := New("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(s, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %s", s)
	}
	h, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	if !h.Matches("correct horse") || h.Matches("battery staple") {
		t.Error("the hash does not belong to the password")
	}
	if again, err := New("correct horse"); err != nil || again == s {
		t.Errorf("the same hash again, %v", err)
	}
	if _, err := New(""); err == nil {
		t.Error("an empty password has a hash")
	}
}

func TestParseRefuses(t *testing.T) {
	const salt, key = "c29tZXNhbHQ", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	argon := func(params string) string { return "$argon2id$v=19$" + params + "$" + salt + "$" + key }
	tests := []struct{ name, hash, want string }{
		{"empty", "", "ldapd hash"},
		{"plain text", "hunter2", "ldapd hash"},
		{"plain text with dollars", "$ecret$", "ldapd hash"},
		{"crypt", "$6$salt$hash", "ldapd hash"},
		{"LDAP scheme", "{SSHA}aGFzaA==", "ldapd hash"},
		{"argon2i", strings.Replace(argonOfPassword, "2id", "2i", 1), "ldapd hash"},
		{"too long", "$argon2id$" + strings.Repeat("x", 600), "ldapd hash"},
		{"argon 100 GiB", argon("m=104857600,t=2,p=1"), "m must be"},
		{"argon memory above 32 bits", argon("m=4294967304,t=2,p=1"), "m must be"},
		{"argon memory above 64 bits", argon("m=99999999999999999999,t=2,p=1"), "m must be"},
		{"argon little memory", argon("m=8,t=2,p=2"), "m must be"},
		{"argon no memory", argon("m=,t=2,p=1"), "m must be"},
		{"argon negative memory", argon("m=-8,t=2,p=1"), "m must be"},
		{"argon time", argon("m=64,t=1000000,p=1"), "t must be"},
		{"argon no time", argon("m=64,t=0,p=1"), "t must be"},
		{"argon threads", argon("m=65536,t=2,p=255"), "p must be"},
		{"argon no threads", argon("m=64,t=2,p=0"), "p must be"},
		{"argon order", argon("t=2,m=64,p=1"), "m must be"},
		{"argon sign", argon("m=+64,t=2,p=1"), "m must be"},
		{"argon two parameters", argon("m=64,t=2"), "parameters"},
		{"argon version", strings.Replace(argonOfPassword, "v=19", "v=16", 1), "version 19"},
		{"argon parts", "$argon2id$v=19$m=64,t=2,p=1$" + salt, "must be $argon2id$"},
		{"argon salt", "$argon2id$v=19$m=64,t=2,p=1$c29t$" + key, "salt"},
		{"argon hash", "$argon2id$v=19$m=64,t=2,p=1$" + salt + "$c29t", "hash must be"},
		{"argon base64", "$argon2id$v=19$m=64,t=2,p=1$" + salt + "$!!!!", "hash must be"},
		{"bcrypt cost", strings.Replace(bcryptOfUU, "$05$", "$31$", 1), "cost must be"},
		{"bcrypt no cost", strings.Replace(bcryptOfUU, "$05$", "$00$", 1), "bcrypt"},
		{"bcrypt short", bcryptOfUU[:59], "bcrypt"},
		{"bcrypt long", bcryptOfUU + "x", "bcrypt"},
		{"bcrypt empty", "$2b$", "bcrypt"},
		{"pbkdf2 iterations", "pbkdf2_sha256$1000000000$salt$" + key + "=", "iterations must be"},
		{"pbkdf2 no iterations", "pbkdf2_sha256$0$salt$" + key + "=", "iterations must be"},
		{"pbkdf2 iterations no number", "pbkdf2_sha256$$salt$" + key + "=", "iterations must be"},
		{"pbkdf2 salt", "pbkdf2_sha256$1$$" + key + "=", "salt"},
		{"pbkdf2 hash", "pbkdf2_sha256$1$salt$c29t", "hash must be"},
		{"pbkdf2 parts", "pbkdf2_sha256$1$salt", "must be pbkdf2_sha256$"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.hash)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "\n") || len(tt.hash) > 6 && strings.Contains(err.Error(), tt.hash) {
				t.Errorf("error %q", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{argonOfPassword, "argon2" + argonOfPassword, bcryptOfUU, pbkdf2OfLetmein, "$argon2id$v=19$m=,t=,p=$$"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := Parse(s)
		if err != nil {
			return
		}
		switch c := h.scheme.(type) {
		case *argon2id:
			if !c.cost.Valid() {
				t.Errorf("%+v", c.cost)
			}
		case *pbkdf2SHA256:
			if c.iterations < 1 || c.iterations > maxIterations {
				t.Errorf("%d iterations", c.iterations)
			}
		}
	})
}
