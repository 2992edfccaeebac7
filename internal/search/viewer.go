package search

import (
	"sync/atomic"

	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

// Viewer is who searches. All access control is here: a search sees only the
// snapshot that its viewer is given.
type Viewer struct {
	uuid string
	all  bool
	last atomic.Pointer[view] // what the viewer saw last
}

type view struct{ full, seen *directory.Snapshot }

// NewViewer returns the viewer for a user; all is the right to read the whole
// directory.
func NewViewer(uuid string, all bool) *Viewer { return &Viewer{uuid: uuid, all: all} }

// errGone is what a connection gets whose user was removed or disabled after
// the bind: the answer of an unbound one, which no client takes for a verdict.
var errGone = ldap.Errorf(ldap.ResultOperationsError, "the bound user is gone or disabled, bind again")

// see returns the part of the snapshot that the viewer may know of.
func (v *Viewer) see(full *directory.Snapshot) (*directory.Snapshot, error) {
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
