package search

import (
	"ldapd/internal/ldap"
)

// Compare answers a CompareRequest (RFC 4511 section 4.10). v is nil for a
// connection that is not bound.
func (e *Engine) Compare(v *Viewer, req *ldap.CompareRequest) (bool, error) {
	forest := e.cfg.Forest()
	switch {
	case forest == nil:
		return false, errNotLoaded
	case v == nil:
		return false, errUnbound
	}
	base, err := ldap.NormalizeDN(nil, req.Entry)
	if err != nil {
		return false, err
	}
	snap, err := v.see(forest, base)
	if err != nil {
		return false, err
	}
	id, ok := snap.Find(base)
	if !ok {
		return false, noSuchObject(snap, base)
	}
	at, ok := snap.Schema.Lookup(req.Attribute)
	if !ok || at.Secret {
		return false, ldap.Errorf(ldap.ResultUndefinedAttributeType, "%q is no attribute type of this directory", req.Attribute)
	}
	a, ok := snap.Entry(id).Attr(at.ID)
	if !ok {
		return false, ldap.Errorf(ldap.ResultNoSuchAttribute, "the entry has no %s", at.Name)
	}
	if at.Equality == nil {
		return false, ldap.Errorf(ldap.ResultInappropriateMatching, "%s has no equality rule", at.Name)
	}
	want, castable := at.Equality.Normalize(nil, req.Value)
	if !castable {
		return false, nil
	}
	return a.Has(want), nil
}
