package ldap

import (
	"testing"
)

func TestParseBindRequest(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     BindRequest
	}{
		{"simple, libldap", "30 1b 02 01 01 60 16 02 01 03 04 0d 63 6e 3d 61 6c 69 63 65 2c 64 63 3d 78 80 02 70 77",
			BindRequest{Version: 3, Name: []byte("cn=alice,dc=x"), Auth: AuthSimple, Password: []byte("pw")}},
		{"simple, Active Directory", `30 84 00 00 00 23 02 01 01 60 84 00 00 00 1a 02 01 03
			04 84 00 00 00 0d 63 6e 3d 61 6c 69 63 65 2c 64 63 3d 78 80 02 70 77`,
			BindRequest{Version: 3, Name: []byte("cn=alice,dc=x"), Auth: AuthSimple, Password: []byte("pw")}},
		{"anonymous", "30 0c 02 01 01 60 07 02 01 03 04 00 80 00", BindRequest{Version: 3, Auth: AuthSimple}},
		{"no password", "30 0f 02 01 01 60 0a 02 01 03 04 03 63 6e 3d 80 00", BindRequest{Version: 3, Name: []byte("cn="), Auth: AuthSimple}},
		{"version 2", "30 0c 02 01 01 60 07 02 01 02 04 00 80 00", BindRequest{Version: 2, Auth: AuthSimple}},
		{"SASL EXTERNAL with credentials, libldap", "30 18 02 01 01 60 13 02 01 03 04 00 a3 0c 04 08 45 58 54 45 52 4e 41 4c 04 00",
			BindRequest{Version: 3, Auth: AuthSASL, Mechanism: []byte("EXTERNAL")}},
		{"SASL GSSAPI without", "30 14 02 01 01 60 0f 02 01 03 04 00 a3 08 04 06 47 53 53 41 50 49",
			BindRequest{Version: 3, Auth: AuthSASL, Mechanism: []byte("GSSAPI")}},
		{"Sicily, Active Directory", "30 10 02 01 01 60 0b 02 01 03 04 00 89 04 4e 54 4c 4d", BindRequest{Version: 3, Auth: 0x89}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := unhex(t, tt.in)
			for _, b := range [][]byte{b, widen(b)} {
				got, err := ParseBindRequest(body(t, b, OpBindRequest))
				if err != nil {
					t.Fatal(err)
				}
				if got.Version != tt.want.Version || got.Auth != tt.want.Auth || string(got.Name) != string(tt.want.Name) ||
					string(got.Password) != string(tt.want.Password) || string(got.Mechanism) != string(tt.want.Mechanism) {
					t.Errorf("%+v, want %+v", got, tt.want)
				}
			}
		})
	}
	for name, in := range map[string]string{
		"nothing":                         "",
		"no name":                         "02 01 03",
		"name not a string":               "02 01 03 30 00 80 00",
		"no choice":                       "02 01 03 04 00",
		"password cut":                    "02 01 03 04 00 80 05 61",
		"SASL empty":                      "02 01 03 04 00 a3 00",
		"version empty":                   "02 00 04 00 80 00",
		"name claims 2 GiB":               "02 01 03 04 84 7f ff ff ff 61",
		"version an enum":                 "0a 01 03 04 00 80 00",
		"SASL mechanism of the wrong tag": "02 01 03 04 00 a3 02 80 00",
	} {
		if req, err := ParseBindRequest(unhex(t, in)); err == nil {
			t.Errorf("%s: %+v", name, req)
		}
	}
}
