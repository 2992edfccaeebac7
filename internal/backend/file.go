package backend

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/auth"
	"ldapd/internal/local"
)

// fileBackend serves the users file and nothing else.
type fileBackend struct{ *usersFile }

var _ Backend = fileBackend{}

func openFile(o Options) (Backend, error) {
	serve := func(f *local.File) error {
		start := time.Now()
		snap, problems := Tree(o.Config).Build(f.Users(), f.Groups())
		if snap.Len() == 0 {
			return fmt.Errorf("the directory is empty: %v", problems)
		}
		for _, p := range problems {
			o.Log.Warn("not served as it is in the users file", zap.Stringer("problem", p))
		}
		o.Publish(len(f.Users()), len(f.Groups()), snap)
		o.Log.Info("directory loaded", zap.Int("users", len(f.Users())), zap.Int("groups", len(f.Groups())),
			zap.Int("entries", snap.Len()), zap.Duration("took", time.Since(start)))
		return nil
	}
	file, err := openUsersFile(o, o.Users, serve)
	return fileBackend{file}, err
}

// Authenticator implements Backend.
func (b fileBackend) Authenticator() auth.Authenticator { return b.auth }

// Synced implements Backend: the file is watched.
func (b fileBackend) Synced() time.Time { return b.now() }

// Trouble implements Backend.
func (fileBackend) Trouble() []string { return nil }
