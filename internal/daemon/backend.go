package daemon

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/bind"
	"ldapd/internal/config"
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/local"
)

// backend is where users and groups come from, and who proves them.
type backend interface {
	authenticator() auth.Authenticator
	run(ctx context.Context) // keeps the directory up to date
	reload()                 // reads everything now
	synced() time.Time       // when the directory was known to be what the source has
	trouble() []string       // why that, or a bind, cannot be known at the moment
}

// served is the directory as it is at the moment.
type served struct {
	forest  atomic.Pointer[directory.Forest]
	metrics *metrics
}

// replace serves other trees from now on. Users and groups are those of one
// tree: all have the same.
func (s *served) replace(users, groups int, trees ...*directory.Snapshot) {
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

// find returns the trees that have a user of that name or e-mail address, and
// the user name; or else any tree, for who is not known is looked up all the
// same.
func (s *served) find(name string) (dirs []bind.Directory, username string, err error) {
	forest := s.forest.Load()
	if forest == nil {
		return nil, "", bind.ErrNotLoaded
	}
	trees := forest.Trees()
	username = name
	for _, tree := range trees {
		if _, ok := tree.AccountByName(name); ok {
			dirs = append(dirs, tree)
		}
	}
	if len(dirs) > 0 {
		return dirs, username, nil
	}
	for _, tree := range trees {
		if a, ok := tree.AccountByMail(name); ok && (len(dirs) == 0 || a.Username == username) {
			dirs, username = append(dirs, tree), a.Username
		}
	}
	if len(dirs) > 0 {
		return dirs, username, nil
	}
	return []bind.Directory{trees[0]}, name, nil
}

// fileBackend serves the users file and nothing else.
type fileBackend struct{ *usersFile }

func openFile(cfg *config.Config, builtin *local.File, s *served, u usersFile) (fileBackend, error) {
	u.serve = func(f *local.File) error {
		start := time.Now()
		snap, problems := tree(cfg).Build(f.Users(), f.Groups())
		if snap.Len() == 0 {
			return fmt.Errorf("the directory is empty: %v", problems)
		}
		for _, p := range problems {
			u.log.Warn("not served as it is in the users file", zap.Stringer("problem", p))
		}
		s.replace(len(f.Users()), len(f.Groups()), snap)
		u.log.Info("directory loaded", zap.Int("users", len(f.Users())), zap.Int("groups", len(f.Groups())),
			zap.Int("entries", snap.Len()), zap.Duration("took", time.Since(start)))
		return nil
	}
	file, err := openUsersFile(cfg, builtin, u)
	return fileBackend{file}, err
}

func (b fileBackend) authenticator() auth.Authenticator { return b.auth }

// synced implements backend: the file is watched.
func (b fileBackend) synced() time.Time { return b.now() }

// trouble implements backend.
func (fileBackend) trouble() []string { return nil }

func tree(cfg *config.Config) directory.Tree {
	return directory.Tree{BaseDN: cfg.BaseDN, UIDStart: cfg.Directory.UIDStart, GIDStart: cfg.Directory.GIDStart}
}
