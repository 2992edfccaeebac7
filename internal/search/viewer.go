package search

import (
	"sync/atomic"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

// Viewer is who searches. All access control is here: a search sees only the
// snapshot that its viewer is given.
type Viewer struct {
	base string // normalised: the tree that the user is of
	uuid string
	all  bool
	last atomic.Pointer[view] // what the viewer saw last
}

type view struct{ full, seen *directory.Snapshot }

// NewViewer returns the viewer for a user of the tree with a base DN; all is
// the right to read the whole tree.
func NewViewer(baseDN, uuid string, all bool) *Viewer {
	norm, err := ldap.NormalizeDN(nil, []byte(baseDN))
	if err != nil {
		norm = nil // no tree has it
	}
	return &Viewer{base: string(norm), uuid: uuid, all: all}
}

var (
	// errGone is what a connection gets whose user was removed or disabled
	// after the bind: the answer of an unbound one, which no client takes for
	// a verdict.
	errGone = ldap.Errorf(ldap.ResultOperationsError, "the bound user is gone or disabled, bind again")
	// errForeign hides other trees from a user, and tells of none where there
	// is none.
	errForeign = ldap.Errorf(ldap.ResultNoSuchObject, "no such entry")
)

// see returns the part of the tree around a normalised DN that the viewer may
// know of.
func (v *Viewer) see(forest *directory.Forest, dn []byte) (*directory.Snapshot, error) {
	full, ok := forest.Tree(dn)
	if !ok || full.BaseNorm() != v.base {
		return nil, errForeign
	}
	if last := v.last.Load(); last != nil && last.full == full {
		return last.seen, nil
	}
	account, ok := full.AccountByUUID(v.uuid)
	if !ok || !account.Active {
		return nil, errGone
	}
	seen := full
	if !v.all {
		if seen, ok = full.Restrict(v.uuid); !ok {
			return nil, errGone
		}
	}
	v.last.Store(&view{full, seen})
	return seen, nil
}
