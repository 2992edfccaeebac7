package local

import (
	"context"
	"crypto/sha256"
	"io/fs"
	"os"
	"time"
)

// Watcher follows a users file. It looks at the file's state, through symbolic
// links, because editors and Kubernetes put another file in its place.
type Watcher struct {
	path   string
	uid    UIDFrom
	loaded func(*File) error
	failed func(error)
	reload chan struct{}

	// Of the last attempt to load, successful or not.
	state   fs.FileInfo // nil: to be read again in any case
	content [sha256.Size]byte
	problem string // what kept the file from being read, once reported

	changing fs.FileInfo // what the last tick saw, if it differed from state
	missing  bool        // the last tick saw no file
}

// NewWatcher returns a watcher; call Load, then Run. It calls loaded with each
// new content, and failed once for each that is broken or that loaded refuses,
// so the content before it stays in use.
func NewWatcher(path string, uid UIDFrom, loaded func(*File) error, failed func(error)) *Watcher {
	return &Watcher{path: path, uid: uid, loaded: loaded, failed: failed, reload: make(chan struct{}, 1)}
}

// Load loads the file for the first time.
func (w *Watcher) Load() error {
	err := w.load()
	w.state = nil // it may have been written just now
	return err
}

// Reload makes Run load the file now, also if it has not changed, and report
// again what is wrong with it.
func (w *Watcher) Reload() {
	select {
	case w.reload <- struct{}{}:
	default: // one is waiting already
	}
}

// Run looks at the file at each tick, until the context ends. A change is
// loaded when the next tick sees no other, for a file that is being written
// may be valid and yet lack its rest.
func (w *Watcher) Run(ctx context.Context, tick <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			w.look()
		case <-w.reload:
			w.force()
		}
	}
}

// force loads the file as if it had never been seen.
func (w *Watcher) force() {
	w.content, w.problem = [sha256.Size]byte{}, ""
	w.report(w.load())
	w.state = nil
}

func (w *Watcher) look() {
	st, err := os.Stat(w.path)
	switch {
	case err != nil:
		if w.missing { // and not just between two steps of an editor
			w.report(err)
		}
		w.changing = nil
	case same(st, w.state):
		w.changing = nil
	case !same(st, w.changing):
		w.changing = st
	default:
		w.changing = nil
		w.report(w.load())
	}
	w.missing = err != nil
}

// load reads the file, and passes it on if the content is another.
func (w *Watcher) load() error {
	data, st, err := read(w.path)
	if err != nil {
		return err
	}
	w.problem = ""
	sum := sha256.Sum256(data)
	if sum == w.content {
		w.state = st
		return nil
	}
	f, err := Parse(w.path, data, w.uid)
	if err == nil {
		err = w.loaded(f)
	}
	w.state, w.content = st, sum
	return err
}

func (w *Watcher) report(err error) {
	if err == nil {
		return
	}
	if s := err.Error(); s != w.problem {
		w.problem = s
		w.failed(err)
	}
}

func same(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
