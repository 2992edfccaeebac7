// Package sse has Nextcloud log its users in through ldapd for sixty days: the
// real ldap extension of PHP sends what Nextcloud 32 was seen to send, a model
// of Nextcloud's sessions and app passwords says what becomes of them, and a
// clock that is set by hand lets the days pass. authentik is the fake of
// authentiktest.
//
// What happens in each story is a table in testdata: when, who, what, the result
// codes of the binds, and what Nextcloud makes of them. -update writes
// the tables anew.
package sse
