package search

import (
	"ldapd/internal/ldap"
)

// Controls lists the controls of a search that are implemented.
func Controls() []string {
	return []string{ldap.OIDPagedResults, ldap.OIDSortRequest, ldap.OIDManageDsaIT}
}

// options are the controls of one search.
type options struct {
	paged        bool
	page         ldap.PagedResults
	sort         []ldap.SortKey
	sortCritical bool
}

func parseControls(controls []ldap.Control) (options, error) {
	var o options
	var err error
	for i := range controls {
		c := &controls[i]
		switch string(c.OID) {
		case ldap.OIDPagedResults:
			o.paged = true
			o.page, err = ldap.ParsePagedResults(c.Value)
		case ldap.OIDSortRequest:
			o.sortCritical = c.Critical
			o.sort, err = ldap.ParseSortKeys(c.Value)
		case ldap.OIDManageDsaIT:
			// There are no referrals to manage.
		default:
			if c.Critical {
				return o, ldap.Errorf(ldap.ResultUnavailableCritical, "control %q is not available", c.OID)
			}
		}
		if err != nil {
			return o, ldap.Errorf(ldap.ResultProtocolError, "%s", err)
		}
	}
	return o, nil
}
