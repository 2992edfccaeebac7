package daemon

import (
	"sync/atomic"

	"ldapd/internal/bind"
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
)

// served is the directory as it is at the moment.
type served struct {
	forest  atomic.Pointer[directory.Forest] // nil: not loaded yet
	metrics *metrics
}

// publish serves other trees from now on. Users and groups are those of one
// tree: all have the same.
func (s *served) publish(users, groups int, trees ...*directory.Snapshot) {
	entries := 0
	for _, t := range trees {
		entries += t.Len()
	}
	s.forest.Store(directory.NewForest(trees...))
	m := s.metrics
	m.users.Set(float64(users))
	m.groups.Set(float64(groups))
	m.entries.Set(float64(entries))
	m.loaded.SetToCurrentTime()
}

// tree is what binds look names up in.
func (s *served) tree(dn ldap.DN) (bind.Directory, error) {
	forest := s.forest.Load()
	if forest == nil {
		return nil, bind.ErrNotLoaded
	}
	if tree, ok := forest.TreeOf(dn); ok {
		return tree, nil
	}
	return nil, nil
}

// find returns the trees in which to look for a user of that name or e-mail
// address, and the user name.
func (s *served) find(name string) (dirs []bind.Directory, username string, err error) {
	forest := s.forest.Load()
	if forest == nil {
		return nil, "", bind.ErrNotLoaded
	}
	trees, username := forest.Find(name)
	for _, tree := range trees {
		dirs = append(dirs, tree)
	}
	return dirs, username, nil
}
