package search

import (
	"regexp"

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
	values := []directory.Values{
		{Name: "objectClass", Values: []string{"top"}},
		{Name: "namingContexts", Values: bases},
		{Name: "subschemaSubentry", Values: []string{directory.SubschemaDN}},
		{Name: "supportedLDAPVersion", Values: []string{"3"}},
		{Name: "supportedControl", Values: Controls()},
		{Name: "supportedExtension", Values: e.cfg.Extensions},
		{Name: "supportedFeatures", Values: []string{ldap.OIDAllOperational, ldap.OIDTrueFalseFilters}},
		{Name: "vendorName", Values: []string{"ldapd"}},
	}
	if v := release(e.cfg.Version); v != "" {
		values = append(values, directory.Values{Name: "vendorVersion", Values: []string{v}})
	}
	return directory.NewEntry(forest.Trees()[0].Schema, "", values)
}

var releases = regexp.MustCompile(`^v?([0-9]+\.[0-9]+(?:\.[0-9]+)?(?:-(?:alpha|beta|rc)[.0-9]*)?)(?:[-+].*)?$`)

// release returns the release that a version is of, without what "git describe"
// adds; empty for what is no release. Anybody may read the root DSE, and a
// commit tells exactly which faults are not mended yet.
func release(version string) string {
	if m := releases.FindStringSubmatch(version); m != nil {
		return m[1]
	}
	return ""
}
