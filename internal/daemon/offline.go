package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/config"
	"ldapd/internal/control"
	"ldapd/internal/state"
	"ldapd/internal/unlock"
	"ldapd/internal/verified"
)

// offline does on the store what a server would do that does not run.
type offline struct {
	cfg  *config.Config
	book *verified.Book
}

var _ control.Service = offline{}

// OpenOffline opens the store of a configuration for commands while no server
// runs with it. Close it.
func OpenOffline(cfg *config.Config) (control.Service, io.Closer, error) {
	if _, err := os.Stat(filepath.Join(cfg.StateDir, state.StoreFile)); err != nil && cfg.Cache.Store != config.CachePostgres {
		return nil, nil, fmt.Errorf("%w, and no store in %s", control.ErrNotRunning, cfg.StateDir)
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	keys, err := state.Keys(cfg)
	if err != nil {
		return nil, nil, err
	}
	log := zap.NewNop()
	s, err := state.OpenStore(ctx, cfg, time.Now, log)
	if err != nil {
		return nil, nil, err
	}
	book, err := state.OpenBook(ctx, cfg, s, verified.Options{Keys: keys, Log: log})
	if err == nil {
		err = book.Down() // a command must not take an empty memory for an answer
	}
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	return offline{cfg, book}, s, nil
}

// List implements control.Service.
func (o offline) List(context.Context) ([]control.Bind, error) {
	r := rules(o.cfg)
	return list(o.book.All(), r.Until), nil
}

// Revoke implements control.Service.
func (o offline) Revoke(ctx context.Context, user string) (n int, err error) {
	for _, e := range o.book.All() {
		if isUser(e, user) {
			n += len(e.Record.Credentials)
			err = errors.Join(err, o.book.Revoke(ctx, e.User))
		}
	}
	return n, err
}

// RevokeAll implements control.Service.
func (o offline) RevokeAll(ctx context.Context) (n int, err error) {
	for _, e := range o.book.All() {
		n += len(e.Record.Credentials)
	}
	return n, o.book.RevokeAll(ctx)
}

// Forgive implements control.Service: who runs knows which codes are of whom.
func (offline) Forgive(context.Context, string) (int, error) { return 0, control.ErrNotRunning }

// Unlock implements control.Service: nobody is there to prove a credential.
func (offline) Unlock(context.Context, unlock.Request) (unlock.Window, error) {
	return unlock.Window{}, control.ErrNotRunning
}

// Status implements control.Service.
func (offline) Status(context.Context) (control.Status, error) {
	return control.Status{}, control.ErrNotRunning
}
