package search

import (
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

// rootDSE makes the entry that tells what this server is and can (RFC 4512
// section 5.1). It names just what is implemented.
func (e *Engine) rootDSE(forest *directory.Forest) directory.Entry {
	var bases []string
	for _, s := range forest.Trees() {
		bases = append(bases, s.BaseDN)
	}
	return directory.NewEntry(forest.Trees()[0].Schema, "", []directory.Values{
		{Name: "objectClass", Values: []string{"top"}},
		{Name: "namingContexts", Values: bases},
		{Name: "subschemaSubentry", Values: []string{directory.SubschemaDN}},
		{Name: "supportedLDAPVersion", Values: []string{"3"}},
		{Name: "supportedControl", Values: Controls()},
		{Name: "supportedExtension", Values: e.cfg.Extensions},
		{Name: "supportedFeatures", Values: []string{ldap.OIDAllOperational, ldap.OIDTrueFalseFilters}},
		{Name: "vendorName", Values: []string{"ldapd"}},
		{Name: "vendorVersion", Values: []string{e.cfg.Version}},
	})
}
