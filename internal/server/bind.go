package server

import (
	"context"
	"time"

	"ldapd/internal/ldap"
)

// bind serves a BindRequest (RFC 4511 section 4.2). It runs alone: operations
// before it are waited for, and what comes behind it waits. From its arrival
// the connection is anonymous, and stays so if it fails (RFC 4513 section 4).
func (w *worker) bind(m ldap.Message, start time.Time) error {
	c := w.c
	w.flush() // answers to earlier requests do not wait for what follows
	c.drain()
	c.identity = nil
	req, err := ldap.ParseBindRequest(m.Body)
	if err != nil {
		err = ldap.Errorf(ldap.ResultProtocolError, "%s", err)
	} else {
		err = checkBind(&req)
	}
	if err == nil {
		err = critical(m)
	}
	if err != nil || len(req.Name) == 0 {
		c.endUnbound(time.Duration(c.until.Load()))
		w.done(m, start, err, event{dn: req.Name})
		return nil
	}

	gate := make(chan struct{})
	c.gate = gate
	until := c.binding()
	w.detach(m.ID) // works: nothing else is in flight
	defer func() {
		// What comes behind the bind must not find it still in flight, nor who
		// wants its place the connection idle, however long the bind took.
		c.active.Store(int64(c.srv.now()))
		c.remove(w.detached)
		c.endUnbound(until)
		close(gate)
	}()
	ctx, cancel := context.WithTimeout(c.ctx, c.srv.limits.BindTime)
	defer cancel()
	id, err := c.srv.cfg.Handler.Bind(ctx, c, &req)
	if err == nil {
		c.identity = id
	}
	w.done(m, start, err, event{dn: req.Name, identity: id})
	w.flush()
	if code(Result(err)) == ldap.ResultUnavailable {
		// Nextcloud goes on searching over the connection whose bind it could
		// not make, and takes what it finds there for the truth.
		c.hangUp()
	}
	return nil
}

// checkBind refuses what is not a simple bind with a password. An anonymous
// bind passes, with an empty name.
func checkBind(req *ldap.BindRequest) error {
	switch {
	case req.Version != 3:
		return ldap.Errorf(ldap.ResultProtocolError, "LDAP version %d is not supported, only 3", req.Version)
	case req.Auth == ldap.AuthSASL:
		return ldap.Errorf(ldap.ResultAuthMethodNotSupported, "SASL is not supported, no mechanisms are offered; use a simple bind")
	case req.Auth != ldap.AuthSimple:
		return ldap.Errorf(ldap.ResultAuthMethodNotSupported, "only simple binds are supported")
	case len(req.Name) > 0 && len(req.Password) == 0:
		return ldap.Errorf(ldap.ResultUnwillingToPerform, "a bind with a name needs a password (RFC 4513 section 5.1.2)")
	case len(req.Name) == 0 && len(req.Password) > 0:
		return ldap.Errorf(ldap.ResultInvalidCredentials, "a bind with a password needs a name")
	}
	return nil
}
