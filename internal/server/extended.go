package server

import (
	"errors"
	"time"

	"ldapd/internal/ldap"
)

// extended serves an ExtendedRequest (RFC 4511 section 4.12).
func (w *worker) extended(m ldap.Message, start time.Time) error {
	req, err := ldap.ParseExtendedRequest(m.Body)
	if err == nil {
		err = critical(m)
	} else {
		err = ldap.Errorf(ldap.ResultProtocolError, "%s", err)
	}
	if err != nil {
		w.answer(m, start, err, req.Name, nil)
		return nil
	}
	switch string(req.Name) {
	case ldap.OIDWhoAmI:
		w.answer(m, start, nil, req.Name, w.c.authzID())
	case ldap.OIDCancel:
		w.cancel(m, start, req)
	case ldap.OIDStartTLS:
		return w.startTLS(m, start, req)
	default:
		w.answer(m, start, ldap.Errorf(ldap.ResultProtocolError, "unknown extended operation"), req.Name, nil)
	}
	return nil
}

// answer sends an ExtendedResponse with a value, or an error.
func (w *worker) answer(m ldap.Message, start time.Time, err error, oid, value []byte) {
	res := Result(err)
	w.out = ldap.AppendExtendedResponse(w.out, m.ID, res, "", value)
	w.c.finished(m.Op, m.ID, start, res, err, event{identity: w.c.identity, oid: oid})
}

// authzID is what WhoAmI answers (RFC 4532): empty for anonymous.
func (c *Conn) authzID() []byte {
	if c.identity == nil {
		return []byte{}
	}
	return append([]byte("dn:"), c.identity.DN()...)
}

// cancel is RFC 3909. The answer to a Cancel that works is sent by the
// operation that ends.
func (w *worker) cancel(m ldap.Message, start time.Time, req ldap.ExtendedRequest) {
	id, err := ldap.CancelID(req.Value)
	switch op := w.c.operation(id); {
	case err != nil:
		err = ldap.Errorf(ldap.ResultProtocolError, "%s", err)
	case op == nil:
		err = ldap.Errorf(ldap.ResultNoSuchOperation, "no such operation in flight")
	case !op.stop(m.ID):
		err = ldap.Errorf(ldap.ResultTooLate, "too late to cancel")
	default:
		w.c.finished(m.Op, m.ID, start, nil, nil, event{identity: w.c.identity, oid: req.Name})
		return
	}
	w.answer(m, start, err, req.Name, nil)
}

// startTLS is RFC 4511 section 4.14.
func (w *worker) startTLS(m ldap.Message, start time.Time, req ldap.ExtendedRequest) error {
	c := w.c
	var err error
	switch {
	case c.srv.cfg.TLSConfig == nil:
		err = ldap.Errorf(ldap.ResultProtocolError, "StartTLS is not available here")
	case c.tls:
		err = ldap.Errorf(ldap.ResultOperationsError, "TLS is already in use")
	case c.awaited():
		err = ldap.Errorf(ldap.ResultOperationsError, "operations are in flight")
	case len(w.in) > w.r:
		// Whoever sends requests behind StartTLS hopes that they count as
		// encrypted. Nothing of this connection can be trusted any more.
		return &protocolError{errors.New("data behind the StartTLS request")}
	}
	if err != nil {
		w.answer(m, start, err, req.Name, nil)
		return nil
	}
	c.drain()        // of what the client has been answered already, or abandoned
	c.identity = nil // who bound in the clear proves it again (RFC 4513 section 3.1.5 leaves it to us)
	c.endUnbound(time.Duration(c.until.Load()))
	w.out = ldap.AppendExtendedResponse(w.out, m.ID, nil, ldap.OIDStartTLS, nil)
	if err := w.flush(); err != nil {
		return err
	}
	if err := c.handshake(); err != nil {
		return err
	}
	c.finished(m.Op, m.ID, start, nil, nil, event{oid: req.Name})
	return nil
}

// critical refuses a request that carries a critical control: only searches
// know any but ManageDsaIT, which asks for nothing here.
func critical(m ldap.Message) error {
	if len(m.Controls) == 0 {
		return nil
	}
	controls, err := ldap.ParseControls(nil, m.Controls)
	if err != nil {
		return ldap.Errorf(ldap.ResultProtocolError, "%s", err)
	}
	for _, ctl := range controls {
		if ctl.Critical && string(ctl.OID) != ldap.OIDManageDsaIT {
			return ldap.Errorf(ldap.ResultUnavailableCritical, "control %.64q is not available for this operation", ctl.OID)
		}
	}
	return nil
}
