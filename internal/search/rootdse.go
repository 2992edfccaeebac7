package search

import (
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

// rootDSE makes the entry that tells what this server is and can (RFC 4512
// section 5.1). It names just what is implemented.
func (e *Engine) rootDSE(snap *directory.Snapshot) directory.Entry {
	return directory.NewEntry(snap.Schema, "", []directory.Values{
		{Name: "objectClass", Values: []string{"top"}},
		{Name: "namingContexts", Values: []string{snap.BaseDN}},
		{Name: "subschemaSubentry", Values: []string{directory.SubschemaDN}},
		{Name: "supportedLDAPVersion", Values: []string{"3"}},
		{Name: "supportedControl", Values: Controls()},
		{Name: "supportedExtension", Values: e.cfg.Extensions},
		{Name: "supportedFeatures", Values: []string{ldap.OIDAllOperational, ldap.OIDTrueFalseFilters}},
		{Name: "vendorName", Values: []string{"ldapd"}},
		{Name: "vendorVersion", Values: []string{e.cfg.Version}},
	})
}
