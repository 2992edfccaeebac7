// Package outpost drives ldapd in the place of an authentik outpost, over
// sockets from end to end: LDAP on one side, authentik on the other, which is
// the fake of authentiktest.
//
// The cases of TestSuite need no faults, and with AUTHENTIK_HOST and
// AUTHENTIK_TOKEN set they also run against that authentik. The outpost needs
// one LDAP provider with MFA support, whose flow identifies by username, checks
// the password, skips MFA for those without a device, and logs in. All these
// users have the password in OUTPOST_TEST_PASSWORD, which is no password of
// anybody else:
//
//   - ldapd-alice, without a second factor, in the group ldapd-staff
//   - ldapd-bob, with a TOTP device that has the secret in OUTPOST_TEST_TOTP
//     (base32)
//   - ldapd-carol, inactive
//   - ldapd-erin, refused by a policy of the application
//   - ldapd-service, with the permission to search the full directory of the
//     provider
//
// A run costs each of them some reputation, and takes a minute and a half,
// since each code works once.
package outpost
