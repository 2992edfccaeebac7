package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterr "go.etcd.io/bbolt/errors"
)

// lockTimeout is how long Open waits for another process to let go of the
// file, as at a restart.
const lockTimeout = 3 * time.Second

// ErrLocked means that another process holds the file.
var ErrLocked = errors.New("held by another process; is another ldapd running with the same state_dir?")

// Bolt keeps its content in one file. What was answered survives the death of
// the process and of the machine.
type Bolt struct {
	db   *bbolt.DB
	now  Clock
	turn chan struct{} // one writer; a channel, because waiting for it has an end

	broken error // set once the file turned out to be damaged; by who has the turn
}

// The buckets of the file. used: user, 0, counter -> end; expiry: end, then
// the key in used. Counters and ends (Unix seconds, rounded up) are big-endian.
const (
	bucketUsed   = "used_codes"
	bucketExpiry = "used_codes_expiry"
)

// errUsed ends a transaction without writing.
var errUsed = errors.New("used")

// Open opens or makes the store in the file at path, readable by nobody else.
// It fails with ErrLocked if another process holds it for longer than a few
// seconds.
func Open(path string, now Clock) (*Bolt, error) {
	b := &Bolt{now: now, turn: make(chan struct{}, 1)}
	if err := b.open(path); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

func (b *Bolt) open(path string) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer survive(&err)
	switch st, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return unwrapPath(err)
	case !st.Mode().IsRegular():
		return errors.New("not a regular file")
	default:
		if err := os.Chmod(path, 0o600); err != nil {
			return unwrapPath(err)
		}
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
	switch {
	case errors.Is(err, bolterr.ErrTimeout):
		return ErrLocked
	case errors.Is(err, bolterr.ErrInvalid), errors.Is(err, bolterr.ErrChecksum), errors.Is(err, bolterr.ErrVersionMismatch):
		return damaged(err)
	case err != nil:
		return unwrapPath(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{bucketUsed, bucketExpiry} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	b.db = db
	return nil
}

// Claim implements mfa.UsedCodes. It returns once the claim is on disk.
func (b *Bolt) Claim(ctx context.Context, user string, counter int64, until time.Time) (fresh bool, err error) {
	if err := checkUser(user); err != nil {
		return false, fmt.Errorf("claim code: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("claim code: %w", err)
	}
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return false, fmt.Errorf("claim code: wait for the store: %w", ctx.Err())
	}
	if b.broken != nil {
		return false, fmt.Errorf("claim code: %w", b.broken)
	}
	err = b.claim(codeKey(user, counter), seconds(until))
	switch {
	case errors.Is(err, errUsed):
		return false, nil
	case errors.Is(err, bolterr.ErrDatabaseNotOpen):
		return false, fmt.Errorf("claim code: %w", ErrClosed)
	case errors.Is(err, errDamaged):
		// bbolt's locks may be held still.
		b.broken = err
	}
	if err != nil {
		return false, fmt.Errorf("claim code: %w", err)
	}
	return true, nil
}

func (b *Bolt) claim(key []byte, until uint64) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer survive(&err)
	return b.db.Update(func(tx *bbolt.Tx) error {
		used, expiry := tx.Bucket([]byte(bucketUsed)), tx.Bucket([]byte(bucketExpiry))
		if used == nil || expiry == nil {
			return damaged(errors.New("bucket missing"))
		}
		if err := purge(used, expiry, uint64(max(b.now().Unix(), 0))); err != nil {
			return err
		}
		if used.Get(key) != nil {
			return errUsed
		}
		end := binary.BigEndian.AppendUint64(nil, until)
		if err := used.Put(key, end); err != nil {
			return err
		}
		return expiry.Put(append(end, key...), nil)
	})
}

// purge removes the oldest claims that ended by now.
func purge(used, expiry *bbolt.Bucket, now uint64) error {
	// A key is good until the next write, and deleting under a cursor skips.
	var gone [][]byte
	c := expiry.Cursor()
	for k, _ := c.First(); k != nil && len(gone) < purgeMost; k, _ = c.Next() {
		if len(k) < 8 {
			return damaged(errors.New("short key"))
		}
		if binary.BigEndian.Uint64(k) > now {
			break
		}
		gone = append(gone, bytes.Clone(k))
	}
	for _, k := range gone {
		if err := used.Delete(k[8:]); err != nil {
			return err
		}
		if err := expiry.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// Len returns the number of claims held.
func (b *Bolt) Len() (n int, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer survive(&err)
	err = b.db.View(func(tx *bbolt.Tx) error {
		n = tx.Bucket([]byte(bucketUsed)).Stats().KeyN
		return nil
	})
	return n, err
}

// Close lets go of the file, when the claim under way is done.
func (b *Bolt) Close() error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if b.broken != nil {
		return b.broken
	}
	return b.db.Close()
}

func codeKey(user string, counter int64) []byte {
	key := append(make([]byte, 0, len(user)+9), user...)
	return binary.BigEndian.AppendUint64(append(key, 0), uint64(counter))
}

func seconds(t time.Time) uint64 {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return uint64(max(s, 0))
}

// errDamaged marks what only a new file cures.
var errDamaged = errors.New("damaged; stop ldapd, move the file away and start again: it only holds the codes used in the last minutes")

func damaged(cause error) error { return fmt.Errorf("%w (%w)", errDamaged, cause) }

// survive turns a panic into an error: bbolt trusts the pages that it reads,
// and it reads them through a mapping, where a truncated file is a fault.
func survive(err *error) {
	if r := recover(); r != nil {
		*err = damaged(fmt.Errorf("%v", r))
	}
}

// unwrapPath drops the path from an error of package os; ours has it already.
func unwrapPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
