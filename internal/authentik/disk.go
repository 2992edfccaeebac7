package authentik

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"ldapd/internal/atomicfile"
	"ldapd/internal/directory"
)

// SnapshotFile is the name of the file in the state directory that keeps what
// was read of authentik. It holds users and groups, and no passwords, tokens
// or keys.
const SnapshotFile = "authentik.snapshot"

// The file is diskMagic, a gzip stream of JSON values (a diskHeader, then its
// users and its groups), and the SHA-256 of all that. The number is that of
// the format.
const diskMagic = "ldapd authentik 1\n"

// maxDisk bounds the file, maxUnpacked what is in it.
const (
	maxDisk     = 1 << 30
	maxUnpacked = 8 << 30
)

// saved is what is kept on disk.
type saved struct {
	host     string // where it came from
	synced   time.Time
	settings settings
	mirror   *mirror
}

type diskHeader struct {
	Host       string
	Synced     time.Time
	Generation string
	Outpost    Outpost
	Providers  []diskProvider
	Users      int
	Groups     int
}

// diskProvider is a Provider without its methods, so that what is written is
// what is read.
type diskProvider Provider

type diskGroup struct {
	directory.Group
	Members []int64
}

// save replaces the file; after an error the old one is still there.
func save(path string, s *saved) error {
	return atomicfile.Write(path, 0o600, func(w io.Writer) error { return encodeSaved(w, s) })
}

func encodeSaved(w io.Writer, s *saved) error {
	sum := sha256.New()
	b := bufio.NewWriterSize(w, 64<<10)
	to := io.MultiWriter(b, sum)
	if _, err := io.WriteString(to, diskMagic); err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err != nil {
		return err
	}
	h := diskHeader{
		Host: s.host, Synced: s.synced, Generation: s.settings.generation, Outpost: s.settings.outpost,
		Users: len(s.mirror.users), Groups: len(s.mirror.groups),
	}
	for _, p := range s.settings.providers {
		h.Providers = append(h.Providers, diskProvider(p))
	}
	e := json.NewEncoder(z)
	if err := e.Encode(h); err != nil {
		return err
	}
	for _, u := range s.mirror.users {
		u.Groups = nil // known from the groups
		if err := e.Encode(u); err != nil {
			return err
		}
	}
	for _, g := range s.mirror.groups {
		if err := e.Encode(diskGroup{g.Group, g.members}); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	if _, err := b.Write(sum.Sum(nil)); err != nil {
		return err
	}
	return b.Flush()
}

// restore reads the file. The error is fs.ErrNotExist if there is none.
func restore(path, host string) (*saved, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkDisk(f); err != nil {
		return nil, err
	}
	return decodeSaved(f, host)
}

// checkDisk reads the file once to compare its checksum.
func checkDisk(f io.ReadSeeker) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	body := size - sha256.Size
	if body < int64(len(diskMagic)) || size > maxDisk {
		return fmt.Errorf("%d bytes are not the size of a snapshot", size)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sum := sha256.New()
	magic := make([]byte, len(diskMagic))
	if _, err := io.ReadFull(f, magic); err != nil {
		return err
	}
	if string(magic) != diskMagic {
		return errors.New("not a snapshot of this version")
	}
	sum.Write(magic)
	if _, err := io.CopyN(sum, f, body-int64(len(magic))); err != nil {
		return err
	}
	want := make([]byte, sha256.Size)
	if _, err := io.ReadFull(f, want); err != nil {
		return err
	}
	if !bytes.Equal(sum.Sum(nil), want) {
		return errors.New("the checksum is wrong")
	}
	_, err = f.Seek(int64(len(diskMagic)), io.SeekStart)
	return err
}

func decodeSaved(r io.Reader, host string) (*saved, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	d := json.NewDecoder(io.LimitReader(z, maxUnpacked))
	d.UseNumber()
	var h diskHeader
	if err := d.Decode(&h); err != nil {
		return nil, err
	}
	if h.Host != host {
		return nil, errors.New("it is of another authentik")
	}
	if h.Users <= 0 || h.Groups < 0 || len(h.Providers) == 0 {
		return nil, errors.New("it lacks users or providers")
	}
	s := &saved{host: h.Host, synced: h.Synced, settings: settings{outpost: h.Outpost, generation: h.Generation}}
	for _, p := range h.Providers {
		s.settings.providers = append(s.settings.providers, Provider(p))
	}
	var users []directory.User
	for range h.Users {
		var u directory.User
		if err := d.Decode(&u); err != nil {
			return nil, fmt.Errorf("user %d: %w", len(users), noEOF(err))
		}
		if n := len(users); n > 0 && users[n-1].PK >= u.PK {
			return nil, fmt.Errorf("user %d: out of order", n)
		}
		u.Attrs = intern(u.Attrs)
		users = append(users, u)
	}
	var groups []memberGroup
	for range h.Groups {
		var g diskGroup
		if err := d.Decode(&g); err != nil {
			return nil, fmt.Errorf("group %d: %w", len(groups), noEOF(err))
		}
		groups = append(groups, memberGroup{g.Group, g.Members})
	}
	s.mirror = newMirror(users, groups)
	return s, nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// absent reports whether there is no file at all.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
