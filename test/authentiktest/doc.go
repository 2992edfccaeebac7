// Package authentiktest holds the fake authentik, which the tests of ldapd talk
// to, to authentik's own description of its API (OpenAPI) and to what clients
// were seen to rely on.
package authentiktest
