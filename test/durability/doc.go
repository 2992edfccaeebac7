// Package durability runs the ldapd that is built from this tree, and takes
// away what it stands on while clients log in, come again and are revoked: the
// process is killed (kill -9), and the PostgreSQL that two replicas share is
// crashed. No verified bind that was answered may be lost, none that was
// revoked may come back, and no code may open two logins.
package durability
