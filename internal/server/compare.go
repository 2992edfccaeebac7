package server

import (
	"time"

	"ldapd/internal/ldap"
)

var (
	compareTrue  = &ldap.Error{Code: ldap.ResultCompareTrue}
	compareFalse = &ldap.Error{Code: ldap.ResultCompareFalse}
)

// compare serves a CompareRequest (RFC 4511 section 4.10).
func (w *worker) compare(m ldap.Message, start time.Time) {
	req, err := ldap.ParseCompareRequest(m.Body)
	if err != nil {
		err = ldap.Errorf(ldap.ResultProtocolError, "%s", err)
	} else {
		err = critical(m)
	}
	if err == nil {
		var holds bool
		switch holds, err = w.c.srv.cfg.Handler.Compare(w.c, &req); {
		case err != nil:
		case holds:
			err = compareTrue
		default:
			err = compareFalse
		}
	}
	w.done(m, start, err, event{identity: w.c.identity, base: req.Entry})
}
