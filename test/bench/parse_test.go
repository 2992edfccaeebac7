package main

import (
	"bytes"
	"testing"

	goasn1 "github.com/go-asn1-ber/asn1-ber"
	nmcclain "github.com/nmcclain/asn1-ber"

	wire "ldapd/internal/ldap"
)

// BenchmarkParse reads one search request by ldapd's wire layer, down to the
// filter's terms, and into the trees of the libraries that docs/decisions.md
// speaks of, which is only the start of reading it.
func BenchmarkParse(b *testing.B) {
	message, err := searchRequest("(&(objectClass=user)(memberOf=cn=staff,ou=groups,"+baseDN+")(|(cn=alice)(mail=alice)))", attributes, pageSize, nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, read := range map[string]func() error{
		"ldapd": func() func() error {
			var req wire.SearchRequest
			return func() error {
				m, err := wire.ParseMessage(message)
				if err == nil {
					err = req.Parse(m.Body, wire.FilterLimits{})
				}
				if err == nil {
					req.Controls, err = wire.ParseControls(req.Controls[:0], m.Controls)
				}
				return err
			}
		}(),
		"go-asn1-ber": func() error {
			_, err := goasn1.ReadPacket(bytes.NewReader(message))
			return err
		},
		"nmcclain": func() error {
			_, err := nmcclain.ReadPacket(bytes.NewReader(message))
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
