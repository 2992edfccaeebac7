package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"ldapd/internal/authentik"
	"ldapd/internal/certs"
	"ldapd/internal/config"
)

// Bits of a mode.
const (
	groupAny, groupWrite = 0o070, 0o020
	otherAny, otherWrite = 0o007, 0o002
	otherRead            = 0o004
)

// Privacy tells who else could read or write what is secret.
type Privacy struct {
	Refused []error  // what must not be
	Loose   []string // what should not be
}

// Private looks at the state directory, at what is secret in it, and at the
// key's file. If tighten is set, it takes from the group what it can.
//
// What the group may do is not refused: where Kubernetes mounts a volume for a
// group (fsGroup), it gives that the right to read and write every file at
// each start, and nobody else is in the group.
func Private(cfg *config.Config, tighten bool) Privacy {
	var p Privacy
	st, err := os.Stat(cfg.StateDir)
	if err != nil || !st.IsDir() {
		return p // it is made when it is needed, or cannot be
	}
	owner := p.directory(cfg, st)
	for _, name := range []string{KeyFile, StoreFile, certs.SelfSigned, authentik.SnapshotFile} {
		if err := p.file(filepath.Join(cfg.StateDir, name), owner, tighten); err != nil {
			p.refuse(cfg.Errorf("state_dir", "%v", err))
		}
	}
	if cfg.Cache.KeyFile != "" {
		p.given(cfg)
	}
	return p
}

func (p *Privacy) refuse(err error) { p.Refused = append(p.Refused, err) }

func (p *Privacy) warn(format string, args ...any) {
	p.Loose = append(p.Loose, fmt.Sprintf(format, args...))
}

// directory returns who may own the files in it, beside root. It is who runs
// this, or for root, who runs commands on what belongs to ldapd's user, the
// owner of the directory.
func (p *Privacy) directory(cfg *config.Config, st fs.FileInfo) (owner int) {
	dir, perm, owner := cfg.StateDir, st.Mode().Perm(), os.Geteuid()
	of, known := ownerOf(st)
	if known && owner == 0 {
		owner = of
	}
	switch {
	case known && of != owner && of != 0:
		p.refuse(cfg.Errorf("state_dir", "%s belongs to user %d, who could replace what is secret in it: chown -R %d %s", dir, of, owner, dir))
	case perm&otherWrite != 0:
		p.refuse(cfg.Errorf("state_dir", "%s can be written by any user, who could replace what is secret in it: chmod 700 %s; "+
			"or name a directory in it, which ldapd makes", dir, dir))
	case perm&groupWrite != 0:
		p.warn("state_dir: %s can be written by its group, which must have no other member: chmod 700 %s", dir, dir)
	case perm&(groupAny|otherAny) != 0:
		p.warn("state_dir: %s can be listed by other users: chmod 700 %s", dir, dir)
	}
	return owner
}

// file looks at one file of the directory.
func (p *Privacy) file(path string, owner int, tighten bool) error {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link, which ldapd has not made: rm %s, or move there what it leads to", path, path)
	case !st.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file: move it away", path)
	}
	if of, known := ownerOf(st); known && of != owner && of != 0 && of != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, and not to who runs ldapd: chown %d %s if it is yours, else move it away", path, of, owner, path)
	}
	perm := st.Mode().Perm()
	switch {
	case perm&otherAny != 0:
		hint := ""
		if filepath.Base(path) == KeyFile {
			hint = "; and change the key, as docs/verified-binds.md says, if somebody may have read it"
		}
		return fmt.Errorf("%s can be read or written by any user: chmod 600 %s%s", path, path, hint)
	case perm&groupAny == 0:
		return nil
	case tighten:
		if err := os.Chmod(path, 0o600); err != nil {
			return fmt.Errorf("%s can be read or written by its group: chmod 600 %s (%w)", path, path, err)
		}
		p.warn("state_dir: %s could be read or written by its group, until now", path)
	default:
		p.warn("state_dir: %s can be read or written by its group: chmod 600 %s", path, path)
	}
	return nil
}

// given looks at the file that the configuration names for the key. Secrets of
// Docker and Kubernetes can be read by any user, of whom a container has none.
func (p *Privacy) given(cfg *config.Config) {
	path := cfg.Cache.KeyFile
	st, err := os.Stat(path)
	switch {
	case err != nil: // who reads it says so
	case st.Mode().Perm()&otherWrite != 0:
		p.refuse(cfg.Errorf("cache.key_file", "%s can be written by any user: chmod 600 %s", path, path))
	case st.Mode().Perm()&otherRead != 0:
		p.warn("cache.key_file: %s can be read by any user: chmod 600 %s, unless this is a container", path, path)
	}
}

// ownerOf is not known where a file has none.
func ownerOf(st fs.FileInfo) (uid int, known bool) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Uid), true
}
