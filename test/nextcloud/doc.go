// Package nextcloud plays what Nextcloud 32 sends against a running ldapd:
// the recorded requests of its user_ldap app, and one test for each thing that
// it cannot do without.
//
// testdata/users.yaml is the directory that answered the recorded requests,
// and testdata/traces holds them; the format is described at [readTrace].
package nextcloud
