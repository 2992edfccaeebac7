// Package interop runs the real ldapd binary and drives it with the LDAP
// clients that people use. Each client has one small script, which prints what
// it was answered, and a transcript in testdata that it must match.
//
// After a deliberate change, go test -C test ./interop -update writes the
// transcripts anew; read their diff.
package interop
