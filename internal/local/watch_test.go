package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched is a watcher and what it said.
type watched struct {
	*Watcher
	t      *testing.T
	loaded []string // the users of each load
	failed []string
	refuse error // by the callback
}

func watch(t *testing.T, path string) *watched {
	t.Helper()
	w := &watched{t: t}
	w.Watcher = NewWatcher(path, "", func(f *File) error {
		var names []string
		for _, u := range f.Users() {
			names = append(names, u.Username)
		}
		slices.Sort(names)
		w.loaded = append(w.loaded, strings.Join(names, " "))
		return w.refuse
	}, func(err error) { w.failed = append(w.failed, err.Error()) })
	if err := w.Load(); err != nil {
		t.Fatal(err)
	}
	return w
}

// ticks lets the watcher look n times.
func (w *watched) ticks(n int) {
	for range n {
		w.look()
	}
}

func (w *watched) want(loaded, failed int) {
	w.t.Helper()
	if len(w.loaded) != loaded || len(w.failed) != failed {
		w.t.Fatalf("loaded %q, failed %q; want %d and %d", w.loaded, w.failed, loaded, failed)
	}
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func usersFile(t *testing.T, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.yaml")
	write(t, path, data)
	return path
}

func TestWatchChange(t *testing.T) {
	w := watch(t, usersFile(t, "users: [{username: alice}]"))
	w.ticks(3)
	w.want(1, 0)
	write(t, w.path, "users: [{username: alice}, {username: bob}]")
	w.ticks(3)
	w.want(2, 0)
	if w.loaded[1] != "alice bob" {
		t.Errorf("loaded %q", w.loaded)
	}
	// Touched, not changed.
	if err := os.Chtimes(w.path, time.Time{}, time.Unix(1_700_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	w.ticks(3)
	w.want(2, 0)
}

func TestWatchReplaced(t *testing.T) {
	w := watch(t, usersFile(t, "users: [{username: alice}]"))
	w.ticks(2)
	st, err := os.Stat(w.path)
	if err != nil {
		t.Fatal(err)
	}
	next := w.path + ".new"
	write(t, next, "users: [{username: bobby}]") // of the same size
	if err := os.Chtimes(next, time.Time{}, st.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, w.path); err != nil {
		t.Fatal(err)
	}
	w.ticks(3)
	w.want(2, 0)
	if w.loaded[1] != "bobby" {
		t.Errorf("loaded %q", w.loaded)
	}
}

// TestWatchKubernetes swaps the link that a mounted ConfigMap has between the
// file's name and its content.
func TestWatchKubernetes(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"1", "2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "users.yaml"), "users: [{username: v"+version+"}]")
	}
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("1", "..data")
	link("..data/users.yaml", "users.yaml")
	w := watch(t, filepath.Join(dir, "users.yaml"))
	w.ticks(3)
	link("2", "..tmp")
	if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	w.ticks(3)
	w.want(2, 0)
	if w.loaded[1] != "v2" {
		t.Errorf("loaded %q", w.loaded)
	}
}

func TestWatchBroken(t *testing.T) {
	const good = "users: [{username: alice}]"
	w := watch(t, usersFile(t, good))
	write(t, w.path, "users:\n- username: alice\n  password: hunter2")
	w.ticks(5)
	w.want(1, 1)
	if want := w.path + ":3: users[0].password: must be a hash"; !strings.HasPrefix(w.failed[0], want) {
		t.Errorf("failed with %q, want %q", w.failed[0], want)
	}
	// Another version is reported, also if the line is the same.
	write(t, w.path, "users:\n- username: alicia\n  password: hunter2")
	w.ticks(5)
	w.want(1, 2)
	// Emptied, as by an editor that is about to write.
	write(t, w.path, "")
	w.ticks(5)
	w.want(1, 3)
	write(t, w.path, good)
	w.ticks(5)
	w.want(2, 3)
}

func TestWatchMissing(t *testing.T) {
	const good = "users: [{username: alice}]"
	w := watch(t, usersFile(t, good))
	w.ticks(3)
	for i := range 2 {
		if err := os.Remove(w.path); err != nil {
			t.Fatal(err)
		}
		w.ticks(5)
		w.want(1, i+1)
		write(t, w.path, good)
		w.ticks(5)
		w.want(1, i+1)
	}
}

// TestWatchBetweenSteps sees nothing while an editor has moved the old file
// away, and loads no half of the new one.
func TestWatchBetweenSteps(t *testing.T) {
	w := watch(t, usersFile(t, "users: [{username: alice}]"))
	w.look()
	w.look()
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	w.look()
	write(t, w.path, "users:\n- username: alice\n")
	w.look()
	write(t, w.path, "users:\n- username: alice\n- username: bob\n")
	w.look()
	w.want(1, 0)
	w.look()
	w.want(2, 0)
}

func TestWatchReload(t *testing.T) {
	w := watch(t, usersFile(t, "users: [{username: alice}]"))
	w.force()
	w.want(2, 0)
	write(t, w.path, "users: [")
	w.force()
	w.want(2, 1)
	w.ticks(4)
	w.want(2, 1)
	w.force()
	w.want(2, 2)
}

func TestWatchRun(t *testing.T) {
	path := usersFile(t, "users: [{username: alice}]")
	loads, failures := make(chan *File, 10), make(chan error, 10)
	w := NewWatcher(path, "", func(f *File) error { loads <- f; return nil }, func(err error) { failures <- err })
	ctx, cancel := context.WithCancel(t.Context())
	tick, done := make(chan time.Time), make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, tick)
	}()
	for range 100 {
		w.Reload() // does not block
	}
	<-loads
	write(t, path, "users: []")
	for waiting := true; waiting; {
		select {
		case tick <- time.Time{}:
		case <-loads: // another reload, of the file as it was
		case <-failures:
			waiting = false
		}
	}
	cancel()
	<-done
}

func TestWatchRefused(t *testing.T) {
	w := watch(t, usersFile(t, "users: [{username: alice}]"))
	w.ticks(3)
	w.refuse = errors.New("not this one")
	write(t, w.path, "users: [{username: bob}]")
	w.ticks(5)
	w.want(2, 1)
	if w.failed[0] != "not this one" {
		t.Errorf("failed with %q", w.failed)
	}
}

func TestWatchFirstLoadFails(t *testing.T) {
	w := NewWatcher(filepath.Join(t.TempDir(), "none"), "", nil, nil)
	if err := w.Load(); !os.IsNotExist(err) {
		t.Errorf("error %v", err)
	}
}
